"""A directory tree as facts: every entry with owner, mode and content hash, and one digest over all of them."""

from __future__ import annotations

import hashlib
import json
import posixpath
import re
import shlex
from typing import Any, Callable, Dict, Iterator, List, Mapping, Sequence, Tuple

from mnemo_ops.agent.machine import FileStat, Machine
from mnemo_ops.errors import Refused

Tick = Callable[[int], None]
Row = Dict[str, Any]
First = Dict[Tuple[int, int], Row]


def entries(
    machine: Machine,
    root: str,
    exclude: Sequence[str] = (),
    tick: Tick = lambda count: None,
    attributes: bool = True,
) -> Iterator[Row]:
    """Each entry below ``root``, sorted, the root itself first as ``.``: path, kind, mode, uid, gid, and for a file
    size (bytes) and sha256, for a link its target.

    :param exclude: relative paths left out with all below them.
    :param attributes: with what :func:`more` says; listings of older sets lack it.
    """
    first: First = {}
    for path in [root, *below(machine, root, root, exclude)]:
        _held = machine.staying(posixpath.dirname(path))
        found = machine.stat(path)
        if found is None:
            continue
        relative = "." if path == root else posixpath.relpath(path, root)
        row = {"path": relative, "kind": found.kind, "mode": found.mode, "uid": found.uid, "gid": found.gid}
        known = more(machine, path, found, row, first) if attributes else None
        if known:
            row.update(size=known["size"], sha256=known["sha256"])
        elif found.kind == "file":
            row.update(size=found.size, sha256=machine.sha256(path, tick))
        elif found.kind == "link":
            row.update(target=machine.readlink(path))
            row.pop("mode")
        yield row


def more(machine: Machine, path: str, found: FileStat, row: Row, first: First) -> Row:
    """Add to a row ``xattrs`` (name -> sha256), ``special`` and ``same_as`` (an earlier name of the file), each only
    where there is any.

    Times and the flags of chattr(1) are not among them. :param first: files met so far that have several names.
    :returns: the row of that earlier name, or an empty one.
    """
    attributes = machine.xattrs(path)
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
_BESIDE = re.compile(  # what mnemo_ops itself puts beside data, or at the top of a volume; any other name is data
    rf"\.mnemo-(volume|probe|probe-[a-z0-9_]{{8}}|proof-[A-Za-z0-9-]+|[a-z]+(-[0-9]+)?-{_ID}-.+|kept-.+-{_ID})", re.S
)
_HALF = re.compile(r"\.mnemo-([0-9a-f]{12}|new-.+)|.+\.mnemo-link", re.S)  # and where it replaces files
OURS = ".mnemo-"  # how each of them begins
ANYWHERE = OURS + "*"  # in a list of what is left out: names of ours, however deep


def is_ours(name: str) -> bool:
    return _BESIDE.fullmatch(name) is not None


def below(machine: Machine, root: str, directory: str, exclude: Sequence[str] = ()) -> Iterator[str]:
    """Every path below ``directory``, sorted, directories before their content.

    Names of ours at the top of ``root`` are left out, with :data:`ANYWHERE` in ``exclude`` all of them: deep in its
    data an application may call files so, too. So are sockets: they end with their process, tar(1) leaves them out.
    """
    everywhere = ANYWHERE in exclude
    _held = machine.staying(directory)
    for name in machine.names(directory):
        path = f"{directory}/{name}"
        ours = is_ours(name) and (directory == root or everywhere)
        if ours or (everywhere and _HALF.fullmatch(name)) or posixpath.relpath(path, root) in exclude:
            continue
        found = machine.stat(path)
        if found is not None and found.kind == "socket":
            continue
        yield path
        if found is not None and found.kind == "directory":
            yield from below(machine, root, path, exclude)


def summary(rows: Sequence[Mapping[str, Any]]) -> Dict[str, Any]:
    """``files`` (count), ``bytes``, and ``sha256`` over every row."""
    digest = hashlib.sha256()
    files = [row for row in rows if row["kind"] == "file"]
    for row in rows:
        digest.update(json.dumps(row, sort_keys=True).encode() + b"\n")
    return {"files": len(files), "bytes": sum(row["size"] for row in files), "sha256": digest.hexdigest()}


def differences(
    before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]], most: int = 10, where: str = "the set"
) -> List[str]:
    """What differs between two listings, one line an entry, ``most`` lines. :param where: what ``before`` is of."""
    old = {row["path"]: row for row in before}
    new = {row["path"]: row for row in after}
    lines = [f"{path}: missing" for path in old if path not in new]
    lines += [f"{path}: not in {where}" for path in new if path not in old]
    for path in old:
        if path in new and old[path] != new[path]:
            one, other = old[path], new[path]
            keys = [key for key in {**one, **other} if one.get(key) != other.get(key)]
            lines.append(f"{path}: {', '.join(_unlike(key, one.get(key), other.get(key)) for key in keys)}")
    return lines[:most] + ([f"and {len(lines) - most} more"] if len(lines) > most else [])


def _unlike(key: str, one: Any, other: Any) -> str:
    if key != "xattrs":
        return f"{key} {one} != {other}"
    names = sorted({name for name, _ in {*(one or {}).items()} ^ {*(other or {}).items()}})
    return "xattrs " + " ".join(names)


def size(machine: Machine, root: str, exclude: Sequence[str] = ()) -> int:
    """Bytes of all files below ``root``, without reading them."""
    stats = (machine.stat(path) for path in below(machine, root, root, exclude))
    return sum(found.size for found in stats if found is not None and found.kind == "file")


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
