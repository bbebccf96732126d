"""Every mount of every container of a project, and what becomes of it."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping

from mnemo_ops.agent.stack.containers import Found
from mnemo_ops.agent.stack.hosts_own import is_hosts_own
from mnemo_ops.agent.stack.project.places import nameless
from mnemo_ops.agent.stack.stack import Stack

NOBODY = "no backup holds it"


def mounts(stack: Stack, found: Found) -> List[Dict[str, str]]:
    """Rows with ``service``, ``target``, ``source``, ``becomes``; of replicas one.

    :param stack: with what must survive.
    """
    without_name = nameless(found)
    rows: Dict[str, Dict[str, str]] = {}
    for container in found:
        for mount in container.mounts:
            place = f"{container.service}:{mount.get('Destination')}"
            source = "a volume without a name" if place in without_name else _source(stack, mount)
            becomes = NOBODY if place in without_name else _becomes(stack, mount)
            row = {"service": container.service, "target": str(mount.get("Destination")), "source": source}
            rows.setdefault(place, {**row, "becomes": becomes})
    return [rows[place] for place in sorted(rows)]


def _source(stack: Stack, mount: Mapping[str, Any]) -> str:
    if mount.get("Type") == "tmpfs":
        return "memory"
    source = str(mount.get("Name") or mount.get("Source") or "")
    inside = source.startswith(f"{stack.directory}/")
    return f"./{source[len(stack.directory) + 1 :]}" if inside else source


def _becomes(stack: Stack, mount: Mapping[str, Any]) -> str:
    name, source = str(mount.get("Name") or ""), str(mount.get("Source") or "")
    if mount.get("Type") == "tmpfs":
        return "goes with the container"
    for each in stack.datasets:
        if each.volume and name == stack.volume(each.volume):
            return f"dataset {each.name} ({each.kind})"
    for each in sorted(stack.datasets, key=lambda each: -len(each.path)):
        if each.path and not name and f"{source}/".startswith(f"{stack.path(each.path)}/"):
            return f"dataset {each.name}" + (f" ({each.kind})" if each.kind != each.name else "")
    if is_hosts_own(source):
        return "the host's own"
    return NOBODY
