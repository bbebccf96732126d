"""The SSH pipe speaks in ``OSError``, whatever paramiko calls a broken connection."""

from __future__ import annotations

import socket

import paramiko
import pytest

from mnemo_ops.transport.ssh_pipe import SshPipe, reason


class Broken:
    def __init__(self, error: Exception) -> None:
        self._error = error

    def sendall(self, data: bytes) -> None:
        raise self._error


@pytest.mark.parametrize("error", [EOFError(), paramiko.SSHException("Key-exchange timed out"), BrokenPipeError()])
def test_a_write_into_a_broken_connection_is_an_os_error(error: Exception) -> None:
    pipe = object.__new__(SshPipe)
    pipe._channel = Broken(error)
    with pytest.raises(OSError):
        pipe.write(b"x")


@pytest.mark.parametrize(
    "error", [TimeoutError(), socket.timeout(), EOFError(), paramiko.SSHException(), ConnectionResetError(104, "reset")]
)
def test_an_error_has_a_reason_also_without_a_text(error: Exception) -> None:
    assert len(reason(error)) > 4
