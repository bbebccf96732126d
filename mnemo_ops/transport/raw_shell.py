"""A host before its agent: shell lines and ``raw`` tasks where python3 may be missing, and waiting for the host."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from mnemo_ops.agent.base.protocol import Event
from mnemo_ops.agent.base.record import dataclass, replace
from mnemo_ops.agent.resources.raw import Raw
from mnemo_ops.core.model import Batch, Host, Task
from mnemo_ops.errors import FINAL, MnemoError, StepFailed, Unreachable
from mnemo_ops.transport import local_pipe
from mnemo_ops.transport.sudo import as_root_unheard

PAUSE = 1.0  # seconds between two looks


@dataclass(frozen=True)
class Said:
    """What a line answered; ``out`` and ``err`` are decoded as UTF-8 with replacement."""

    rc: int
    out: str
    err: str


def raw(host: Host, become: bool, line: str, timeout: float = 1800.0) -> Said:
    """Run one shell line on a host that needs nothing but ``sh``, through a connection of its own.

    :param become: as root. :param timeout: seconds the line may be silent.
    :raises SudoRefused: root is out of reach (4). :raises Unreachable: no connection, or no answer in time (4).
    """
    argv, first = ["sh", "-c", line], b""
    if host.local:
        if become:
            argv, first = as_root_unheard(argv, host, local_pipe.user(), local_pipe.small)
        code, out, err = local_pipe.ask(argv, first, timeout)
    else:
        from mnemo_ops.transport import ssh_pipe  # paramiko is slow to import

        with ssh_pipe.connected(host) as connection:
            if become:
                argv, first = as_root_unheard(argv, host, connection.user, ssh_pipe.small(connection))
            code, out, err = ssh_pipe.ask(connection, shlex.join(argv), first, timeout)
    return Said(code, out.decode("utf-8", "replace"), err.decode("utf-8", "replace"))


class BareHost:
    """No python3 yet, so no agent: takes batches as a session does, of ``raw`` tasks only."""

    bare = True
    pending_handlers: Sequence[str] = ()

    def __init__(self, host: Host, become: bool) -> None:
        self._host, self._become = host, become
        self.facts: Mapping[str, Any] = {}
        self.login = host.user or ""

    def converge(self, batch: Batch) -> Iterator[Event]:
        for task in (one for one in batch.tasks() if not one.perhaps):
            yield Event(task.id, "progress", after={"note": "the host has no python3 yet: running it in a shell"})
            event = self._foreseen(task) if batch.check else self._run(task)
            yield event
            if event.status == "failed" and not task.ignore_errors:
                return

    def _foreseen(self, task: Task) -> Event:
        return Event(task.id, "ok" if task.changed is False else "changed", before={}, after={}, foreseen=True)

    def _run(self, task: Task) -> Event:
        if not isinstance(task.resource, Raw):
            raise MnemoError(f"{self._host.name} has no python3 and {task.name} needs it: this is a bug")
        try:
            said = raw(self._host, self._become, task.resource.free_form)
        except StepFailed as error:
            return Event.failure(task.id, error)
        state = {"rc": said.rc, "stdout": said.out, "stderr": said.err}
        if said.rc == 0:
            return Event(task.id, "ok" if task.changed is False else "changed", after=state)
        words = (said.err.strip() or said.out.strip())[-1500:]
        return Event(task.id, "failed", before=state, after={"rc": 0}, why=f"ended with {said.rc}: {words}")


def wait_until_up(
    host: Host,
    timeout: float,
    *,
    delay: float = 0.0,
    connect_timeout: float = 5.0,
    pause: float = PAUSE,
    final: tuple[type[Unreachable], ...] = FINAL,
    stopped: Callable[[], bool] = lambda: False,
) -> float:
    """Wait until a host lets us in and runs a program: after a reboot, or before its first contact.

    :param timeout: seconds to wait at most. :param delay: seconds before the first look.
    :param connect_timeout: seconds a look may take. :param pause: seconds between two looks.
    :param final: what waiting will not mend: it is raised at once. :param stopped: whether nobody waits any more.
    :returns: seconds it took. :raises Unreachable: it did not come, or what is ``final`` (4).
    """
    began = time.monotonic()
    time.sleep(0 if host.local else delay)
    while not host.local:
        try:
            _look(host, connect_timeout)
            break
        except final:
            raise
        except Unreachable as error:
            if stopped() or time.monotonic() - began + pause > timeout:
                error.message = f"{host.name} did not come up within {timeout:.0f} s: {error.message}"
                raise
            time.sleep(pause)
    return time.monotonic() - began


def _look(host: Host, connect_timeout: float) -> None:
    from mnemo_ops.transport import ssh_pipe  # paramiko is slow to import

    with ssh_pipe.connected(replace(host, timeout=max(1, int(connect_timeout)))) as connection:
        ssh_pipe.ask(connection, "exit 0", timeout=connect_timeout)
