"""The local end of a session: the agent as a child of this process, for tests and ``ansible_connection: local``."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import tempfile
from collections.abc import Sequence
from typing import IO

from mnemo_ops.errors import MnemoError, Unreachable

ENDING = 10.0  # seconds an agent gets to finish the task it is in


class LocalPipe:
    """:class:`~mnemo_ops.channel.Pipe` over one socket that is the child's stdin and stdout.

    A socket, because shutting it down wakes whoever reads from it: closing a pipe does not.
    """

    def __init__(self, argv: Sequence[str]) -> None:
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
            raise Unreachable(f"{argv[0]} cannot be started here: {error.strerror}") from None
        self.source: IO[bytes] = self._socket.makefile("rb")

    def write(self, data: bytes) -> None:
        self._socket.sendall(data)

    def why_it_ended(self) -> MnemoError:
        self._end()
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
