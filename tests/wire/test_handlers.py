"""Handlers that were notified run, whatever happened in between."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from agents import RawAgent
from probe import Probe

from mnemo_ops.core.model import Batch, Handlers, Task
from mnemo_ops.transport.session import AgentSession

Open = Callable[..., AgentSession]


def task(name: str, path: Path, *notify: str, **more: float) -> Task:
    return Task(name, name, Probe(str(path), **more), "here:1", notify=notify)  # type: ignore[arg-type]


def ids(session: AgentSession, batch: Batch) -> list[tuple[str, str]]:
    return [(event.id, event.status) for event in session.converge(batch) if event.status != "progress"]


def test_only_the_notified_run_and_only_once(open_session: Open, tmp_path: Path) -> None:
    handlers = Handlers((("restart", (task("h1", tmp_path / "h1"),)), ("reload", (task("h2", tmp_path / "h2"),))))
    session = open_session()
    batch = Batch((task("a", tmp_path / "a", "restart"), task("b", tmp_path / "b", "restart"), handlers))
    assert ids(session, batch) == [("a", "changed"), ("b", "changed"), ("h1", "changed")]
    assert ids(session, batch) == [("a", "ok"), ("b", "ok")]
    assert session.pending_handlers == []


def test_a_kill_between_the_change_and_the_handler_loses_nothing(
    open_session: Open, raw_agent: Callable[..., RawAgent], tmp_path: Path
) -> None:
    agent = raw_agent()
    agent.hello()
    args = {"path": str(tmp_path / "a"), "seconds": 30}
    row = {"id": "a", "kind": "probe", "args": args, "notify": ["restart"]}
    agent.send(op="converge", seq=2, steps=[{"tasks": [row]}])
    while not (tmp_path / "a").exists():
        assert agent.process.poll() is None
    os.kill(agent.process.pid, signal.SIGKILL)
    session = open_session()
    assert session.pending_handlers == ["restart"]
    handlers = Handlers((("restart", (task("h", tmp_path / "h"),)),))
    batch = Batch((task("a", tmp_path / "a", "restart"), handlers))
    assert ids(session, batch) == [("a", "ok"), ("h", "changed")]
    assert session.pending_handlers == []
    assert open_session().pending_handlers == []


@pytest.mark.parametrize("check", [True, False])
def test_a_failed_handler_stays_pending(check: bool, open_session: Open, tmp_path: Path) -> None:
    broken = Handlers((("restart", (task("h", tmp_path / "no" / "such" / "directory"),)),))
    session = open_session()
    assert ids(session, Batch((task("a", tmp_path / "a", "restart"), broken)))[-1] == ("h", "failed")
    assert open_session().pending_handlers == ["restart"]
    repaired = Handlers((("restart", (task("h", tmp_path / "h"),)),))
    assert ids(session, Batch((repaired,), check=check)) == [("h", "changed")]
    assert open_session().pending_handlers == (["restart"] if check else [])


def test_an_idle_handler_comes_off_the_list_without_being_run(open_session: Open, tmp_path: Path) -> None:
    session = open_session()
    batch = Batch((task("a", tmp_path / "a", "restart", "reload"), Handlers(idle=("restart",))))
    assert ids(session, batch) == [("a", "changed")]
    assert open_session().pending_handlers == ["reload"]


def test_handlers_run_where_they_stand_and_again_later(open_session: Open, tmp_path: Path) -> None:
    session = open_session()
    first = Handlers((("restart", (task("h1", tmp_path / "h1"),)),))
    second = Handlers((("restart", (task("h2", tmp_path / "h2"),)),))
    steps = (task("a", tmp_path / "a", "restart"), first, task("b", tmp_path / "b"), second)
    assert ids(session, Batch(steps)) == [("a", "changed"), ("h1", "changed"), ("b", "changed")]
    steps = (task("c", tmp_path / "c", "restart"), first, task("d", tmp_path / "d", "restart"), second)
    assert ids(session, Batch(steps))[-1] == ("h2", "changed")
