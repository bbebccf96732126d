"""Which entries of an archive are asked for, where each goes below the destination, and what must not be there."""

from __future__ import annotations

import fnmatch
import posixpath
import re
from typing import Dict, Mapping, Optional, Sequence, Set, Tuple

from mnemo_ops.agent.base.record import dataclass, replace
from mnemo_ops.agent.files.archive import Member
from mnemo_ops.agent.machine import Machine
from mnemo_ops.errors import Refused


@dataclass(frozen=True)
class Selection:
    """Which entries are asked for, and under which names.

    :param strip: leading parts of names to drop. :param include: names, with all below them; none: all.
    :param exclude: patterns of names, or of parts of them. :param transform: pattern and replacement for names.
    """

    strip: int = 0
    include: Tuple[str, ...] = ()
    exclude: Tuple[str, ...] = ()
    transform: Tuple[Tuple[str, str, bool], ...] = ()
    same_owner: bool = True
    numeric_owner: bool = False

    def name(self, member: Member) -> Optional[str]:
        """Path below the destination (``.`` is itself); ``None``: not asked for. :raises Refused: it leads out."""
        clean = posixpath.normpath(member.name.lstrip("/"))
        if self.include and not any(_below(clean, one) for one in self.include):
            return None
        if any(_excludes(pattern, clean) for pattern in self.exclude):
            return None
        for pattern, replacement, everywhere in self.transform:
            clean = posixpath.normpath(re.sub(pattern, replacement, clean, count=0 if everywhere else 1) or ".")
        parts = clean.split("/")
        if ".." in parts:
            raise Refused(f"the archive's entry {member.name} leads out of its directory", hint="do not unpack it")
        if self.strip >= len(parts):
            return None
        return "/".join(parts[self.strip :]) if not (self.strip and clean == ".") else None


def placed(rows: Sequence[Member], chosen: Selection) -> Dict[str, int]:
    """Path below the destination -> the row that is to be there: of several with one name the last.

    :raises Refused: it leads out, or an entry lies below one that is no directory: it would pass a link (3).
    """
    found: Dict[str, int] = {}
    for number, member in enumerate(rows):
        name = chosen.name(member)
        if name is not None:
            found[name] = number
    others = {name for name, number in found.items() if rows[number].kind != "directory"}
    for name, number in found.items():
        above = _first_above(name, others)
        if above is not None:
            raise Refused(
                f"the archive's entry {rows[number].name} would be written through its {rows[found[above]].kind} "
                f"{rows[found[above]].name}",
                hint="do not unpack it",
            )
    return found


def _first_above(name: str, others: Set[str]) -> Optional[str]:
    """Of ``others`` the one that ``name`` lies below; ``.`` is above all, and may be nothing but a directory."""
    if "." in others:
        return "."
    end = name.find("/")
    while end >= 0:
        if name[:end] in others:
            return name[:end]
        end = name.find("/", end + 1)
    return None


def refuse_outside(machine: Machine, dest: str, path: str) -> None:
    """:raises Refused: a link of the host's leads out of ``dest`` on the way to ``path`` or at its end (3)."""
    inside, real = machine.realpath(dest), machine.realpath(path)
    if real != inside and not real.startswith(inside.rstrip("/") + "/"):
        raise Refused(
            f"{path} leads to {real}, out of the directory to unpack into",
            hint="remove the link, or exclude what is below it",
        )


def refuse_full(machine: Machine, dest: str, said: str, left: Mapping[str, Member]) -> None:
    """:raises Refused: what is left to unpack of the archive ``said`` does not fit; nothing was written (3)."""
    need = new = 0
    for path, member in left.items():
        old = machine.stat(path)
        new += old is None
        need += max(0, member.size - (old.size if old is not None else 0))
    free, inodes = machine.free_bytes(dest), machine.free_inodes(dest)
    if need > free or (inodes is not None and new > inodes):
        raise Refused(
            f"{said} would add {new} names and {need} bytes to {dest}, where {free} bytes are free",
            hint="free some space first",
        )


def _below(name: str, wanted: str) -> bool:
    wanted = posixpath.normpath(wanted)
    return name == wanted or name.startswith(wanted + "/") or fnmatch.fnmatchcase(name, wanted)


def _excludes(pattern: str, name: str) -> bool:
    """As tar's ``--exclude``: a pattern for a name, or for any of its parts."""
    pattern = pattern.rstrip("/").lstrip("./") or pattern
    parts = name.split("/")
    ends = ("/".join(parts[first:last]) for first in range(len(parts)) for last in range(first + 1, len(parts) + 1))
    return any(fnmatch.fnmatchcase(end, pattern) for end in ends)


_SED = re.compile(r"s(?P<sep>[^\w\s\\])(?P<old>.*?)(?P=sep)(?P<new>.*?)(?P=sep)(?P<flags>[gx]*)")


def selection(options: Sequence[str], include: Sequence[str], exclude: Sequence[str]) -> Selection:
    """What options of tar mean. :raises ValueError: one that has no meaning here."""
    found = Selection(include=tuple(include), exclude=tuple(exclude))
    words = iter(options)
    for word in words:
        name, sign, value = word.partition("=")
        if name in ("--strip-components", "--strip", "--exclude", "--transform", "--xform") and not sign:
            value = next(words, "")
        if name in ("--strip-components", "--strip") and value.isdigit():
            found = replace(found, strip=int(value))
        elif name == "--exclude" and value:
            found = replace(found, exclude=(*found.exclude, value))
        elif name in ("--transform", "--xform") and (match := _SED.fullmatch(value)):
            old = match["old"] if "x" in match["flags"] else _basic(match["old"])
            try:
                re.sub(old, match["new"], "")
            except (re.error, IndexError) as problem:
                raise ValueError(f"extra_opts: {word!r}: {problem}") from None
            found = replace(found, transform=(*found.transform, (old, match["new"], "g" in match["flags"])))
        elif name in ("--no-same-owner", "--same-owner"):
            found = replace(found, same_owner=name == "--same-owner")
        elif name == "--numeric-owner":
            found = replace(found, numeric_owner=True)
        elif name not in ("-p", "--preserve-permissions", "--same-permissions", "--wildcards", "--overwrite"):
            known = "--strip-components, --exclude, --transform, --no-same-owner, --numeric-owner"
            raise ValueError(f"extra_opts: {word!r} is not supported; valid: {known}")
    return found


def _basic(pattern: str) -> str:
    r"""sed's basic expression as Python's: ``\(`` groups, ``(`` is itself."""
    return re.sub(r"\\?[(){}+?|]", lambda at: at[0][1:] if at[0][0] == "\\" else "\\" + at[0], pattern)
