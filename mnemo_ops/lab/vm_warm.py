"""The image after its first boot, which Docker and systemd spend on what is the same for all machines.

Measured on 2 cores by emulation: the first boot costs once what every machine would pay, a minute and more.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from mnemo_ops.lab.accelerator import accelerator
from mnemo_ops.lab.directory import LabDirectory, remove
from mnemo_ops.lab.engine import Report, cache_dir, command, locked, working
from mnemo_ops.lab.vm_boot import ADDRESS, ask, boot, create, machines
from mnemo_ops.lab.vm_image import Image, ensure_image, ensure_tools, image_path

_STOP_SECONDS = 120.0

# what must not be two machines': identity, keys, the mark that they have been given
_FORGET = """
sudo docker image inspect busybox:latest >/dev/null
sudo rm -rf /etc/mnemo-lab /etc/ssh/ssh_host_* /var/lib/systemd/random-seed /var/lib/docker/engine-id /var/log/journal/*
sudo truncate --size 0 /etc/machine-id
"""


def ensure_warm(report: Report) -> tuple[Image, tuple[str, ...]]:
    """The image to start machines from, made when the cache lacks it, and QEMU's arguments to run it.

    :raises Refused: (exit code 3) and
    :raises StepFailed: (exit code 6) as :func:`ensure_image`, or the first boot failed; nothing half made is kept.
    """
    ensure_tools(report)
    digest = hashlib.sha256(f"{image_path().name} {_FORGET}".encode()).hexdigest()
    warm = Image(cache_dir() / f"vm-{digest[:16]}-warm")
    if not warm.path.exists():
        with locked(warm.path.with_suffix(".lock")):
            if not warm.path.exists():
                _build(warm.path, report)
    return warm, accelerator(warm.kernel, report)


def _build(path: Path, report: Report) -> None:
    """Make the directory; it appears whole or not at all."""
    cold = ensure_image(report)
    how = accelerator(cold.kernel, report)
    partial = path.with_name(f"{path.name}.partial")
    _discard(partial)
    partial.mkdir()
    try:
        lab = LabDirectory(partial)
        create(lab, "first", cold)
        (machine,) = machines(lab)
        lab.write_known_hosts({f"[{ADDRESS}]:{machine.port}": [machine.public_key()]})
        with working(report, "first boot of the virtual machines' image"):
            boot(lab, machine, cold, how, lambda line: None)
            ask(lab, machine, _FORGET)
            machine.shut_down(_STOP_SECONDS)
        command(
            ["qemu-img", "convert", "-O", "raw", str(machine.directory / "root"), str(partial / "disk")], timeout=600
        )
        cold.path.replace(partial / "cold")  # a gigabyte that nobody reads again
        for name in ("kernel", "initrd"):
            (partial / "cold" / name).replace(partial / name)
        remove([lab.path, partial / "cold"])
        partial.replace(path)
    finally:
        _discard(partial)


def _discard(partial: Path) -> None:
    """Remove what a run that was cut left, a machine at work included."""
    for machine in machines(LabDirectory(partial)):
        machine.kill()
    remove([partial])
