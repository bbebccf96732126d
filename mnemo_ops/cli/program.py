"""The namespace of all tasks, for ``tasks.py`` and for the console script ``mnemo-ops``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from invoke.collection import Collection
from invoke.exceptions import Exit, ParseError
from invoke.program import Program

from mnemo_ops import __version__
from mnemo_ops.cli import hosts, lab, provision, secrets, stack, storage
from mnemo_ops.errors import UsageError


def namespace() -> Collection:
    """Every task under the name cli.md gives it."""
    root = Collection()
    for task in (provision.bootstrap, provision.docker_install, storage.volumes, provision.play):
        root.add_task(task)
    root.add_task(storage.nfs_setup)
    for task in (provision.docs, provision.schema):
        root.add_task(task)
    for task in (stack.deploy, stack.restore, stack.migrate):
        root.add_task(task)
    root.add_collection(_collection("backup", [stack.backup_list], default=stack.backup_create))
    root.add_collection(_collection("hosts", [hosts.trust]))
    vault = [secrets.encrypt, secrets.encrypt_string, secrets.decrypt, secrets.edit, secrets.view, secrets.rekey]
    root.add_collection(_collection("secrets", [*vault, secrets.check]))
    root.add_collection(_collection("lab", [lab.up, lab.down, lab.status, lab.ssh]))
    return root


def _collection(name: str, tasks: list[Any], default: Any = None) -> Collection:
    found = Collection(name)
    if default is not None:
        found.add_task(default, default=True)
    for task in tasks:
        found.add_task(task)
    return found


class _Program(Program):
    """A word it does not know is a usage error (2), not invoke's 1."""

    def parse_core(self, argv: Any) -> None:
        with _usage():
            super().parse_core(argv)

    def parse_tasks(self) -> None:
        with _usage():
            super().parse_tasks()


@contextmanager
def _usage() -> Iterator[None]:
    try:
        yield
    except ParseError as error:
        raise Exit(f"ERROR {error}\n  -> mnemo-ops --list", UsageError.exit_code) from None


def main() -> None:
    """Entry point of ``mnemo-ops``."""
    _Program(name="mnemo-ops", binary="mnemo-ops", version=__version__, namespace=namespace()).run()
