"""Two virtual machines for all tests of a session; nothing left of them, nor of those of runs that were killed."""

from __future__ import annotations

import fcntl
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from outcomes import Host, Lab

from mnemo_ops.lab import vm
from mnemo_ops.lab.engine import locked
from mnemo_ops.lab.qemu import is_gone

_PREFIX = "mnemo-vm-"
_SECONDS = 900  # the first test waits for the image and the boot


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.lab)
            if not item.get_closest_marker("timeout"):
                item.add_marker(pytest.mark.timeout(_SECONDS))


def _remove_leftovers() -> None:
    """A session holds its directory's lock while it lives, however it ends."""
    for root in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with suppress(BlockingIOError), locked(root / "in-use", fcntl.LOCK_EX | fcntl.LOCK_NB):
            vm.down(root, print)
            shutil.rmtree(root)


@pytest.fixture(scope="session")
def machines() -> Iterator[Lab]:
    """The machines ``storage`` and ``app``: kernel, Docker, the image ``busybox``, NFS packages in apt's cache only.

    They belong to all tests: a test removes what it makes, and leaves both running.
    """
    _remove_leftovers()
    root = Path(tempfile.mkdtemp(prefix=_PREFIX))
    with locked(root / "in-use"):
        try:
            vm.up(root, ["storage", "app"], lambda line: print(line, flush=True))
            yield Lab(root)
        finally:
            processes = [int(path.read_text()) for path in root.glob(".lab/*/vm/qemu.pid")]
            vm.down(root, print)
            assert [pid for pid in processes if not is_gone(pid)] == []
            assert [path.name for path in root.glob(".lab/*")] == []
            shutil.rmtree(root)


@pytest.fixture
def storage(machines: Lab) -> Host:
    return Host(machines.root, "storage")


@pytest.fixture
def app(machines: Lab) -> Host:
    return Host(machines.root, "app")
