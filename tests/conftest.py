"""Guards for every test: unit, contract and wire tests reach no other machine and leave nothing running or open."""

from __future__ import annotations

import contextlib
import gc
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import paramiko
import pytest

TESTS = Path(__file__).parent
CLOSED = ("unit", "contract", "wire")  # folders without a network
GRACE = 5.0  # seconds what a test closed may take to be gone


def is_closed(path: Path) -> bool:
    return path.relative_to(TESTS).parts[0] in CLOSED


def _refuse_to_connect(self: socket.socket, address: object) -> None:
    raise AssertionError(f"a test without a network tried to connect to {address!r}")


def _refuse_ssh(self: paramiko.Transport, *_: object, **__: object) -> None:
    raise AssertionError("a test without a network tried to speak SSH")


@pytest.fixture(autouse=True)
def no_network(request: pytest.FixtureRequest) -> Iterator[None]:
    """Whoever needs loopback asks for the fixture ``loopback``; nobody gets more."""
    if not is_closed(request.path):
        yield
        return
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: tuple[str, int]) -> None:
        local = "loopback" in request.fixturenames and str(address[0]) in ("127.0.0.1", "::1", "localhost")
        if self.family != socket.AF_UNIX and not local:
            _refuse_to_connect(self, address)
        connect(self, address)

    with pytest.MonkeyPatch.context() as patch:  # not the test's own, which it may undo
        patch.setattr(paramiko.Transport, "start_client", _refuse_ssh)
        patch.setattr(socket.socket, "connect", guarded)
        yield


@pytest.fixture
def loopback() -> None:
    """Asking for this allows a test connections to this machine."""


def _descriptors() -> dict[str, str]:
    found = {}
    for link in Path("/proc/self/fd").iterdir():
        try:
            found[link.name] = str(link.readlink())
        except OSError:  # the one that listed the directory
            continue
    return found


def _children() -> set[str]:
    """Process ids, zombies included."""
    found: set[str] = set()
    for path in Path("/proc/self/task").glob("*/children"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # that thread just ended
            found |= set(path.read_text().split())
    return found


def held() -> set[str]:
    """What this process holds just now, one line for each."""
    threads = {f"thread {thread.name} ({thread.ident})" for thread in threading.enumerate()}
    descriptors = {f"descriptor {number} -> {where}" for number, where in _descriptors().items()}
    return threads | descriptors | {f"child process {pid}" for pid in _children()}


def leaked(before: set[str], grace: float = GRACE) -> set[str]:
    """What is held more than ``before`` even after ``grace`` seconds."""
    end = time.monotonic() + grace
    while more := held() - before:
        if time.monotonic() > end:
            return more
        gc.collect()
        time.sleep(0.02)
    return set()


@pytest.fixture(autouse=True)
def no_leaks(request: pytest.FixtureRequest) -> Iterator[None]:
    """Threads, descriptors and child processes a test leaves behind fail it."""
    if not is_closed(request.path):
        yield
        return
    before = held()
    yield
    assert not (more := leaked(before)), "leaked: " + "; ".join(sorted(more))
