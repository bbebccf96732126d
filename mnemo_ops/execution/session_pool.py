"""Fleet: many sessions side by side; hosts run in parallel, the tasks of a host in sequence."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Any, Optional, TypeVar

from mnemo_ops.agent.base.protocol import Event
from mnemo_ops.core.model import Batch, Host
from mnemo_ops.errors import Interrupted, MnemoError
from mnemo_ops.execution.report import Report
from mnemo_ops.transport.agent_channel import AGAIN
from mnemo_ops.transport.session import AgentSession, Lock, connect

PARALLEL = 50  # hosts at a time

T = TypeVar("T")


class Fleet:
    """Sessions by host, opened when first needed, closed together.

    :param aliases: whether hosts may be one machine under several names, as those of a play may.
    """

    def __init__(self, report: Report, lock: Optional[Lock], aliases: bool = False) -> None:
        self._report = report
        self._lock = lock
        self._aliases = aliases
        self._sessions: dict[tuple[Any, ...], AgentSession] = {}
        self._first: dict[tuple[Any, ...], Host] = {}  # machine -> the host of those that are this one machine
        self._doors: dict[tuple[Any, ...], threading.RLock] = {}  # machine -> held while a session to it is opened
        self._here = threading.Lock()
        self._guard = threading.Lock()
        self._turns = threading.Semaphore(PARALLEL)
        self._interrupted = False

    def session(self, host: Host, become: bool = True) -> AgentSession:
        """The session to a host as root (``become``) or as the login user; errors as :func:`~session.connect`."""
        with self._guard:
            door = self._doors.setdefault(_machine(host), threading.RLock())
        with door:
            return self._opened(host, become)

    def _opened(self, host: Host, become: bool) -> AgentSession:
        key = (host.name, host.user, host.local, become)
        with self._guard:
            found = self._sessions.get(key)
        if found is None or not found.alive:
            found = self._connect(host, become)
            with self._guard:
                self._sessions[key] = found
            if self._interrupted:
                found.close()
                raise _interruption()
        return found

    def _connect(self, host: Host, become: bool) -> AgentSession:
        """Hosts of a play may be one machine: the first takes the lock for all, each has handlers of its own."""
        first = self._first.setdefault(_machine(host), host)
        if self._aliases and first.name != host.name:
            self._opened(first, become)  # without its lock nothing may be done here under any name
            return connect(host, become=become, alias=host.name)
        return connect(host, become=become, lock=self._lock)

    @property
    def interrupted(self) -> bool:
        """Ctrl-C was heard, and not every host has stopped yet."""
        return self._interrupted

    def hang_up(self, host: Host) -> None:
        """Close its sessions, of whichever user: the next call opens another."""
        with self._guard:
            found = [self._sessions.pop(key) for key in list(self._sessions) if key[0] == host.name]
        for session in found:
            session.close()

    def here(self, become: bool) -> Here:
        """This machine, for the tasks hosts delegate to it: one at a time, and without the lock of a host."""
        with self._here:
            key = ("here", become)
            found = self._sessions.get(key)
            if found is None or not found.alive:
                found = connect(Host("localhost", "localhost", local=True), become=become)
                self._sessions[key] = found
        return Here(found, self._here)

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Within ``work`` of :meth:`each`: this host waits for others, of which the turn may not have come yet."""
        self._turns.release()
        try:
            yield
        finally:
            self._turns.acquire()

    def each(self, hosts: Sequence[Host], work: Callable[[Host], T]) -> dict[str, T]:
        """``work`` on every host in parallel; one host's failure does not stop the others.

        :returns: results by host name. :raises MnemoError: the first failure in inventory order, after all have ended.
        """
        for host in hosts:  # the same one is the first in every run
            self._first.setdefault(_machine(host), host)

        def in_turn(host: Host) -> T:
            with self._turns:
                if self._interrupted:
                    raise _interruption()
                return work(host)

        try:
            with ThreadPoolExecutor(max_workers=max(1, len(hosts)), thread_name_prefix="host") as pool:
                futures = {host.name: pool.submit(in_turn, host) for host in hosts}
                try:
                    _wait(list(futures.values()))
                except KeyboardInterrupt:
                    self._interrupted = True  # until all have ended: whoever cleans up after us may connect again
                    pool.shutdown(wait=False, cancel_futures=True)
                    self.close()  # ends every channel; each agent stops after the task it is in
                    raise _interruption() from None
        finally:
            self._interrupted = False
        failures = [(name, future.exception()) for name, future in futures.items() if future.exception()]
        for name, error in failures[1:]:
            said = error.message if isinstance(error, MnemoError) and error.where in ("", name) else error
            self._report.say(f"  failed   {name:12} {said}")
        if failures:
            name, error = failures[0]
            if isinstance(error, MnemoError):
                error.where = error.where or name
            assert error is not None
            raise error
        return {name: future.result() for name, future in futures.items()}

    def close(self) -> None:
        with self._guard:
            sessions, self._sessions = list(self._sessions.values()), {}
        for session in sessions:
            session.close()


class Here:
    """A session that the threads of all hosts share."""

    bare = False

    def __init__(self, session: AgentSession, turn: threading.Lock) -> None:
        self._session, self._turn = session, turn
        self.facts, self.login = session.facts, session.login
        self.pending_handlers: Sequence[str] = ()

    def converge(self, batch: Batch) -> Iterator[Event]:
        with self._turn:
            yield from self._session.converge(batch)


def _machine(host: Host) -> tuple[Any, ...]:
    """What two hosts share when they are one machine, as far as the inventory says so."""
    return ("local",) if host.local else (host.address, host.port)


def _interruption() -> Interrupted:
    return Interrupted("interrupted", hint=AGAIN)


def _wait(futures: Sequence[Future[T]]) -> None:
    left = set(futures)
    while left:  # in small steps, so that Ctrl-C is heard
        left = wait(left, timeout=0.5, return_when=FIRST_COMPLETED).not_done


@contextmanager
def fleet(report: Report, lock: Optional[Lock] = None, aliases: bool = False) -> Iterator[Fleet]:
    """A fleet whose sessions are closed on every exit."""
    opened = Fleet(report, lock, aliases)
    try:
        yield opened
    finally:
        opened.close()
