"""A directory as an archive: exactly what was listed, with all that :mod:`~mnemo_ops.agent.files.listing` compares."""

from __future__ import annotations

from typing import Any, Iterable, Mapping, Sequence

from mnemo_ops.agent.base.progress import Deed
from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.machine.reading import ATTRIBUTES, OF_THE_HOST

# tar's own choice is to bring back those of users only. Not --acls, which writes names of users, whose numbers are
# others on another host, and so opens a file to somebody else: as attributes access lists hold numbers
KEEPING = (
    *("--numeric-owner", "--no-acls", "--xattrs"),
    *(f"--xattrs-include={name}*" for name in ATTRIBUTES),
    *(f"--xattrs-exclude={name}" for name in OF_THE_HOST),
)


def pack(
    machine: Machine,
    where: str,
    rows: Iterable[Mapping[str, Any]],
    through: Sequence[str],
    to: str,
    total: int,
    note: str,
) -> Deed:
    """Archive the entries that ``rows`` name through a program that takes ``-o``. :param total: bytes of their files.

    It is on the disk once the caller has synced it: that can wait until the stack serves again.

    A list, not patterns: a name with a ``*`` is only a name, and what is made meanwhile is not part of it.
    """
    create = ["tar", "--create", "--directory", where, *KEEPING, "--sparse", "--format=posix", "--no-recursion"]

    def written() -> int:
        found = machine.stat(to)
        return found.size if found else 0

    with machine.spool() as names:
        for row in rows:
            names.write(machine.encoded("./" + row["path"]) + b"\0")
        names.seek(0)
        argv = [*create, "--null", "--files-from=-", "--file=-"]
        yield from machine.joined(argv, [*through, "-o", to], note, source=names, done=written, total=total)
    return {}


def unpack(machine: Machine, through: Sequence[str], to: str, note: str) -> Deed:
    """Bring an archive back into an empty directory. :param through: the program that writes it to its stdout."""
    machine.drop_access_lists(to)  # what is made in it would inherit those it has of its parent
    extract = ["tar", "--extract", "--directory", to, *KEEPING, "--preserve-permissions", "--file=-"]
    return (yield from machine.joined(through, extract, note))
