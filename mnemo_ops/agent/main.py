"""The agent's process: hello (facts), host lock, request loop, heartbeat.

Starts from memory (see :mod:`mnemo_ops.transport.bundle`), speaks on what was stdin and stdout, leaves nothing behind.
"""

from __future__ import annotations

import binascii
import contextlib
import importlib
import os
import sys
import threading
import time
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence

from mnemo_ops import agent
from mnemo_ops.agent import actions, base, docker, engine, facts, files, machine, process, resources, stack, system
from mnemo_ops.agent.base.protocol import GREETING, Event
from mnemo_ops.agent.engine.action import build
from mnemo_ops.agent.engine.check_taint import Undone
from mnemo_ops.agent.engine.converge import Task, converge
from mnemo_ops.agent.facts.gather import gather
from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.process import code_cache, lease
from mnemo_ops.agent.process.channel import DEAF, Channel
from mnemo_ops.agent.process.host_lock import HostLock, PendingHandlers
from mnemo_ops.errors import Broken, ChannelLost, MnemoError, named, reason

# loaded at the start, so that each finds also those of its modules that come with a request
ROOMS = (agent, actions, base, docker, engine, facts, files, machine, process, resources, stack, system)
BEAT = 1.0  # seconds between signs of life while a request runs
RENEWAL = 5.0  # seconds between renewals of the leases this agent holds
LISTENING = 25.0  # seconds since the controller's last word during which its leases are still renewed


class Agent:
    """Serves one controller on one host, one request at a time."""

    def __init__(self, channel: Channel, blob: bytes, digest: str) -> None:
        self._channel = channel
        self._lock: Optional[HostLock] = None
        self._alias = ""
        self._undone = Undone()
        self._busy = ""  # what the heartbeat names
        self._since = time.monotonic()
        self._machine = _machine(fetch=channel.fetch)
        self._shipped = {digest: blob}
        self._programs = [blob]  # the core, and the deeds once they came
        self._machine.program = lambda: code_cache.merged(self._programs)
        self._noting = self._machine  # whose note the heartbeat carries
        self._ended = threading.Event()

    def serve(self) -> None:
        """Answer requests until the controller hangs up or falls silent."""
        beat = threading.Thread(target=self._beat, name="beat", daemon=True)
        beat.start()
        try:
            while (request := self._channel.next_request()) is not None:
                self._answer(request)
        except ChannelLost:
            return
        finally:
            self._ended.set()
            beat.join(5.0)  # it may be renewing a lease: half a file must not stay behind
            self._keep_code()

    def _keep_code(self) -> None:
        """Nobody waits any more: leave what was shipped to the next agent, compiled. Who only looks leaves nothing."""
        if self._lock is not None:
            self._lock.leave()
            code_cache.keep(self._machine, self._shipped)

    def _import(self, request: Mapping[str, Any]) -> None:
        """Make the modules that came with a request importable: one more zip on the path of every room."""
        if not request.get("code"):
            return
        digest, packed = request["digest"], binascii.a2b_base64(request["code"])
        self._shipped[digest] = packed
        place = code_cache.kept(self._machine, digest)
        if not place:
            memory = os.memfd_create("mnemo")
            with os.fdopen(os.dup(memory), "wb") as file:
                file.write(code_cache.unpacked(packed))
            place = f"/proc/self/fd/{memory}"
        for room in ROOMS:
            room.__path__.append(f"{place}/{room.__name__.replace('.', '/')}")

    def _answer(self, request: Mapping[str, Any]) -> None:
        seq = request.get("seq", 0)
        operations: Dict[str, Callable[[Mapping[str, Any]], Mapping[str, Any]]] = {
            "hello": self._hello,
            "converge": self._converge,
            "act": self._act,
            "ready": self._ready,
        }
        self._busy, self._since = str(request.get("op")), time.monotonic()
        try:
            answer = operations[str(request.get("op"))](request)
            self._channel.send({**answer, "done": seq})
        except ChannelLost:
            raise
        except MnemoError as error:
            self._channel.send({"error": error.to_json(), "seq": seq})
        except OSError as error:  # a full disk, a path that went away: the host's trouble, not a bug
            broken = Broken(f"{error.filename or self._busy}: {reason(error)}")
            self._channel.send({"error": broken.to_json(), "seq": seq})
        except Exception as error:  # a bug must reach the operator, with its place
            import traceback  # slow to import, and no run should need it

            place = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{os.path.basename(place.filename)}:{place.lineno}"
            bug = MnemoError(named(error), where=where)
            self._channel.send({"error": bug.to_json(), "seq": seq})
        finally:
            self._busy = ""

    def _hello(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        self._alias = str(request.get("alias", ""))
        self._channel.deaf = float(request.get("deaf", DEAF))
        if request.get("lock"):
            lock = HostLock(self._machine)
            lock.take(request["lock"], float(request.get("patience", 5.0)))
            self._lock = lock
            lease.adopt(self._machine, str(request["lock"].get("run", "")))
        facts = gather(self._machine)
        login = os.environ.get("SUDO_USER") or facts["user_id"]
        return {"facts": facts, "login": login, "pending_handlers": self._pending(self._machine).names()}

    def _pending(self, machine: Machine) -> PendingHandlers:
        return PendingHandlers(machine, self._alias)

    def _converge(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """Steps in order: tasks, and in between the handlers that are pending by then."""
        self._import(request)
        check = bool(request.get("check"))
        machine = _machine(fetch=self._channel.fetch, read_only=check)
        machine.deserted = lambda: self._channel.gone
        self._noting = machine
        pending = self._pending(machine)
        pending.add(request.get("notified", ()))
        self._undone.first = self._undone.first or str(request.get("undone", ""))
        failed = False
        for step in request["steps"]:
            failed = failed or self._step(step, machine, check, pending)
        return {"failed": failed, "pending_handlers": pending.names()}

    def _step(self, step: Mapping[str, Any], machine: Machine, check: bool, pending: PendingHandlers) -> bool:
        """Whether it failed."""
        if self._run(_tasks(step.get("tasks", ())), machine, check, pending):
            return True
        for name in step.get("idle", ()):
            pending.remove(name)
        for name, rows in step.get("handlers", ()):
            if name in pending.names():
                if self._run(_tasks(rows), machine, check, pending):
                    return True
                pending.remove(name)
        return False

    def _run(self, tasks: Sequence[Task], machine: Machine, check: bool, pending: PendingHandlers) -> bool:
        failed = False
        ignored = {task.id for task in tasks if task.ignore_errors}
        for event in converge(tasks, machine, check, pending, self._began, self._undone):
            self._channel.send(event.to_json())
            failed = failed or (event.status == "failed" and event.id not in ignored)
        return failed

    def _began(self, task: Task) -> None:
        if self._channel.gone:  # nobody would hear of it: stop between two tasks, not within one
            raise ChannelLost("the controller went away")
        self._busy, self._since = task.id, time.monotonic()
        self._noting.note = ""

    def _import_deeds(self, request: Mapping[str, Any]) -> None:
        self._import(request)
        if request.get("code"):
            self._programs.append(self._shipped[request["digest"]])

    def _act(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """Do a deed here, or (with ``job``) as a unit of its own that outlives this connection."""
        self._import_deeds(request)
        self._noting = self._machine
        self._noting.note = ""  # of the deed before
        if request.get("job"):
            name = str(request["job"])
            work = {"kind": request["kind"], "args": request["args"]}
            job = _deed("job")
            job.start(self._machine, name, work, attach=bool(request.get("attach")))
            patience = 0.0 if request.get("attach") else job.STARTING
            following = job.follow(self._machine, name, lambda: self._channel.gone, patience)
            while True:
                try:
                    self._channel.send(Event(name, "progress", after=next(following)).to_json())
                except StopIteration as end:
                    return {"report": end.value}
        deed = build(request["kind"], request["args"]).run(self._machine)
        while True:
            try:
                step = next(deed)
            except StopIteration as end:
                return {"report": end.value or {}}
            self._noting.note = ""  # what it stood for is over, or the beats would tell it again and again
            shown = {"done": step.done, "total": step.total, "note": step.note}
            self._channel.send(Event(request["kind"], "progress", after=shown).to_json())

    def _ready(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        self._import_deeds(request)
        machine = _machine(read_only=True)
        return {"report": build(request["kind"], request["args"]).ready(machine)}

    def _beat(self) -> None:
        renewed = time.monotonic()
        while not self._ended.wait(BEAT):
            if time.monotonic() - renewed > RENEWAL and time.monotonic() - self._channel.heard < LISTENING:
                renewed = time.monotonic()
                with contextlib.suppress(MnemoError, OSError):  # a full disk must not silence the heartbeat
                    lease.renew_held(self._machine)
            if self._busy:
                seconds = round(time.monotonic() - self._since, 1)
                try:
                    self._channel.send({"beat": seconds, "task": self._busy, "note": self._noting.note})
                except ChannelLost:
                    return


def _deed(name: str) -> Any:
    """A module of :mod:`mnemo_ops.agent.process` that comes with the first deed: most agents are asked for none."""
    return importlib.import_module("mnemo_ops.agent.process." + name)


def _machine(**options: Any) -> Machine:
    # sudo, systemd and sshd pass no such variable on: it is for whoever starts an agent by hand
    return Machine(state_dir=os.environ.get("MNEMO_STATE_DIR", ""), **options)


def _tasks(rows: Sequence[Mapping[str, Any]]) -> List[Task]:
    return [Task(**{**row, "notify": tuple(row.get("notify", ()))}) for row in rows]


def main(blob: bytes, digest: str) -> None:
    """Entry point of the shipped agent: move stdin and stdout aside so that a stray print cannot break the wire.

    :param blob: what it was started from, as it was shipped. :param digest: its name.
    """
    source = os.fdopen(os.dup(0), "rb")
    sink = os.fdopen(os.dup(1), "wb")
    null = os.open(os.devnull, os.O_RDWR)
    for stray in (0, 1, 2):  # nobody reads stderr while the agent works: what fills it would stall the agent
        os.dup2(null, stray)
    sink.write(GREETING)
    sink.flush()

    Agent(Channel(source, sink), blob, digest).serve()
    os._exit(0)  # the reader thread may sit in a read that never returns


def run_job(where: str) -> None:
    """Entry point of a job's unit."""
    machine, job = _from_disk(), _deed("job")
    job.run(machine, where)
    job.linger(machine, where)


def run_watchdog() -> None:
    """Entry point of the lease timer's unit."""
    machine = _from_disk()
    for name in lease.expire(machine, _deed("job").sweep):
        print(f"lease {name} expired: what it covered was undone")


def run_handout(run: str) -> None:
    """Entry point of the forced command of a migration's key."""
    _deed("handout").main(_from_disk(), run)


def _from_disk() -> Machine:
    """The machine of a unit, whose program is the zip it was started from (the first of its import path)."""
    machine = _machine()
    program = sys.path[0]

    def read() -> bytes:
        with open(program, "rb") as file:
            return file.read()

    machine.program = read
    return machine
