"""A directory tree as facts: every entry with owner, mode and content hash, and one digest over all of them."""

from __future__ import annotations

import hashlib
import json
import posixpath
from typing import Any, Callable, Dict, Iterator, List, Mapping, Sequence

from mnemo_ops.agent.machine import Machine

Tick = Callable[[int], None]


def entries(
    machine: Machine, root: str, exclude: Sequence[str] = (), tick: Tick = lambda count: None
) -> Iterator[Dict[str, Any]]:
    """Each entry below ``root``, sorted, the root itself first as ``.``: path, kind, mode, uid, gid, and for a file
    size (bytes) and sha256, for a link its target.

    :param exclude: relative paths left out with all below them.
    """
    for path in [root, *below(machine, root, root, exclude)]:
        found = machine.stat(path)
        if found is None:
            continue
        relative = "." if path == root else posixpath.relpath(path, root)
        row = {"path": relative, "kind": found.kind, "mode": found.mode, "uid": found.uid, "gid": found.gid}
        if found.kind == "file":
            row.update(size=found.size, sha256=machine.sha256(path, tick))
        elif found.kind == "link":
            row.update(target=machine.readlink(path))
            row.pop("mode")
        yield row


OURS = ".mnemo-"  # names that mnemo_ops itself puts beside data: never part of it
ANYWHERE = OURS + "*"  # and where files are replaced, anywhere; deep in its data an application may call files so, too


def below(machine: Machine, root: str, directory: str, exclude: Sequence[str] = ()) -> Iterator[str]:
    """Every path below ``directory``, sorted, directories before their content.

    Names of ours at the top of ``root`` are left out, with :data:`ANYWHERE` in ``exclude`` all of them. So are sockets:
    they end with their process, and tar(1) leaves them out, too.
    """
    for name in machine.names(directory):
        path = f"{directory}/{name}"
        ours = name.startswith(OURS) and (directory == root or ANYWHERE in exclude)
        if ours or posixpath.relpath(path, root) in exclude:
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
            lines.append(f"{path}: {', '.join(f'{key} {one.get(key)} != {other.get(key)}' for key in keys)}")
    return lines[:most] + ([f"and {len(lines) - most} more"] if len(lines) > most else [])


def size(machine: Machine, root: str, exclude: Sequence[str] = ()) -> int:
    """Bytes of all files below ``root``, without reading them."""
    stats = (machine.stat(path) for path in below(machine, root, root, exclude))
    return sum(found.size for found in stats if found is not None and found.kind == "file")
