"""Archives: what is in them as rows, which of it is asked for, and how it comes out. tar (gz, bz2, xz) and zip."""

from __future__ import annotations

import fnmatch
import hashlib
import posixpath
import re
import stat as bits
import time
from functools import partial
from typing import IO, Any, Callable, Dict, Iterable, Iterator, List, Mapping, Optional, Sequence, Tuple

from mnemo_ops.agent.machine import CHUNK
from mnemo_ops.agent.record import asdict, dataclass, replace
from mnemo_ops.errors import Refused, StepFailed


@dataclass(frozen=True)
class Member:
    """An entry of an archive. ``name``: as the archive has it; ``sha256`` of a file, ``target`` of a link."""

    name: str
    kind: str
    mode: int
    mtime: float
    size: int = 0
    sha256: str = ""
    target: str = ""
    uid: int = 0
    gid: int = 0
    user: str = ""
    group: str = ""


Content = Callable[[], IO[bytes]]


def opened(file: IO[bytes], said: str) -> Iterator[Tuple[Member, Content]]:
    """Every entry with a function that opens its content, in the archive's order.

    :param said: what to call it in messages. :raises StepFailed: it is not an archive, or a damaged one (6).
    """
    import lzma
    import tarfile
    import zipfile
    import zlib

    try:
        if zipfile.is_zipfile(file):
            yield from _zip(zipfile.ZipFile(file))
            return
        file.seek(0)
        with tarfile.open(fileobj=file, mode="r:*") as archive:
            yield from _tar(archive)
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, zlib.error, lzma.LZMAError) as problem:
        hint = "tar, tar.gz, tar.bz2, tar.xz and zip can be unpacked"
        raise StepFailed(f"{said} is not an archive, or it is damaged: {problem}", hint=hint) from None


def handler(file: IO[bytes]) -> str:
    """Ansible's word for the kind of archive."""
    file.seek(0)
    start = file.read(6)
    file.seek(0)
    words = {b"\x1f\x8b": "TgzArchive", b"BZ": "TarBzipArchive", b"\xfd7": "TarXzArchive", b"PK": "ZipArchive"}
    return words.get(start[:2], "TarArchive")


def _tar(archive: Any) -> Iterator[Tuple[Member, Content]]:
    sizes: Dict[str, int] = {}
    for info in archive:
        kind = "directory" if info.isdir() else "link" if info.issym() else "file"
        if not (info.isdir() or info.issym() or info.isreg() or info.islnk()):
            raise Refused(f"the archive holds the device or pipe {info.name}", hint="leave it out with exclude")
        who = {"uid": info.uid, "gid": info.gid, "user": info.uname, "group": info.gname}
        target = info.linkname if info.issym() else ""
        sizes[info.name] = info.size if info.isreg() else sizes.get(info.linkname, 0)  # a hard link is one more copy
        row = Member(info.name, kind, info.mode & 0o7777, float(info.mtime), sizes[info.name], "", target, **who)
        yield row, partial(archive.extractfile, info)


def _zip(archive: Any) -> Iterator[Tuple[Member, Content]]:
    for info in archive.infolist():
        mode = info.external_attr >> 16
        kind = "directory" if info.is_dir() else "link" if bits.S_ISLNK(mode) else "file"
        usual = 0o755 if kind == "directory" else 0o644
        mtime = time.mktime((*info.date_time, 0, 0, -1))
        target = archive.read(info).decode() if kind == "link" else ""
        row = Member(info.filename, kind, bits.S_IMODE(mode) or usual, mtime, info.file_size, "", target, -1, -1)
        yield row, partial(archive.open, info)


def listed(file: IO[bytes], said: str) -> List[Dict[str, Any]]:
    """Every entry, files with the hash of their content: what a comparison needs, without the archive."""
    rows = []
    for member, content in opened(file, said):
        if member.kind == "file":
            digest = hashlib.sha256()
            with content() as source:
                for chunk in iter(lambda: source.read(CHUNK), b""):
                    digest.update(chunk)
            member = replace(member, sha256=digest.hexdigest())
        rows.append({key: value for key, value in asdict(member).items() if value not in ("", 0)})
    return rows


def members(rows: Iterable[Mapping[str, Any]]) -> List[Member]:
    """The entries :func:`listed` wrote down."""
    return [Member(**{"mode": 0, "mtime": 0.0, **row}) for row in rows]


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
            re.compile(old)
            found = replace(found, transform=(*found.transform, (old, match["new"], "g" in match["flags"])))
        elif name in ("--no-same-owner", "--same-owner"):
            found = replace(found, same_owner=name == "--same-owner")
        elif name == "--numeric-owner":
            found = replace(found, numeric_owner=True)
        elif name not in ("-p", "--preserve-permissions", "--same-permissions", "--wildcards", "--overwrite"):
            known = "--strip-components, --exclude, --transform, --no-same-owner, --numeric-owner"
            raise ValueError(f"extra_opts: {word!r} cannot be honoured here; known are {known}")
    return found


def _basic(pattern: str) -> str:
    r"""sed's basic expression as Python's: ``\(`` groups, ``(`` is itself."""
    return re.sub(r"\\?[(){}+?|]", lambda at: at[0][1:] if at[0][0] == "\\" else "\\" + at[0], pattern)
