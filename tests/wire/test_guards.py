"""The guards of tests/conftest.py do guard."""

from __future__ import annotations

import os
import socket
import subprocess
import threading

import paramiko
import pytest
from leaks import held, leaked


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
    before = held()
    reader, writer = os.pipe()
    end = threading.Event()
    thread = threading.Thread(target=end.wait, name="forgotten")
    thread.start()
    child = subprocess.Popen(["true"])
    found = "; ".join(sorted(leaked(before, grace=0.2)))
    assert f"child process {child.pid}" in found and "thread forgotten" in found and found.count("pipe:") == 2
    os.close(reader)
    os.close(writer)
    end.set()
    child.wait()
    assert not leaked(before)
