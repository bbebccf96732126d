"""The guards of tests/conftest.py do guard."""

from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
import threading
from pathlib import Path
from types import ModuleType

import paramiko
import pytest


def _guards() -> ModuleType:
    spec = importlib.util.spec_from_file_location("guards", Path(__file__).parents[1] / "conftest.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("address", [("192.0.2.1", 22), ("127.0.0.1", 22)])
def test_no_connections(address: tuple[str, int]) -> None:
    with socket.socket() as sock, pytest.raises(AssertionError, match="tried to connect"):
        sock.connect(address)


def test_loopback_when_asked_for(loopback: None) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as sock:
        sock.connect(server.getsockname())
        with pytest.raises(AssertionError), socket.socket() as other:
            other.connect(("192.0.2.1", 22))


def test_no_ssh() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        transport = paramiko.Transport(ours)
        with pytest.raises(AssertionError, match="speak SSH"):
            transport.start_client()


def test_leaks_are_seen_and_named() -> None:
    guards = _guards()
    before = guards.held()
    reader, writer = os.pipe()
    end = threading.Event()
    thread = threading.Thread(target=end.wait, name="forgotten")
    thread.start()
    child = subprocess.Popen(["true"])
    found = "; ".join(sorted(guards.leaked(before, grace=0.2)))
    assert f"child process {child.pid}" in found and "thread forgotten" in found and found.count("pipe:") == 2
    os.close(reader)
    os.close(writer)
    end.set()
    child.wait()
    assert not guards.leaked(before)
