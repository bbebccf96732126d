"""A directory tree as facts: every entry with owner, mode and content hash, and one digest over all of them."""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import posixpath
import re
import shlex
from typing import IO, Any, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

from mnemo_ops.agent.machine import CHUNK, FileStat, Machine
from mnemo_ops.errors import Refused

Row = Dict[str, Any]
First = Dict[Tuple[int, int], Row]

SECOND = 10**9  # nanoseconds
# kinds that no archive holds: a socket ends with its process
LEFT_OUT = {"socket": "a socket", "ours": "of mnemo_ops itself"}
# of FS_IOC_GETFLAGS: what a restore brings back; what it names, as nothing could be renamed any more (i, a), or as they
# are not for a file that has content. Others are the file system's own notes
FLAGS = {"s": 1, "u": 2, "c": 4, "S": 8, "d": 0x40, "A": 0x80, "j": 0x4000, "D": 0x10000, "T": 0x20000}
FIXED = {"i": 0x10, "a": 0x20, "V": 0x100000, "C": 0x800000, "x": 0x2000000, "P": 0x20000000, "F": 0x40000000}
BROUGHT_BACK, NOT_BROUGHT_BACK = sum(FLAGS.values()), sum(FIXED.values())
_KINDS_OF_FLAGS = (("flags", FLAGS, BROUGHT_BACK), ("fixed", FIXED, NOT_BROUGHT_BACK))


def entries(
    machine: Machine, root: str, exclude: Sequence[str] = (), attributes: bool = True, times: bool = True
) -> Iterator[Row]:
    """Each entry as :func:`look` has it, files with size (bytes) and sha256.

    :param attributes: with what :func:`more` says. :param times: and with what :func:`look` says; listings of older
        sets lack these.
    """
    room = memoryview(bytearray(CHUNK))
    for _, row, known, file in look(machine, root, exclude, attributes, times):
        if known:
            row["sha256"] = known["sha256"]
        elif file:
            row["sha256"] = _sha256(file, room)
        yield row


def _sha256(file: io.FileIO, room: memoryview) -> str:
    digest = hashlib.sha256()
    while count := file.readinto(room):
        digest.update(room[:count])
    return digest.hexdigest()


def look(
    machine: Machine, root: str, exclude: Sequence[str] = (), attributes: bool = True, times: bool = True
) -> Iterator[Tuple[str, Row, Row, Optional[io.FileIO]]]:
    """Each entry below ``root``, sorted, the root itself first as ``.``, without what has to be read: its path; its
    row with path, kind, mode, uid, gid, for a file size (bytes), for a link its target; the row of an earlier name;
    a file, open until the next one is asked for.

    :param exclude: relative paths left out with all below them.
    :param attributes: with what :func:`more` says.
    :param times: with mtime (nanoseconds), ``flags`` of chattr(1) that a restore brings back, ``fixed`` (those that it
        does not), and an entry for whatever no archive holds (:data:`LEFT_OUT`).
    """
    first: First = {}
    top = machine.stat(root)
    every = [(root, top.kind, top)] if top else []
    for path, kind, found in itertools.chain(every, _walk(machine, root, root, exclude)):
        row: Row = {"path": path[len(root) + 1 :] or ".", "kind": kind, "uid": found.uid, "gid": found.gid}
        if kind in LEFT_OUT:
            if times:
                yield path, row, {}, None
            continue
        if kind == "link":
            row["target"] = machine.readlink(path)
        else:
            row["mode"] = found.mode
        if times:
            row["mtime"] = found.mtime_ns
        file = None
        if kind == "file":
            row["size"] = found.size
            try:
                file = io.FileIO(machine.opened(path, strict=False, follow=False))
            except FileNotFoundError:  # removed meanwhile
                continue
        try:
            known = more(machine, path, found, row, first, file) if attributes else {}
            flags = machine.flags(path, file) if times and kind in ("file", "directory") else 0
            for key, letters, bits in _KINDS_OF_FLAGS if flags else ():
                if flags & bits:
                    row[key] = "".join(letter for letter, bit in letters.items() if flags & bit)
            yield path, row, known, file
        finally:
            if file:
                file.close()


def more(machine: Machine, path: str, found: FileStat, row: Row, first: First, file: Optional[IO[bytes]] = None) -> Row:
    """Add to a row ``xattrs`` (name -> sha256), ``special`` and ``same_as`` (an earlier name of the file), each only
    where there is any.

    Times and the flags of chattr(1) are not among them. :param first: files met so far that have several names.
    :returns: the row of that earlier name, or an empty one.
    """
    attributes = machine.xattrs(path, file)
    if attributes:
        row["xattrs"] = {name: hashlib.sha256(value.encode()).hexdigest() for name, value in attributes.items()}
    if found.kind == "other":
        row["special"] = machine.special(path)
    inode = machine.inode(path) if found.nlink > 1 and found.kind != "directory" else None
    known = first.setdefault((inode.st_dev, inode.st_ino), row) if inode else row
    if known is row:
        return {}
    row["same_as"] = known["path"]
    return known if found.kind == "file" else {}


_ID = "[0-9]{8}[Tt][0-9]{6}[Zz]-[0-9a-f]{4}"  # of a run
_BESIDE = re.compile(rf"\.mnemo-([a-z]+(-[0-9]+)?-{_ID}-.+|kept-.+-{_ID})", re.S)  # what mnemo_ops puts beside data
_WITHIN = re.compile(r"\.mnemo-(volume|probe|probe-[a-z0-9_]{8}|proof-[A-Za-z0-9-]+)")  # and at the top of a volume
OURS = ".mnemo-"  # how each of them begins; any other such name is data


def is_ours(name: str) -> bool:
    return bool(_BESIDE.fullmatch(name) or _WITHIN.fullmatch(name))


def _beside(name: str, datasets: Tuple[str, ...]) -> bool:
    """Whether it is of a restore, or of a move that keeps the old volume. :param datasets: ends of such names."""
    return bool(_BESIDE.fullmatch(name)) and (name.endswith(datasets) or name.startswith(OURS + "kept-"))


def below(machine: Machine, root: str, directory: str, exclude: Sequence[str] = ()) -> Iterator[str]:
    """Every path below ``directory`` that an archive holds, sorted, directories before their content."""
    return (path for path, kind, _ in _walk(machine, root, directory, exclude) if kind not in LEFT_OUT)


def _walk(machine: Machine, root: str, directory: str, exclude: Sequence[str]) -> Iterator[Tuple[str, str, FileStat]]:
    """Path and kind of everything below ``directory``; names of ours have the kind ``ours``, and end there.

    They are at the top of ``root``, and beside what ``exclude`` names: deep in its data an application may call files
    so, too.
    """
    _held = machine.staying(directory)
    around = [posixpath.split(f"{root}/{each}") for each in exclude]
    datasets = tuple(f"-{name}" for place, name in around if place == directory)
    for name in machine.names(directory):
        path = f"{directory}/{name}"
        found = None if path[len(root) + 1 :] in exclude else machine.stat(path)
        if found is None:
            continue
        ours = is_ours(name) if directory == root else datasets and _beside(name, datasets)
        yield path, "ours" if ours else found.kind, found
        if found.kind == "directory" and not ours:
            yield from _walk(machine, root, path, exclude)


def summary(rows: Sequence[Mapping[str, Any]]) -> Dict[str, Any]:
    """``files`` (count), ``bytes``, ``sha256`` over every row, ``times`` (of nanoseconds alone: not every file system
    has them), and what an archive does not hold: ``left_out``, paths and why."""
    digest, times = hashlib.sha256(), hashlib.sha256()
    held = [row for row in rows if row["kind"] not in LEFT_OUT]
    files = [row for row in held if row["kind"] == "file"]
    for row in held:
        kept = {key: value for key, value in row.items() if key != "fixed"}
        if "mtime" in row:
            kept["mtime"], rest = divmod(row["mtime"], SECOND)
            times.update(b"%d\n" % rest)
        digest.update(json.dumps(kept, sort_keys=True).encode() + b"\n")
    why = [(row["path"], LEFT_OUT[row["kind"]]) for row in rows if row["kind"] in LEFT_OUT]
    why += [(row["path"], f"flags +{row['fixed']} of chattr") for row in rows if "fixed" in row]
    left = [f"{path if path.isprintable() else ascii(path)} ({reason})" for path, reason in why]
    told = {"files": len(files), "bytes": sum(row["size"] for row in files), "sha256": digest.hexdigest()}
    return {**told, "times": times.hexdigest(), **({"left_out": _most(left, 20)} if left else {})}


def coarse(rows: Sequence[Mapping[str, Any]]) -> bool:
    """Whether these lie on a file system without nanoseconds: its times are compared by seconds."""
    return not any(row.get("mtime", 0) % 100 for row in rows)


def differences(
    before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]], most: int = 10, where: str = "the backup"
) -> List[str]:
    """What differs between two listings, one line an entry, ``most`` lines. :param where: what ``before`` is of."""
    old, new = ({row["path"]: row for row in rows if row["kind"] not in LEFT_OUT} for rows in (before, after))
    grain = SECOND if coarse(after) else 1
    lines = [f"{path}: missing" for path in old if path not in new]
    lines += [f"{path}: not in {where}" for path in new if path not in old]
    for path in old:
        one, other = old[path], new.get(path, old[path])
        keys = [key for key in {**one, **other} if key != "fixed" and one.get(key) != other.get(key)]
        if "mtime" in keys and one.get("mtime", 0) // grain == other.get("mtime", 0) // grain:
            keys.remove("mtime")
        if keys:
            lines.append(f"{path}: {', '.join(_unlike(key, one.get(key), other.get(key)) for key in keys)}")
    return _most(lines, most)


def _most(lines: List[str], most: int) -> List[str]:
    return lines[:most] + ([f"and {len(lines) - most} more"] if len(lines) > most else [])


def _unlike(key: str, one: Any, other: Any) -> str:
    if key != "xattrs":
        return f"{key} {one} != {other}"
    names = sorted({name for name, _ in {*(one or {}).items()} ^ {*(other or {}).items()}})
    return "xattrs " + " ".join(names)


def extent(machine: Machine, root: str, exclude: Sequence[str] = ()) -> Dict[str, int]:
    """``files`` (count) and ``bytes`` of all files below ``root``, without reading them."""
    sizes = [found.size for _, kind, found in _walk(machine, root, root, exclude) if kind == "file"]
    return {"files": len(sizes), "bytes": sum(sizes)}


def size(machine: Machine, root: str, exclude: Sequence[str] = ()) -> int:
    """Bytes of all files below ``root``, without reading them."""
    return extent(machine, root, exclude)["bytes"]


def refuse_fixed(machine: Machine, root: str) -> None:
    """:raises Refused: what nobody may rename or remove is there (chattr +i or +a), and it is to give way (3)."""
    found = []
    for path in [posixpath.dirname(root), root, *below(machine, root, root)]:
        one = machine.stat(path)
        if one is not None and one.kind in ("file", "directory") and machine.is_fixed(path):
            found.append(path)
    if found:
        many = f" and {len(found) - 3} more" if len(found) > 3 else ""
        raise Refused(
            f"immutable or append-only, so that it can neither be replaced nor moved: {', '.join(found[:3])}{many}",
            hint=f"chattr -i -a {' '.join(map(shlex.quote, found[:3]))}",
        )
