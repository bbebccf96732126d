"""Archives whose maker wants out of the directory they are unpacked into, and archives that are damaged."""

from __future__ import annotations

import io
import tarfile
import warnings
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Optional

from running import run, task
from world import World, _print

from mnemo_ops.agent.base.protocol import Event
from mnemo_ops.agent.machine import Machine

LINK, FOLDER, FILE, HARD = tarfile.SYMTYPE, tarfile.DIRTYPE, tarfile.REGTYPE, tarfile.LNKTYPE

Row = tuple[str, bytes, str, dict[str, Any]]  # name, type, target or content, more attributes


def entry(name: str, kind: bytes = FILE, what: str = "", **more: Any) -> Row:
    return name, kind, what, more


KNOWN = ("Refused", "StepFailed")


def world(directory: Path) -> World:
    """A host in ``directory``, and beside it, where no archive may reach, ``outside`` with something in it."""
    outside = directory / "outside"
    outside.mkdir(mode=0o700)
    (outside / "precious").write_text("precious")
    (directory / "host").mkdir()
    return World(directory / "host")


def around(world: World) -> dict[str, object]:
    """Everything but what lies below the directory that is unpacked into, which is ``/srv/here``."""
    top = world.root.parent
    paths = [path for path in top.rglob("*") if not str(path).startswith(str(world.root / "srv/here"))]
    return {str(path): _print(path)[:3] + _print(path)[5:] for path in paths if path.name not in ("x", "srv")}


def unpacked(world: World, data: bytes, machine: type[Machine] = Machine, bare: bool = False, **more: object) -> Event:
    """The archive as one of the host's own. :param bare: with no temporary root, so that links lead where they say."""
    root = str(world.root) if bare else ""
    (world.root / "srv/x").write_bytes(data)
    (world.root / "srv/here").mkdir(exist_ok=True)
    unarchive = task("unarchive", src=root + "/srv/x", dest=root + "/srv/here", remote_src=True, **more)
    return run(unarchive, machine("/") if bare else world.machine(machine))


def tar_of(rows: Sequence[Row], form: int = tarfile.PAX_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form, encoding="utf-8", errors="surrogateescape") as archive:
        for name, kind, what, more in rows:
            info = tarfile.TarInfo(name)
            info.type, info.mode, info.uid, info.gid = kind, 0o777, 1001, 1001
            data = what.encode() if kind == FILE else b""
            info.size = len(data)
            info.linkname = "" if kind == FILE else what
            for key, value in more.items():
                setattr(info, key, value)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def zip_of(rows: Sequence[Row]) -> bytes:
    """The same rows as a zip; hard links are left out, it has none."""
    out = io.BytesIO()
    bits = {LINK: 0o120777, FOLDER: 0o040777, FILE: 0o100777}
    with warnings.catch_warnings(), zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        warnings.simplefilter("ignore")  # of names that come twice
        for name, kind, what, _ in rows:
            if kind in bits:
                info = zipfile.ZipInfo(name + ("/" if kind == FOLDER else ""))
                info.create_system, info.external_attr = 3, bits[kind] << 16
                archive.writestr(info, what, zipfile.ZIP_DEFLATED)
    return out.getvalue()


def breaking_out(out: str) -> dict[str, list[Row]]:
    """What is to reach ``out``, a directory beside the one that is unpacked into. A later line may be what strikes."""
    x = entry("x", LINK, out)
    return {
        "directory on a link": [x, entry("x", FOLDER)],
        "directory with a slash": [x, entry("x/.", FOLDER), entry("x//", FOLDER)],
        "file below a link": [x, entry("x/y", FILE, "new")],
        "file in a directory below a link": [x, entry("x/deep/y", FILE, "new")],
        "link below a link": [x, entry("x/y", LINK, "/etc")],
        "hard link below a link": [entry("a", FILE, "new"), x, entry("x/y", HARD, "a")],
        "hard link through a link": [x, entry("y", HARD, "x/precious")],
        "hard link to a link": [entry("x", LINK, out + "/precious"), entry("y", HARD, "x"), entry("y", FILE, "new")],
        "directory, then a link": [entry("x", FOLDER), entry("x", LINK, out), entry("x/y", FILE, "new")],
        "two links": [entry("a", FOLDER), entry("x", LINK, "a"), entry("x/b", LINK, out), entry("a/b/y", FILE, "new")],
        "link inside": [entry("a", FOLDER), entry("l", LINK, "a"), entry("a", LINK, out), entry("l/y", FILE, "new")],
        "climbing link": [entry("x", LINK, "../" * 30 + out.lstrip("/")), entry("x", FOLDER)],
        "link last": [entry("x", FOLDER), entry("x/y", FILE, "new"), entry("x", LINK, out)],
        "the directory itself": [entry(".", LINK, out), entry("y", FILE, "new")],
        "the directory itself, otherwise": [entry("a/..", LINK, out), entry("./", FOLDER)],
        "up": [entry("../outside/precious", FILE, "new")],
        "up, in the middle": [entry("a/../../outside", FOLDER)],
        "absolute": [entry(out + "/y", FILE, "new")],
        "hard link outside": [entry("y", HARD, out + "/precious")],
        "hard link up": [entry("y", HARD, "../outside/precious"), entry("y", FILE, "new")],
        "file on a link": [entry("x", LINK, out + "/precious"), entry("x", FILE, "new")],
        "pipe": [entry("x", tarfile.FIFOTYPE), entry("x", FOLDER)],
        "disk": [entry("x", tarfile.BLKTYPE, devmajor=8, devminor=0)],
    }


def damaged() -> dict[str, Callable[[], bytes]]:
    """Archives no reader of them can make sense of; a tar ends where two blocks of zeros are."""
    good = [entry("a", FILE, "data" * 1000), entry("b", FOLDER), entry("b/c", LINK, "a")]

    def header(**more: Any) -> bytes:
        info = tarfile.TarInfo("a")
        for key, value in more.items():
            setattr(info, key, value)
        return info.tobuf(tarfile.GNU_FORMAT)

    def pax(**words: str) -> bytes:
        return tar_of([entry("a", FILE, "data", pax_headers=words)])

    def cut(mode: str) -> bytes:
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode=mode) as archive:  # type: ignore[call-overload]
            info = tarfile.TarInfo("a")
            info.size = 1 << 20
            archive.addfile(info, io.BytesIO(b"\0" * info.size))
        return out.getvalue()[:-100]

    def altered(find: bytes, new: bytes, data: Optional[bytes] = None) -> bytes:
        data = zip_of(good) if data is None else data
        assert find in data
        return data.replace(find, new)

    entries, local = b"PK\x01\x02", b"PK\x03\x04"
    return {
        "cut gz": lambda: cut("w:gz"),
        "cut bz2": lambda: cut("w:bz2"),
        "cut xz": lambda: cut("w:xz"),
        "noise in gz": lambda: cut("w:gz")[:200] + b"noise" * 40,
        "noise in bz2": lambda: cut("w:bz2")[:60] + b"noise" * 40,
        "negative size": lambda: header(size=-5) + b"\0" * 1024,
        "size of everything": lambda: header(size=(1 << 63) - 1) + b"\0" * 1024,
        "header of everything": lambda: header(size=1 << 60, type=tarfile.XHDTYPE) + b"\0" * 1024,
        "negative header": lambda: header(size=-512, type=tarfile.GNUTYPE_LONGNAME) + b"\0" * 1024,
        "names of names": lambda: header(size=1, type=tarfile.GNUTYPE_LONGNAME).ljust(1024, b"\0") * 5000,
        "nobody's number": lambda: header(uid=1 << 40) + b"\0" * 1024,
        "negative owner": lambda: header(uid=-2) + b"\0" * 1024,
        "no date": lambda: pax(mtime="nan"),
        "late date": lambda: pax(mtime="1e300"),
        "sparse nonsense": lambda: pax(**{"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.size": "-1"}),
        "name with a NUL": lambda: pax(path="a\0b"),
        "name too long": lambda: pax(path="a/" * 3000 + "a"),
        "encrypted zip": lambda: altered(entries + b"\x14\x03\x14\x00\x00", entries + b"\x14\x03\x14\x00\x01"),
        "method unknown": lambda: zip_of(good).replace(b"\x08\x00\x00\x00\x21\x00", b"\x63\x00\x00\x00\x21\x00"),
        "no local header": lambda: altered(local, b"NOPE"),
        "name that is no text": lambda: zip_of([entry("\xe9" * 4)]).replace("\xe9".encode() * 4, b"\xff" * 8),
        "link to a NUL": lambda: zip_of([entry("x", LINK, "a\0b")]),
        "link that is no path": lambda: zip_of([entry("x", LINK, "a" * 100_000)]),
        "nothing": lambda: b"",
        "text": lambda: b"not an archive",
    }
