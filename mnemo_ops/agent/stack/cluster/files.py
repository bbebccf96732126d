"""Files of a data directory that somebody wrote: configuration and what lies beside it, not what the server keeps."""

from __future__ import annotations

import base64
from typing import Any, Dict, Iterator, List, Mapping

from mnemo_ops.agent.files.listing import is_ours
from mnemo_ops.agent.machine import Machine
from mnemo_ops.errors import Refused

LARGEST = 1024 * 1024  # bytes: no configuration is larger

_KEPT = (
    "commit_ts dynshmem logical multixact notify replslot serial snapshots stat stat_tmp subtrans tblspc twophase wal"
)
_KEPT += " xact clog xlog log vectors"
_SERVERS = (
    *(f"pg_{each}" for each in _KEPT.split()),
    "PG_VERSION",
    "base",
    "global",
    "current_logfiles",
    "log",
    "lost+found",
    "postmaster.opts",
    "postmaster.pid",
)
_PARTS = ("backup_label", "tablespace_map", "core")  # of these beginnings, too


def names(machine: Machine, data: str) -> Iterator[str]:
    """Names below a data directory, directories before what is in them."""
    for top in machine.names(data):
        servers = top in _SERVERS or is_ours(top) or top.startswith(_PARTS)
        found = machine.stat(f"{data}/{top}")
        if not servers and found is not None and found.kind != "socket" and not top.startswith(".s.PGSQL."):
            yield top
            if found.kind == "directory":
                yield from (path[len(data) + 1 :] for path in machine.walk(f"{data}/{top}"))


def linked(machine: Machine, data: str) -> List[str]:
    """What the server keeps elsewhere (``initdb --waldir``): a restore makes directories of it. A sentence each."""
    found = [name for name in machine.names(data) if name in _SERVERS]
    links = [name for name in found if getattr(machine.stat(f"{data}/{name}"), "kind", "") == "link"]
    return [f"{name} (a link to {machine.readlink(f'{data}/{name}')}; comes back as a directory)" for name in links]


def read(machine: Machine, data: str) -> Dict[str, Any]:
    """Those files as JSON: mode, and the content, or where a link leads; they may hold secrets.

    :raises Refused: one is too large to be configuration, or is no file (3).
    """
    every: Dict[str, Any] = {}
    owner = machine.stat(data)
    for name in names(machine, data):
        found = machine.stat(f"{data}/{name}")
        if found is None:
            continue
        every[name] = {"mode": found.mode}
        if owner is not None and (found.uid, found.gid) != (
            owner.uid,
            owner.gid,
        ):  # a key that root keeps for the server
            every[name].update(uid=found.uid, gid=found.gid)
        if found.kind == "link":
            every[name]["link"] = machine.readlink(f"{data}/{name}")
        elif found.kind == "file" and found.size <= LARGEST:
            every[name]["content"] = base64.b64encode(machine.read(f"{data}/{name}") or b"").decode()
        elif found.kind != "directory":
            raise Refused(
                f"{data}/{name} is in the data directory of Postgres and is not configuration ({found.size} bytes)",
                hint="move it to another place",
            )
    return every


def put(machine: Machine, data: str, every: Mapping[str, Any], uid: int, gid: int) -> None:
    """Write what :func:`read` returned, of the server's user."""
    for name, one in every.items():
        path = f"{data}/{name}"
        owner = one.get("uid", uid), one.get("gid", gid)
        if "link" in one:
            machine.symlink(one["link"], path)
        elif "content" in one:
            machine.write(path, base64.b64decode(one["content"]), one["mode"], *owner)
        else:
            machine.mkdir(path, one["mode"])
        machine.chown(path, *owner)
