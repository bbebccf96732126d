"""Many sessions side by side: one failure does not stop the others, Ctrl-C stops them all."""

from __future__ import annotations

import _thread
import io
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from agents import batch
from pace import PATIENCE, eventually, within
from probe import Probe

from mnemo_ops.agent.resources.file import File
from mnemo_ops.core.model import Batch, Host, Task
from mnemo_ops.errors import ChannelLost, Interrupted, Locked, MnemoError, Unreachable
from mnemo_ops.execution.report import Report, Style
from mnemo_ops.execution.session_pool import Fleet, fleet
from mnemo_ops.transport.session import Lock

HOSTS = [Host(name, name, local=True) for name in ("a", "b", "c")]


@pytest.fixture
def report() -> Report:
    return Report("test", Style(), io.StringIO(), io.StringIO())


def test_a_session_is_opened_once_and_again_when_it_died(report: Report) -> None:
    with fleet(report) as many:
        session = many.session(HOSTS[0], become=False)
        assert many.session(HOSTS[0], become=False) is session
        session.close()
        again = many.session(HOSTS[0], become=False)
        assert again is not session and again.alive
    assert not again.alive


def test_hosts_run_in_parallel(report: Report) -> None:
    together = threading.Barrier(len(HOSTS), timeout=PATIENCE)

    def work(host: Host) -> str:
        together.wait()
        return host.name.upper()

    with fleet(report) as many:
        assert many.each(HOSTS, work) == {"a": "A", "b": "B", "c": "C"}
        assert many.each([], work) == {}


def test_one_failure_does_not_stop_the_others(report: Report) -> None:
    done = []

    def work(host: Host) -> None:
        if host.name == "a":
            raise Unreachable("no route")
        time.sleep(0.1)
        done.append(host.name)
        if host.name == "c":
            raise MnemoError("something else")

    with fleet(report) as many, pytest.raises(Unreachable, match=r"^a: no route"):
        many.each(HOSTS, work)
    assert sorted(done) == ["b", "c"]
    assert "something else" in report._out.getvalue()  # type: ignore[attr-defined]


def test_ctrl_c_ends_every_session_and_nobody_connects_again(report: Report, tmp_path: Path) -> None:
    started = threading.Barrier(len(HOSTS) + 1, timeout=PATIENCE)
    ends: dict[str, BaseException] = {}

    def work(many: Fleet, host: Host) -> None:
        try:
            if host.name == "c":
                started.wait()
                eventually(lambda: many.interrupted)  # it connects when it has happened
                many.session(host, become=False)
            session = many.session(host, become=False)
            started.wait()
            probes = [Probe(str(tmp_path / f"{host.name}{number}"), seconds=0.3) for number in range(40)]
            list(session.converge(batch(*probes)))
        except BaseException as error:
            ends[host.name] = error
            raise

    def ctrl_c() -> None:
        started.wait()
        time.sleep(0.5)
        _thread.interrupt_main()

    threading.Thread(target=ctrl_c).start()
    with fleet(report) as many:
        with within(6), pytest.raises(Interrupted) as caught:
            many.each(HOSTS, lambda host: work(many, host))
        assert caught.value.exit_code == 130
        assert {name: type(error) for name, error in ends.items()} == {
            "a": ChannelLost,
            "b": ChannelLost,
            "c": Interrupted,
        }
        assert many.session(HOSTS[0], become=False).alive  # cleaning up may connect again


def test_the_lock_is_for_the_whole_fleet(report: Report, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mnemo_ops.transport.session.PATIENCE", 0.1)
    with fleet(report, Lock("one")) as one, fleet(report, Lock("two")) as two:
        one.session(HOSTS[0], become=False)
        for host in HOSTS:  # under whatever name: the lock is the machine's
            with pytest.raises(Locked, match="`one`"):
                two.session(host, become=False)


def test_hosts_of_a_play_may_be_one_machine(report: Report, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As with ``connection: local``: one lock for all, and nobody runs another's handlers."""
    monkeypatch.setattr("mnemo_ops.transport.session.PATIENCE", 0.1)
    with fleet(report, Lock("one"), aliases=True) as one, fleet(report, Lock("two"), aliases=True) as two:

        def work(host: Host) -> Sequence[str]:
            session = one.session(host, become=False)
            task = Task("t", "t", File(str(tmp_path / host.name), state="directory"), "x:1", notify=(host.name,))
            list(session.converge(Batch((task,))))
            return session.pending_handlers

        assert one.each(HOSTS, work) == {host.name: [host.name] for host in HOSTS}
        for host in HOSTS:  # under whatever name: the lock is the machine's
            with pytest.raises(Locked, match="`one`"):
                two.session(host, become=False)
