"""What a host may say of itself: facts, and none of what decides how it is reached, or what a run is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from playing import Bench, Session, tasks

from mnemo_ops.agent.base.protocol import Event
from mnemo_ops.agent.base.record import replace
from mnemo_ops.core.model import Batch
from mnemo_ops.execution.fact_names import told, variables
from mnemo_ops.execution.play_sync import HostVars
from mnemo_ops.inventory import connection_vars
from mnemo_ops.playbook.names import FACTS

INNER = (
    "become_user",
    "python_interpreter",
    "ssh_args",
    "shell_type",
    "paramiko_x",
    "winrm_x",
    "delegated_vars",
    "facts",
)
OURS = sorted(
    {*(name.removeprefix("ansible_") for name in connection_vars.NAMES), *INNER, "version", "play_hosts", "managed"}
)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


class Liar(Session):
    """A host whose every result holds facts, too."""

    lie: Mapping[str, Any] = {}

    def converge(self, batch: Batch) -> Iterator[Event]:
        for event in super().converge(batch):
            yield replace(event, after={**(event.after or {}), "ansible_facts": self.lie})


def test_what_decides_how_a_host_is_reached_is_no_fact(bench: Bench) -> None:
    bench.session.facts = {"host": f"h$(touch {bench.home}/x)", "connection": "local", "ansible_user": "root"}
    assert bench.play(
        tasks("""
- name: here
  delegate_to: localhost
  shell: echo {{ ansible_host }} {{ ansible_connection }} {{ ansible_user | d('me') }}
  register: r
- {name: kept, copy: {dest: /srv/said, content: "{{ r.stdout }}"}}
""")
    ) == [("here", "changed"), ("kept", "changed")]
    assert bench.read("/srv/said") == "old ssh me"
    assert not (bench.home / "x").exists()


@pytest.mark.parametrize("name", OURS)
def test_no_variable_of_the_connection_or_the_run_comes_from_a_host(bench: Bench, name: str) -> None:
    bench.session.facts = {name: "told", f"ansible_{name}": "told"}
    bench.play(tasks("- {name: one, command: echo 1}"))
    assert "told" not in (variables(bench.state.facts).get(f"ansible_{name}"), bench.state.facts.get(name))
    seen = HostVars({"old": bench.state}, lambda _: None)["old"]
    assert f"ansible_{name}" not in seen or seen[f"ansible_{name}"] != "told"


@pytest.mark.parametrize("task", ["command: echo 1", "stat: {path: /srv}", "slurp: {path: /srv/x}"])
@pytest.mark.parametrize("register", ["", "register: r"])
def test_only_what_gathers_facts_tells_some(bench: Bench, task: str, register: str) -> None:
    (bench.root / "srv/x").write_text("")
    bench.session = Liar(bench.root)
    bench.session.lie = {"distribution": "Plan 9", "ansible_host": "told", "packages": {}}
    bench.reach._session = bench.session
    text = f"- {{name: one, {task}, {register}}}\n" if register else f"- {{name: one, {task}}}\n"
    bench.play(tasks(text + "- {name: two, debug: {msg: '{{ ansible_distribution }}'}}"))
    assert bench.state.facts["distribution"] == "Debian" and bench.why("two") == "Debian"
    assert "host" not in bench.state.facts and "packages" not in bench.state.facts


def test_a_kind_tells_what_is_asked_of_it() -> None:
    facts = {"services": 1, "packages": 2, "getent_passwd": 3, "ansible_distribution": 4, "ansible_host": 5}
    assert told(facts) == {"distribution": 4}
    assert told(facts, "service_facts") == {"services": 1}
    assert told(facts, "package_facts") == {"packages": 2}
    assert told(facts, "getent") == {"getent_passwd": 3}


def test_what_an_agent_gathers_stays() -> None:
    facts = {name: name for name in FACTS} | {"eth0": {}, "docker0": {}, "user_id": "root"}
    assert told(facts) == facts
    assert {name for name in variables(facts) if name != "ansible_facts"} == {f"ansible_{name}" for name in facts}


def test_a_set_fact_of_the_playbook_is_its_own(bench: Bench) -> None:
    bench.play(
        tasks("""
- {set_fact: {ansible_host: mine}, register: r}
- {name: two, debug: {msg: "{{ ansible_host }}"}}
""")
    )
    assert bench.why("two") == "mine"
