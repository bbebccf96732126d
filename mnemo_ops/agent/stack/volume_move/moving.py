"""A volume that lies elsewhere than before: what is written down of its move, and what is renamed, forth and back.

Docker renames no volume: one of the new name is made, the directory of a ``local`` one is moved into it, the old one is
removed. Which directory is which is told by its inode, so that all of it can be repeated after a kill at any point.
"""

from __future__ import annotations

import json
import posixpath
from typing import Any, Dict, List, Mapping, Optional

from mnemo_ops.agent.docker import cli as docker
from mnemo_ops.agent.files import listing as tree
from mnemo_ops.agent.files import mounts
from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.stack.stack import Stack
from mnemo_ops.errors import Broken, Refused

KEPT = "mnemo.kept"  # label of what a move left: the volume's key
PORT = 2049
STAGED = "mnemo.staged"  # and of what it is about to put in place

Plan = Dict[str, Any]
Row = Dict[str, Any]


def _path(machine: Machine, project: str, key: str) -> str:
    return f"{machine.state_dir}/moves/{project}-{key}.json"


def read(machine: Machine, project: str, key: str) -> Optional[Plan]:
    """What is known of the last move. ``state``: copying, then renaming (both go back), switched (goes on), moved."""
    text = machine.read_text(_path(machine, project, key))
    return None if text is None else dict(json.loads(text))


def every(machine: Machine, project: str) -> List[Plan]:
    """The last move of each volume of a project."""
    texts = [
        machine.read_text(f"{machine.state_dir}/moves/{name}") for name in machine.names(machine.state_dir + "/moves")
    ]
    return [plan for plan in (json.loads(text) for text in texts if text) if plan["project"] == project]


def write(machine: Machine, plan: Mapping[str, Any]) -> None:
    machine.mkdir(machine.state_dir, 0o700)
    machine.mkdir(machine.state_dir + "/moves", 0o700)
    machine.write(_path(machine, plan["project"], plan["key"]), json.dumps(dict(plan)).encode(), 0o600)


def job_of(run: str) -> str:
    """The unit that does the move of a run."""
    return f"{run}-move"


def forget(machine: Machine, plan: Mapping[str, Any]) -> None:
    """The last move is no more; the one before it can be undone again, when there is one."""
    if plan.get("previous"):
        write(machine, plan["previous"])
    else:
        machine.remove(_path(machine, plan["project"], plan["key"]))


def definition(row: Row) -> Dict[str, Any]:
    """What a volume was made with, of ``docker volume inspect``."""
    return {key.lower(): row.get(key) or {} for key in ("Name", "Driver", "Options", "Labels")}


def find(machine: Machine, name: str) -> Optional[Row]:
    """``docker volume inspect``, for a path of the stack in the same words; ``None``: there is no such volume."""
    if not name.startswith("/"):
        return docker.all_of(machine, "volume").get(name)
    bound = {"type": "none", "o": "bind", "device": name}
    there = machine.stat(name) is not None
    return {"Name": name, "Driver": "local", "Options": bound, "Labels": {}, "Mountpoint": name} if there else None


def current(machine: Machine, stack: Stack, key: str) -> str:
    """Docker's name of a volume as the stack on this host has it, or a path; empty when it mounts no such volume."""
    found = used(machine, stack)
    return found.get(key, "") if found else f"{stack.project}_{key}"


def used(machine: Machine, stack: Stack) -> Dict[str, str]:
    """Key -> Docker's name of every volume in the compose files of this host; empty while they are not there.

    What is to be a volume and is still a path of the stack that holds something: key -> path.
    """
    if not docker.is_installed(machine) or any(machine.stat(path) is None for path in stack.own_files):
        return {}
    config = stack.compose("config", "--format", "json")
    said = machine.ask(config, check=False)
    if said.rc != 0:  # a variable that must be set, and is not: no volume's name depends on it
        said = machine.ask([*config, "--no-interpolate"], check=False)
    if said.rc != 0:  # whoever starts the stack will say it better, and deploy may be about to mend it
        return {}
    volumes = json.loads(said.out).get("volumes") or {}
    paths = {one.volume: stack.path(one.path) for one in stack.datasets if one.volume and one.path}
    held = {key: path for key, path in paths.items() if machine.stat(path) is not None and machine.names(path)}
    return {**held, **{key: str(row["name"]) for key, row in volumes.items() if "name" in row}}


# -- where it lies -------------------------------------------------------------------------------------------------


def is_mounted_by_docker(row: Row) -> bool:
    """Docker mounts it while a container uses it, and at no other time: NFS, but no directory of this host."""
    options = row.get("Options") or {}
    return "device" in options and "bind" not in options.get("o", "").split(",")


def mount_point(key: str, end: str) -> str:
    return f"/run/mnemo-move-{key}-{end}"  # any user may pass through /run, and a reboot empties it


def reach(machine: Machine, row: Row, where: str) -> str:
    """The directory with a volume's content, mounted at ``where`` when it is on no file system of this host yet.

    :raises CommandFailed: it cannot be mounted (6).
    """
    if not is_mounted_by_docker(row):
        return machine.realpath(docker.content(row))
    options, source = row["Options"], row["Options"]["device"]
    words = [word for word in options.get("o", "").split(",") if word]
    address = next((word.partition("=")[2] for word in words if word.startswith("addr=")), "")
    if address and source.startswith(":"):
        source = f"[{address}]{source}" if ":" in address else address + source
        words = [word for word in words if not word.startswith("addr=")]
        if why := machine.unreachable(address, PORT, 4.0):  # a hard mount would wait for ever
            raise Broken(f"{address} does not accept connections on port {PORT}: {why}", hint="invoke nfs-setup")
    if where in mounts.mounted(machine):
        return where
    machine.mkdir(where, 0o755)
    chosen = ["-o", ",".join(words)] if words else []
    machine.run(["mount", "-t", options.get("type", "auto"), *chosen, source, where], timeout=60.0)
    return where


def leave(machine: Machine, key: str) -> None:
    """Unmount what :func:`reach` mounted, also when its server is gone."""
    for where in (mount_point(key, "source"), mount_point(key, "target")):
        there = where in mounts.mounted(machine)
        if there and machine.run(["umount", where], check=False, timeout=60.0).rc != 0:
            machine.run(["umount", "--force", "--lazy", where], timeout=60.0)
        if machine.stat(where) is not None:
            machine.rmdir(where)


# -- renaming ------------------------------------------------------------------------------------------------------


def identity(machine: Machine, row: Row) -> int:
    """The inode of the directory Docker keeps a volume in; 0 when it is kept elsewhere, or is not there."""
    if "device" in (row.get("Options") or {}):
        return 0
    found = machine.stat(row["Mountpoint"])
    return found.inode if found else 0


def make(machine: Machine, name: str, made: Mapping[str, Any], labels: Mapping[str, str]) -> Row:
    """A volume with the driver and options of another one."""
    found = find(machine, name)
    if found is None:
        options = docker.pairs("--opt", made["options"]) + docker.pairs("--label", dict(labels))
        docker.run(machine, "volume", "create", "--driver", made["driver"], *options, name)
        found = find(machine, name)
    if found is None:
        raise Broken(f"Docker did not create the volume {name}")
    return found


def rename(machine: Machine, old: str, new: str, inode: int, labels: Mapping[str, str]) -> None:
    """``new`` is what ``old`` was, and ``old`` is no more; nothing when it is done already.

    :param inode: of the directory that holds the data, wherever it is by now; 0: it is not Docker's to keep.
    """
    before = find(machine, old)
    if before is None:
        return
    if old.startswith("/"):
        machine.rename(old, new)
        return
    on = {key: value for key, value in (before.get("Labels") or {}).items() if key == mounts.LABEL}
    after = make(machine, new, definition(before), {**labels, **on})
    source, target = before["Mountpoint"], after["Mountpoint"]
    if inode and identity(machine, before) == inode:
        if machine.stat(target) is not None:
            machine.rmdir(target)
        machine.rename(source, target)
    if inode:
        for name in machine.names(posixpath.dirname(source)):
            if name.startswith(tree.OURS):  # what a restore replaced: it goes with the old data, not away
                machine.rename(f"{posixpath.dirname(source)}/{name}", f"{posixpath.dirname(target)}/{name}")
    docker.run(machine, "volume", "rm", old)


def switch(machine: Machine, plan: Plan) -> None:
    """The old volume gets its name of a kept one, the new one the name of the old. Repeatable, as :func:`unswitch`."""
    source, target = plan["source"], plan["target"]
    found = find(machine, source["name"])
    renamed = source["name"] == target["name"] and found is not None and _is(found, target)
    if plan["kept"] and not renamed:
        labels = {"mnemo.stack": plan["project"], KEPT: plan["key"]}
        rename(machine, source["name"], plan["kept"], plan["source_inode"], labels)
    if plan["staged"] != target["name"]:
        rename(machine, plan["staged"], target["name"], plan["target_inode"], target["labels"])


def unswitch(machine: Machine, plan: Plan) -> None:
    """Back from wherever :func:`switch` came."""
    source, target = plan["source"], plan["target"]
    found = find(machine, target["name"])
    if plan["staged"] != target["name"] and found is not None and _is(found, target):
        labels = {"mnemo.stack": plan["project"], KEPT if plan["seeded"] else STAGED: plan["key"]}
        rename(machine, target["name"], plan["staged"], plan["target_inode"], labels)
    if plan["kept"]:
        rename(machine, plan["kept"], source["name"], plan["source_inode"], source["labels"])


def _is(row: Row, made: Mapping[str, Any]) -> bool:
    return (row["Driver"], row.get("Options") or {}) == (made["driver"], made["options"])


def same(row: Row, target: Mapping[str, Any]) -> bool:
    """It is what is asked for already."""
    return row["Name"] == target["name"] and (bool(target["external"]) or _is(row, target))


def staged(project: str, key: str) -> str:
    """Docker's name of the volume that a move prepares."""
    return f"{project}-next-{key}"


def is_stale(machine: Machine, name: str, key: str, target: Mapping[str, Any]) -> bool:
    """A volume that was prepared for a move to another place, and that no move uses."""
    row = find(machine, name)
    return row is not None and (row["Labels"] or {}).get(STAGED) == key and not _is(row, target)


def swap_file(machine: Machine, path: str, forth: bool) -> None:
    """``path`` gets the content of ``path.next``, its own is kept as ``path.before``; and back. Repeatable."""
    following, before = path + ".next", path + ".before"
    if forth and machine.stat(following) is not None:
        if machine.stat(before) is None:
            machine.hardlink(path, before)
        machine.rename(following, path)
    if not forth:
        kept, now = machine.stat(before), machine.stat(path)
        if kept is not None and now is not None and kept.inode == now.inode:
            machine.remove(before)  # rename(2) does nothing between two names of one file
        elif kept is not None:
            machine.rename(before, path)
        machine.remove(following)


def refuse_plugin(row: Row) -> None:
    """:raises Refused: nothing is known of where a driver keeps its data (3)."""
    if row["Driver"] != "local":
        raise Refused(
            f"the volume {row['Name']} uses the driver {row['Driver']}: mnemo_ops does not know where its data are",
            hint="copy it with a container that mounts both, and declare the copy (type: external)",
        )
