"""Files on request, and channels that break at the worst moment."""

from __future__ import annotations

import hashlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Union

import pytest
from agents import RawAgent, batch, code
from pace import PATIENCE, eventually, slowness, within
from probe import Probe

from mnemo_ops.agent.base.protocol import Event
from mnemo_ops.agent.resources.copy import Copy
from mnemo_ops.errors import ChannelLost, MnemoError, NotAMessage
from mnemo_ops.transport.session import AgentSession

Open = Callable[..., AgentSession]
Raw = Callable[..., RawAgent]

MIB = 1 << 20
MANY, FEW = 400, 40  # tasks of some tenths of a second; those that are done until a break is noticed


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def offered(target: Path, blob: Union[Path, bytes], digest: str = "") -> Any:
    digest = digest or sha256(blob if isinstance(blob, bytes) else blob.read_bytes())
    return batch(Copy(str(target), src="offered", sha256=digest), files={digest: blob})


def last(events: Iterator[Event]) -> Event:
    return [event for event in events if event.status != "progress"][-1]


@pytest.mark.parametrize("size", [0, 1, 300_000])
def test_a_file_is_asked_for_by_its_checksum(size: int, open_session: Open, tmp_path: Path) -> None:
    data = os.urandom(size)
    session = open_session()
    assert last(session.converge(offered(tmp_path / "got", data))).status == "changed"
    assert (tmp_path / "got").read_bytes() == data
    (tmp_path / "sent").write_bytes(data + b"more")
    assert last(session.converge(offered(tmp_path / "got", tmp_path / "sent"))).status == "changed"
    assert (tmp_path / "got").read_bytes() == data + b"more"


def test_a_large_file_comes_whole_and_shows_how_far_it_is(
    open_session: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mnemo_ops.transport.session.REFRESH", 0.0)
    source = tmp_path / "sent"
    source.write_bytes(os.urandom(MIB) * 50)
    events = list(open_session().converge(offered(tmp_path / "got", source)))
    assert events[-1].status == "changed"
    assert sha256((tmp_path / "got").read_bytes()) == sha256(source.read_bytes())
    shown = [event.after["done"] for event in events if event.after and "done" in event.after]
    assert len(shown) >= 200 and shown == sorted(shown) and shown[-1] == 50 * MIB


def test_a_file_the_controller_lacks_fails_the_task_only(open_session: Open, tmp_path: Path) -> None:
    session = open_session()
    gone = offered(tmp_path / "got", tmp_path / "gone", sha256(b"nobody has this"))
    assert "No such file" in last(session.converge(gone)).why
    assert last(session.converge(offered(tmp_path / "got", b"data"))).status == "changed"


def test_a_file_that_was_not_offered_is_not_handed_out(open_session: Open, tmp_path: Path) -> None:
    session = open_session()
    with pytest.raises(NotAMessage, match=r"^here "):
        list(session.converge(batch(Copy(str(tmp_path / "got"), src="x", sha256=sha256(b"another task's")))))
    assert not session.alive


def test_a_file_that_changed_meanwhile_is_refused(open_session: Open, tmp_path: Path) -> None:
    source = tmp_path / "sent"
    source.write_bytes(b"old")
    tasks = offered(tmp_path / "got", source)
    source.write_bytes(b"new")
    session = open_session()
    assert "checksum" in last(session.converge(tasks)).why
    assert not (tmp_path / "got").exists()
    assert not list(tmp_path.glob(".mnemo*"))


def test_a_file_that_shrinks_while_it_is_sent_is_refused(
    open_session: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mnemo_ops.transport.session.REFRESH", 0.0)
    source = tmp_path / "sent"
    source.write_bytes(b"data" * MIB)
    session = open_session()
    events = []
    for event in session.converge(offered(tmp_path / "got", source)):
        events.append(event)
        if event.after and event.after.get("done"):
            os.truncate(source, 5)
    assert "checksum" in events[-1].why
    assert last(session.converge(offered(tmp_path / "got", b"data"))).status == "changed"


def test_a_controller_that_vanishes_in_a_file_leaves_nothing(raw_agent: Raw, tmp_path: Path) -> None:
    agent = raw_agent()
    agent.hello()
    args = {"dest": str(tmp_path / "got"), "src": "x", "sha256": sha256(b"1234")}
    agent.send(op="converge", seq=2, **code("copy"), steps=[{"tasks": [{"id": "a", "kind": "copy", "args": args}]}])
    message = agent.receive()
    assert message == {"need": args["sha256"]}
    agent.send(blob=args["sha256"], size=4)
    agent.write(b"12")
    agent.close_pipes()
    assert agent.process.wait(PATIENCE) == 0
    assert not list(tmp_path.iterdir())


def test_a_controller_that_falls_silent_in_a_file_is_given_up(raw_agent: Raw, tmp_path: Path) -> None:
    agent = raw_agent()
    args = {"dest": str(tmp_path / "got"), "src": "x", "sha256": sha256(b"1234")}
    request = {**code("copy"), "steps": [{"tasks": [{"id": "a", "kind": "copy", "args": args}]}]}
    agent.hello(deaf=2 * slowness())
    agent.send(op="converge", seq=2, **request)
    assert agent.receive() == {"need": args["sha256"]}
    assert agent.process.wait(PATIENCE) == 0
    assert not list(tmp_path.iterdir())


def test_a_controller_that_vanishes_in_a_batch_stops_it_after_the_task(raw_agent: Raw, tmp_path: Path) -> None:
    agent = raw_agent()
    agent.hello()
    tasks = [
        {"id": str(number), "kind": "probe", "args": {"path": str(tmp_path / str(number)), "seconds": 0.3}}
        for number in range(MANY)
    ]
    agent.send(op="converge", seq=2, steps=[{"tasks": tasks}])
    assert (agent.receive() or {})["status"] == "changed"
    agent.close_pipes()
    assert agent.process.wait(PATIENCE) == 0
    assert len(list(tmp_path.iterdir())) < FEW


def test_an_answer_nobody_reads_to_its_end_hangs_up(open_session: Open, tmp_path: Path) -> None:
    session = open_session()
    with within(5):
        for _ in session.converge(batch(*(Probe(str(tmp_path / str(number)), seconds=0.2) for number in range(MANY)))):
            break
        with pytest.raises(ChannelLost):
            list(session.converge(batch(Probe(str(tmp_path / "later")))))
        assert not session.alive
    assert len(list(tmp_path.glob("[0-9]*"))) < FEW and not (tmp_path / "later").exists()


def test_a_file_nobody_waits_for_hangs_up(open_session: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mnemo_ops.transport.session.REFRESH", 0.0)
    source = tmp_path / "sent"
    source.touch()
    os.truncate(source, 2000 * MIB)
    session = open_session()
    with within(5):
        for event in session.converge(offered(tmp_path / "got", source, "0" * 64)):
            if event.after and event.after.get("done"):
                break
        assert not session.alive
        session.close()
    assert not (tmp_path / "got").exists()


def test_two_requests_at_once_are_a_bug(open_session: Open, tmp_path: Path) -> None:
    session = open_session()
    events = session.converge(batch(Probe(str(tmp_path / "a")), Probe(str(tmp_path / "b"))))
    next(events)
    with pytest.raises(MnemoError, match="earlier request"):
        list(session.converge(batch(Probe(str(tmp_path / "c")))))
    assert last(events).id == "task 2"


def test_a_killed_agent_is_a_lost_channel_with_the_name_of_the_task(
    open_session: Open, tmp_path: Path, state: Path
) -> None:
    session = open_session()
    pid = _agent(session)

    def kill_in_the_second() -> None:
        eventually((tmp_path / "b").exists)
        os.kill(pid, signal.SIGKILL)

    with pytest.raises(ChannelLost, match="here broke while task 2 was running") as caught:
        for event in session.converge(batch(Probe(str(tmp_path / "a")), Probe(str(tmp_path / "b"), seconds=30))):
            if event.status == "changed":
                threading.Thread(target=kill_in_the_second).start()
    assert caught.value.exit_code == 4
    assert (tmp_path / "b").exists()


def _agent(session: AgentSession) -> int:
    pipe: Any = session._channel._pipe
    pid: int = pipe._process.pid
    return pid


def test_closing_from_another_thread_wakes_who_waits(open_session: Open, tmp_path: Path) -> None:
    session = open_session()
    threading.Timer(0.5, session.close).start()
    with within(3), pytest.raises(ChannelLost):
        list(session.converge(batch(*(Probe(str(tmp_path / str(number)), seconds=0.2) for number in range(400)))))
