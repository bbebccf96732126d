"""Files that a host tells of, made on this machine: below one directory, whatever it says, and never over others."""

from __future__ import annotations

import contextlib
import os
import posixpath
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mnemo_ops.agent.base.record import dataclass
from mnemo_ops.agent.stack.adoption.beside import MANY
from mnemo_ops.core.paths import shown
from mnemo_ops.core.visible import in_a_line
from mnemo_ops.errors import Refused, UsageError, reason
from mnemo_ops.stack.project import ignoring
from mnemo_ops.stack.project.selection import IGNORE

LARGEST = 64 << 20  # bytes of all files together
SHOWN = 5


@dataclass(frozen=True)
class Made:
    """A file, directory or link to make.

    :param path: below the target. :param data: of a file; of a link what it leads to.
    """

    path: str
    kind: str
    mode: int
    data: bytes = b""


def chosen(target: Path, rows: Sequence[Mapping[str, Any]], needed: Sequence[str]) -> list[Mapping[str, Any]]:
    """Those rows that are copied: not what ``.mnemoignore`` in the target names, nor what lies below a link.

    :param needed: paths that travel whatever ignores them. :raises Refused: they are too large; names the largest (3).
    """
    if len(rows) > 2 * MANY:
        raise Refused(f"the host tells of {len(rows)} files, and its agent of {MANY} at most")
    ignored = ignoring.read(target / IGNORE)
    folders = {row["path"] for row in rows if row["kind"] == "directory"}
    folders |= {each for path in needed for each in _around(path)}
    found: dict[str, Mapping[str, Any]] = {}
    for row in rows:
        path = row["path"]
        own = path == IGNORE and (target / IGNORE).exists()  # somebody wrote it here, for this
        out = own or (ignored(path) and path not in needed) or (row["kind"] != "directory" and path in folders)
        if not out and path not in found and all(each in folders for each in _around(path)):
            found[path] = row
    files = sorted((row for row in found.values() if row["kind"] == "file"), key=lambda row: -int(row["bytes"]))
    total = sum(int(row["bytes"]) for row in files)
    if total > LARGEST:
        named = ", ".join(f"{in_a_line(row['path'])} ({int(row['bytes']) / 1e6:.1f} MB)" for row in files[:SHOWN])
        raise Refused(
            f"the project's files are {total / 1e6:.0f} MB, and at most {LARGEST / 1e6:.0f} MB are copied: {named}",
            hint=f"name what need not be here in {shown(target / IGNORE)}, a line for each, as in a .dockerignore",
        )
    return list(found.values())


def _around(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:end]) for end in range(1, len(parts))]


def leads_out(path: str, target: str) -> bool:
    """Whether a link may lead out of the directory: by what it says, wherever other links lead."""
    parts = target.split("/")
    ups = next((at for at, part in enumerate(parts) if part != ".."), len(parts))
    return target == "" or target.startswith("/") or ".." in parts[ups:] or ups > path.count("/") or "\0" in target


def missing(target: Path, made: Sequence[Made]) -> list[Made]:
    """What is not there yet. :raises UsageError: something else is in the place of one; nothing was written (2)."""
    others = [each.path for each in made if _is_other(target, each)]
    if others:
        more = f" and {len(others) - SHOWN} more" if len(others) > SHOWN else ""
        raise UsageError(
            f"{shown(target)} holds other files than the host: {', '.join(map(in_a_line, others[:SHOWN]))}{more}",
            hint="adopt writes over nothing: name another directory with --out, or move this one away",
        )
    return [each for each in made if not os.path.lexists(target / each.path)]


def _is_other(target: Path, each: Made) -> bool:
    path = target / each.path
    if any((target / one).is_symlink() for one in _around(each.path)):
        return True
    if not os.path.lexists(path):
        return False
    mode = path.lstat().st_mode
    if each.kind == "link":
        return not stat.S_ISLNK(mode) or os.fsencode(path.readlink()) != each.data
    if each.kind == "directory":
        return not stat.S_ISDIR(mode)
    return not stat.S_ISREG(mode) or path.read_bytes() != each.data


def make(target: Path, made: Sequence[Made]) -> None:
    """Make them: directories, files, links; a directory gets its mode when all is in it. The target is its owner's.

    :raises UsageError: something cannot be written (2).
    """
    try:
        target.mkdir(mode=0o700, parents=True, exist_ok=True)
        folders = [each for each in made if each.kind == "directory"]
        for each in folders:
            (target / each.path).mkdir(mode=0o700, exist_ok=True)
        for each in made:
            if each.kind == "file":
                (target / posixpath.dirname(each.path)).mkdir(mode=0o700, parents=True, exist_ok=True)
                new_file(target / each.path, each.data, each.mode | 0o400)
        for each in made:
            if each.kind == "link":
                (target / each.path).symlink_to(os.fsdecode(each.data))
        for each in folders:
            (target / each.path).chmod(each.mode & 0o777 | 0o700)
    except OSError as problem:
        where = shown(Path(os.fsdecode(problem.filename or target)))
        raise UsageError(f"{where} cannot be written: {reason(problem)}") from None


def new_file(path: Path, data: bytes, mode: int) -> None:
    """A whole file that was not there. :raises OSError: it is there by now, or cannot be written."""
    temporary = path.with_name(f".{os.urandom(8).hex()}.partial")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            os.fchmod(file.fileno(), mode & 0o777)
            file.flush()
            os.fsync(file.fileno())
        os.link(temporary, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
