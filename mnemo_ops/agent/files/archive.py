"""Archives: what is in them, as rows, and the content of their files. tar (gz, bz2, xz) and zip.

Whoever made one may be hostile, so nothing of it is believed: what its readers stumble over is damage, a link is only a
name, and an archive that unpacks to far more than it is read from is a bomb.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import posixpath
import stat as bits
import time
from functools import partial
from typing import IO, Any, Callable, ContextManager, Dict, Iterable, Iterator, List, Mapping, Tuple

from mnemo_ops.agent.base.record import asdict, dataclass, replace
from mnemo_ops.agent.machine import CHUNK
from mnemo_ops.errors import MnemoError, Refused, StepFailed, reason

LONGEST = 4096  # bytes of a name or of a link's target (PATH_MAX)
HARMLESS = 1 << 30  # bytes that any archive may unpack to,
EXPANDS = 2000  # and how many times its own size a larger one may: gzip itself reaches half of that
GULP = 16 * CHUNK  # bytes that a header of a tar may have
LAST_DATE = 1 << 40  # seconds since the epoch; file systems end long before


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


Content = Callable[[], ContextManager[Any]]  # something to ``read`` from


def opened(file: IO[bytes], said: str) -> Iterator[Tuple[Member, Content]]:
    """Every entry with a function that opens its content, in the archive's order.

    :param said: what to call it in messages. :raises StepFailed: it is not an archive, or a damaged one (6).
    :raises Refused: it holds a device, a hard link to what is not in it, or unpacks to far more than it may (3).
    """
    most = max(HARMLESS, EXPANDS * file.seek(0, io.SEEK_END))
    with _readable(said):
        for member, content in _entries(file, most, said):
            _believable(member)
            most -= member.size
            if most < 0:
                raise _bomb(said)
            yield member, partial(_content, content, said)


def listed(file: IO[bytes], said: str) -> List[Dict[str, Any]]:
    """Every entry, files with the hash of their content: what a comparison needs, without the archive."""
    rows = []
    for member, content in opened(file, said):
        if member.kind == "file":
            digest, size = hashlib.sha256(), 0
            with content() as source:
                for chunk in iter(lambda: source.read(CHUNK), b""):
                    digest.update(chunk)
                    size += len(chunk)
            member = replace(member, size=size, sha256=digest.hexdigest())
        rows.append({key: value for key, value in asdict(member).items() if value not in ("", 0)})
    return rows


def members(rows: Iterable[Mapping[str, Any]]) -> List[Member]:
    """The entries :func:`listed` wrote down."""
    return [Member(**{"name": "", "mode": 0, "mtime": 0.0, **row}) for row in rows]


# -- what is not believed ------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _readable(said: str) -> Iterator[None]:
    """Whatever Python's readers of archives stumble over in one is damage; the list of that has no end."""
    try:
        yield
    except MnemoError:
        raise
    except Exception as problem:
        hint = "tar, tar.gz, tar.bz2, tar.xz and zip can be unpacked"
        raise StepFailed(f"{said} is not an archive, or it is damaged: {reason(problem)}", hint=hint) from None


def _believable(member: Member) -> None:
    """:raises ValueError: no system knows such an entry."""
    for text in (member.name, member.target):
        if "\0" in text or len(text) > LONGEST:
            raise ValueError(f"no file can have the name or target {text[:40]!r}...")
    for number, least, end in (
        (member.size, 0, 1 << 63),
        (member.uid, -1, (1 << 32) - 1),
        (member.gid, -1, (1 << 32) - 1),
        (member.mtime, -LAST_DATE, LAST_DATE),
    ):
        if not least <= number < end:  # so is not-a-number
            raise ValueError(f"the size, owner or date {number} of {member.name[:255]}")


def _bomb(said: str) -> Refused:
    return Refused(
        f"{said} unpacks to more than {HARMLESS >> 30} GiB and {EXPANDS} times its own size",
        hint="do not unpack it; if you trust it, unpack it with tar in a command task",
    )


@contextlib.contextmanager
def _content(opening: Callable[[], IO[bytes]], said: str) -> Iterator[Any]:
    with _readable(said):
        file = opening()
    with file:
        yield _Guarded(file, said)


class _Guarded:
    """The content of an entry, which may turn out to be damaged anywhere; errors of who writes it are not its own."""

    def __init__(self, file: IO[bytes], said: str) -> None:
        self._file, self._said = file, said

    def read(self, size: int) -> bytes:
        with _readable(self._said):
            return self._file.read(size)


class _Stream:
    """A tar's bytes, expanded, for tarfile: which believes a header that says how much of them to hold in memory."""

    def __init__(self, file: IO[bytes], most: int, said: str) -> None:
        self._file, self._most, self._said = file, most, said
        self.tell = file.tell

    def read(self, size: int) -> bytes:
        if not 0 <= size <= GULP:
            raise ValueError(f"a header of {size} bytes")
        return self._file.read(size)

    def seek(self, position: int) -> int:
        if position < 0:
            raise ValueError("an entry that begins before the archive")
        if position > self._most:
            raise _bomb(self._said)
        return self._file.seek(position)


# -- tar and zip ---------------------------------------------------------------------------------------------------


def _entries(file: IO[bytes], most: int, said: str) -> Iterator[Tuple[Member, Callable[[], IO[bytes]]]]:
    import tarfile
    import zipfile

    try:
        file.seek(0)
        stream: Any = _Stream(_expanded(file), most, said)
        archive = tarfile.open(fileobj=stream, mode="r:", encoding="utf-8", errors="surrogateescape")  # noqa: SIM115
    except tarfile.ReadError:
        if not zipfile.is_zipfile(file):  # asked last: it is also true of a tar that ends with a zip
            raise
        yield from _zip(zipfile.ZipFile(file))
    else:
        yield from _tar(archive)


def _expanded(file: IO[bytes]) -> Any:
    """The file, decompressed while it is read."""
    start = file.read(3)
    file.seek(0)
    if start[:2] == b"\x1f\x8b":
        import gzip

        return gzip.GzipFile(fileobj=file)
    if start == b"BZh":
        import bz2

        return bz2.BZ2File(file)
    if start == b"\xfd7z":
        import lzma

        return lzma.LZMAFile(file)
    return file


def _tar(archive: Any) -> Iterator[Tuple[Member, Callable[[], IO[bytes]]]]:
    earlier: Dict[str, Any] = {}  # what a hard link may be one more name of
    at = -1
    for info in archive:
        if archive.offset <= at:  # older readers go round in circles
            raise ValueError(f"the entry after {info.name} is one before it")
        at = archive.offset
        if info.islnk():
            known = earlier.get(_plain(info.linkname))
            if known is None:
                raise Refused(
                    f"the archive's hard link {info.name} is to {info.linkname}, which is no file it holds before that",
                    hint="leave it out with exclude",
                )
        elif info.isdir() or info.issym() or info.isreg():
            known = info
        else:
            raise Refused(f"the archive holds the device or pipe {info.name}", hint="leave it out with exclude")
        if not info.isdir():
            earlier[_plain(info.name)] = known
        kind = "directory" if info.isdir() else "link" if known.issym() else "file"
        size, target = (known.size, "") if kind == "file" else (0, known.linkname if kind == "link" else "")
        who = {"uid": info.uid, "gid": info.gid, "user": info.uname, "group": info.gname}
        row = Member(info.name, kind, info.mode & 0o7777, float(info.mtime), size, "", target, **who)
        yield row, partial(archive.extractfile, known)


def _plain(name: str) -> str:
    return posixpath.normpath(name.lstrip("/"))


def _zip(archive: Any) -> Iterator[Tuple[Member, Callable[[], IO[bytes]]]]:
    for info in archive.infolist():
        mode = info.external_attr >> 16
        if bits.S_IFMT(mode) in (bits.S_IFBLK, bits.S_IFCHR, bits.S_IFIFO, bits.S_IFSOCK):
            raise Refused(f"the archive holds the device or pipe {info.filename}", hint="leave it out with exclude")
        kind = "directory" if info.is_dir() else "link" if bits.S_ISLNK(mode) else "file"
        usual = 0o755 if kind == "directory" else 0o644
        mtime = time.mktime((*info.date_time, 0, 0, -1))
        target = ""
        if kind == "link":
            with archive.open(info) as file:
                target = file.read(LONGEST + 1).decode("utf-8", "surrogateescape")
        size = info.file_size if kind == "file" else 0
        row = Member(info.filename, kind, bits.S_IMODE(mode) or usual, mtime, size, "", target, -1, -1)
        yield row, partial(archive.open, info)
