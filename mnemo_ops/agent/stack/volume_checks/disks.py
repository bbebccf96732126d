"""Disks that hold one volume each: what speaks against mounting one as declared. Nothing here writes.

A disk of ours has a sentinel in its root, which says whose it is, and the volume's data in a directory beside it.
"""

from __future__ import annotations

from typing import Any, List, Mapping, Tuple

from mnemo_ops.agent.base.lines import each_line
from mnemo_ops.agent.docker import cli as docker
from mnemo_ops.agent.files import mounts
from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.resources import systemd
from mnemo_ops.agent.resources.filesystem import Filesystem
from mnemo_ops.errors import Broken, Refused

DATA = "data"
SENTINEL = ".mnemo-volume"  # PROJECT/VOLUME
FOUND_FIRST = {"lost+found", SENTINEL}
# mounted in a namespace of its own, gone with the process, and without replaying a journal: that would be a write
PEEK = 'mount -t "$1" -o "$2" "$3" /mnt; ls -A /mnt; echo //; if [ -e "/mnt/$4" ]; then cat "/mnt/$4"; fi'
UNTOUCHED = {"ext4": "ro,noload", "xfs": "ro,norecovery,nouuid"}

Row = Mapping[str, Any]


def refuse(machine: Machine, project: str, row: Row) -> None:
    """:raises Refused: what speaks against this disk, and the remedy (3)."""
    device, path = row["device"], row["mount"]["path"]
    _refuse_missing(machine, device, path, row["wait"])
    there = mounts.mounted(machine).get(path)
    if there is None:
        _refuse_unmounted(machine, project, row)
    elif machine.realpath(there.source) != machine.realpath(device):
        _refuse_another(device, path, there.source)
    else:
        _refuse_foreign(project, row, machine.names(path), machine.read_text(f"{path}/{SENTINEL}") or "")


def _refuse_unmounted(machine: Machine, project: str, row: Row) -> None:
    device, path = row["device"], row["mount"]["path"]
    mounts.refuse_hiding(machine, path)
    _refuse_elsewhere(machine, device)
    found = Filesystem(dev=device, fstype=row["mount"]["fstype"]).observe(machine)
    entry = mounts.entry(machine, path)
    if entry is not None and (found is None or entry != f"UUID={found['uuid']}"):
        _refuse_another(device, path, entry)
    if found is not None:
        _refuse_foreign(project, row, *_peek(machine, row))


def docker_runs(machine: Machine) -> bool:
    """Not asked of Docker: its socket would start it."""
    unit = systemd.look(machine, "docker.service")
    return unit is not None and unit.running


def consequence(machine: Machine, path: str) -> str:
    """What follows from a mount that is not there, as the end of a sentence; empty where it never was."""
    if mounts.entry(machine, path) is None or path in mounts.mounted(machine):
        return ""
    stopped = docker.is_installed(machine) and not docker_runs(machine)
    why = ", and Docker does not run without it: the stack would start on an empty directory" if stopped else ""
    return f", so {path} cannot be mounted{why}"


def _refuse_missing(machine: Machine, device: str, path: str, wait: float) -> None:
    try:
        machine.wait_until(f"{device} appears", lambda: machine.stat(device, follow=True) is not None, wait)
    except Broken:
        raise Refused(
            f"the disk {device} is not attached{consequence(machine, path)}",
            hint="attach that disk (ls -l /dev/disk/by-id shows those that are attached), then run `invoke volumes`: "
            "it mounts the disk and starts Docker",
        ) from None


def _refuse_another(device: str, path: str, source: str) -> None:
    raise Refused(
        f"{device} is not the disk that {path} is on, which is {source}",
        hint="name that disk in stack.volumes (blkid shows which it is, /dev/disk/by-id has names that stay); "
        f"if nobody needs what is on it any more: umount {path}, and take its line out of /etc/fstab",
    )


def _refuse_elsewhere(machine: Machine, device: str) -> None:
    real = machine.realpath(device)
    for other, one in mounts.mounted(machine).items():
        if one.source.startswith("/dev/") and machine.realpath(one.source) == real:
            raise Refused(
                f"the disk {device} is mounted on {other} already",
                hint=f"name another disk, or: umount {other}, and take its line out of /etc/fstab",
            )


def _peek(machine: Machine, row: Row) -> Tuple[List[str], str]:
    """Names in the root of a disk that is mounted nowhere, and its sentinel."""
    fstype = row["mount"]["fstype"]
    argv = ["unshare", "--mount", "sh", "-ec", PEEK, "sh", fstype, UNTOUCHED[fstype], row["device"], SENTINEL]
    names, _, sentinel = machine.ask(argv).out.partition("//\n")
    return each_line(names), sentinel


def _refuse_foreign(project: str, row: Row, names: List[str], sentinel: str) -> None:
    own, device = f"{project}/{row['key']}", row["device"]
    if sentinel.strip() not in ("", own):
        raise Refused(
            f"the disk {device} holds the volume {sentinel.strip()}, not {own}",
            hint="name another disk in stack.volumes, or the project and volume that this one is of",
        )
    others = [name for name in names if name not in FOUND_FIRST]
    if others and not sentinel:
        few = ", ".join(others[:3]) + (" and more" if len(others) > 3 else "")
        raise Refused(
            f"the disk {device} is not blank: it holds {few}",
            hint=f"name another disk; lsblk -f {device} shows what is on it, and mnemo_ops never erases a disk",
        )
