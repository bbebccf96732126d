"""Archives, scripts, fragments: what comes from the controller or is put together on the host."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Callable
from typing import Any

from example import Example, files
from world import World

from mnemo_ops.agent.files.archive import listed

TREE = {"app": None, "app/run": b"#!/bin/sh\necho run\n", "app/sub": None, "app/sub/data": b"\0data" * 1000}


def tar(mode: str = "w:gz", **links: str) -> bytes:
    """``TREE`` and symbolic links, owned by old and by who is number 4321."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:  # type: ignore[call-overload]
        for name, data in TREE.items():
            info = tarfile.TarInfo(name)
            info.mode, info.mtime, info.uid, info.gid = 0o750, 1_000_000_000, 4321, 4321
            info.uname = "old" if name.endswith("run") else ""
            info.type, info.size = (tarfile.DIRTYPE, 0) if data is None else (tarfile.REGTYPE, len(data))
            archive.addfile(info, io.BytesIO(data or b""))
        for name, target in links.items():
            info = tarfile.TarInfo("app/" + name)
            info.type, info.linkname = tarfile.SYMTYPE, target
            archive.addfile(info)
    return out.getvalue()


def zipped() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in TREE.items():
            archive.writestr(name + ("/" if data is None else ""), data or b"")
    return out.getvalue()


def offered(data: bytes, *more: Callable[[World], Any]) -> Callable[[World], dict[str, Any]]:
    def prepare(world: World) -> dict[str, Any]:
        for one in more:
            one(world)
        return {"sha256": world.offer(data), "members": listed(io.BytesIO(data), "x")}

    return prepare


def on_host(data: bytes) -> Callable[[World], None]:
    return lambda world: (world.root / "srv/x.archive").write_bytes(data) and None


def sent(script: bytes) -> Callable[[World], dict[str, Any]]:
    return lambda world: {"sha256": world.offer(script)}


HERE = b'#!/bin/sh\nR="${0%/*}/../../.."\n'

EXAMPLES: tuple[Example, ...] = (
    Example("sent", "unarchive", {"src": "x.tgz", "dest": "/srv"}, offered(tar(link="run"))),
    Example(
        "half-there",
        "unarchive",
        {"src": "x.tgz", "dest": "/srv", "owner": "old", "mode": "u=rwX,go=rX", "extra_opts": ["--strip-components=1"]},
        offered(tar(), files(run="other")),
    ),
    Example(
        "on-host", "unarchive", {"src": "/srv/x.archive", "dest": "/srv", "remote_src": True}, on_host(tar("w:xz"))
    ),
    Example("zip", "unarchive", {"src": "/srv/x.archive", "dest": "/srv", "copy": False}, on_host(zipped())),
    Example("part", "unarchive", {"src": "x", "dest": "/srv", "include": ["app/sub"]}, offered(tar("w:bz2"))),
    Example("run", "script", {"cmd": "x.sh 'a b'"}, sent(b"#!/bin/sh\necho $1\n"), deed=True),
    Example("creates", "script", {"cmd": "x.sh", "creates": "/srv/made"}, sent(HERE + b'echo made > "$R/srv/made"\n')),
    Example("file", "tempfile", {"path": "/srv", "suffix": "~"}, deed=True),  # its name is another one each time
    Example("directory", "tempfile", {"path": "/srv", "suffix": "~", "state": "directory"}, deed=True),
    Example(
        "fragments",
        "assemble",
        {"src": "/srv/d", "dest": "/srv/x", "delimiter": "---", "regexp": "^[0-9]", "mode": "0600"},
        files(d__2="b\n", d__1="a", d__x="not me", x="old\n"),
    ),
    Example(
        "new",
        "assemble",
        {"src": "/srv/d", "dest": "/srv/x", "ignore_hidden": True},
        files(**{"d__.h": "1", "d__a": "2"}),
    ),
)
