"""Virtual machines of one lab directory: made, booted, waited for and asked."""

from __future__ import annotations

import random
import shutil
import socket
import subprocess
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import suppress

from mnemo_ops.errors import Refused, StepFailed
from mnemo_ops.lab.directory import LabDirectory
from mnemo_ops.lab.engine import Report, command
from mnemo_ops.lab.qemu import Machine
from mnemo_ops.lab.vm_image import Image
from mnemo_ops.lab.vm_seed import Seed

ADDRESS = "127.0.0.1"
_PORTS = range(20000, 30000)  # below those that the kernel hands out
_BOOT_SECONDS = 600.0  # by emulation, on a machine that does other things, too; 80 on an idle one


def machines(lab: LabDirectory) -> list[Machine]:
    """Those whose files are complete, by name."""
    return [Machine.load(path.parent) for path in sorted(lab.path.glob("*/vm/vm.json"))]


def create(lab: LabDirectory, name: str, image: Image) -> None:
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
    taken = {machine.number for machine in machines(lab)}
    machine = Machine(directory, name, next(number for number in (1, 2) if number not in taken), next(_free_ports()))
    public = key.with_suffix(".pub").read_text()
    machine.create(image, Seed(name, machine.number, uuid.uuid4().hex, key.read_text(), public, authorized))


def boot(lab: LabDirectory, machine: Machine, image: Image, how: Sequence[str], report: Report) -> None:
    """Start a machine unless it runs, and wait for it. Raises as :func:`wait`."""
    began = time.monotonic()
    was_off = machine.pid() is None
    if was_off:
        report(f"booting {machine.name} ({how[1].partition(',')[0]})")
        machine.start(image, how)
    wait(lab, machine)
    if was_off:
        report(f"{machine.name} is up at {ADDRESS}:{machine.port} ({time.monotonic() - began:.0f} s)")


def wait(lab: LabDirectory, machine: Machine, before: str = "") -> None:
    """Until systemd has finished booting, another boot than `before`.

    :raises StepFailed: (exit code 6) it does not; carries the end of its console.
    """
    deadline = time.monotonic() + _BOOT_SECONDS
    why = "no answer"
    while time.monotonic() < deadline:
        if machine.pid() is None:
            why = "QEMU has ended"
            break
        try:
            why = ask(lab, machine, "cat /proc/sys/kernel/random/boot_id; systemctl is-system-running --wait || true")
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


def ask(lab: LabDirectory, machine: Machine, script: str) -> str:
    """What a shell script prints there. :raises StepFailed: (exit code 6) no answer, or it ends with an error."""
    argv = lab.ssh(ADDRESS, machine.port)
    alive = ["-o", "ConnectTimeout=20", "-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=12"]
    return command([argv[0], *alive, *argv[1:], script], timeout=_BOOT_SECONDS)


def _free_ports() -> Iterator[int]:
    for port in random.sample(_PORTS, 100):
        with suppress(OSError), socket.socket() as probe:
            probe.bind((ADDRESS, port))
            yield port
    raise Refused("no free port on loopback", hint=f"tried 100 of {_PORTS.start}-{_PORTS.stop - 1}")
