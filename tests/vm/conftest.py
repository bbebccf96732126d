"""Two virtual machines for all tests of a session; nothing left of them, nor of those of runs that were killed."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from outcomes import Host, Lab

from mnemo_ops.lab import vm
from mnemo_ops.lab.engine import locked
from mnemo_ops.lab.qemu import is_gone

NAMES = ("storage", "app")
_PREFIX = "mnemo-vm-"
_SECONDS = 900  # the first test waits for the image and the boot


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.lab)
            if not item.get_closest_marker("timeout"):
                item.add_marker(pytest.mark.timeout(_SECONDS))


def _say(line: str) -> None:
    print(line, flush=True)


def _remove_leftovers() -> None:
    """A session holds its directory's lock while it lives, however it ends."""
    for root in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with suppress(BlockingIOError), locked(root / "in-use", fcntl.LOCK_EX | fcntl.LOCK_NB):
            vm.down(root, print)
            shutil.rmtree(root)


@pytest.fixture(scope="session")
def machines() -> Iterator[Lab]:
    """The machines ``storage`` and ``app``: kernel, Docker, the image ``busybox``, NFS packages in apt's cache only.

    They belong to all tests: a test removes what it makes, and leaves both running. Those in ``$MNEMO_VM`` outlive
    the session, for whoever is writing a test.
    """
    if kept := os.environ.get("MNEMO_VM"):
        vm.up(Path(kept), NAMES, _say)
        yield Lab(Path(kept))
        return
    _remove_leftovers()
    root = Path(tempfile.mkdtemp(prefix=_PREFIX))
    with locked(root / "in-use"):
        try:
            vm.up(root, NAMES, _say)
            yield Lab(root)
        finally:
            processes = [int(path.read_text()) for path in root.glob(".lab/*/vm/qemu.pid")]
            vm.down(root, print)
            assert [pid for pid in processes if not is_gone(pid)] == []
            assert [path.name for path in root.glob(".lab/*/vm")] == []
            shutil.rmtree(root)


@pytest.fixture(scope="session")
def storage(machines: Lab) -> Iterator[Host]:
    with connected(machines.root, "storage") as host:
        yield host


@pytest.fixture(scope="session")
def app(machines: Lab) -> Iterator[Host]:
    with connected(machines.root, "app") as host:
        yield host


@dataclass
class Connected(Host):
    """A machine asked over one connection that stays: under emulation each new one takes two seconds."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.ssh[1:1] = ["-S", str(self.root / f"{self.name}.ssh")]

    def sh(self, script: str, timeout: float = 300, check: bool = True) -> str:
        if self.control("-O", "check"):  # it ended with the machine's last boot
            self.control("-M", "-N", "-f")
        return super().sh(script, timeout, check)

    def control(self, *words: str) -> int:
        """Not zero: there is no connection; ssh then makes one for each command."""
        quiet = subprocess.DEVNULL
        return subprocess.call([*self.ssh[:-1], *words, self.ssh[-1]], stdin=quiet, stdout=quiet, stderr=quiet)


@contextmanager
def connected(root: Path, name: str) -> Iterator[Host]:
    host = Connected(root, name)
    try:
        yield host
    finally:
        host.control("-O", "exit")
