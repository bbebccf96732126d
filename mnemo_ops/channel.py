"""The controller's end of the channel to an agent: messages, files on request, a sign of life now and then."""

from __future__ import annotations

import contextlib
import io
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, Protocol, Union

from mnemo_ops.agent import wire
from mnemo_ops.errors import ChannelLost, MnemoError

CHUNK = 256 * 1024  # bytes of a file sent at a time
PING = 10.0  # seconds between the controller's signs of life
NOISE = 64 * 1024  # bytes of a line a login shell may print before the agent speaks
AGAIN = "run the same command again: what is done is recognised"

Blob = Union[Path, bytes]


class Pipe(Protocol):
    """Two byte streams to a process on the host."""

    source: IO[bytes]

    def write(self, data: bytes) -> None:
        """All of it. :raises OSError: nobody is there any more."""
        ...

    def why_it_ended(self) -> MnemoError:
        """Why the agent never spoke."""
        ...

    def close(self) -> None:
        """From any thread, also twice."""
        ...


class Channel:
    """One thread asks and reads; another may ping or close meanwhile.

    :param name: the host, for messages. :attr:`running` is what the host is doing, as far as we know.
    """

    def __init__(self, pipe: Pipe, name: str) -> None:
        self.running = ""
        self._pipe = pipe
        self._name = name
        self._sending = threading.Lock()
        self._closed = threading.Event()

    def start(self, blob: bytes, hello: Mapping[str, Any]) -> None:
        """Ship the agent with its first request, and wait until it speaks; then ping until closed.

        :raises Unreachable: it never spoke; says why (4).
        """
        try:
            self._write(blob + wire.encode(hello))
            self._skip_noise()
        except ChannelLost:
            raise self._pipe.why_it_ended() from None
        threading.Thread(target=self._ping, name=f"ping {self._name}", daemon=True).start()

    def _skip_noise(self) -> None:
        """What a login shell says before the agent speaks is not for us."""
        while not (line := self._read_line()).endswith(wire.GREETING):
            if not line:
                raise self.lost()

    def _read_line(self) -> bytes:
        try:
            return self._pipe.source.readline(NOISE)
        except (OSError, ValueError):  # ValueError: closed meanwhile by another thread
            return b""

    def _ping(self) -> None:
        while not self._closed.wait(PING):
            with contextlib.suppress(ChannelLost):
                self.send({"op": "ping"})

    def send(self, message: Mapping[str, Any]) -> None:
        """:raises ChannelLost: (4)."""
        with self._sending:
            self._write(wire.encode(message))

    def receive(self) -> dict[str, Any]:
        """The next message. :raises ChannelLost: none will come (4)."""
        try:
            message = wire.receive(self._pipe.source)
        except (OSError, EOFError, ValueError, ChannelLost):  # ValueError: closed meanwhile by another thread
            message = None
        if message is None:
            raise self.lost()
        return message

    def offer(self, sha256: str, blob: Blob) -> Iterator[tuple[int, int]]:
        """Send a file the host asked for, in bounded memory; yields bytes sent and total. :raises ChannelLost: (4)."""
        try:
            file = io.BytesIO(blob) if isinstance(blob, bytes) else blob.open("rb")
        except OSError as error:
            return self.send({"blob": sha256, "error": f"{blob!s} on the controller: {error.strerror}"})
        with file, self._sending:  # no ping in the middle of it
            size = file.seek(0, io.SEEK_END)
            file.seek(0)
            self._write(wire.encode({"blob": sha256, "size": size}))
            sent = 0
            while sent < size:
                chunk = _chunk(file, min(CHUNK, size - sent))
                self._write(chunk)
                sent += len(chunk)
                yield sent, size

    def _write(self, data: bytes) -> None:
        try:
            self._pipe.write(data)
        except OSError:
            raise self.lost() from None

    @property
    def closed(self) -> bool:
        return self._closed.is_set()

    def lost(self) -> ChannelLost:
        what = f" while {self.running} was running" if self.running else ""
        return ChannelLost(f"the connection to {self._name} broke{what}", hint=AGAIN)

    def close(self) -> None:
        """Hang up; the agent and its lock end with the channel. From any thread, also while another reads, or twice."""
        self._closed.set()
        self._pipe.close()


def _chunk(file: IO[bytes], count: int) -> bytes:
    """``count`` bytes; zeros where the file shrank or cannot be read: the host's checksum will tell."""
    with contextlib.suppress(OSError):
        if data := file.read(count):
            return data
    return bytes(count)
