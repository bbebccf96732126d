"""Session: one agent on one host, over SSH (Fabric) or a local pipe.

Everything a host is told goes through one channel: the agent's blob, then requests; what comes back are events.
"""

from __future__ import annotations

import getpass
import math
import socket
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any, Optional, Protocol, Union

from mnemo_ops.agent.base.progress import Report
from mnemo_ops.agent.base.protocol import Event
from mnemo_ops.agent.base.record import MISSING, asdict, dataclass, field, fields
from mnemo_ops.agent.engine.action import Action
from mnemo_ops.agent.engine.resource import Resource
from mnemo_ops.core.model import Batch, Handlers, Host, Task
from mnemo_ops.core.next_command import on_host
from mnemo_ops.errors import FINAL, STRANGERS, ChannelLost, MnemoError, NotAMessage, Unreachable, from_json
from mnemo_ops.transport import answers, bundle, local_pipe
from mnemo_ops.transport.agent_channel import Blob, Channel, Pipe
from mnemo_ops.transport.heard import Asked, Told
from mnemo_ops.transport.local_pipe import LocalPipe
from mnemo_ops.transport.sudo import as_root

RECONNECT = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 15.0)  # seconds of backoff when the channel of a job breaks
PATIENCE = 3.0  # seconds to wait for the lock of a run that is just ending
LONG_PATIENCE = 90.0  # seconds to wait for our own lock after a break: the old agent ends when it hears no ping
HELLO_TIME = 300.0  # seconds a host may take to tell its facts
REFRESH = 0.25  # seconds between two events of a file on its way

Watch = Callable[[Event], None]
Reach = Callable[[bytes], Pipe]  # opens a pipe to an agent that will start from this blob
Exchange = Generator[Event, None, Mapping[str, Any]]


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


class AgentSession:
    """:class:`Session` over a ``Pipe``; one request at a time. Use :func:`connect`.

    A request whose events are not read to their end hangs up: the host stops after the task it is in.
    """

    bare = False

    def __init__(self, host: Host, reach: Reach, lock: Optional[Lock], alias: str = "") -> None:
        self.host = host
        self.facts: Mapping[str, Any] = {}
        self.login = ""  # the user who came in, whoever the agent runs as
        self.pending_handlers: Sequence[str] = ()
        self._reach = reach
        self._lock = lock
        self._alias = alias
        self._seq = 0
        self._asking = False
        self._over = threading.Event()  # closed for good
        self._open(PATIENCE)

    # -- the life of the channel ---------------------------------------------------------------------------------

    def _open(self, patience: float) -> None:
        lock = asdict(self._lock) if self._lock else None
        blob = bundle.bundle()
        self._shipped = bundle.core()
        self._channel = Channel(self._reach(blob), self.host.name)
        try:
            word = {"op": "hello", "lock": lock, "patience": patience, "alias": self._alias}
            self._channel.start(bundle.shipment(blob), word)
            hello = _finish(self._answer(Asked("hello", names=("hello",)), {}, patience + HELLO_TIME))
            if self._over.is_set():  # closed while it opened
                raise self._channel.lost()
        except BaseException:
            self._channel.close()
            raise
        self.facts = hello["facts"]
        self.login = hello["login"]
        self.pending_handlers = hello["pending_handlers"]

    def _reopen(self, pauses: Iterator[float], watch: Watch) -> None:
        """A new channel to the same host, with backoff; the job there goes on meanwhile.

        :raises ChannelLost: there is none (4). :raises HostKeyChanged: somebody else may answer now (4).
        """
        lost = self._channel.lost()
        for pause in pauses:
            watch(Event(self.host.name, "progress", after={"note": "the connection broke; reconnecting"}))
            if self._over.wait(pause):
                break
            try:
                return self._open(LONG_PATIENCE)
            except STRANGERS:
                raise
            except Unreachable:  # a login that is refused, too: it may still be starting
                pass
        raise lost

    @property
    def alive(self) -> bool:
        """False once the channel broke or was closed."""
        return not self._channel.closed

    def close(self) -> None:
        """Hang up; the agent and its lock end with the channel. From any thread, also in a request, or twice."""
        self._over.set()
        self._channel.close()

    def __enter__(self) -> AgentSession:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- requests ------------------------------------------------------------------------------------------------

    def converge(self, batch: Batch) -> Iterator[Event]:
        request = {
            "op": "converge",
            "check": batch.check,
            **self._code(bundle.needed(frozenset(task.resource.kind for task in batch.tasks())) - self._shipped),
            # a check writes no list down: what earlier requests of it notified travels along
            "notified": [*(self.pending_handlers if batch.check else ()), *batch.notified],
            "undone": batch.undone,
            "steps": [_step(step) for step in gathered(batch.steps)],
        }
        files: dict[str, Blob] = {}
        for task in batch.tasks():
            files.update(task.files)
        order = [step.id for step in batch.steps if isinstance(step, Task)]
        answer = yield from self._exchange(request, Asked("converge", names=order, files=files, batch=batch), files)
        self.pending_handlers = answer["pending_handlers"]

    def _code(self, missing: frozenset[str]) -> dict[str, str]:
        """Modules the host does not have yet, as they travel in a request; nothing when there are none."""
        self._shipped |= missing
        return bundle.parcel(missing)

    def act(self, action: Action, *, job: str = "", watch: Watch = lambda event: None) -> Report:
        request: dict[str, Any] = {"op": "act", "kind": action.kind, "args": asdict(action), "job": job}
        pauses = iter(RECONNECT if job else ())

        def seen(event: Event) -> None:  # it moves again: the next break gets all the patience
            nonlocal pauses
            pauses = iter(RECONNECT if job else ())
            watch(event)

        while True:
            try:
                return self._request(request, seen)
            except NotAMessage:  # it would say the same again
                raise
            except ChannelLost:
                self._reopen(pauses, watch)
                request["attach"] = True

    def ready(self, action: Action) -> Report:
        return self._request({"op": "ready", "kind": action.kind, "args": asdict(action)})

    def _request(self, request: Mapping[str, Any], watch: Watch = lambda event: None) -> Report:
        deeds = bundle.deeds()  # whole, whatever of it came with a kind: it is what units on the host run
        apart = bundle.apart(request["kind"]) - self._shipped
        code = self._code(apart if deeds <= self._shipped else deeds | apart)
        names = (request["kind"], *([request["job"]] if request.get("job") else []))
        asked = Asked(request["op"], names=names, report=answers.of(request["op"], request["kind"]))
        answer = _finish(self._exchange({**request, **code}, asked, {}), watch)
        report: Report = Told.by(self.host.name, answer["report"])
        return report

    def _exchange(self, request: Mapping[str, Any], asked: Asked, files: Mapping[str, Blob]) -> Exchange:
        """Send a request; yield what happens; the value is the agent's answer."""
        if self._asking:
            raise MnemoError(f"{self.host.name} is still answering an earlier request: this is a bug")
        self._asking = True
        self._seq += 1
        asked.seq = self._seq
        try:
            self._channel.send({**request, "seq": self._seq})
            return (yield from self._answer(asked, files))
        except BaseException as error:  # GeneratorExit too: the rest of the answer is still to come
            if isinstance(error, ChannelLost) or not isinstance(error, MnemoError):
                self._channel.close()
            raise
        finally:
            self._asking = False

    def _answer(self, asked: Asked, files: Mapping[str, Blob], limit: float = math.inf) -> Exchange:
        """:param limit: seconds after which nobody waits for the answer, whatever else is told."""
        following, channel, end = dict(pairwise(asked.names)), self._channel, time.monotonic() + limit
        channel.running = next(iter(asked.names), "")
        while time.monotonic() < end:
            kind, message = channel.receive(asked.heard)
            if kind == "need":
                yield from self._offer(message["need"], files[message["need"]])
            elif kind == "beat":
                if message["task"] in asked.names:  # the last beat of the request before may come late
                    channel.running = message["task"]
                yield Event(channel.running, "progress", after={"note": message["note"], "elapsed": message["beat"]})
            elif kind == "error":
                error = from_json(message["error"])
                error.where = f"{self.host.name}, {error.where}" if error.where else self.host.name
                error.hint = on_host(self.host.name, error.hint)
                raise error
            elif kind == "done":
                channel.running = ""
                return message
            else:
                event = Event.from_json(message)
                if event.status != "progress":
                    channel.running = following.get(event.id, "")
                yield event
        raise channel.strange(NotAMessage(f"no answer in {limit:.0f} s"))

    def _offer(self, sha256: str, blob: Blob) -> Iterator[Event]:
        note, shown = blob.name if isinstance(blob, Path) else "", time.monotonic()
        for sent, size in self._channel.offer(sha256, blob):
            if time.monotonic() - shown > REFRESH:
                shown = time.monotonic()
                yield Event(self._channel.running, "progress", after={"done": sent, "total": size, "note": note})


def _finish(exchange: Exchange, watch: Watch = lambda event: None) -> Mapping[str, Any]:
    """Show the events; return the answer."""
    while True:
        try:
            event = next(exchange)
        except StopIteration as end:
            answer: Mapping[str, Any] = end.value
            return answer
        watch(event)


def gathered(steps: Sequence[Union[Task, Handlers]]) -> Iterator[Union[list[Task], Handlers]]:
    """Tasks in a row as one list."""
    for together, group in groupby(steps, lambda step: isinstance(step, Task)):
        if together:
            yield [step for step in group if isinstance(step, Task)]
        else:
            yield from (step for step in group if isinstance(step, Handlers))


def _step(step: Union[list[Task], Handlers]) -> dict[str, Any]:
    if isinstance(step, Handlers):
        ready = [(name, [row(task) for task in tasks]) for name, tasks in step.ready]
        return {"handlers": ready, "idle": step.idle}
    return {"tasks": [row(task) for task in step]}


def row(task: Task) -> dict[str, Any]:
    """A task as it travels; what is as usual stays here."""
    row: dict[str, Any] = {"id": task.id, "kind": task.resource.kind, "args": _arguments(task.resource)}
    for name in ("notify", "ignore_errors", "user", "environment", "perhaps"):
        if value := getattr(task, name):
            row[name] = value
    for name in ("changed", "failed", "check"):
        if (value := getattr(task, name)) is not None:
            row[name] = value
    if task.register:
        row["register"] = True
    return row


def _arguments(resource: Resource) -> dict[str, Any]:
    """Fields that are not what they are by default."""
    given: dict[str, Any] = {}
    for field_ in fields(resource):
        value = getattr(resource, field_.name)
        if field_.default is MISSING or value != field_.default or type(value) is not type(field_.default):
            given[field_.name] = value
    return given


def connect(host: Host, *, become: bool, lock: Optional[Lock] = None, alias: str = "") -> AgentSession:
    """Open a session: connect, ship the agent, say hello.

    :param become: run the agent as root, through sudo unless the login user is root.
    :param lock: hold the host lock as long as the session lives; ``None`` for what only reads.
    :param alias: whose pending handlers these are, where another host is the same machine.

    Tried again ``host.retries`` times, with backoff, when the host cannot be reached.

    :raises Unreachable: no route, host key, authentication, sudo or python3 (4). :raises Locked: (5).
    """

    def reach(blob: bytes) -> Pipe:
        if not host.local:
            from mnemo_ops.transport.ssh_pipe import SshPipe  # paramiko is slow to import

            return SshPipe(host, become, bundle.command(blob, host.python))
        argv = bundle.command(blob, sys.executable)
        if not become:
            return LocalPipe(argv)
        return LocalPipe(*as_root(argv, host, local_pipe.user()), host)

    for pause in (*RECONNECT[: host.retries], *[RECONNECT[-1]] * (host.retries - len(RECONNECT))):
        try:
            return AgentSession(host, reach, lock, alias)
        except Unreachable as error:
            if isinstance(error, FINAL):
                raise
            time.sleep(pause)
    return AgentSession(host, reach, lock, alias)
