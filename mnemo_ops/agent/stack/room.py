"""Which file systems a stack is written to on a host, and what is free there."""

from __future__ import annotations

import posixpath
from typing import Any, Dict, List, Mapping

from mnemo_ops.agent.docker import cli as docker
from mnemo_ops.agent.files import mounts
from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.stack.stack import Stack

STORE = "store"  # what goes there is a set; a dataset is meant by ``=NAME``


def disks(
    machine: Machine, stack: Stack, there: Mapping[str, docker.Row], root: str, directories: Mapping[str, str]
) -> List[Dict[str, Any]]:
    """``path``, ``free`` bytes, ``inodes`` (none where they are not counted) and what is written there: ``store``,
    and ``=NAME`` of each dataset.

    :param there: Docker's volumes, as far as it tells. :param root: its directory.
    :param directories: Docker's name of a volume that is still to be made -> where; empty: on another machine, or on a
        disk that is not mounted yet.
    """
    places = {STORE: stack.store}
    for dataset in stack.datasets:
        name = stack.volume(dataset.volume) if dataset.volume else ""
        usual = directories.get(name, posixpath.join(root, "volumes"))
        row = there.get(name)
        if row and (row["Options"] or {}).get("type", "").startswith("nfs"):
            continue  # its server's room, and nothing is copied there
        where = (docker.content(row) if row else usual) if name else stack.path(dataset.path)
        if where:
            places["=" + dataset.name] = where
    points = mounts.mounted(machine)
    found: Dict[str, Dict[str, Any]] = {}
    for name, where in places.items():
        path = machine.realpath(where)
        point = path
        while point != "/" and point not in points:
            point = posixpath.dirname(point)
        source = getattr(points.get(point), "source", "")  # several mounts may be of one disk
        disk = source if source.startswith("/") else point
        disk_row = {"path": path, "free": machine.free_bytes(path), "inodes": machine.free_inodes(path), "holds": []}
        found.setdefault(disk, disk_row)["holds"].append(name)
    return list(found.values())
