"""No path, word of a program or variable holds a NUL character: it is refused by name, and nothing is done with it."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from mnemo_ops.errors import MnemoError, PlaybookError
from mnemo_ops.execution.playbook_run import Plays
from mnemo_ops.execution.report import Report, Style
from mnemo_ops.execution.session_pool import fleet
from mnemo_ops.inventory import load as inventory
from mnemo_ops.playbook import module_args
from mnemo_ops.playbook.modules import KINDS

# BAD is a text with a NUL, as it stands or from a variable
TASKS = [
    'command: {argv: [touch, HOME/done, "BAD"]}',
    'command: {cmd: touch HOME/done, chdir: "BAD"}',
    'command: {cmd: touch HOME/done, creates: "BAD"}',
    'shell: "touch HOME/done BAD"',
    'raw: "touch HOME/done BAD"',
    'script: {cmd: "BAD"}',
    'copy: {content: x, dest: "BAD"}',
    'copy: {src: "BAD", dest: HOME/done}',
    'template: {src: "BAD", dest: HOME/done}',
    'unarchive: {src: "BAD", dest: HOME/done}',
    'assemble: {src: "BAD", dest: HOME/done}',
    'file: {path: HOME/done, state: touch, owner: "BAD"}',
    'lineinfile: {path: "BAD", line: a, create: true}',
    'uri: {url: "http://127.0.0.1/BAD"}',
    'uri: {url: "http://127.0.0.1/", headers: {"BAD": a}}',
    'slurp: {src: "BAD"}',
    'stat: {path: "BAD"}',
    'include_vars: {file: "BAD"}',
    'include_vars: {dir: "BAD"}',
    'include_tasks: "BAD"',
    'include_role: {name: "BAD"}',
    'include_role: {name: a, tasks_from: "BAD"}',
    "debug: {msg: \"{{ lookup('file', 'BAD') }}\"}",
    "debug: {msg: \"{{ lookup('pipe', 'BAD') }}\"}",
    "debug: {msg: \"{{ lookup('template', 'BAD') }}\"}",
    'command: touch HOME/done\n      environment: {A: "BAD"}',
    'command: touch HOME/done\n      environment: {"BAD": a}',
    'command: touch HOME/done\n      environment: {"A=B": a}',
    'command: touch HOME/done\n      environment: {"": a}',
    'command: touch HOME/done\n      become: true\n      become_user: "BAD"',
    'command: touch HOME/done\n      delegate_to: "BAD"',
    'command: touch HOME/done\n      with_file: ["BAD"]',
    'command: touch HOME/done\n      with_first_found: ["BAD"]',
]


def played(tmp_path: Path, text: str) -> MnemoError | None:
    (tmp_path / "site.yml").write_text(text.replace("HOME", str(tmp_path)))
    (tmp_path / "hosts.yml").write_text("all: {hosts: {a: {ansible_connection: local}}}\n")
    report = Report("play", Style(), io.StringIO(), io.StringIO())
    with fleet(report) as many:
        try:
            Plays(many, report, inventory.load(tmp_path / "hosts.yml")).run(tmp_path / "site.yml")
        except MnemoError as error:
            return error
    return None


@pytest.mark.parametrize("given", [r"x\0y", "{{ bad }}"], ids=["as it stands", "of a variable"])
@pytest.mark.parametrize("task", TASKS)
def test_it_is_refused_by_name(task: str, given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    if "{{ lookup" in task:
        task = task.replace("'BAD'", "bad")
    (tmp_path / "roles/a/tasks").mkdir(parents=True)
    task = task.replace("BAD", given)
    error = played(tmp_path, f'- hosts: a\n  vars: {{bad: "x\\0y"}}\n  tasks:\n    - {task}\n')
    assert error is not None and error.exit_code == 2, error
    assert not (tmp_path / "done").exists()


@pytest.mark.parametrize(
    "play",
    [
        'vars_files: ["BAD"]',
        'roles: ["BAD"]',
        'environment: {A: "BAD"}',
        'become: true\n  become_user: "BAD"',
    ],
)
def test_it_is_refused_of_a_play(play: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = f"- hosts: a\n  {play}\n  tasks:\n    - command: touch HOME/done\n".replace("BAD", r"x\0y")
    error = played(tmp_path, text)
    assert error is not None and error.exit_code == 2, error
    assert not (tmp_path / "done").exists()


def test_content_may_hold_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    task = r'copy: {dest: HOME/a, content: "x\0y"}' + "\n    - " + r'set_fact: {a: "x\0y"}'
    task += "\n    - " + r'command: {cmd: cat, stdin: "x\0y"}' + "\n    - " + r'debug: {msg: "x\0y"}'
    assert played(tmp_path, f"- hosts: a\n  tasks:\n    - {task}\n") is None
    assert (tmp_path / "a").read_bytes() == b"x\0y"


CONTENT = {"body", "block", "content", "fail_msg", "line", "msg", "regexp", "replace", "search_string", "stdin"}


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_no_argument_of_a_module_holds_it(kind: str) -> None:
    known = module_args.fields_of(kind)
    required = [name for name, one in known.items() if one.required]
    for name in set(known) - CONTENT:
        for value in ("a\0b", ["a", "\0"], [{"a": "\0"}], {"a\0": "b"}):
            with pytest.raises(PlaybookError, match="NUL"):
                module_args.build(
                    kind,
                    {**dict.fromkeys(required, "x"), **dict.fromkeys(set(required) - CONTENT, value), name: value},
                    "site.yml:1",
                )
