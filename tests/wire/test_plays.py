"""Several hosts in one play: one after the other, one for all, all together; over real agents on this machine."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mnemo_ops.core.model import Host
from mnemo_ops.errors import MnemoError, PythonMissing
from mnemo_ops.execution.playbook_run import HostReach, Plays
from mnemo_ops.execution.report import Report, Style
from mnemo_ops.execution.session_pool import Fleet, fleet
from mnemo_ops.inventory import load as inventory

Run = Callable[..., "Seen"]


class Seen:
    """What a playbook left and said."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.out = io.StringIO()
        self.error: MnemoError | None = None

    def read(self, name: str) -> str:
        return (self.home / name).read_text()

    def names(self) -> set[str]:
        return {path.name for path in self.home.iterdir() if not path.suffix}


@pytest.fixture
def play(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)
    hosts = {name: {"ansible_connection": "local"} for name in ("a", "b", "c", "d")}

    def run(text: str, more: str = "", **given: Any) -> Seen:
        (tmp_path / "more.yml").write_text(more.replace("HOME", str(tmp_path / "out")))
        (tmp_path / "site.yml").write_text(text.replace("HOME", str(tmp_path / "out")))
        (tmp_path / "hosts.yml").write_text(f"all: {{hosts: {hosts}}}\n")
        (tmp_path / "out").mkdir(exist_ok=True)
        seen = Seen(tmp_path / "out")
        report = Report("play", Style(), seen.out, seen.out)
        with fleet(report, aliases=True) as many:
            try:
                Plays(many, report, inventory.load(tmp_path / "hosts.yml"), **given).run(tmp_path / "site.yml")
            except MnemoError as error:
                seen.error = error
        return seen

    return run


def test_serial(play: Run) -> None:
    seen = play("""
- hosts: all
  serial: [1, "50%"]
  tasks:
    - shell: echo {{ inventory_hostname }} {{ ansible_play_batch | length }} >> HOME/order
""")
    assert seen.error is None
    lines = seen.read("order").splitlines()
    assert lines[0] == "a 1" and set(lines[1:3]) == {"b 2", "c 2"} and lines[3] == "d 1"


def test_a_batch_that_fails_ends_the_play(play: Run) -> None:
    seen = play("""
- hosts: all
  serial: 1
  tasks:
    - command: touch HOME/{{ inventory_hostname }}
    - fail: {msg: "enough"}
      when: inventory_hostname == 'b'
""")
    assert seen.error is not None and seen.error.exit_code == 6
    assert seen.names() == {"a", "b"}


def test_once_for_all(play: Run) -> None:
    seen = play("""
- hosts: all
  tasks:
    - shell: "echo {{ inventory_hostname }} | tee -a HOME/once"
      run_once: true
      register: first
    - copy: {dest: "HOME/{{ inventory_hostname }}", content: "{{ first.stdout }}"}
""")
    assert seen.error is None
    assert seen.read("once") == "a\n"
    assert [seen.read(name) for name in "abcd"] == ["a"] * 4


def test_once_for_all_and_it_fails(play: Run) -> None:
    seen = play("""
- hosts: all
  tasks:
    - command: "false"
      run_once: true
    - command: touch HOME/{{ inventory_hostname }}
""")
    assert seen.error is not None and seen.names() == set()


def test_nobody_waits_for_a_host_that_does_not_come_by(play: Run) -> None:
    """The first host leaves the include out: the next does for all what is done once, each time it comes by."""
    (Path.cwd() / "once.yml").write_text(
        "- {shell: 'echo {{ inventory_hostname }} {{ item }} >> HOME', run_once: true}\n"
    )
    text = (Path.cwd() / "once.yml").read_text().replace("HOME", str(Path.cwd() / "out/once"))
    (Path.cwd() / "once.yml").write_text(text)
    seen = play("""
- hosts: all
  tasks:
    - {include_tasks: once.yml, when: inventory_hostname != 'a', loop: [1, 2]}
    - command: touch HOME/{{ inventory_hostname }}
""")
    assert seen.error is None and seen.names() >= {"a", "b", "c", "d"}
    assert seen.read("once") == "b 1\nb 2\n"


def test_any_error_is_fatal_for_all(play: Run) -> None:
    seen = play("""
- hosts: all
  any_errors_fatal: true
  tasks:
    - shell: "[ {{ inventory_hostname }} != a ]"
    - shell: sleep 1
    - command: touch HOME/{{ inventory_hostname }}
      when: ansible_facts.hostname is defined
- hosts: all
  tasks: [{command: "touch HOME/second"}]
""")
    assert seen.error is not None and seen.names() == set()


def test_others_go_on_without_the_one_that_failed(play: Run) -> None:
    seen = play("""
- hosts: all
  tasks:
    - {fail: , when: inventory_hostname == 'c'}
    - command: touch HOME/{{ inventory_hostname }}
- hosts: all
  tasks: [{command: "touch HOME/{{ inventory_hostname }}2"}]
""")
    assert seen.error is not None
    assert seen.names() == {"a", "b", "d", "a2", "b2", "d2"}


@pytest.mark.parametrize("head", ["hosts: b", "hosts: a:b\n  max_fail_percentage: 40", "hosts: a:b\n  serial: 1"])
def test_nothing_follows_a_play_that_failed_on_all_or_too_many(play: Run, head: str) -> None:
    seen = play(f"""
- {head}
  tasks: [{{fail: , when: inventory_hostname == 'b'}}]
- hosts: c
  tasks: [{{command: "touch HOME/second"}}]
""")
    assert seen.error is not None and seen.names() == set()


def test_what_is_known_of_the_others(play: Run) -> None:
    seen = play("""
- hosts: all
  tasks: [{set_fact: {mine: "of {{ inventory_hostname }}"}}]
- hosts: a
  tasks:
    - copy:
        dest: HOME/known
        content: "{{ groups.all | map('extract', hostvars, 'mine') | join(', ') }} {{ hostvars.b.inventory_hostname }}"
""")
    assert seen.error is None, seen.error
    assert seen.read("known") == "of a, of b, of c, of d b"


def test_what_another_host_of_the_play_told_and_set_by_then(play: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "mnemo_ops.execution.session_pool.PARALLEL", 1
    )  # whose turn has not come yet is waited for, too
    seen = play(
        """
- hosts: all
  tasks:
    - copy:
        dest: "HOME/facts-{{ inventory_hostname }}"
        content: "{{ hostvars.d.ansible_system }} {{ hostvars['a'].ansible_facts.system }}"
    - {shell: "sleep 0.2; echo of {{ inventory_hostname }}", register: token, when: inventory_hostname == 'd'}
    - {include_tasks: more.yml, when: inventory_hostname != 'b'}
    - {set_fact: {mine: late}}
    - {debug: {msg: "{{ groups.all | map('extract', hostvars, 'mine') | join }}"}, when: inventory_hostname == 'c'}
""",
        more='- copy: {dest: "HOME/token-{{ inventory_hostname }}", content: "{{ hostvars.d.token.stdout }}"}',
    )
    assert seen.error is None, seen.error
    assert {seen.read(f"facts-{name}") for name in "abcd"} == {"Linux Linux"}
    assert {seen.read(f"token-{name}") for name in "acd"} == {"of d"}
    assert seen.out.getvalue().count("latelatelatelate") == 1


def test_nobody_waits_to_look_at_a_host_that_failed(play: Run) -> None:
    seen = play("""
- hosts: all
  tasks:
    - {command: "false", when: inventory_hostname == 'b'}
    - {copy: {dest: "HOME/{{ inventory_hostname }}", content: "{{ hostvars.b.ansible_system }}"}}
""")
    assert seen.error is not None and "ended with 1" in seen.error.message
    assert seen.names() == {"a", "c", "d"}


def test_the_end_of_a_play(play: Run) -> None:
    seen = play("""
- hosts: a
  tasks:
    - command: touch HOME/one
    - meta: end_play
    - command: touch HOME/never
- hosts: a
  tasks: [{command: "touch HOME/two"}]
""")
    assert seen.error is None and seen.names() == {"one", "two"}


def test_a_tag_nobody_has(play: Run) -> None:
    from mnemo_ops.core.options import Options

    seen = play("- {hosts: all, tasks: [{command: ls, tags: web}]}\n", options=Options(tags=frozenset({"wbe"})))
    assert seen.error is not None and seen.error.hint == "did you mean 'web'?"


def test_a_host_without_python_gets_it_by_the_first_raw_task(play: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = Fleet.session

    def session(self: Fleet, host: Host, become: bool = True) -> Any:
        if not (Path.cwd() / "out/python3").exists():
            raise PythonMissing(f"{host.name} has no python3")
        return opened(self, host, become)

    monkeypatch.setattr(Fleet, "session", session)
    seen = play("""
- hosts: a
  gather_facts: false
  tasks:
    - raw: touch HOME/python3
    - copy: {dest: HOME/known, content: "{{ ansible_facts.system }}"}
""")
    assert seen.error is None, seen.error
    assert seen.read("known") == "Linux"
    (seen.home / "python3").unlink()
    seen = play("- {hosts: a, tasks: [{raw: echo no}, {command: touch HOME/x}]}\n")
    assert isinstance(seen.error, PythonMissing)
    seen = play("- {hosts: a, tasks: [{command: touch HOME/x}]}\n")
    assert isinstance(seen.error, PythonMissing) and not (seen.home / "x").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as somebody else")
@pytest.mark.parametrize("told", ["inventory", "play", "task"])
def test_who_does_a_task_may_be_a_variable(play: Run, tmp_path: Path, told: str) -> None:
    words = "{ansible_become: true, ansible_become_user: nobody}"
    (tmp_path / "group_vars").mkdir()
    (tmp_path / "group_vars/all.yml").write_text(words if told == "inventory" else "{}")
    seen = play(f"""
- hosts: a
  vars: {words if told == "play" else "{}"}
  tasks:
    - {{command: id -un, register: who, vars: {words if told == "task" else "{}"}}}
    - {{command: id -un, register: me, become: false}}
    - {{debug: {{msg: "it was {{{{ who.stdout }}}}, then {{{{ me.stdout }}}}"}}}}
""")
    assert seen.error is None, seen.error
    assert "it was nobody" in seen.out.getvalue()
    assert told != "inventory" or "then nobody" in seen.out.getvalue()


def test_variables_that_come_too_late_to_reach_a_host_are_refused(play: Run) -> None:
    seen = play("- {hosts: a, vars: {ansible_user: x}, tasks: [{command: id}]}")
    assert seen.error is not None and seen.error.where == "site.yml:1" and "remote_user" in seen.error.hint


def test_what_a_hidden_task_registered_or_set_no_other_shows(play: Run) -> None:
    seen = play("""
- hosts: a
  tasks:
    - shell: "echo tok_$(printf 5f2c9a1b7e3d)"
      register: made
      no_log: true
    - set_fact: {both: "x-{{ made.stdout }}-{{ 'QX7' ~ 'kz9-4' }}"}
      no_log: true
    - debug: {var: made}
    - debug: {msg: "it is {{ both }}, {{ made.stdout | b64encode }}, {{ made.stdout | urlencode }}"}
    - fail: {msg: "with {{ made.stdout_lines }}"}
""")
    assert seen.error is not None and seen.error.exit_code == 6
    said = seen.out.getvalue()
    assert "5f2c9a1b7e3d" not in said and "QX7kz9" not in said and said.count("[secret]") >= 5
    assert "NWYyYzlhMWI3ZTNk" not in said and "it is [secret], " in said


def test_a_bug_with_one_host_is_not_the_others(play: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    real = HostReach.session

    def session(self: HostReach) -> Any:
        if self._host.name == "b":
            raise KeyError("nobody expected this")
        return real(self)

    monkeypatch.setattr(HostReach, "session", session)
    text = "- hosts: all\n  tasks: [{command: 'touch HOME/{{ inventory_hostname }}NUMBER'}]\n"
    with pytest.raises(KeyError):
        play(text.replace("NUMBER", "") + text.replace("NUMBER", "2"))
    assert {path.name for path in (Path.cwd() / "out").iterdir()} == {"a", "a2", "c", "c2", "d", "d2"}
