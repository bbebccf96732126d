"""The lab's virtual machines: what a container cannot show (kernel NFS, udev, a real reboot and power cut).

The same words as the container tier's :mod:`mnemo_ops.lab.server`. Each machine has a network to the outside, its sshd
on a port of this machine's loopback, and a cable to the other one, over sockets in the lab's directory.
"""

from __future__ import annotations

import random
import re
import shutil
import socket
import subprocess
import time
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from mnemo_ops.errors import Refused, StepFailed, UsageError
from mnemo_ops.lab.accelerator import accelerator
from mnemo_ops.lab.directory import USER, LabDirectory, Server, check_names, remove
from mnemo_ops.lab.engine import Report, command, locked
from mnemo_ops.lab.qemu import Machine
from mnemo_ops.lab.vm_image import Image, ensure_image
from mnemo_ops.lab.vm_seed import Seed, link_address

ADDRESS = "127.0.0.1"
_PORTS = range(20000, 30000)  # below those that the kernel hands out
_BOOT_SECONDS = 300.0
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
    if len(set(names) | {machine.name for machine in _machines(lab)}) > 2:
        raise UsageError("the cable has two ends: at most two virtual machines", hint="invoke lab.down")
    lab.only("vm")
    image = ensure_image(report)
    how = accelerator(image, report)
    with locked(root):
        for name in names:
            _create(lab, name, image)
        _write_down(lab)
        waiting = [machine for machine in _machines(lab) if machine.name in names]
        with ThreadPoolExecutor(max_workers=2) as pool:
            list(pool.map(lambda machine: _boot(lab, machine, image, how, report), waiting))
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
    return [_server(machine) for machine in _machines(LabDirectory(root))]


def ssh_command(root: Path, name: str) -> list[str]:
    """The argument vector of an ssh to a server; append the remote command."""
    return LabDirectory(root).ssh(ADDRESS, _find(root, name).port)


def reboot(root: Path, name: str) -> None:
    """An orderly reboot; returns when the server is up again."""
    machine = _find(root, name)
    before = _ask(root, machine, "cat /proc/sys/kernel/random/boot_id; sudo systemctl --no-block reboot").split()[0]
    _wait(root, machine, before)


def stop(root: Path, name: str) -> None:
    """An orderly shutdown by the power button; returns when the server is off."""
    _find(root, name).shut_down(_STOP_SECONDS)


def power_cut(root: Path, name: str) -> None:
    """Everything on the server stops at once; what it did not flush to its disk may be lost."""
    _find(root, name).kill()


def power_on(root: Path, name: str) -> None:
    """Start a server that is off; returns when it is up."""
    start(root, name)
    _wait(root, _find(root, name))


def start(root: Path, name: str) -> None:
    """Switch a server on and do not wait for it."""
    image = ensure_image(_silent)
    _start(_find(root, name), image, accelerator(image, _silent))


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


def _create(lab: LabDirectory, name: str, image: Image) -> None:
    """Make the machine's files unless they are complete."""
    directory = lab.machine(name)
    if (directory / "vm.json").exists():
        return
    authorized = lab.public_key()
    if directory.exists():
        shutil.rmtree(directory)
    directory.mkdir(parents=True)
    key = directory / "host_key"
    command(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(key)])
    taken = {machine.number for machine in _machines(lab)}
    machine = Machine(directory, name, next(number for number in (1, 2) if number not in taken), next(_free_ports()))
    public = key.with_suffix(".pub").read_text()
    machine.create(image, Seed(name, machine.number, uuid.uuid4().hex, key.read_text(), public, authorized))


def _free_ports() -> Iterator[int]:
    for port in random.sample(_PORTS, 100):
        with suppress(OSError), socket.socket() as probe:
            probe.bind((ADDRESS, port))
            yield port
    raise Refused("no free port on loopback", hint=f"tried 100 of {_PORTS.start}-{_PORTS.stop - 1}")


def _write_down(lab: LabDirectory) -> None:
    machines = _machines(lab)
    keys = {f"[{ADDRESS}]:{machine.port}": (machine.directory / "host_key.pub").read_text() for machine in machines}
    lab.write_known_hosts({where: [key] for where, key in keys.items()})
    lab.write_inventory(_server(machine) for machine in machines)


def _boot(lab: LabDirectory, machine: Machine, image: Image, how: Sequence[str], report: Report) -> None:
    began = time.monotonic()
    was_off = machine.pid() is None
    if was_off:
        report(f"booting {machine.name} ({how[1].partition(',')[0]})")
        _start(machine, image, how)
    _wait(lab.root, machine)
    if was_off:
        report(f"{machine.name} is up at {ADDRESS}:{machine.port} ({time.monotonic() - began:.0f} s)")


def _start(machine: Machine, image: Image, how: Sequence[str]) -> None:
    if machine.pid() is None:
        machine.start(image, how)


def _wait(root: Path, machine: Machine, before: str = "") -> None:
    """Until systemd has finished booting, another boot than `before`."""
    deadline = time.monotonic() + _BOOT_SECONDS
    why = "no answer"
    while time.monotonic() < deadline:
        if machine.pid() is None:
            why = "QEMU has ended"
            break
        try:
            why = _ask(root, machine, "cat /proc/sys/kernel/random/boot_id; systemctl is-system-running --wait || true")
        except (StepFailed, subprocess.TimeoutExpired) as error:
            why = str(error)
        words = why.split()
        if len(words) == 2 and words[0] != before and words[1] in ("running", "degraded"):
            return
        time.sleep(0.5)
    console = machine.console.read_text(errors="replace")[-3000:] if machine.console.exists() else ""
    raise StepFailed(
        f"virtual machine {machine.name} does not come up: {why}\n{console}", hint=f"less {machine.console}"
    )


def _ask(root: Path, machine: Machine, script: str) -> str:
    argv = LabDirectory(root).ssh(ADDRESS, machine.port)
    alive = ["-o", "ConnectTimeout=5", "-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=3"]
    return command([argv[0], *alive, *argv[1:], script], timeout=_BOOT_SECONDS)


def _machines(lab: LabDirectory) -> list[Machine]:
    return [Machine.load(path.parent) for path in sorted(lab.path.glob("*/vm/vm.json"))]


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
