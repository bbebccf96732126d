"""What lies in a project's directory and is not its state: rows that a controller copies."""

from __future__ import annotations

import posixpath
from collections import Counter
from typing import Any, Collection, Dict, Iterator, List, Mapping, Sequence, Set

from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.stack.containers import PROJECT, Found
from mnemo_ops.agent.stack.project.model import Model
from mnemo_ops.errors import Refused

MANY = 20_000  # entries; a directory with more is no project's own
VERSIONS = (".git", ".hg", ".svn", ".bzr", ".jj", "CVS")
Row = Dict[str, Any]


def beside(machine: Machine, place: str, state: Collection[str], left_out: List[str]) -> List[Row]:
    """Rows of files, directories and links below ``place``: ``path``, ``kind``, ``mode``, ``bytes``, ``target``.

    :param state: directories that are not looked into. :param left_out: gets the paths of what no row can have.
    :raises Refused: it is more than a project's files (3).
    """
    rows: List[Row] = []
    for row in _below(machine, machine.realpath(place), "", {machine.realpath(path) for path in state}, left_out):
        rows.append(row)
        if len(rows) > MANY:
            most = Counter(each["path"].partition("/")[0] for each in rows).most_common(3)
            raise Refused(
                f"{place} holds more than {MANY} files, the most of them in {', '.join(name for name, _ in most)}",
                hint="move what is not the project's out of it, or the project into a directory of its own",
            )
    return rows


def _below(machine: Machine, top: str, path: str, state: Set[str], left_out: List[str]) -> Iterator[Row]:
    for name in machine.names(f"{top}/{path}" if path else top):
        here = posixpath.join(path, name)
        found = machine.stat(f"{top}/{here}")
        if found is None or name in VERSIONS or f"{top}/{here}" in state:
            continue
        if not name.isprintable() or found.kind not in ("file", "directory", "link"):
            left_out.append(here)
            continue
        row = {"path": here, "kind": found.kind, "mode": found.mode & 0o777, "bytes": found.size, "target": ""}
        if found.kind == "link":
            yield {**row, "bytes": 0, "target": machine.readlink(f"{top}/{here}")}
        elif found.kind == "file":
            yield row
        else:
            yield {**row, "bytes": 0}
            yield from _below(machine, top, here, state, left_out)


def state_of(machine: Machine, model: Model, found: Found, place: str) -> List[str]:
    """Directories that containers write into, and those of other projects.

    :param place: what is around it is no state of this one.
    """
    sources = [each.source for service in model.services.values() for each in service.mounts if _writes(each)]
    sources += [str(each.get("Source")) for one in found for each in one.mounts if each.get("RW", True)]
    directories = [path for path in sources if path.startswith("/") and _is_directory(machine, path)]
    return [path for path in directories if not f"{place}/".startswith(f"{machine.realpath(path).rstrip('/')}/")]


def _writes(mount: Any) -> bool:
    return bool(mount.type == "bind" and not mount.read_only)


def _is_directory(machine: Machine, path: str) -> bool:
    return getattr(machine.stat(path, follow=True), "kind", "") == "directory"


def others_places(rows: Sequence[Mapping[str, Any]], project: str) -> List[str]:
    """Directories of other projects of the host. :param rows: of containers, as Docker inspects them."""
    labels = [row["Config"].get("Labels") or {} for row in rows]
    found = {str(each.get(f"{PROJECT}.working_dir") or "") for each in labels if each.get(PROJECT) != project}
    return sorted(path for path in found if path.startswith("/"))
