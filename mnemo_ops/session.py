"""Session: one agent on one host, over SSH (Fabric) or a local pipe.

Everything a host is told goes through one channel: the agent's blob, then requests; what comes back are events.
"""

from __future__ import annotations

import contextlib
import getpass
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any, Optional, Protocol, Union

from mnemo_ops import bundle
from mnemo_ops.agent import wire
from mnemo_ops.agent.action import Action, Report
from mnemo_ops.agent.wire import Event
from mnemo_ops.errors import ChannelLost, MnemoError, Unreachable, from_json
from mnemo_ops.model import Batch, Host, Task

CHUNK = 256 * 1024  # bytes of a file sent at a time
PING = 10.0  # seconds between the controller's signs of life
RECONNECT = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 15.0)  # seconds of backoff when the channel of a job breaks

Watch = Callable[[Event], None]
Blob = Union[Path, bytes]


@dataclass(frozen=True)
class Lock:
    """The card left at a locked host for whoever comes second."""

    command: str
    run: str = ""
    owner: str = field(default_factory=lambda: f"{getpass.getuser()}@{socket.gethostname()}")


class Session(Protocol):
    """What fleets and flows know of a host."""

    host: Host
    facts: Mapping[str, Any]
    pending_handlers: Sequence[str]

    def converge(self, batch: Batch) -> Iterator[Event]:
        """Events of the tasks in order. :raises MnemoError: the channel or the agent failed (4, 1)."""
        ...

    def act(self, action: Action, *, job: str = "", watch: Watch = lambda event: None) -> Report:
        """Do a deed; with ``job`` as a unit that outlives the connection and is found again by that name."""
        ...

    def ready(self, action: Action) -> Report:
        """The deed's read-only preflight. :raises Refused: it cannot succeed (3)."""
        ...

    def close(self) -> None: ...


class Pipe(Protocol):
    """Two byte streams to a process on the host."""

    source: IO[bytes]

    def write(self, data: bytes) -> None: ...

    def why_it_ended(self) -> MnemoError: ...

    def close(self) -> None: ...


class AgentSession:
    """:class:`Session` over a :class:`Pipe`. Use :func:`connect`."""

    def __init__(self, host: Host, reach: Callable[[], Pipe], lock: Optional[Lock]) -> None:
        self.host = host
        self.facts: Mapping[str, Any] = {}
        self.pending_handlers: Sequence[str] = ()
        self._reach = reach
        self._lock = lock
        self._seq = 0
        self._running = ""
        self._sending = threading.Lock()
        self._closed = threading.Event()
        self._open(patience=3.0)

    # -- the life of the channel ---------------------------------------------------------------------------------

    def _open(self, patience: float) -> None:
        self._pipe = self._reach()
        try:
            with self._sending:
                self._pipe.write(bundle.bundle())
            lock = asdict(self._lock) if self._lock else None
            hello = self._request({"op": "hello", "lock": lock, "patience": patience})
        except ChannelLost:
            error = self._pipe.why_it_ended()
            self._pipe.close()
            raise error from None
        except BaseException:
            self._pipe.close()
            raise
        self.facts = hello["facts"]
        self.pending_handlers = hello["pending_handlers"]
        self._closed = threading.Event()
        threading.Thread(target=self._ping, args=(self._closed,), name=f"ping {self.host.name}", daemon=True).start()

    def _ping(self, closed: threading.Event) -> None:
        while not closed.wait(PING):
            with contextlib.suppress(OSError), self._sending:
                self._pipe.write(b'{"op":"ping"}\n')

    def close(self) -> None:
        """Say bye and hang up; the agent and its lock end with it. Safe to call twice."""
        if self._closed.is_set():
            return
        self._closed.set()
        with contextlib.suppress(OSError, MnemoError), self._sending:
            self._pipe.write(b'{"op":"bye"}\n')
        self._pipe.close()

    def __enter__(self) -> AgentSession:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- requests ------------------------------------------------------------------------------------------------

    def converge(self, batch: Batch) -> Iterator[Event]:
        request = {
            "op": "converge",
            "check": batch.check,
            "tasks": [_row(task) for task in batch.tasks],
            "handlers": [_row(task) for _, task in batch.handlers],
            "handler_names": [name for name, _ in batch.handlers],
        }
        files: dict[str, Blob] = {}
        for task in [*batch.tasks, *(task for _, task in batch.handlers)]:
            files.update(task.files)
        answer = yield from self._exchange(request, files)
        self.pending_handlers = answer.get("pending_handlers", self.pending_handlers)

    def act(self, action: Action, *, job: str = "", watch: Watch = lambda event: None) -> Report:
        request = {"op": "act", "kind": action.kind, "args": asdict(action), "job": job}  # type: ignore[call-overload]
        pauses = iter(RECONNECT if job else ())
        while True:
            try:
                return self._request(request, watch)["report"] or {}
            except ChannelLost:
                self._reopen(pauses, watch)

    def _reopen(self, pauses: Iterator[float], watch: Watch) -> None:
        """A new channel to the same host, with backoff; the job there goes on meanwhile."""
        self._closed.set()
        self._pipe.close()
        for pause in pauses:
            watch(Event(self.host.name, "progress", after={"note": "the connection broke; reconnecting"}))
            time.sleep(pause)
            with contextlib.suppress(Unreachable):
                return self._open(patience=90.0)
        raise ChannelLost(f"the connection to {self.host.name} broke", hint="run the same command again")

    def ready(self, action: Action) -> Report:
        request = {"op": "ready", "kind": action.kind, "args": asdict(action)}  # type: ignore[call-overload]
        report: Report = self._request(request)["report"]
        return report

    def _request(self, request: Mapping[str, Any], watch: Watch = lambda event: None) -> Mapping[str, Any]:
        exchange = self._exchange(request, {})
        while True:
            try:
                watch(next(exchange))
            except StopIteration as end:
                answer: Mapping[str, Any] = end.value
                return answer

    def _exchange(
        self, request: Mapping[str, Any], files: Mapping[str, Blob]
    ) -> Generator[Event, None, Mapping[str, Any]]:
        """Send a request; yield what happens; the value is the agent's answer."""
        self._seq += 1
        self._send({**request, "seq": self._seq})
        while True:
            message = self._receive()
            if "need" in message:
                yield from self._offer(str(message["need"]), files)
            elif "beat" in message:
                self._running = str(message["task"])
                shown = {"note": message.get("note", ""), "elapsed": message["beat"]}
                yield Event(self._running, "progress", after=shown)
            elif "error" in message and "seq" in message:
                error = from_json(message["error"])
                error.where = error.where or self.host.name
                raise error
            elif "done" in message:
                return message
            else:
                yield Event.from_json(message)

    def _offer(self, sha256: str, files: Mapping[str, Blob]) -> Iterator[Event]:
        """Send a file the host asked for, in bounded memory."""
        blob = files.get(sha256)
        if blob is None:
            return self._send({"blob": sha256, "error": f"the controller has no file with sha256 {sha256}"})
        if isinstance(blob, bytes):
            with self._sending:
                self._write({"blob": sha256, "size": len(blob)})
                return self._pipe.write(blob)
        size = blob.stat().st_size
        sent, shown = 0, time.monotonic()
        with blob.open("rb") as file, self._sending:
            self._write({"blob": sha256, "size": size})
            while sent < size:
                chunk = file.read(min(CHUNK, size - sent))
                if not chunk:  # it shrank; the rest as zeros, the checksum will tell
                    chunk = bytes(min(CHUNK, size - sent))
                self._pipe.write(chunk)
                sent += len(chunk)
                if time.monotonic() - shown > 0.25:
                    shown = time.monotonic()
                    yield Event(self._running, "progress", after={"done": sent, "total": size, "note": blob.name})

    def _send(self, message: Mapping[str, Any]) -> None:
        with self._sending:
            self._write(message)

    def _write(self, message: Mapping[str, Any]) -> None:
        try:
            self._pipe.write(json.dumps(message, separators=(",", ":")).encode() + b"\n")
        except OSError:
            raise ChannelLost(self._lost()) from None

    def _receive(self) -> dict[str, Any]:
        try:
            message = wire.receive(self._pipe.source)
        except (OSError, EOFError):
            message = None
        except ChannelLost:
            raise ChannelLost(self._lost()) from None
        if message is None:
            raise ChannelLost(self._lost(), hint="run the same command again: what is done is recognised")
        return message

    def _lost(self) -> str:
        what = f" while {self._running} was running" if self._running else ""
        return f"the connection to {self.host.name} broke{what}"


def _row(task: Task) -> dict[str, Any]:
    return {
        "id": task.id,
        "kind": task.resource.kind,
        "args": asdict(task.resource),  # type: ignore[call-overload]
        "notify": task.notify,
        "register": bool(task.register),
        "ignore_errors": task.ignore_errors,
    }


class LocalPipe:
    """The agent as a child of this process: tests, and ``ansible_connection: local``."""

    def __init__(self, argv: Sequence[str]) -> None:
        self._process = subprocess.Popen(
            list(argv), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert self._process.stdout is not None and self._process.stdin is not None
        self.source: IO[bytes] = self._process.stdout

    def write(self, data: bytes) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(data)
        self._process.stdin.flush()

    def why_it_ended(self) -> MnemoError:
        assert self._process.stderr is not None
        with contextlib.suppress(OSError):
            assert self._process.stdin is not None
            self._process.stdin.close()
        said = self._process.stderr.read().decode("utf-8", "replace").strip()
        return Unreachable(f"the agent ended with {self._process.wait(10)}: {said[-500:] or 'no output'}")

    def close(self) -> None:
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            with contextlib.suppress(OSError, ValueError):
                if stream is not None:
                    stream.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def connect(host: Host, *, become: bool, lock: Optional[Lock] = None) -> AgentSession:
    """Open a session: connect, ship the agent, say hello.

    :param become: run the agent as root, through ``sudo -n``.
    :param lock: hold the host lock as long as the session lives; ``None`` for what only reads.
    :raises Unreachable: no route, host key, authentication, sudo or python3 (4). :raises Locked: (5).
    """

    def reach() -> Pipe:
        if host.local:
            sudo = ["sudo", "-n", "-H", "--"] if become else []
            return LocalPipe([*sudo, *bundle.command(sys.executable)])
        from mnemo_ops.ssh import SshPipe

        return SshPipe(host, become)

    return AgentSession(host, reach, lock)
