"""Places of volumes on a host: a directory of its own, apart from the system's, the stack's and those of each other.

A restore renames such a directory, a deploy gives it to the user of the application, a move empties what it leaves.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping

from mnemo_ops.agent.base import data_places
from mnemo_ops.stack.volumes.types import MOUNTS

SYSTEM = (*data_places.SYSTEM, MOUNTS)  # no volume in them, nor around them


def overlap(path: str, other: str) -> str:
    """How two paths stand to each other: ``is``, ``lies in``, ``holds``; empty: they are apart.

    Also of an address with a path behind it.
    """
    path, other = _plain(path), _plain(other)
    if path == other:
        return "is"
    if not other or (path + "/").startswith(other + "/"):
        return "lies in"
    return "holds" if not path or (other + "/").startswith(path + "/") else ""


def _plain(path: str) -> str:
    return "/".join(part for part in path.split("/") if part not in ("", "."))


def refuse(path: str, own: Mapping[str, str]) -> None:
    """:param own: the stack's directories -> what they are.

    :raises ValueError: the path is, holds or lies in a directory that is not the volume's alone; with the remedy.
    """
    for place, whose in _others(path, own):
        how = overlap(path, place)
        if how:
            what = f"is {whose}" if how == "is" else f"{how} {place}, {whose}"
            raise ValueError(f"path: {path} {what}; a volume needs a directory of its own, like /data/documents")


def _others(path: str, own: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    yield from own.items()
    yield from ((place, "the system's") for place in SYSTEM)
    yield from ((place, "for many things") for place in data_places.SHARED if overlap(path, place) != "lies in")
    parent, name = posixpath.split("/" + _plain(path))
    if parent == "/home":
        yield path, f"the home of {name}"
