"""Sessions over a real OpenSSH server: who is let in, who is not and why, and what happens on a bad line."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from leaks import held, leaked
from loopback import DelayProxy, Sshd, make_key
from pace import within

from mnemo_ops.agent.actions.transfer import HostKeys
from mnemo_ops.agent.base.protocol import Event
from mnemo_ops.agent.resources.copy import Copy
from mnemo_ops.core.model import Batch, Task
from mnemo_ops.core.secret import Secret
from mnemo_ops.errors import (
    AuthenticationFailed,
    ChannelLost,
    HostKeyChanged,
    HostKeyUnknown,
    Locked,
    MnemoError,
    SudoRefused,
    Unreachable,
)
from mnemo_ops.transport import ssh_pipe
from mnemo_ops.transport.session import Lock, connect

MIB = 1 << 20


@pytest.fixture
def proxy(server: Sshd) -> Iterator[DelayProxy]:
    with DelayProxy(server.port) as running:
        server.trust(running.port)
        yield running


def last(events: Iterator[Event]) -> Event:
    return [event for event in events if event.status != "progress"][-1]


def copies(folder: Path, count: int) -> Batch:
    paths = [folder / f"file-{number}" for number in range(count)]
    return Batch(tuple(Task(path.name, path.name, Copy(str(path), content="x"), "here:1") for path in paths))


def large(target: Path, source: Path) -> Batch:
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    task = Task("large", "large", Copy(str(target), src="x", sha256=digest), "here:1", files={digest: source})
    return Batch((task,))


def test_an_unknown_host_key_is_refused_with_its_fingerprint(server: Sshd, tmp_path: Path) -> None:
    with pytest.raises(HostKeyUnknown, match="SHA256:") as caught:
        connect(server.host(known_hosts=str(tmp_path / "nothing")), become=False)
    assert "hosts.trust --limit loopback --accept-host-key SHA256:" in caught.value.hint
    assert not (tmp_path / "nothing").exists()


def test_a_changed_host_key_is_refused(server: Sshd, tmp_path: Path) -> None:
    make_key(tmp_path / "other")
    key = " ".join((tmp_path / "other.pub").read_text().split()[:2])
    (tmp_path / "known").write_text(f"[127.0.0.1]:{server.port} {key}\n")
    with pytest.raises(HostKeyChanged, match=r"CHANGED: SHA256:\S+ now, SHA256:") as caught:
        connect(server.host(known_hosts=str(tmp_path / "known")), become=False)
    assert f"ssh-keygen -R '[127.0.0.1]:{server.port}'" in caught.value.hint


def test_a_host_key_that_changed_is_said_when_a_job_is_found_again(
    server: Sshd, proxy: DelayProxy, tmp_path: Path
) -> None:
    known = tmp_path / "known"
    known.write_text(server.known_hosts.read_text())
    with connect(server.host(proxy.port, known_hosts=str(known)), become=False) as session:
        make_key(tmp_path / "other")
        key = " ".join((tmp_path / "other.pub").read_text().split()[:2])
        known.write_text(f"[127.0.0.1]:{proxy.port} {key}\n")
        proxy.cut()
        with within(5), pytest.raises(HostKeyChanged, match=r"CHANGED: SHA256:\S+ now, SHA256:") as caught:
            session.act(HostKeys(), job="j1")
    assert f"ssh-keygen -R '[127.0.0.1]:{proxy.port}'" in caught.value.hint


def test_a_key_nobody_knows_is_not_let_in(server: Sshd, tmp_path: Path) -> None:
    make_key(tmp_path / "mine")
    with pytest.raises(AuthenticationFailed, match="does not let"):
        connect(server.host(key_file=str(tmp_path / "mine")), become=False)


def test_a_missing_key_file_is_named(server: Sshd, tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match="no-such-key"):
        connect(server.host(key_file=str(tmp_path / "no-such-key")), become=False)


def test_nobody_listens(server: Sshd) -> None:
    with pytest.raises(Unreachable, match=r"127\.0\.0\.1 port 1\) cannot be reached"):
        connect(server.host(1), become=False)


def test_no_python(server: Sshd) -> None:
    with pytest.raises(Unreachable, match=r"loopback has no python4\.2") as caught:
        connect(server.host(python="python4.2"), become=False)
    assert "apt-get install -y python3" in caught.value.hint


@pytest.mark.skipif(shutil.which("sudo") is not None or os.geteuid() == 0, reason="this user may become root")
@pytest.mark.parametrize("password", [None, Secret("wrong")])
def test_no_sudo(server: Sshd, password: Secret) -> None:
    with pytest.raises(SudoRefused, match="loopback has no sudo"):
        connect(server.host(become_password=password), become=True)


def test_the_lock_over_ssh(server: Sshd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mnemo_ops.transport.session.PATIENCE", 0.2)
    deploying, locked = Lock("invoke deploy", owner="ann@desk"), "ann@desk runs `invoke deploy`"
    with connect(server.host(), become=False, lock=deploying), pytest.raises(Locked, match=locked):
        connect(server.host(), become=False, lock=Lock("invoke backup"))
    connect(server.host(), become=False, lock=Lock("invoke backup")).close()


def test_a_large_file_and_a_large_event(server: Sshd, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(os.urandom(MIB) * 50)
    with connect(server.host(), become=False) as session, within(30):
        assert last(session.converge(large(tmp_path / "target", source))).status == "changed"
        assert (tmp_path / "target").stat().st_size == 50 * MIB
        text = "y" * (10 * MIB)
        task = Task("big", "big", Copy(str(tmp_path / "big"), content=text), "here:1", register="big")
        assert last(session.converge(Batch((task,)))).status == "changed"


def test_a_connection_that_breaks_names_the_task_and_frees_the_lock(
    server: Sshd, proxy: DelayProxy, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    source.write_bytes(os.urandom(MIB) * 200)
    batch = large(tmp_path / "target", source)
    broke = pytest.raises(ChannelLost, match="loopback broke while large was running")
    with within(10):
        with connect(server.host(proxy.port), become=False, lock=Lock("first")) as session, broke:
            for event in session.converge(batch):
                if event.after and event.after.get("done"):
                    proxy.cut()
        connect(server.host(), become=False, lock=Lock("second")).close()
    assert not (tmp_path / "target").exists() and not list(tmp_path.glob(".mnemo*"))


def test_closing_from_another_thread_ends_it(server: Sshd, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(os.urandom(MIB) * 200)
    batch = large(tmp_path / "target", source)
    session = connect(server.host(), become=False)
    threading.Timer(0.3, session.close).start()
    with pytest.raises(ChannelLost):
        list(session.converge(batch))
    assert not session.alive


def test_an_answer_nobody_reads_does_not_hold_anybody_up(server: Sshd, tmp_path: Path) -> None:
    with within(5), connect(server.host(), become=False) as session:
        for _ in session.converge(copies(tmp_path, 500)):
            break


@pytest.mark.parametrize(
    "wrong", [{}, {"python": "python4.2"}, {"known_hosts": "/dev/null"}, {"key_file": "other"}, {"port": 1}]
)
def test_nothing_stays_open(wrong: dict[str, Any], server: Sshd, tmp_path: Path) -> None:
    if "key_file" in wrong:
        make_key(tmp_path / "other")
        wrong = {"key_file": str(tmp_path / "other")}
    before = held()
    with contextlib.suppress(MnemoError):
        connect(server.host(**wrong), become=False).close()
    assert not leaked(before)


def test_an_answer_without_an_end_is_not_kept(server: Sshd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ssh_pipe, "MOST", 4 * MIB)
    for line in ("yes", "yes >&2", "cat /dev/zero"):
        with (
            within(20),
            ssh_pipe.connected(server.host()) as connection,
            pytest.raises(Unreachable, match="4 MiB"),
        ):
            ssh_pipe.ask(connection, line)
