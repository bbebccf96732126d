"""File systems of other hosts, mounted for one volume each: what speaks against it. Nothing here writes, or hangs.

A mount whose server is gone stops whoever touches it, so ports are asked first, and mounts only by a process that can
be killed.
"""

from __future__ import annotations

from typing import Any, Dict, List, Mapping

from mnemo_ops.agent.base.finding import WARNS, Finding
from mnemo_ops.agent.files import mounts
from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.stack.volume_checks import disks
from mnemo_ops.errors import Broken, CommandFailed, Refused

SILENCE = 4.0  # seconds until a server or a mount counts as silent
HELPER = (
    "install amazon-efs-utils as AWS describes for this distribution (Debian has no package of it); or leave tls and "
    "access_point out, and keep the way to the file system private"
)
REMEDIES = {
    "efs": "is there a mount target in this host's network, and does its security group let 2049/tcp in?",
    "glusterfs": "there: systemctl start glusterd; does a firewall let in 24007/tcp and the ports that "
    "`gluster volume status` shows?",
}

Row = Mapping[str, Any]


def refuse(machine: Machine, row: Row) -> None:
    """:raises Refused: what speaks against this mount, and the remedy (3)."""
    path, kind = row["mount"]["path"], row["mount"]["fstype"]
    if kind == "efs" and machine.which("mount.efs") is None:
        raise Refused("TLS and access points need mount.efs, which is not installed on this host", hint=HELPER)
    silent = _silent(machine, row)
    if len(silent) == len(row["addresses"]):
        said = "; ".join(f"{address} does not answer on port {row['port']}: {why}" for address, why in silent.items())
        raise Refused(said + disks.consequence(machine, path), hint=REMEDIES[row["type"]])
    _refuse_another(machine, row)
    if path in mounts.mounted(machine):
        _refuse_dead(machine, path)
    else:
        mounts.refuse_hiding(machine, path)


def _refuse_another(machine: Machine, row: Row) -> None:
    """What was mounted there until now holds the data. Of GlusterFS any of its servers gives the same volume."""
    path, wanted = row["mount"]["path"], row["mount"]["src"]
    source = mounts.entry(machine, path)
    if source in (None, wanted) or str(source).partition(":/")[2] == row.get("volume"):
        return
    raise Refused(
        f"{path} is on {source}, which holds the data, not on {wanted}",
        hint=f"say so in stack.volumes; if both are the same, or nobody needs those data: umount {path}, and take its "
        "line out of /etc/fstab",
    )


def warnings(machine: Machine, row: Row) -> List[Finding]:
    """Servers that are silent while others serve: the data are there, with fewer copies than meant."""
    silent = _silent(machine, row)
    if len(silent) == len(row["addresses"]):
        return []
    return [
        Finding(
            *("volume.server-silent", WARNS, row["key"]),
            evidence=f"{address} does not answer on port {row['port']} ({why}): the others serve alone",
            remedy=REMEDIES[row["type"]],
        )
        for address, why in silent.items()
    ]


def _silent(machine: Machine, row: Row) -> Dict[str, str]:
    """Address -> why it cannot be reached."""

    def read() -> Dict[str, str]:
        said = {address: machine.unreachable(address, row["port"], SILENCE) for address in row["addresses"]}
        return {address: why for address, why in said.items() if why}

    found: Dict[str, str] = machine.once(f"silent/{row['port']}/{row['addresses']}", read)
    return found


def _refuse_dead(machine: Machine, path: str) -> None:
    try:
        machine.ask(["stat", "--file-system", path], timeout=SILENCE)
    except (Broken, CommandFailed) as error:
        raise Refused(
            f"what is mounted on {path} does not answer: {error.message}",
            hint=f"umount --lazy {path}, run `invoke volumes` and restart the containers that use it",
        ) from None
