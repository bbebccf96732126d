"""The host lock: one at a time, with a name on it, and never stale."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from agents import RawAgent, batch
from pace import PATIENCE, slowness
from probe import Probe

from mnemo_ops.errors import Locked
from mnemo_ops.transport.session import AgentSession, Lock

Open = Callable[..., AgentSession]
Raw = Callable[..., RawAgent]

OWNER = {"owner": "ann@desk", "command": "invoke deploy", "run": "r1"}


def is_free(raw_agent: Raw, patience: float = 0.0) -> bool:
    return gets_it(raw_agent(), patience)


def gets_it(agent: RawAgent, patience: float = 0.0) -> bool:
    """Of an agent that runs already: whether the lock is its own now."""
    answer = agent.hello(lock=OWNER, patience=patience)
    assert answer is not None
    return "done" in answer


def test_the_second_one_is_told_who_works_here(open_session: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    open_session(Lock("invoke backup", owner="bob@attic"))
    monkeypatch.setattr("mnemo_ops.transport.session.PATIENCE", 0.2)
    with pytest.raises(Locked, match=r"bob@attic runs `invoke backup` here since \d{4}-") as caught:
        open_session(Lock("invoke deploy"))
    assert caught.value.exit_code == 5
    assert caught.value.where == "here" and "invoke lock.status --limit here " in caught.value.hint


def test_reading_needs_no_lock(open_session: Open) -> None:
    open_session(Lock("invoke backup"))
    assert open_session(None).facts


def test_closing_frees_it(open_session: Open) -> None:
    open_session(Lock("first")).close()
    assert open_session(Lock("second")).facts


def test_killing_the_holder_frees_it_at_once(raw_agent: Raw, tmp_path: Path) -> None:
    first = raw_agent()
    assert "done" in (first.hello(lock=OWNER) or {})
    # a program a task started lives on, and must not hold the lock
    first.send(op="converge", seq=2, steps=[{"tasks": [{"id": "a", "kind": "probe", "args": _linger(tmp_path)}]}])
    assert "done" not in (first.receive() or {})
    second = raw_agent()
    assert "Locked" in str(second.hello(lock=OWNER, patience=0.0))
    os.kill(first.process.pid, signal.SIGKILL)
    first.process.wait(PATIENCE)
    assert "done" in (second.hello(lock=OWNER, patience=0.0) or {})


def _linger(tmp_path: Path) -> dict[str, Any]:
    return {"path": str(tmp_path / "x"), "linger": 5.0}


@pytest.mark.parametrize("round", range(4))
def test_two_first_runs_at_once_do_not_both_get_it(round: int, raw_agent: Raw) -> None:
    agents = [raw_agent() for _ in range(4)]
    with ThreadPoolExecutor(len(agents)) as pool:
        answers = list(pool.map(lambda agent: agent.hello(lock=OWNER, patience=0.0), agents))
    assert sum("done" in (answer or {}) for answer in answers) == 1


def test_a_silent_controller_loses_it(raw_agent: Raw) -> None:
    agent, other = raw_agent(), raw_agent()
    assert agent.hello(lock=OWNER, deaf=2 * slowness())
    assert not gets_it(other)
    assert agent.process.wait(PATIENCE) == 0
    assert is_free(raw_agent)


def test_a_silent_controller_loses_it_between_two_tasks_also(raw_agent: Raw, tmp_path: Path) -> None:
    agent, deaf = raw_agent(), min(4.0, slowness())
    assert agent.hello(lock=OWNER, deaf=deaf)
    tasks = [
        {"id": str(number), "kind": "probe", "args": {"path": str(tmp_path / str(number)), "seconds": 0.4}}
        for number in range(40)
    ]
    agent.send(op="converge", seq=2, steps=[{"tasks": tasks}])
    assert agent.process.wait(PATIENCE) == 0
    assert 0 < len(list(tmp_path.iterdir())) < 15 + 5 * deaf  # it finished the task it was in, and no more
    assert is_free(raw_agent)


def test_pings_keep_it(raw_agent: Raw) -> None:
    agent, other, deaf = raw_agent(), raw_agent(), 2 * slowness()
    assert agent.hello(lock=OWNER, deaf=deaf)
    end = time.monotonic() + 1.5 * deaf
    while time.monotonic() < end:
        agent.send(op="ping")
        time.sleep(0.05)
    assert agent.process.poll() is None
    assert not gets_it(other)


def test_a_lost_connection_frees_it_after_the_task(open_session: Open, tmp_path: Path) -> None:
    session = open_session(Lock("invoke play"))
    events = session.converge(batch(*(Probe(str(tmp_path / str(number)), seconds=0.3) for number in range(400))))
    assert next(event for event in events if event.status == "changed").id == "task 1"
    session.close()
    assert open_session(Lock("invoke play again")).facts
    assert len(list(tmp_path.glob("[0-9]*"))) < 40
