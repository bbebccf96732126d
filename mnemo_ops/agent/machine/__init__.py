"""Machine: the one door to the operating system.

Everything a resource or an action knows or changes goes through here, so that a check can be shown to write nothing,
a test can put a temporary root and stub programs under the same code, and a kill can be placed between any two writes.

Offers ``attributes``, ``hashing``, ``holes``, ``programs``, ``reading``, ``trial``.
"""

from __future__ import annotations

import io
import os
import sys
import time
from typing import IO, Callable, Dict, List, Set

from mnemo_ops.agent.machine.as_user import Identity
from mnemo_ops.agent.machine.network import Address, Network
from mnemo_ops.agent.machine.programs import SEARCH_PATH, Completed, Conversation, Programs, Tick
from mnemo_ops.agent.machine.reading import CHUNK, FileStat
from mnemo_ops.errors import Broken, MnemoError

__all__ = ["CHUNK", "SEARCH_PATH", "Address", "Completed", "Conversation", "Fetch", "FileStat", "Machine", "Tick"]

Fetch = Callable[[str, IO[bytes]], None]


def _no_fetch(sha256: str, into: IO[bytes]) -> None:
    raise Broken(f"the controller offers no file with sha256 {sha256}")


class Machine(Programs, Network, Identity):
    """One host, seen from inside.

    :param root: directory every path is looked up under; ``/`` on a real host.
    :param search_path: ``PATH`` for programs.
    :param read_only: any write raises :class:`MnemoError`: check mode is held to its promise.
    :param state_dir: instead of the usual :attr:`state_dir`.
    :param fetch: writes the file with the given sha256 into an open file; asks the controller for it.
    """

    def __init__(
        self,
        root: str = "/",
        *,
        search_path: str = SEARCH_PATH,
        read_only: bool = False,
        state_dir: str = "",
        fetch: Fetch = _no_fetch,
    ) -> None:
        super().__init__(root, read_only)
        self._state_dir = state_dir
        self.search_path = search_path
        self.fetch = fetch
        self.leases: Set[str] = set()  # leases this process renews while it lives
        self.deserted: Callable[[], bool] = bool
        self.program: Callable[[], bytes] = bytes  # the agent's own zip
        self.note = ""  # what is being done right now; the heartbeat carries it to the operator

    def looking(self, read_only: bool) -> Machine:
        """This machine for one task that looks only, or acts: what was read is shared, and forgotten by both."""
        if read_only == self.read_only:
            return self
        other = Machine.__new__(Machine)
        vars(other).update(vars(self))
        other.read_only = read_only
        return other

    @property
    def is_root(self) -> bool:
        return os.geteuid() == 0

    @property
    def effective_uid(self) -> int:
        return os.geteuid()

    @property
    def effective_gid(self) -> int:
        return os.getegid()

    @property
    def inherited(self) -> Dict[str, str]:
        """The environment this process was started with; programs get :meth:`environment` instead."""
        return dict(os.environ)

    @property
    def processors(self) -> int:
        """How many this process may use."""
        return len(os.sched_getaffinity(0))

    @property
    def user_name(self) -> str:
        """Login name of the user the agent runs as; its number when it has none."""
        rows = self.accounts("passwd").values()
        return next((row[0] for row in rows if row[2] == str(os.geteuid())), str(os.geteuid()))

    @property
    def python(self) -> str:
        """The interpreter the agent runs on."""
        return sys.executable

    @property
    def pid(self) -> int:
        return os.getpid()

    @property
    def architecture(self) -> str:
        return os.uname().machine

    @property
    def state_dir(self) -> str:
        """Where mnemo_ops keeps what must survive a reboot: 0700, one per user."""
        if self._state_dir:
            return self._state_dir
        return "/var/lib/mnemo_ops" if self.is_root else os.path.expanduser("~/.local/state/mnemo_ops")

    @property
    def runtime_dir(self) -> str:
        """Where secrets may lie for a moment: in memory, gone with a reboot."""
        return "/run/mnemo_ops" if self.is_root else f"/run/user/{os.geteuid()}/mnemo_ops"

    def keep_program(self) -> str:
        """Path of the agent's own zip on disk, for units that must run when nobody is connected."""
        import hashlib

        data = self.program()
        if not data:
            raise MnemoError("this process does not know its own program: this is a bug")
        path = f"{self.state_dir}/agent-{hashlib.sha256(data).hexdigest()[:12]}.zip"
        if self.stat(path) is None:
            self.mkdir(self.state_dir, 0o700)
            self.write(path, data, 0o600)
        return path

    def starting(self, entry: str, *words: str) -> List[str]:
        """The argument vector of a function of :mod:`mnemo_ops.agent.main` in the kept program, isolated: nothing of
        where it is started, of the environment or of site-packages is imported."""
        stage = f"import sys; sys.path.insert(0, sys.argv[1]); from mnemo_ops.agent.main import {entry} as run"
        program = self.keep_program()
        return [self.python, "-IS", "-X", "utf8", "-c", f"{stage}; run(*sys.argv[2:])", program, *words]

    def loaded(self, url: str) -> bytes:
        """The content behind a URL, once per batch: for small things, like keys. Errors as :meth:`download`."""

        def load() -> bytes:
            into = io.BytesIO()
            self.download(url, into)
            return into.getvalue()

        data: bytes = self.once("url/" + url, load)
        return data

    def wait_until(self, what: str, true: Callable[[], bool], deadline: float, pause: float = 0.2) -> None:
        """Poll until ``true()``; ``deadline`` in seconds from now. :raises Broken: it never became true (6)."""
        end = time.monotonic() + deadline
        while not true():
            if time.monotonic() > end:
                raise Broken(f"{what} did not happen within {deadline:.0f} s")
            self.note = f"waiting: {what}"
            time.sleep(pause)

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def monotonic(self) -> float:
        """Seconds of a clock that nobody sets."""
        return time.monotonic()

    def now(self) -> float:
        """Seconds since the epoch."""
        return time.time()
