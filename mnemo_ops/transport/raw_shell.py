"""A host before its agent: one shell line where python3 may be missing, and waiting until it can be reached."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable

from mnemo_ops.agent.base.record import dataclass, replace
from mnemo_ops.core.model import Host
from mnemo_ops.errors import FINAL, Unreachable
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
