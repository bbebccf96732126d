"""The controller's end of the channel to an agent: messages, files on request, a sign of life now and then."""

from __future__ import annotations

import contextlib
import io
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Protocol, TypeVar, Union

from mnemo_ops.agent.base import protocol
from mnemo_ops.errors import ChannelLost, MnemoError, NotAMessage, reason
from mnemo_ops.transport.heard import parsed

CHUNK = 256 * 1024  # bytes of a file sent at a time
PING = 10.0  # seconds between the controller's signs of life
NOISE = 1 << 20  # bytes a login shell may print before the agent speaks
GREETING_TIME = 180.0  # seconds after which nobody waits for an agent while something else is printed
AGAIN = "run the same command again: it skips what is done"

Blob = Union[Path, bytes]
T = TypeVar("T")


class Pipe(Protocol):
    """Two byte streams to a process on the host."""

    source: Any  # an io.BufferedReader

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
            self._write(blob + protocol.encode(hello))
            self._skip_noise()
        except NotAMessage as error:
            raise self.strange(error) from None
        except ChannelLost:
            raise self._pipe.why_it_ended() from None
        threading.Thread(target=self._ping, name=f"ping {self._name}", daemon=True).start()

    def _skip_noise(self) -> None:
        """What a login shell says before the agent speaks is not for us."""
        end, said, tail = time.monotonic() + GREETING_TIME, 0, b""
        while (place := (tail + (data := self._peek())).find(protocol.GREETING)) < 0:
            if not data:
                raise self.lost()
            said += len(self._pipe.source.read(len(data)))
            tail = (tail + data)[1 - len(protocol.GREETING) :]
            if said > NOISE or time.monotonic() > end:
                raise NotAMessage("output that is not the agent's greeting, and no end of it")
        self._pipe.source.read(place + len(protocol.GREETING) - len(tail))

    def _peek(self) -> bytes:
        """What came, at least a byte; nothing when nothing will."""
        try:
            return bytes(self._pipe.source.peek(1))
        except (OSError, EOFError, ValueError):  # ValueError: closed meanwhile by another thread
            return b""

    def _ping(self) -> None:
        while not self._closed.wait(PING):
            with contextlib.suppress(ChannelLost):
                self.send({"op": "ping"})

    def send(self, message: Mapping[str, Any]) -> None:
        """:raises ChannelLost: (4)."""
        with self._sending:
            self._write(protocol.encode(message))

    def receive(self, heard: Callable[[dict[str, Any]], T]) -> T:
        """What the next message comes to. :param heard: judges it.

        :raises ChannelLost: none will come (4). :raises NotAMessage: what came is none (4).
        """
        try:
            message = protocol.receive(self._pipe.source, parsed)
            if message is not None:
                return heard(message)
        except NotAMessage as error:
            raise self.strange(error) from None
        except (OSError, EOFError, ValueError, ChannelLost):  # ValueError: closed meanwhile by another thread
            pass
        raise self.lost()

    def offer(self, sha256: str, blob: Blob) -> Iterator[tuple[int, int]]:
        """Send a file the host asked for, in bounded memory; yields bytes sent and total. :raises ChannelLost: (4)."""
        try:
            file = io.BytesIO(blob) if isinstance(blob, bytes) else blob.open("rb")
        except OSError as error:
            return self.send({"blob": sha256, "error": f"{blob!s} on the controller: {reason(error)}"})
        with file, self._sending:  # no ping in the middle of it
            size = file.seek(0, io.SEEK_END)
            file.seek(0)
            self._write(protocol.encode({"blob": sha256, "size": size}))
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

    def strange(self, error: NotAMessage) -> NotAMessage:
        """The error of a host that does not speak as our agent does."""
        return NotAMessage(
            f"{self._name} sent an invalid message: {error.message}; the controller closed the connection",
            hint=f"check which program answers on {self._name}; --limit 'all:!{self._name}' leaves it out",
        )

    def close(self) -> None:
        """Hang up; the agent and its lock end with the channel. From any thread, also while another reads, or twice."""
        self._closed.set()
        self._pipe.close()


def _chunk(file: BinaryIO, count: int) -> bytes:
    """``count`` bytes; zeros where the file shrank or cannot be read: the host's checksum will tell."""
    with contextlib.suppress(OSError):
        if data := file.read(count):
            return data
    return bytes(count)
