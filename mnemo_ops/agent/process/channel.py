"""The agent's end of the channel: a reader that is never busy, a writer two threads share, files on request."""

from __future__ import annotations

import contextlib
import threading
import time
from _queue import Empty, SimpleQueue  # what queue adds to them is not needed, and slow to import
from typing import IO, Any, Dict, Mapping, Optional

from mnemo_ops.agent.base import protocol
from mnemo_ops.agent.machine import CHUNK
from mnemo_ops.errors import Broken, ChannelLost, MnemoError

DEAF = 60.0  # seconds without a word from the controller after which it counts as gone


class Channel:
    """Messages in and out.

    A thread reads, so that a controller that went away is noticed while a task runs; :attr:`heard` is when it was last
    heard (``time.monotonic``).
    """

    def __init__(self, source: IO[bytes], sink: IO[bytes]) -> None:
        self._source = source
        self._sink = sink
        self._write_lock = threading.Lock()
        self._requests: SimpleQueue[Optional[Dict[str, Any]]] = SimpleQueue()
        self._blobs: SimpleQueue[Optional[MnemoError]] = SimpleQueue()
        self._wanted: Dict[str, IO[bytes]] = {}
        self.heard = time.monotonic()
        self.deaf = DEAF
        self.closed = threading.Event()
        threading.Thread(target=self._listen, name="listen", daemon=True).start()

    @property
    def gone(self) -> bool:
        """The controller hung up or fell silent: end, and the lock with it."""
        return self.closed.is_set() or time.monotonic() - self.heard > self.deaf

    def send(self, message: Mapping[str, Any]) -> None:
        """:raises ChannelLost: nobody reads any more (4)."""
        try:
            with self._write_lock:
                protocol.send(self._sink, message)
        except (OSError, ValueError):
            self.closed.set()
            raise ChannelLost("the controller closed the connection") from None

    def next_request(self) -> Optional[Dict[str, Any]]:
        """The next request, once there is one; ``None`` at the end of the channel."""
        while not self.gone:
            with contextlib.suppress(Empty):
                return self._requests.get(timeout=1.0)
        return None

    def fetch(self, sha256: str, into: IO[bytes]) -> None:
        """Ask the controller for a file by its sha256 and write it into ``into``.

        :raises Broken: the controller has no such file, or what came is not it (6). :raises ChannelLost: (4).
        """
        self._wanted[sha256] = into
        self.send({"need": sha256})
        while not self.gone:
            with contextlib.suppress(Empty):
                error = self._blobs.get(timeout=1.0)
                if error is not None:
                    raise error
                return
        raise ChannelLost("the controller closed the connection in the middle of a file")

    def _listen(self) -> None:
        try:
            while True:
                message = protocol.receive(self._source)
                if message is None:
                    break
                self.heard = time.monotonic()
                if "blob" in message:
                    self._blobs.put(self._take(message))
                elif message.get("op") != "ping":
                    self._requests.put(message)
        except (ChannelLost, OSError, ValueError):
            pass  # a broken channel ends the agent just as a closed one does
        finally:
            self.closed.set()
            self._blobs.put(ChannelLost("the controller closed the connection in the middle of a file"))
            self._requests.put(None)

    def _take(self, message: Mapping[str, Any]) -> Optional[MnemoError]:
        import hashlib  # slow to import, seldom needed

        sha256 = str(message["blob"])
        into = self._wanted.pop(sha256)
        if "error" in message:
            return Broken(str(message["error"]))
        left = int(message["size"])
        digest = hashlib.sha256()
        problem: Optional[MnemoError] = None
        while left:
            chunk = self._source.read(min(left, CHUNK))
            if not chunk:
                raise ChannelLost("the channel broke in the middle of a file")
            left -= len(chunk)
            digest.update(chunk)
            self.heard = time.monotonic()
            try:
                if problem is None:
                    into.write(chunk)
            except (OSError, ValueError) as error:  # disk full: take the rest off the channel, then say so
                problem = Broken(f"the agent could not write a file: {getattr(error, 'strerror', error)}")
        if problem is None and digest.hexdigest() != sha256:
            problem = Broken(
                f"the file {sha256[:12]} arrived with another checksum; it changed while the controller read it"
            )
        return problem
