"""Tasks as another user: the kernel decides what they may do; files and handlers still come through."""

from __future__ import annotations

import contextlib
import hashlib
import os
import pwd
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from agents import RawAgent, code
from pace import PATIENCE, eventually

from mnemo_ops.agent.base.protocol import Event
from mnemo_ops.agent.resources.command import Command
from mnemo_ops.agent.resources.copy import Copy
from mnemo_ops.core.model import Batch, Task
from mnemo_ops.transport.session import AgentSession

Open = Callable[..., AgentSession]
Raw = Callable[..., RawAgent]
OWNER = {"owner": "ann@desk", "command": "invoke play", "run": "r1"}
NOBODY = "nobody"

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as somebody else")


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    """A directory of nobody, below directories he may pass."""
    for parent in (tmp_path, *tmp_path.parents):
        if parent.stat().st_uid == 0 and str(parent).startswith("/tmp/"):
            parent.chmod(0o755)
    path = tmp_path / "theirs"
    path.mkdir()
    os.chown(path, pwd.getpwnam(NOBODY).pw_uid, -1)
    return path


def last(session: AgentSession, *tasks: Task) -> list[Event]:
    return [event for event in session.converge(Batch(tasks)) if event.status != "progress"]


def test_what_it_makes_is_theirs(open_session: Open, theirs: Path) -> None:
    data = os.urandom(200_000)
    source = theirs.parent / "source"
    source.write_bytes(data)
    digest = hashlib.sha256(data).hexdigest()
    session = open_session()
    copied = Task(
        "t1", "big", Copy(str(theirs / "big"), src="source", sha256=digest), "x:1", files={digest: source}, user=NOBODY
    )
    asked = Task("t2", "who", Command(cmd="id -un"), "x:2", register="who", user=NOBODY)
    told = Task("t3", "told", Copy(str(theirs / "a"), content="x"), "x:3", notify=("tell",), user=NOBODY)
    events = last(session, copied, asked, told)
    assert [event.status for event in events] == ["changed"] * 3, events
    assert (theirs / "big").read_bytes() == data
    assert (theirs / "big").owner() == NOBODY
    assert events[1].after is not None and events[1].after["stdout"] == NOBODY
    assert session.pending_handlers == ["tell"]


def test_what_they_may_not_is_not_done(open_session: Open, theirs: Path) -> None:
    ours = theirs.parent / "ours"
    ours.mkdir(mode=0o700)
    (event,) = last(open_session(), Task("t1", "no", Copy(str(ours / "x"), content="x"), "x:1", user=NOBODY))
    assert (event.status, event.why) == ("failed", f"Permission denied: {ours}/x")  # not a temporary name
    assert event.error is not None and event.error["class"] == "StepFailed"
    assert "user nobody " in event.error["hint"] and "become: true" in event.error["hint"]
    assert list(ours.iterdir()) == []


def test_a_user_who_does_not_exist(open_session: Open, theirs: Path) -> None:
    (event,) = last(open_session(), Task("t1", "no", Command(cmd="id"), "x:1", user="no-such-user"))
    assert event.status == "failed" and event.why == "user no-such-user does not exist"


def test_the_environment_reaches_programs_and_nothing_else(open_session: Open) -> None:
    asked = Task("t1", "a", Command(cmd="sh -c 'echo $WORD'"), "x:1", register="a", environment={"WORD": "said"})
    after = Task("t2", "b", Command(cmd="sh -c 'echo $WORD'"), "x:2", register="b")
    events = last(open_session(), asked, after)
    assert [event.after and event.after["stdout"] for event in events] == ["said", ""]


def test_their_files_get_the_umask_of_their_session(
    open_session: Open, theirs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sudo = theirs.parent / "bin" / "sudo"
    sudo.parent.mkdir()
    sudo.write_text('#!/bin/sh\n[ "$3" = nobody ] && umask 0002\nshift 4\nexec "$@"\n')
    sudo.chmod(0o755)
    monkeypatch.setenv("PATH", f"{sudo.parent}:{os.environ['PATH']}")
    file = Task("t1", "file", Copy(str(theirs / "a"), content="x"), "x:1", user=NOBODY)
    made = Task("t2", "made", Command(cmd=f"touch {theirs}/b"), "x:2", user=NOBODY)
    assert [event.status for event in last(open_session(), file, made)] == ["changed"] * 2
    assert [(theirs / name).stat().st_mode & 0o777 for name in "ab"] == [0o664] * 2


# -- a user who does not let go ------------------------------------------------------------------------------------


def read(pid: int, name: str) -> str:
    """A file of a process; empty for a process that has ended meanwhile, as those do that lead to a user."""
    try:
        return Path(f"/proc/{pid}/{name}").read_text()
    except OSError:
        return ""


def children(pid: int) -> list[int]:
    return [int(child) for child in read(pid, f"task/{pid}/children").split()]


@pytest.fixture
def held(raw_agent: Raw) -> Iterator[tuple[RawAgent, int]]:
    """An agent that holds the lock and waits for nobody's child of it, and that child."""
    agent = raw_agent()
    assert "done" in (agent.hello(lock=OWNER) or {})
    asleep = {"id": "a", "kind": "command", "args": {"cmd": "sleep 300"}, "user": NOBODY}
    agent.send(op="converge", seq=2, steps=[{"tasks": [asleep]}], **code("command"))
    number = pwd.getpwnam(NOBODY).pw_uid
    found: list[int] = []

    def theirs() -> bool:
        found[:] = [
            program
            for child in children(agent.process.pid)
            if f"Uid:\t{number}" in read(child, "status")
            for program in (child, *children(child))
        ]
        return len(found) == 2

    eventually(theirs)
    yield agent, found[0]
    for pid in found:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def gets_the_lock(raw_agent: Raw) -> bool:
    return "done" in (raw_agent().hello(lock=OWNER, patience=PATIENCE) or {})


def test_a_stopped_child_does_not_keep_the_agent(held: Any, raw_agent: Raw) -> None:
    agent, child = held
    os.kill(child, signal.SIGSTOP)
    agent.close_pipes()
    assert agent.process.wait(PATIENCE) == 0
    assert gets_the_lock(raw_agent)


def test_a_child_that_goes_on_and_on_does_not_keep_it_either(held: Any, raw_agent: Raw) -> None:
    agent, _ = held
    agent.close_pipes()
    assert agent.process.wait(PATIENCE + 10) == 0
    assert gets_the_lock(raw_agent)


def test_a_stopped_child_is_the_failure_of_its_task(held: Any) -> None:
    agent, child = held
    os.kill(child, signal.SIGSTOP)
    message = agent.receive()
    assert message is not None and message["status"] == "failed" and message["error"]["class"] == "Broken"
    assert NOBODY in message["error"]["message"]


def test_the_child_of_a_killed_agent_holds_nothing(held: Any, raw_agent: Raw) -> None:
    agent, child = held
    handles = []
    for path in Path(f"/proc/{child}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            handles.append(os.readlink(path))  # noqa: PTH115
    wire = [os.readlink(f"/proc/self/fd/{end.fileno()}") for end in (agent.stdin, agent.stdout)]  # noqa: PTH115
    assert not [name for name in handles if name.endswith("/lock") or name in wire]
    os.kill(child, signal.SIGSTOP)
    agent.process.kill()
    agent.process.wait(PATIENCE)
    assert gets_the_lock(raw_agent)
