"""A directory as an archive, hashed while it is archived: what :mod:`~mnemo_ops.agent.files.listing` compares."""

from __future__ import annotations

import hashlib
import io
from typing import Any, Generator, Iterator, List, Mapping, Sequence, Union

from mnemo_ops.agent.base.progress import Deed, Progress
from mnemo_ops.agent.files import listing as tree
from mnemo_ops.agent.files.tar_headers import BLOCK, header
from mnemo_ops.agent.machine import CHUNK, Machine
from mnemo_ops.agent.machine.holes import Spans, spans
from mnemo_ops.agent.machine.reading import ATTRIBUTES, OF_THE_HOST
from mnemo_ops.errors import Broken

# tar's own choice is to bring back those of users only. Not --acls, which writes names of users, whose numbers are
# others on another host, and so opens a file to somebody else: as attributes access lists hold numbers
KEEPING = (
    *("--numeric-owner", "--no-acls", "--xattrs"),
    *(f"--xattrs-include={name}*" for name in ATTRIBUTES),
    *(f"--xattrs-exclude={name}" for name in OF_THE_HOST),
)
FLAGS = "trusted.mnemo_flags"  # an attribute in archives alone: flags of chattr(1), which tar does not know
Rows = List[tree.Row]
Piece = Union[bytes, memoryview]


def pack(
    machine: Machine, where: str, exclude: Sequence[str], through: Sequence[str], to: str, total: int, note: str
) -> Generator[Progress, None, Rows]:
    """Archive what is below ``where`` through a program that takes ``-o``. :param total: bytes to expect.

    It is on the disk once the caller has synced it: that can wait until the stack serves again.

    :returns: what it holds, as listed. :raises Broken: a file changes meanwhile (6).
    """
    rows: Rows = []
    yield from machine.fed([*through, "-o", to], _archived(machine, where, exclude, rows), total, note)
    return rows


def unpack(machine: Machine, through: Sequence[str], to: str, note: str) -> Deed:
    """Bring an archive back into an empty directory. :param through: the program that writes it to its stdout."""
    machine.drop_access_lists(to)  # what is made in it would inherit those it has of its parent, and flags
    machine.set_flags(to, 0, tree.BROUGHT_BACK)
    extract = ["tar", "--extract", "--directory", to, *KEEPING, "--preserve-permissions", "--file=-"]
    said = yield from machine.joined(through, extract, note)
    if FLAGS in machine.xattrs(to):
        for path in [*tree.below(machine, to, to), to]:
            letters = machine.xattrs(path).get(FLAGS)
            if letters is not None:
                bits = sum(tree.FLAGS[letter] for letter in bytes.fromhex(letters).decode())
                machine.set_flags(path, bits, tree.BROUGHT_BACK, instead=FLAGS)
    return said


def _archived(machine: Machine, where: str, exclude: Sequence[str], rows: Rows) -> Iterator[Piece]:
    """Each piece is to be used before the next one is asked for: all are read into the same room."""
    room = memoryview(bytearray(CHUNK))
    for path, row, known, file in tree.look(machine, where, exclude):
        if file and not known:
            yield from _content(machine, path, row, file, room)
        elif row["kind"] not in tree.LEFT_OUT:
            row.update({"sha256": known["sha256"]} if known else {})
            yield _header(machine, path, row, [])
        rows.append(row)
    if any("flags" in row for row in rows):  # a restore need not look for them elsewhere
        yield _header(machine, where, {"flags": "", **rows[0]}, [])
    yield bytes(2 * BLOCK)


def _header(machine: Machine, path: str, row: Mapping[str, Any], found: Spans) -> bytes:
    to = "./" + row["same_as"] if "same_as" in row else row.get("target", "")
    attributes = machine.xattrs(path, exact=True) if "xattrs" in row else {}
    if "flags" in row:
        attributes[FLAGS] = row["flags"].encode().hex()
    target = machine.encoded(to) if to else b""
    return header(row, machine.encoded("./" + row["path"]), target, attributes, found)


def _content(machine: Machine, path: str, row: tree.Row, file: io.FileIO, room: memoryview) -> Iterator[Piece]:
    """:raises Broken: it is not what was listed (6)."""
    digest, size = hashlib.sha256(), row["size"]
    found = spans(file, size)
    yield _header(machine, path, row, found)
    at = held = 0
    for start, length in found or [(0, size)]:
        while at < start:
            step = min(CHUNK, start - at)
            digest.update(bytes(step))
            at += step
        if found:
            file.seek(start)
        while at < start + length and (count := file.readinto(room[: start + length - at])):
            digest.update(room[:count])
            yield room[:count]
            at += count
            held += count
    now = machine.stat_of(file)
    if (at, now.size, now.mtime_ns) != (size, size, row["mtime"]):
        raise Broken(f"{path} changed while it was read", hint="stop what writes to it and try again")
    yield bytes(-held % BLOCK)
    row["sha256"] = digest.hexdigest()
