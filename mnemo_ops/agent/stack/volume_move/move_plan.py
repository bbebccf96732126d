"""What a move of a volume will do, found by looking; and everything that speaks against it."""

from __future__ import annotations

import posixpath
import shlex
from typing import Any, Collection, Dict, List, Mapping, Optional

from mnemo_ops.agent.docker import cli as docker
from mnemo_ops.agent.files import listing as tree
from mnemo_ops.agent.files import mounts
from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.stack import containers, exclusivity
from mnemo_ops.agent.stack.fence import refuse_fenced
from mnemo_ops.agent.stack.restore_record import record_path
from mnemo_ops.agent.stack.stack import Stack
from mnemo_ops.agent.stack.volume_move import moving
from mnemo_ops.agent.stack.volume_move.moving import Plan
from mnemo_ops.agent.stack.volume_move.sync import Twin
from mnemo_ops.errors import Refused

ROOTS = ("trusted.", "security.")  # attributes that only root may set
MARGIN = 1.05  # free space wanted, as a multiple of the data


def made(machine: Machine, stack: Stack, asked: Mapping[str, Any]) -> Optional[Plan]:
    """The plan, with state copying; ``None``: the volume is what is asked for already.

    :param asked: id, key, target, staged and seeded, as of :class:`~mnemo_ops.agent.actions.volume_move.MoveVolume`.
    :raises Refused: it cannot be done; says why and what to do (3).
    """
    _refuse_busy(machine, stack, asked)
    key, name = asked["key"], moving.current(machine, stack, asked["key"])
    row = moving.find(machine, name)
    if row is None:
        raise Refused(f"this host has no volume {name or key} yet", hint="`invoke volumes` creates it")
    if moving.same(row, asked["target"]):
        return None
    moving.refuse_plugin(row)
    mounts.refuse_gone(machine, row)
    target = {**asked["target"], **_external(machine, asked["target"])}
    other = moving.find(machine, target["name"]) if name != target["name"] else None
    if other is not None and not target["external"]:
        raise Refused(
            f"the stack uses {name}, but the volume {target['name']} exists, too: which data do you mean?",
            hint=f"docker volume inspect {name} {target['name']} shows both; to keep {name}: "
            f"stack.volumes.{key}: {{type: external, name: {name}}}",
        )
    staged = moving.find(machine, asked["staged"])
    if asked["seeded"] and asked["staged"] and staged is None:
        raise Refused(
            f"{asked['staged']}, the previous place of {key}, does not exist any more",
            hint=f"invoke volumes --volume {key} --to TYPE moves it to where stack.volumes says",
        )
    if staged is not None:
        refuse_used(machine, asked["staged"], ())  # somebody writes where the data are to go: it would be removed
    return {
        **asked,
        **{"project": stack.project, "state": "copying", "at": machine.now()},
        **{"source": moving.definition(row), "target": target},
        "kept": _kept(stack, name, key, asked["id"].lower()),
        **_users(machine, stack, name),
        **_room(machine, row, target, asked),
    }


def _kept(stack: Stack, name: str, key: str, id: str) -> str:
    """What the old one will be called; empty when it is somebody else's, and stays what it is."""
    if name.startswith("/"):
        return f"{posixpath.dirname(name)}/{tree.OURS}kept-{key}-{id}"
    return f"{stack.project}-kept-{key}-{id}" if name == f"{stack.project}_{key}" else ""


def _refuse_busy(machine: Machine, stack: Stack, asked: Mapping[str, Any]) -> None:
    exclusivity.refuse_moving(machine, stack.project, asked["key"])
    exclusivity.refuse_leases(machine, asked["id"])
    refuse_fenced(machine, stack.project, "volumes")
    record = record_path(machine, stack.project)
    if machine.stat(record) is not None:
        raise Refused(
            "the last restore can still be undone, and its previous data are beside the volume",
            hint="undo it: invoke restore --undo; or delete the previous data: invoke backup.prune --aside",
        )


def _external(machine: Machine, target: Mapping[str, Any]) -> Dict[str, Any]:
    """How somebody else's volume was made."""
    if not target["external"]:
        return {}
    row = moving.find(machine, target["name"])
    if row is None:
        raise Refused(f"the volume {target['name']} does not exist", hint="make it, or choose another type")
    moving.refuse_plugin(row)
    return {"driver": row["Driver"], "options": row.get("Options") or {}}


def _users(machine: Machine, stack: Stack, name: str) -> Dict[str, Any]:
    """The services that mount it: those that run are its writers, the others are idle."""
    known = {one.name for one in containers.containers(machine, stack.project)}
    mine = refuse_used(machine, name, known)
    unnamed = {mount["Name"] for row in mine for mount in row["Mounts"] if len(mount.get("Name") or "") == 64}
    if unnamed:  # the containers are made anew
        raise Refused(
            f"containers of the stack keep data in volumes without a name: {', '.join(sorted(unnamed))}",
            hint="give them a name in the compose file and deploy",
        )
    sick = [row["Name"].lstrip("/") for row in mine if (row["State"].get("Health") or {}).get("Status") == "unhealthy"]
    if sick:
        raise Refused(
            f"not healthy now: {', '.join(sick)}", hint="repair them first: docker compose ps -a, docker compose logs"
        )
    running = {_label(row, containers.SERVICE) for row in mine if row["State"]["Running"]}
    every = {_label(row, containers.SERVICE) for row in mine}
    layers = containers.layers(containers.containers(machine, stack.project), stack.stores)
    order = list(dict.fromkeys(each.service for layer in reversed(layers) for each in layer if each.service in every))
    idle = [service for service in order if service not in running]
    return {"services": [service for service in order if service in running], "idle": idle}


def refuse_used(machine: Machine, name: str, known: Collection[str]) -> List[docker.Row]:
    """The containers that mount a volume, stopped ones, too. :raises Refused: others do than those known (3)."""
    rows = docker.containers(machine, f"volume={name}")
    others = [row["Name"].lstrip("/") for row in rows if row["Name"].lstrip("/") not in known]
    if others:
        raise Refused(
            f"{name} is used by containers that are not services of the stack: {', '.join(others)}",
            hint="the move would lose what they write, and even stopped they hold the volume: give them "
            f"another one; docker inspect {' '.join(others)} shows whose they are",
        )
    return rows


def _label(row: docker.Row, name: str) -> str:
    return str((row["Config"]["Labels"] or {}).get(name, ""))


def _room(machine: Machine, row: docker.Row, target: Mapping[str, Any], asked: Mapping[str, Any]) -> Dict[str, Any]:
    """Bytes and entries, where they can be counted without a server; refused when they find no room."""
    directory = target.get("directory", "")
    if not asked["seeded"]:
        refuse_occupied(Twin(machine, directory or _known(machine, target)), asked["key"])
    there = directory or ("" if target["options"] else docker.root_dir(machine))
    if moving.is_mounted_by_docker(row):
        return {"bytes": None, "entries": None}
    here = docker.content(row)
    if directory:
        _refuse_same(machine.realpath(here), machine.realpath(directory), asked["key"])
    tree.refuse_fixed(machine, machine.realpath(here))
    size, entries = Twin(machine, here).size()
    kept = moving.find(machine, asked["staged"]) if asked["seeded"] else None
    if kept is not None and not moving.is_mounted_by_docker(kept):
        mounts.refuse_gone(machine, kept)
        refuse_emptied(Twin(machine, here), Twin(machine, docker.content(kept)))
    if there and not asked["seeded"]:
        refuse_full(machine, there, size, entries)
    return {"bytes": size, "entries": entries}


def _known(machine: Machine, target: Mapping[str, Any]) -> str:
    """The directory of somebody else's volume that is the target, as far as it can be looked into."""
    found = moving.find(machine, target["name"]) if target["external"] else None
    return "" if found is None or moving.is_mounted_by_docker(found) else docker.content(found)


def refuse_occupied(target: Twin, key: str) -> None:
    """:raises Refused: there is something where the data are to go (3)."""
    held = target.names() if target.path else []
    if held:
        raise Refused(
            f"{target.path}, the new place of {key}, holds {', '.join(held[:3])}",
            hint="move it away first; docker volume ls --filter label=mnemo.kept",
        )


def _refuse_same(here: str, there: str, key: str) -> None:
    """:raises Refused: one of the two directories is, or holds, the other (3)."""
    if posixpath.commonpath([here, there]) in (here, there):
        raise Refused(f"{key} is in {here} now: {there} is the same place", hint="choose another directory")


def refuse_emptied(source: Twin, target: Twin) -> None:
    """:raises Refused: the copy would make an older one with data as empty as the source is by now (3)."""
    names = target.names()
    if names and not source.names():
        raise Refused(
            f"{source.path} is empty, and {target.path}, which the move would empty, holds {', '.join(names[:3])}",
            hint=f"is what belongs on {source.path} mounted? If it is empty on purpose: --to instead of --undo makes a "
            "new place for it",
        )


def refuse_full(machine: Machine, where: str, size: int, entries: int) -> None:
    need, free, inodes = int(size * MARGIN), machine.free_bytes(where), machine.free_inodes(where)
    if need > free:
        raise Refused(f"{where} has {free} bytes free; the copy needs {need}; nothing was stopped", hint="make room")
    if inodes is not None and inodes < entries:
        raise Refused(
            f"{where} has room for {inodes} more files; the volume has {entries}; nothing was stopped", hint="make room"
        )


def refuse_owners(source: Twin, target: Twin) -> None:
    """:raises Refused: files of others than the one user a server knows could not keep their owner (3)."""
    user = target.user
    if user is None:
        return
    with source.acting():
        found = {path: source.machine.stat(path) for path in tree.below(source.machine, source.path, source.path)}
    others = [path for path, one in found.items() if one is not None and (one.uid, one.gid) != user]
    if others:
        raise Refused(
            f"{len(others)} files do not belong to {user[0]}:{user[1]}, such as {others[0]}, and root_squash is on, "
            "so the server does not let root set their owner",
            hint="export it with no_root_squash during the move, or chown the files first",
        )
    with source.acting():
        trusted = [path for path in found if any(name.startswith(ROOTS) for name in source.machine.xattrs(path))]
    if trusted:
        raise Refused(
            f"{len(trusted)} files have attributes that only root may set, such as {trusted[0]}, and root_squash is on",
            hint=f"getfattr -d -m - {shlex.quote(trusted[0])} shows them; another type of volume keeps them",
        )
