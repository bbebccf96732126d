"""Single files of the project's directory that containers write: in its configuration, which a restore leaves."""

from __future__ import annotations

import re
from typing import Iterator, List

from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.stack.containers import Container, Found, nanoseconds
from mnemo_ops.agent.stack.stack import Stack

_DATA = re.compile(r"\.(?:db|sqlite3?|rdb)$")


def written(machine: Machine, stack: Stack, found: Found) -> List[str]:
    """Each as ``db.sqlite3, which vault writes``: by its name, or because it is newer than its container's start."""
    return sorted({f"{path}, which {each.service} writes," for each in found for path in _of(machine, stack, each)})


def _of(machine: Machine, stack: Stack, container: Container) -> Iterator[str]:
    elsewhere = [stack.path(each.path) for each in stack.datasets if each.path not in ("", ".")]
    for mount in container.mounts:
        source = str(mount.get("Source") or "")
        if mount.get("Type") != "bind" or not mount.get("RW") or not source.startswith(stack.directory + "/"):
            continue
        stat = machine.stat(source, follow=True)
        if stat is None or stat.kind != "file" or any(f"{source}/".startswith(f"{each}/") for each in elsewhere):
            continue
        if _DATA.search(source) or stat.mtime_ns > nanoseconds(container.started):
            yield source[len(stack.directory) + 1 :]
