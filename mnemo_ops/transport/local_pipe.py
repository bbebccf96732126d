"""The local end of a session: the agent as a child of this process, for tests and ``ansible_connection: local``."""

from __future__ import annotations

import contextlib
import getpass
import os
import socket
import subprocess
import tempfile
from collections.abc import Sequence
from typing import Optional

from mnemo_ops.core.model import Host
from mnemo_ops.errors import MnemoError, SudoRefused, Unreachable, reason
from mnemo_ops.transport.sudo import refusal

ENDING = 10.0  # seconds an agent gets to finish the task it is in


class LocalPipe:
    """:class:`~mnemo_ops.transport.agent_channel.Pipe` over one socket that is the child's stdin and stdout.

    A socket, because shutting it down wakes whoever reads from it: closing a pipe does not.

    :param first: what must come first on stdin. :param host: where this is to become root: for the error if it cannot.
    """

    def __init__(self, argv: Sequence[str], first: bytes = b"", host: Optional[Host] = None) -> None:
        self._host = host
        self._said = tempfile.TemporaryFile()  # noqa: SIM115
        self._socket, theirs = socket.socketpair()
        try:
            with theirs:
                # its own process group: Ctrl-C is for us, the agent ends when its channel does
                self._process = subprocess.Popen(
                    list(argv), stdin=theirs.fileno(), stdout=theirs.fileno(), stderr=self._said, process_group=0
                )
        except OSError as error:
            self._socket.close()
            self._said.close()
            raise Unreachable(f"{argv[0]} cannot be started here: {reason(error)}") from None
        self.source = self._socket.makefile("rb")
        with contextlib.suppress(OSError):  # it ended: the first read says why
            self._socket.sendall(first)

    def write(self, data: bytes) -> None:
        self._socket.sendall(data)

    def why_it_ended(self) -> MnemoError:
        self._end()
        if self._host is not None:
            try:
                may_become_root(self._host)
            except SudoRefused as refused:
                return refused
        self._said.seek(0)
        said = self._said.read().decode("utf-8", "replace").strip()
        return Unreachable(f"the agent ended with {self._process.returncode}: {said[-500:] or 'no output'}")

    def close(self) -> None:
        self._end()
        self.source.close()
        self._socket.close()
        self._said.close()

    def _end(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        try:
            self._process.wait(ENDING)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(PermissionError):  # behind sudo; it ends with the task it is in
                self._process.kill()
            self._process.wait()


def user() -> str:
    """Who we are."""
    return "root" if os.geteuid() == 0 else getpass.getuser()


def ask(argv: Sequence[str], data: bytes = b"", timeout: float = 30.0) -> tuple[int, bytes, bytes]:
    """Run a program here: exit code, stdout, stderr; 127 when it is not there. :raises Unreachable: too slow (4)."""
    try:
        done = subprocess.run(list(argv), input=data, capture_output=True, timeout=timeout, check=False)
    except FileNotFoundError:
        return 127, b"", b""
    except subprocess.TimeoutExpired:
        raise Unreachable(f"{argv[0]} did not answer within {timeout:.0f} s") from None
    return done.returncode, done.stdout, done.stderr


def small(argv: Sequence[str], data: bytes) -> tuple[int, str]:
    """:data:`~mnemo_ops.transport.sudo.Ask` here."""
    code, _, err = ask(argv, data)
    return code, err.decode("utf-8", "replace")


def may_become_root(host: Host) -> None:
    """:raises SudoRefused: with the reason (4)."""
    refused = refusal(host, user(), small)
    if refused is not None:
        raise refused
