"""Actions: here and now, and as jobs that outlive whoever started them (under a small working model of systemd)."""

from __future__ import annotations

import bz2
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from agents import REAL, with_probe
from dawdle import Dawdle
from pace import PATIENCE

from mnemo_ops.agent.actions.journal import RemoveFile
from mnemo_ops.agent.base.protocol import Event
from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.process import job, lease
from mnemo_ops.errors import (
    ChannelLost,
    HostKeyChanged,
    HostKeyUnknown,
    JobLost,
    Refused,
    Unreachable,
    VerificationFailed,
)
from mnemo_ops.transport import bundle
from mnemo_ops.transport.session import AgentSession, Lock

Open = Callable[..., AgentSession]

# Units are processes; a pid file each, and the argument vector beside it.
SYSTEMD_RUN = """#!/bin/sh
while [ "$1" != -- ]; do [ "$1" = --unit ] && unit=$2; [ "$1" = --on-active ] && exit; shift; done
shift
echo "$*" > "$0.$unit.argv"
setsid "$@" </dev/null >"$0.$unit.out" 2>&1 &
echo $! > "$(dirname "$0")/$unit.pid"
"""
SYSTEMCTL = """#!/bin/sh
for unit; do :; done
pid=$(cat "$(dirname "$0")/$unit.pid" 2>/dev/null)
alive() { [ -n "$pid" ] && [ -d /proc/$pid ] && ! grep -q '^State:.Z' /proc/$pid/status; }
case $1 in
is-active) alive ;;
show) if alive; then echo active; else echo inactive; fi ;;
stop) alive && kill $pid; while alive; do sleep 0.01; done ;;
esac
"""


def test_an_action_reports_and_shows_how_far_it_is(open_session: Open, tmp_path: Path) -> None:
    seen: list[Event] = []
    session = open_session()
    assert session.ready(Dawdle(str(tmp_path / "log"))) == {"steps": 3}
    assert not (tmp_path / "log").exists()
    assert session.act(Dawdle(str(tmp_path / "log")), watch=seen.append) == {"steps": 3}
    assert [event.after["done"] for event in seen if event.after and "done" in event.after] == [0, 1, 2]


def test_a_beat_does_not_tell_what_is_over(open_session: Open, tmp_path: Path) -> None:
    over, notes = tmp_path / "over", []

    def watch(event: Event) -> None:
        after = event.after or {}
        if "elapsed" not in after:
            notes.append(after["note"])
        elif notes[-1:] == ["what takes long"]:  # a beat of the last step, which noted nothing
            assert after["note"] == ""
            over.touch()

    session = open_session()
    for _ in range(2):
        over.unlink(missing_ok=True)
        session.act(Dawdle(str(tmp_path / "log"), last="what takes long", hold=str(over)), watch=watch)
        assert over.exists()


def test_an_action_fails_with_its_own_class(open_session: Open, tmp_path: Path) -> None:
    session = open_session()
    with pytest.raises(Refused, match="no way"):
        session.ready(Dawdle(str(tmp_path / "log"), fail="no way"))
    with pytest.raises(VerificationFailed, match="here: no way") as caught:
        session.act(Dawdle(str(tmp_path / "log"), fail="no way"))
    assert caught.value.hint == "look again"
    assert session.act(Dawdle(str(tmp_path / "log"))) == {"steps": 3}


def test_a_watcher_that_fails_hangs_up(open_session: Open, tmp_path: Path) -> None:
    session = open_session()

    def watch(event: Event) -> None:
        raise KeyError("a bug in the controller")

    with pytest.raises(KeyError):
        session.act(Dawdle(str(tmp_path / "log"), steps=1000, seconds=0.05), watch=watch)
    assert not session.alive
    assert (tmp_path / "log").read_text().count("step") < 500


@pytest.fixture
def tools(tmp_path: Path) -> Iterator[Path]:
    """A directory with a systemd of our own; its units end with the test."""
    tools = tmp_path / "bin"
    tools.mkdir()
    for name, text in (("systemd-run", SYSTEMD_RUN), ("systemctl", SYSTEMCTL)):
        (tools / name).write_text(text)
        (tools / name).chmod(0o755)
    yield tools
    for file in tools.glob("*.pid"):
        subprocess.run([tools / "systemctl", "stop", file.stem], check=False, capture_output=True)


@pytest.fixture
def machine(tools: Path, state: Path) -> Machine:
    """This machine with that systemd and the agent's real zip."""
    made = Machine(search_path=f"{tools}:/usr/bin:/bin", state_dir=str(state))
    made.program = lambda: bz2.decompress(with_probe(bundle.pack(bundle.core() | bundle.deeds())))
    return made


def start(machine: Machine, tmp_path: Path, attach: bool = False, **args: Any) -> None:
    request = {"kind": "dawdle", "args": {"path": str(tmp_path / "log"), **args}}
    job.start(machine, "j1", request, attach)


def end(
    machine: Machine, stop: Callable[[], bool] = lambda: False, told: Callable[[Any], object] = lambda progress: None
) -> tuple[list[dict[str, Any]], Any]:
    seen, following = [], job.follow(machine, "j1", stop)
    while True:
        try:
            seen.append(next(following))
            told(seen[-1])
        except StopIteration as last:
            return seen, last.value


def steps(tmp_path: Path) -> int:
    return (tmp_path / "log").read_text().count("step")


def test_a_job_runs_once_and_its_report_stays(machine: Machine, tmp_path: Path) -> None:
    over = tmp_path / "over"
    start(machine, tmp_path, steps=4, hold=str(over))
    start(machine, tmp_path, steps=4, hold=str(over))  # at once, before it wrote anything: re-attaching
    report = end(machine, told=lambda progress: progress["total"] == 4 and over.touch())[1]
    assert report == {"steps": 4} and over.exists()
    start(machine, tmp_path, steps=4)
    assert end(machine) == ([], {"steps": 4})
    assert steps(tmp_path) == 4


def test_what_a_job_does_next_is_told_however_soon_it_comes(machine: Machine, tmp_path: Path) -> None:
    over = tmp_path / "over"
    start(machine, tmp_path, steps=3, last="what takes long", hold=str(over))
    end(machine, told=lambda progress: progress["note"] == "what takes long" and over.touch())
    assert over.exists()


def test_a_job_keeps_its_secrets(machine: Machine, tmp_path: Path) -> None:
    start(machine, tmp_path, password="hunter2222")
    end(machine)
    where = Path(job.directory(machine, "j1"))
    assert [path.name for path in where.iterdir()] == ["state.json"]
    assert {oct(path.stat().st_mode)[-3:] for path in (where, where.parent.parent)} == {"700"}
    everything = "".join(path.read_text() for path in tmp_path.glob("bin/*"))
    assert sys.executable in everything and "hunter" not in everything + (where / "state.json").read_text()


def test_a_job_that_failed_says_so_to_whoever_attaches_and_starts_again_for_whoever_retries(
    machine: Machine, tmp_path: Path
) -> None:
    start(machine, tmp_path, steps=1, fail="broken pages")
    with pytest.raises(VerificationFailed, match="broken pages"):
        end(machine)
    start(machine, tmp_path, attach=True)
    with pytest.raises(VerificationFailed, match="broken pages"):
        end(machine)
    assert steps(tmp_path) == 1
    start(machine, tmp_path, steps=2)
    assert end(machine)[1] == {"steps": 2}
    assert steps(tmp_path) == 3


def test_a_killed_job_is_an_error_for_who_follows_it_and_can_be_started_again(machine: Machine, tmp_path: Path) -> None:
    """Who comes back after a break must not start it anew: what it left is being undone."""
    start(machine, tmp_path, steps=100, seconds=0.2)
    following = job.follow(machine, "j1", lambda: False)
    next(following)
    os.kill(int((tmp_path / "bin" / "mnemo-job-j1.pid").read_text()), signal.SIGKILL)
    with pytest.raises(JobLost):
        list(following)
    start(machine, tmp_path, attach=True, steps=1)
    with pytest.raises(JobLost):
        list(job.follow(machine, "j1", lambda: False, patience=0.0))
    start(machine, tmp_path, steps=1)
    assert end(machine)[1] == {"steps": 1}


def test_a_follower_that_goes_away_does_not_take_the_job_with_it(machine: Machine, tmp_path: Path) -> None:
    over = tmp_path / "over"
    start(machine, tmp_path, steps=4, hold=str(over))
    with pytest.raises(ChannelLost):
        end(machine, stop=lambda: True)
    over.touch()
    assert end(machine)[1] == {"steps": 4}


def test_a_stopped_job_is_forgotten(machine: Machine, tmp_path: Path) -> None:
    start(machine, tmp_path, steps=100, seconds=0.1)
    next(job.follow(machine, "j1", lambda: False))
    job.stop(machine, "j1")
    job.stop(machine, "j1")
    done = steps(tmp_path)
    time.sleep(0.3)
    assert not job.is_alive(machine, "j1") and steps(tmp_path) == done
    assert job.read_state(machine, "j1") is None


def test_a_bug_in_a_deed_reaches_the_operator(machine: Machine, tmp_path: Path) -> None:
    where = tmp_path / "state" / "jobs" / "j1"
    where.mkdir(parents=True)
    (where / "request.json").write_text(json.dumps({"kind": "no_such_deed", "args": {}}))
    job.run(machine, str(where))
    assert "no_such_deed" in (job.read_state(machine, "j1") or {})["error"]["message"]


@pytest.fixture
def session(tools: Path, open_session: Open, state: Path, monkeypatch: pytest.MonkeyPatch) -> AgentSession:
    """A session whose agent has that systemd."""
    blob = with_probe(REAL, str(tools))
    monkeypatch.setattr(bundle, "bundle", lambda: blob)
    monkeypatch.setattr("mnemo_ops.transport.session.RECONNECT", (0.05, 0.1))
    return open_session(Lock("invoke migrate"))


def agent(session: AgentSession) -> int:
    pid: int = session._channel._pipe._process.pid  # type: ignore[attr-defined]
    return pid


def test_a_job_is_found_again_after_every_break(session: AgentSession, tmp_path: Path) -> None:
    seen: list[Event] = []
    over, broken = tmp_path / "over", set[int]()  # more than one break gets attempts

    def watch(event: Event) -> None:
        seen.append(event)
        if not session.alive or "total" not in (event.after or {}) or (pid := agent(session)) in broken:
            return
        if len(broken) == 3:
            over.touch()
        else:
            broken.add(pid)
            os.kill(pid, signal.SIGKILL)

    made = Dawdle(str(tmp_path / "log"), steps=4, hold=str(over))
    assert session.act(made, job="j1", watch=watch) == {"steps": 4}
    assert steps(tmp_path) == 4 and len(broken) == 3
    assert sum("reconnecting" in str(event.after) for event in seen) >= 3
    assert session.ready(Dawdle(str(tmp_path / "log"))) == {"steps": 3}


@pytest.mark.parametrize("error", [HostKeyChanged, HostKeyUnknown])
def test_a_host_that_comes_back_as_another_is_said_as_what_it_is(
    session: AgentSession, tmp_path: Path, error: type[Unreachable], monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[bytes] = []

    def reach(blob: bytes) -> Any:
        tries.append(blob)
        raise error("another key", hint="ssh-keygen -R here")

    def watch(event: Event) -> None:
        if session.alive and not tries:
            monkeypatch.setattr(session, "_reach", reach)
            os.kill(agent(session), signal.SIGKILL)

    with pytest.raises(error) as caught:
        session.act(Dawdle(str(tmp_path / "log"), steps=30, seconds=0.1), job="j1", watch=watch)
    assert (caught.value.exit_code, caught.value.hint, len(tries)) == (4, "ssh-keygen -R here", 1)
    assert not session.alive


def test_without_a_job_a_break_is_the_end(session: AgentSession, tmp_path: Path) -> None:
    with pytest.raises(ChannelLost, match="here broke while dawdle was running"):
        session.act(
            Dawdle(str(tmp_path / "log"), steps=50, seconds=0.1),
            watch=lambda event: os.kill(agent(session), signal.SIGKILL),
        )


def test_a_deed_that_came_with_its_request_runs_in_a_unit_too(session: AgentSession, tmp_path: Path) -> None:
    (tmp_path / "old").write_text("")
    assert session.ready(RemoveFile(str(tmp_path / "old"))) == {}
    session.act(RemoveFile(str(tmp_path / "old")), job="j1")
    assert not (tmp_path / "old").exists()
    session.act(RemoveFile(str(tmp_path / "old")), job="j2")  # after the deeds are there: nothing is sent again


def test_closing_does_not_reconnect_and_the_job_goes_on(
    session: AgentSession, machine: Machine, tmp_path: Path
) -> None:
    closing, over = threading.Timer(0.3, session.close), tmp_path / "over"

    def watch(event: Event) -> None:
        if closing.ident is None:  # it may have fired by now
            closing.start()

    with pytest.raises(ChannelLost):
        session.act(Dawdle(str(tmp_path / "log"), hold=str(over)), job="j1", watch=watch)
    assert not session.alive and job.is_alive(machine, "j1")  # it did not wait for its end
    over.touch()
    assert end(machine)[1] == {"steps": 3}


def test_a_job_whose_controller_never_comes_back_leaves_nothing(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its last state, and the program it was started from, lay on the host for ever."""
    start(machine, tmp_path, steps=1)
    assert end(machine)[1] == {"steps": 1}
    where = job.directory(machine, "j1")
    assert machine.names(where) == ["state.json"]
    monkeypatch.setattr(job, "LINGERING", 0.0)
    job.linger(machine, where)
    assert machine.names(machine.state_dir + "/jobs") == []
    assert not [name for name in machine.names(machine.state_dir) if name.startswith("agent-")]


def test_a_job_that_is_killed_before_its_first_lease_leaves_nothing(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The timer came with the first lease: nobody forgot what was killed before it, its request and its secrets."""
    start(machine, tmp_path, steps=100, seconds=0.2)
    os.kill(int((tmp_path / "bin" / "mnemo-job-j1.pid").read_text()), signal.SIGKILL)
    machine.wait_until("it is dead", lambda: not job.is_alive(machine, "j1"), PATIENCE)
    assert sorted(machine.names(machine.state_dir + "/units")) == ["mnemo-lease.service", "mnemo-lease.timer"]
    monkeypatch.setattr(job, "LINGERING", 0.0)
    lease.expire(machine, job.sweep)
    assert machine.names(machine.state_dir + "/jobs") == machine.names(machine.state_dir + "/units") == []


def test_the_request_of_a_job_is_looked_after_before_it_is_there(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(lease, "_install", killed)
    with pytest.raises(KeyboardInterrupt):
        start(machine, tmp_path)
    assert machine.names(job.directory(machine, "j1")) == []


def test_a_job_that_is_killed_while_it_waits_for_its_controller_leaves_nothing(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It had ended, so nobody forgot it: a host that lost its power at that moment kept its last state for ever."""
    start(machine, tmp_path, steps=1)
    assert end(machine)[1] == {"steps": 1}
    os.kill(int((tmp_path / "bin" / "mnemo-job-j1.pid").read_text()), signal.SIGKILL)
    machine.wait_until("it is dead", lambda: not job.is_alive(machine, "j1"), PATIENCE)
    lease.expire(machine, job.sweep)
    assert machine.names(machine.state_dir + "/jobs") == ["j1"], "its controller may still come"
    monkeypatch.setattr(job, "LINGERING", 0.0)
    lease.expire(machine, job.sweep)
    assert machine.names(machine.state_dir + "/jobs") == []
    assert not [name for name in machine.names(machine.state_dir) if name.startswith("agent-")]
