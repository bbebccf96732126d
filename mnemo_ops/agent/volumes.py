"""The stack's volumes as a host has them: what speaks against using them as declared, each with its remedy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Sequence, Tuple

from mnemo_ops.agent import docker, mounts
from mnemo_ops.agent.machine import Machine
from mnemo_ops.errors import Broken

DATA = "data"  # directory of the data on a mount of our own
SENTINEL = ".mnemo-volume"  # says whose mount it is: PROJECT/VOLUME
FOUND_FIRST = {"lost+found", SENTINEL}
# in a mount namespace of its own, so that nothing stays mounted whatever happens
PEEK = 'mount -t "$1" -o "$2" "$3" /mnt; ls -A /mnt; echo //; if [ -e "/mnt/$4" ]; then cat "/mnt/$4"; fi'
READ_ONLY = {"ext4": "ro,noload", "xfs": "ro,norecovery"}

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Finding:
    """Something wrong with a volume.

    :param volume: its key in the compose file. :param what: one sentence. :param remedy: the command or change to make.
    """

    volume: str
    what: str
    remedy: str


def findings(machine: Machine, project: str, rows: Sequence[Row], kept: Sequence[str]) -> List[Finding]:
    """Everything that speaks against the volumes as declared; looks only.

    :param rows: of ``layout.volumes``. :param kept: keys of the volumes that must survive.
    """
    found: List[Finding] = []
    for row in rows:
        if row["mount"]:
            found += _mount(machine, project, row)
        if row["type"] == "block":
            found += _disk(machine, project, row)
    if docker.is_installed(machine) and _docker_runs(machine):
        there = docker.all_of(machine, "volume")
        found += [
            Finding(row["key"], f"the Docker volume {row['name']} does not exist", "make it, or choose another type")
            for row in rows
            if row["type"] == "external" and row["name"] not in there
        ]
        found += _renamed(machine, project, rows, kept, there)
    return found


def _docker_runs(machine: Machine) -> bool:
    """Not asked of Docker: its socket would start it."""
    return machine.ask(["systemctl", "is-active", "docker.service"], check=False).out.strip() == "active"


# -- mounts of our own ---------------------------------------------------------------------------------------------


def _mount(machine: Machine, project: str, row: Row) -> List[Finding]:
    path = row["mount"]["path"]
    mounted = path in mounts.mounted(machine)
    names = machine.names(path) if machine.stat(path) is not None else []
    if not mounted and names:
        what = f"{path} is not mounted and holds {_few(names)}, which a mount would hide"
        return [Finding(row["key"], what, f"move it away: mv {path} {path}.before")]
    if mounted:
        return _foreign(machine, project, row, names, machine.read_text(f"{path}/{SENTINEL}") or "")
    if row["mount"]["fstype"] == "efs" and machine.which("mount.efs") is None:
        what = "TLS and access points need mount.efs, which is not on this host"
        return [
            Finding(row["key"], what, "install amazon-efs-utils as AWS describes, or leave tls and access_point out")
        ]
    return []


def _disk(machine: Machine, project: str, row: Row) -> List[Finding]:
    path, device = row["mount"]["path"], row["device"]
    there = mounts.mounted(machine)
    if path in there:
        return []
    if not _appears(machine, device, 0 if _was_mounted(machine, path) else row["wait"]):
        what = f"the disk {device} is not attached, so {path} is not mounted"
        if docker.is_installed(machine) and not _docker_runs(machine):
            what += "; Docker does not run because of that: the stack would start on an empty directory"
        return [
            Finding(row["key"], what, "attach the disk, then run invoke volumes again: it mounts and starts Docker")
        ]
    real = machine.realpath(device)
    for other, one in there.items():
        if one.root == "/" and machine.realpath(one.source) == real:
            what = f"the disk {device} is mounted on {other} already"
            return [Finding(row["key"], what, f"umount {other} and take it out of /etc/fstab, or name another disk")]
    return _content(machine, project, row, device)


def _was_mounted(machine: Machine, path: str) -> bool:
    lines = (machine.read_text("/etc/fstab") or "").splitlines()
    return any(mounts.fields(line).get("path") == path for line in lines)


def _appears(machine: Machine, device: str, seconds: float) -> bool:
    try:
        machine.wait_until(f"{device} appears", lambda: machine.stat(device, follow=True) is not None, seconds)
    except Broken:
        return False
    return True


def _content(machine: Machine, project: str, row: Row, device: str) -> List[Finding]:
    """Files on a disk that has a file system already but was never ours."""
    done = machine.ask(["blkid", "-p", "-o", "value", "-s", "TYPE", device], check=False)
    fstype = done.out.strip()
    if fstype not in READ_ONLY:
        return []  # blank, or nothing that the kind filesystem leaves alone
    names, sentinel = _peek(machine, fstype, READ_ONLY[fstype], device)
    return _foreign(machine, project, row, names, sentinel)


def _peek(machine: Machine, fstype: str, options: str, source: str) -> Tuple[List[str], str]:
    """Names in the root of a file system, and its sentinel. :raises CommandFailed: it cannot be mounted (6)."""
    argv = ["unshare", "--mount", "sh", "-ec", PEEK, "sh", fstype, options, source, SENTINEL]
    names, _, sentinel = machine.ask(argv).out.partition("//\n")
    return names.splitlines(), sentinel


def _foreign(machine: Machine, project: str, row: Row, names: List[str], sentinel: str) -> List[Finding]:
    own, source = f"{project}/{row['key']}", row.get("device") or row["mount"]["src"]
    if sentinel.strip() not in ("", own):
        what = f"{source} is the volume {sentinel.strip()}, not {own}"
        return [Finding(row["key"], what, "name another disk in stack.volumes, or the project and volume it is of")]
    others = [name for name in names if name not in FOUND_FIRST]
    if others and not sentinel:
        what = f"{source} holds data that is not this volume's: {_few(others)}"
        keep = f"keep it: move it below {DATA}/ there and write {own} into {SENTINEL}"
        return [Finding(row["key"], what, f"name another disk, or empty this one; to {keep}")]
    return []


def _few(names: List[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


# -- volumes of Docker's own ---------------------------------------------------------------------------------------


def _renamed(
    machine: Machine, project: str, rows: Sequence[Row], kept: Sequence[str], there: Mapping[str, docker.Row]
) -> List[Finding]:
    """Data under another project's name, where ours has none: a renamed project would start with empty volumes."""
    missing = [row for row in rows if row["type"] == "local" and row["key"] in kept and row["name"] not in there]
    others: Dict[str, Dict[str, str]] = {}
    for row in missing:
        for name, one in there.items():
            other = _project_of(name, one, row["key"])
            if other and other != project and machine.names(one["Mountpoint"]):
                others.setdefault(other, {})[row["key"]] = name
    found = []
    for other, names in others.items():
        marked = any((there[name].get("Labels") or {}).get("mnemo.role") for name in names.values())
        if marked or len(names) > 1:  # one name alone may be of any application
            every = list(names.values())
            what = f"new volumes of {project} would be empty, while the data of {other} is here: {', '.join(every)}"
            remedy = f"set stack.project: {other}; or, when nobody needs that data any more: docker volume rm "
            found.append(Finding(next(iter(names)), what, remedy + " ".join(every)))
    return found


def _project_of(name: str, row: docker.Row, key: str) -> str:
    labels = row.get("Labels") or {}
    if labels.get("mnemo.role") == key:
        return str(labels.get("mnemo.stack", ""))
    return name[: -len(key) - 1] if name.endswith(f"_{key}") else ""
