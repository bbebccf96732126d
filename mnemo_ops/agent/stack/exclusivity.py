"""Whether nobody else writes to a stack's data, or is about to: what its own containers do is known, and stopped."""

from __future__ import annotations

import json
from typing import Any, Dict, List, Mapping, Optional

from mnemo_ops.agent.docker import cli as docker
from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.process import lease
from mnemo_ops.agent.stack import containers
from mnemo_ops.agent.stack.stack import Stack, waiver
from mnemo_ops.agent.stack.volume_move import moving
from mnemo_ops.errors import Refused

# leases that start or stop; "set-" is a backup's by an earlier version
AT_WORK = ("backup-", "set-", "restore-", "undo-", "move-", "fence-", "deploy-", "target-")


def refuse_others(machine: Machine, stack: Stack, run: Optional[str] = None) -> None:
    """:param run: who asks. :raises Refused: somebody else is at work with the stack, or its data (3)."""
    refuse_moving(machine, stack.project)
    refuse_leases(machine, run)
    refuse_strangers(machine, stack)


def refuse_moving(machine: Machine, name: str, but: str = "") -> None:
    """:param but: a volume that may be. :raises Refused: a volume of the project is being moved (3)."""
    for last in moving.every(machine, name):
        if last["state"] != "moved" and last["key"] != but:
            raise Refused(
                f"run {last['id']} is moving the volume {last['key']} on this host",
                hint=f"wait for it; `invoke volumes --volume {last['key']} --to ...` continues it",
            )


def refuse_leases(machine: Machine, run: Optional[str] = None) -> None:
    """:param run: whose own are none. :raises Refused: somebody's end would start what is stopped here (3)."""
    found = [name for name, one in lease.names(machine).items() if name.startswith(AT_WORK) and one["run"] != run]
    if found:
        raise Refused(
            f"another run works on this host, or was killed and the host will undo it: {', '.join(found)}",
            hint="wait for it, one minute if it was killed; `invoke lock.status` shows it; "
            "`invoke lock.release` releases it if the host cannot undo it",
        )


def strangers(machine: Machine, stack: Stack) -> Dict[str, List[str]]:
    """Running containers, not those of the stack's services, that may write where its data are.

    :returns: name -> the mounts by which it may, as ``stack.waived`` takes them, each with its source.
    """
    volumes = {stack.volume(one.volume) for one in stack.datasets if one.volume}  # also one of somebody else
    own = [stack.path(one.path) for one in stack.datasets if one.path not in ("", ".") and not one.volume]
    there = docker.all_of(machine, "volume")  # whose directories may be mounted as such, not by the volume's name
    own += [docker.content(there[name]) for name in volumes & there.keys()]
    paths = [machine.realpath(path) for path in own]
    ids = docker.ask(machine, "ps", "-q", "--no-trunc").split()
    # one that ended meanwhile is not there any more, and no error
    said = machine.ask(["docker", "inspect", "--type", "container", *ids], check=False).out if ids else ""
    found: Dict[str, List[str]] = {}
    for row in json.loads(said or "[]"):
        name = row["Name"].lstrip("/")
        known = containers.is_of(row, stack.project)
        for mount in (one for one in row.get("Mounts") or [] if one.get("RW") and not known):
            place = f"{name}:{mount.get('Destination')}"
            writes = mount.get("Name") in volumes or _overlaps(_source(machine, mount, there), paths)
            if writes and place not in stack.waived:
                found.setdefault(name, []).append(f"{place} ({mount.get('Name') or mount.get('Source')})")
    return found


def _source(machine: Machine, mount: Mapping[str, Any], there: Mapping[str, docker.Row]) -> str:
    """The directory that is mounted, behind every link; empty: it is in memory. A volume may itself be a directory."""
    row = there.get(mount.get("Name") or "")
    path = docker.content(row) if row else str(mount.get("Source") or "")
    return machine.realpath(path) if path.startswith("/") else ""


def _overlaps(source: str, paths: List[str]) -> bool:
    """Whether one of two is, or holds, the other: who mounts a directory writes to all below it."""
    mine = source.rstrip("/") + "/"
    return source != "" and any(f"{path}/".startswith(mine) or mine.startswith(f"{path}/") for path in paths)


def refuse_strangers(machine: Machine, stack: Stack) -> None:
    """:raises Refused: they would go on writing, for nobody stops them (3)."""
    found = strangers(machine, stack)
    if found:
        places = [place for each in found.values() for place in each]
        raise Refused(
            f"containers that are not services of {stack.project} may write to its data: {', '.join(places)}",
            hint=f"wait for them, or: docker stop {' '.join(found)}; or mount it read-only; "
            f"if they write nothing there, {waiver(places)}",
        )
