"""Single-field mistakes, made by the thousand: each ends in exit 2 with file and line, before anything is opened."""

from __future__ import annotations

import functools
import io
import json
import re
import socket
import sys
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import corpus
import pytest
import sampling
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from invoke.context import Context
from mistakes import WRONG, Mistake, every

from mnemo_ops.agent.engine.resource import resource_class
from mnemo_ops.cli import program, provision
from mnemo_ops.errors import Unreachable
from mnemo_ops.execution import playbook_run
from mnemo_ops.execution.session_pool import Fleet
from mnemo_ops.playbook.keywords import KEYWORDS
from mnemo_ops.playbook.modules import KINDS
from mnemo_ops.playbook.task import TASK
from mnemo_ops.playbook.variable_check import check_variables

EVERY = functools.cache(every)


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The corpus on disk; hosts that a command wanted to reach."""
    for name, text in corpus.FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.chdir(tmp_path)
    found: list[str] = []

    def reach(self: Fleet, host: Any, *_: Any) -> Any:
        found.append(host.name)
        raise Unreachable(f"{host.name} was asked for")

    monkeypatch.setattr(Fleet, "session", reach)
    monkeypatch.setattr(Fleet, "here", lambda self, *_: reach(self, "this machine"))
    return found


def command(playbook: str, inventory: str) -> tuple[Any, dict[str, Any], str]:
    """``mnemo-ops play`` after its words were parsed: exit code, its JSON document, everything it printed."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as ended:
        provision.play(Context(), playbook=playbook, inventory=inventory, json=True)
    return ended.value.code, json.loads(out.getvalue()), out.getvalue() + err.getvalue()


def test_the_corpus_leaves_nothing_out() -> None:
    texts = "\n".join((*corpus.PLAYBOOKS.values(), *corpus.FILES.values()))
    assert [word for word in KEYWORDS if f"{word}:" not in texts] == []
    assert {one.form for one in KEYWORDS.values()} == WRONG.keys()
    assert [kind for kind in KINDS if f"{kind}.yml" not in corpus.PLAYBOOKS] == []
    assert all(resource_class(kind).EXAMPLE for kind in KINDS)  # type: ignore[attr-defined]
    assert {"when", "loop"} <= set(TASK)


@pytest.mark.parametrize("inventory", ["hosts.yml", "hosts.ini"])
def test_without_a_mistake_hosts_are_asked_for(opened: list[str], inventory: str) -> None:
    for playbook in (*corpus.PLAYBOOKS, "uses_hosts.yml"):
        opened.clear()
        code, document, printed = command(playbook, inventory)
        on_controller = code == 0 and document["outcome"] == "ok"
        assert on_controller or (code == 4 and opened), f"{playbook}: {printed}"


def test_the_program_itself_answers_so(
    opened: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("words.yml").write_text(corpus.WORDS.replace("notify: [reload,", "notify: [relod,"))
    monkeypatch.setattr(sys, "argv", ["mnemo-ops", "play", "words.yml", "--inventory", "hosts.yml"])
    with pytest.raises(SystemExit) as ended:
        program.main()
    assert (ended.value.code, opened) == (2, [])
    assert re.search(r"words\.yml:52: .*'relod'.*\n  -> .*'reload'", capsys.readouterr().err)


def test_no_test_here_can_reach_a_host() -> None:
    with socket.socket() as plain, pytest.raises(AssertionError, match="without a network"):
        plain.connect(("192.0.2.1", 22))


@pytest.mark.thorough
@settings(
    max_examples=1000 if sampling.thorough else 60,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_every_mistake_is_named_before_anything_is_opened(opened: list[str], data: st.DataObject) -> None:
    mistake = data.draw(st.sampled_from(EVERY()))
    opened.clear()
    path, right = Path(mistake.file), corpus.FILES[mistake.file]
    path.write_text(mistake.text())
    try:
        code, document, printed = command(*mistake.run)
    finally:
        path.write_text(right)
    assert code == 2, printed
    assert "Traceback" not in printed and opened == []
    assert document["error"]["message"]
    assert names(mistake, document["error"]["where"]), document["error"]
    assert not mistake.near or "did you mean '" in document["error"]["hint"], document["error"]


def names(mistake: Mistake, where: str) -> bool:
    file, line = where.split(":")[:2]
    return (file == mistake.file and int(line) in mistake.lines) or file in mistake.others


FLAGGED = """\
- hosts: all
  tasks:
    - name: read where the flag is up
      debug: {msg: "{{ zz_nowhere }}"}
      when: flag
"""


def test_every_host_whose_values_decide_is_looked_at(opened: list[str]) -> None:
    Path("flagged.yml").write_text(FLAGGED)
    Path("two.yml").write_text("all: {hosts: {a: {flag: false}, b: {flag: true}}}\n")
    code, document, printed = command("flagged.yml", "two.yml")
    assert (code, document["error"]["where"], opened) == (2, "flagged.yml:4", []), printed
    Path("two.yml").write_text("all: {hosts: {a: {flag: false}, b: {flag: false}}}\n")
    assert command("flagged.yml", "two.yml")[0] != 2


def test_hosts_that_read_the_same_cost_one_look(opened: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[Any] = []

    def counted(*args: Any) -> Any:
        looks.append(args)
        return check_variables(*args)

    monkeypatch.setattr(playbook_run, "check_variables", counted)
    Path("many.yml").write_text('- hosts: all\n  tasks:\n    - debug: {msg: "{{ number }} {{ site }}"}\n')
    rows = "".join(f'    h{n}: {{number: {n}, unread: "{{{{ {n} }}}}", site: "{{{{ number }}}}"}}\n' for n in range(50))
    Path("many_hosts.yml").write_text(f"all:\n  hosts:\n{rows}")
    assert command("many.yml", "many_hosts.yml")[0] != 2
    assert len(looks) == 1
    Path("many_hosts.yml").write_text(f'all:\n  hosts:\n{rows}    other: {{number: 1, site: "{{{{ zz_nowhere }}}}"}}\n')
    assert command("many.yml", "many_hosts.yml")[0] == 2
    assert len(looks) == 3
