"""What an agent holds on its host: the lock that cannot go stale, and the list of handlers still to run."""

from __future__ import annotations

import contextlib
import fcntl
import json
import time
from typing import IO, Any, List, Mapping, Optional, Sequence

from mnemo_ops.agent.machine import Machine
from mnemo_ops.errors import Locked

FREE = "the lock ends with that run; invoke lock.status says free when it has"


class HostLock:
    """``flock`` on ``state_dir/lock``, held for the agent's lifetime: the kernel drops it with the process."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._file: Optional[IO[bytes]] = None

    def take(self, owner: Mapping[str, Any], patience: float) -> None:
        """:param owner: who, from where, doing what: shown to whoever comes second.
        :param patience: seconds to wait for a dying predecessor.
        :raises Locked: somebody else works on this host (5).
        """
        path = self._machine.state_dir + "/lock"
        self._machine.mkdir(self._machine.state_dir, 0o700)
        file = self._machine.open_lock(path)
        end = time.monotonic() + patience
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > end:
                    file.close()
                    raise self._refusal(path) from None
                time.sleep(0.1)
        self._file = file
        # the owner's card lies beside the lock: replacing the locked file itself would lose the lock
        card = {**owner, "since": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
        self._machine.write(path + ".owner", json.dumps(card).encode(), 0o600)

    def leave(self) -> None:
        """Let the next one in before this process ends."""
        if self._file is not None:
            self._file.close()

    def _refusal(self, path: str) -> Locked:
        with contextlib.suppress(ValueError):
            card = json.loads(self._machine.read_text(path + ".owner") or "{}")
            who = (
                f"{card.get('owner', 'somebody')} runs `{card.get('command', '?')}` here since {card.get('since', '?')}"
            )
            return Locked(f"the host is locked: {who}", hint=FREE)
        return Locked("the host is locked by another run", hint=FREE)


def owner(machine: Machine) -> Optional[Mapping[str, Any]]:
    """Who holds the lock of this host now, from where, doing what, since when; ``None``: nobody."""
    path = machine.state_dir + "/lock"
    if not machine.is_locked(path):
        return None
    return card(machine)


def card(machine: Machine) -> Mapping[str, Any]:
    """Of who holds the lock, or was the last to; empty: nobody."""
    with contextlib.suppress(ValueError, TypeError):
        return dict(json.loads(machine.read_text(machine.state_dir + "/lock.owner") or "{}"))
    return {}


class PendingHandlers:
    """Names of notified handlers, on disk before the change that notifies them, so that a crash cannot lose one.

    :param alias: the inventory's name for this machine, where it has several.
    """

    def __init__(self, machine: Machine, alias: str = "") -> None:
        self._machine = machine
        self._path = f"{machine.state_dir}/handlers{alias and '-' + alias.replace('/', '_')}.json"
        self._memory: List[str] = []  # a check remembers, but writes nothing

    def names(self) -> List[str]:
        found = json.loads(self._machine.read_text(self._path) or "[]")
        return [str(name) for name in found] + [name for name in self._memory if name not in found]

    def add(self, names: Sequence[str]) -> None:
        self._store(self.names() + [name for name in names if name not in self.names()])

    def remove(self, name: str) -> None:
        self._store([other for other in self.names() if other != name])

    def _store(self, names: List[str]) -> None:
        if names == self.names():
            return
        if self._machine.read_only:
            self._memory = names
            return
        self._machine.mkdir(self._machine.state_dir, 0o700)
        self._machine.write(self._path, json.dumps(names).encode(), 0o600)
