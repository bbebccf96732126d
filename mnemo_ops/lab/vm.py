"""The lab's virtual machines: what a container cannot show (kernel NFS, udev, a real reboot and power cut).

The same words as the container tier's :mod:`mnemo_ops.lab.server`. Each machine has a network to the outside, its sshd
on a port of this machine's loopback, and a cable to the other one, over sockets in the lab's directory.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from mnemo_ops.errors import UsageError
from mnemo_ops.lab.directory import USER, LabDirectory, Server, check_names, remove
from mnemo_ops.lab.engine import Report, locked
from mnemo_ops.lab.qemu import Machine
from mnemo_ops.lab.vm_boot import ADDRESS, ask, boot, create, machines, wait
from mnemo_ops.lab.vm_seed import link_address
from mnemo_ops.lab.vm_warm import ensure_warm

_STOP_SECONDS = 120.0


def up(root: Path, names: Sequence[str], report: Report) -> list[Server]:
    """Bring up one or two virtual machines in the lab of `root`; those that run already are left alone.

    :return: all servers of the lab.
    :raises UsageError: (exit code 2) a name is not possible, or they would be more than two.
    :raises Refused: (exit code 3) QEMU can't be had, or the lab has containers.
    :raises StepFailed: (exit code 6) a machine does not come up; carries its console. Calling again continues.
    """
    check_names(names)
    lab = LabDirectory(root)
    if len(set(names) | {machine.name for machine in machines(lab)}) > 2:
        raise UsageError("the cable has two ends: at most two virtual machines", hint="invoke lab.down")
    lab.only("vm")
    image, how = ensure_warm(report)
    with locked(root):
        for name in names:
            create(lab, name, image)
        _write_down(lab)
        waiting = [machine for machine in machines(lab) if machine.name in names]
        with ThreadPoolExecutor(max_workers=2) as pool:
            list(pool.map(lambda machine: boot(lab, machine, image, how, report), waiting))
    return status(root)


def down(root: Path, report: Report) -> None:
    """Remove the virtual machines of the lab of `root`, their disks, and its files. Works on half a lab and on none."""
    lab = LabDirectory(root)
    directories = list(lab.path.glob("*/vm"))
    if not directories:
        return
    with locked(root):
        report(f"removing {len(directories)} virtual machines")
        for directory in directories:
            Machine(directory, directory.parent.name, 0, 0).kill()
        remove([*lab.path.glob("link.?"), *lab.generated()])
        remove([directory.parent for directory in directories])
        if not any(lab.path.iterdir()):
            lab.path.rmdir()


def status(root: Path) -> list[Server]:
    """The virtual machines of the lab of `root`, by name."""
    return [_server(machine) for machine in machines(LabDirectory(root))]


def ssh_command(root: Path, name: str) -> list[str]:
    """The argument vector of an ssh to a server; append the remote command."""
    return LabDirectory(root).ssh(ADDRESS, _find(root, name).port)


def reboot(root: Path, name: str) -> None:
    """An orderly reboot; returns when the server is up again."""
    lab, machine = LabDirectory(root), _find(root, name)
    before = ask(lab, machine, "cat /proc/sys/kernel/random/boot_id; sudo systemctl --no-block reboot").split()[0]
    wait(lab, machine, before)


def stop(root: Path, name: str) -> None:
    """An orderly shutdown by the power button; returns when the server is off."""
    _find(root, name).shut_down(_STOP_SECONDS)


def power_cut(root: Path, name: str) -> None:
    """Everything on the server stops at once; what it did not flush to its disk may be lost."""
    _find(root, name).kill()


def power_on(root: Path, name: str) -> None:
    """Start a server that is off; returns when it is up."""
    start(root, name)
    wait(LabDirectory(root), _find(root, name))


def start(root: Path, name: str) -> None:
    """Switch a server on and do not wait for it."""
    machine = _find(root, name)
    if machine.pid() is None:
        machine.start(*ensure_warm(_silent))


def attach_disk(root: Path, name: str, serial: str, size: int = 1 << 30) -> str:
    """Attach a disk, blank the first time; a server that is off finds it when it is switched on.

    :param serial: letters, digits, ``-`` and ``_``, at most 20.
    :param size: bytes of a new disk; takes no space until it is written.
    :return: its path on the server, as udev makes it.
    """
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,20}", serial):
        raise UsageError(f"`{serial}` cannot be a disk's serial number")
    machine = _find(root, name)
    if serial not in machine.disks:
        if not machine.disk(serial).exists():
            with machine.disk(serial).open("wb") as disk:
                disk.truncate(size)
        if machine.pid() is not None:
            machine.plug(serial)
        replace(machine, disks=(*machine.disks, serial)).save()
    return f"/dev/disk/by-id/virtio-{serial}"


def detach_disk(root: Path, name: str, serial: str) -> None:
    """Detach a disk, as it is and whoever uses it; its content stays for the next :func:`attach_disk`."""
    machine = _find(root, name)
    if serial in machine.disks:
        if machine.pid() is not None:
            machine.unplug(serial)
        replace(machine, disks=tuple(disk for disk in machine.disks if disk != serial)).save()


def disconnect(root: Path, name: str) -> None:
    """Pull the cable to the other virtual machine."""
    _find(root, name).set_link(False)


def connect(root: Path, name: str) -> None:
    """Put the cable back."""
    _find(root, name).set_link(True)


def _write_down(lab: LabDirectory) -> None:
    found = machines(lab)
    lab.write_known_hosts({f"[{ADDRESS}]:{machine.port}": [machine.public_key()] for machine in found})
    lab.write_inventory(_server(machine) for machine in found)


def _find(root: Path, name: str) -> Machine:
    try:
        return Machine.load(LabDirectory(root).machine(name))
    except FileNotFoundError as error:
        raise UsageError(f"the lab has no virtual machine `{name}`", hint="invoke lab.up --tier vm") from error


def _server(machine: Machine) -> Server:
    state = "stopped" if machine.pid() is None else "running"
    return Server(machine.name, ADDRESS, machine.port, USER, state, link_address(machine.number))


def _silent(line: str) -> None:
    pass
