"""One virtual machine as a process: started, found again by its pid file, asked over its control socket, killed.

Everything of it lies in its directory, which is also where QEMU works: so paths stay short, and a pid file is
believed only when the process it names is a QEMU that works there.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from mnemo_ops.errors import StepFailed
from mnemo_ops.lab.engine import command
from mnemo_ops.lab.qmp import monitor
from mnemo_ops.lab.vm_image import Image
from mnemo_ops.lab.vm_seed import Seed, mac

_START_SECONDS = 30.0
_MEMORY = "1536"
# the machine is thrown away and nobody attacks it: what guards it, and what it says of itself, costs half of the time
_KERNEL = (
    "root=/dev/vda rw console=ttyS0 quiet net.ifnames=0 panic=10 systemd.show_status=0 systemd.log_level=notice"
    " mitigations=off init_on_alloc=0 audit=0 lsm=yama rcupdate.rcu_expedited=1"
    " module_blacklist=ata_piix,ata_generic,serio_raw,vsock,qemu_fw_cfg"
)


@dataclass(frozen=True)
class Machine:
    """A virtual machine; `disks` are the serial numbers of those attached.

    :param directory: its files.
    :param port: of this machine's loopback, leads to its sshd.
    """

    directory: Path
    name: str
    number: int
    port: int
    disks: tuple[str, ...] = ()

    @classmethod
    def load(cls, directory: Path) -> Machine:
        """:raises OSError: there is none."""
        data = json.loads((directory / "vm.json").read_text())
        return cls(directory, **{**data, "disks": tuple(data["disks"])})

    def save(self) -> None:
        data = {key: value for key, value in asdict(self).items() if key != "directory"}
        partial = self.directory / "vm.json.partial"
        partial.write_text(json.dumps(data))
        partial.replace(self.directory / "vm.json")

    @property
    def qmp(self) -> Path:
        return self.directory / "qmp"

    @property
    def console(self) -> Path:
        return self.directory / "console"

    def disk(self, serial: str) -> Path:
        return self.directory / f"disk-{serial}"

    def public_key(self) -> str:
        """That of its sshd."""
        return (self.directory / "host_key.pub").read_text()

    def create(self, image: Image, seed: Seed) -> None:
        """Its files; a machine without ``vm.json`` is made anew."""
        overlay = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", str(image.disk)]
        command([*overlay, str(self.directory / "root")])
        (self.directory / "initrd").write_bytes(_padded(image.initrd.read_bytes()) + seed.archive())
        self.save()

    def start(self, image: Image, accelerator: Sequence[str]) -> None:
        """Start QEMU. :raises StepFailed: (exit code 6) it does not start; carries its words."""
        argv = ["setsid", "--fork", "qemu-system-x86_64", *accelerator, *self._arguments(image)]
        with (self.directory / "log").open("wb") as log:
            subprocess.run(argv, cwd=self.directory, stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=True)
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            try:
                with monitor(self.qmp):
                    return
            except OSError:
                time.sleep(0.1)
            if self.pid() is None and (words := (self.directory / "log").read_text().strip()):
                raise StepFailed(f"QEMU does not start {self.name}: {words[-2000:]}")
        raise StepFailed(f"QEMU does not start {self.name} within {_START_SECONDS:.0f} s")

    def pid(self) -> int | None:
        """The process, when it runs."""
        try:
            pid = int((self.directory / "qemu.pid").read_text())
            is_ours = Path(f"/proc/{pid}/cwd").samefile(self.directory)
            program = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0]
        except (OSError, ValueError):
            return None
        return pid if is_ours and program.endswith(b"qemu-system-x86_64") else None

    def kill(self) -> None:
        """Everything stops at once; nothing when it does not run."""
        if (pid := self.pid()) is not None:
            os.kill(pid, signal.SIGKILL)
            self._wait_off(pid, 30)

    def shut_down(self, seconds: float) -> None:
        """Press the power button, if it runs. :raises StepFailed: (exit code 6) it goes on running."""
        if (pid := self.pid()) is not None:
            with monitor(self.qmp) as qemu:
                qemu.execute("system_powerdown")
            self._wait_off(pid, seconds)

    def _wait_off(self, pid: int, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not is_gone(pid):
            if time.monotonic() > deadline:
                raise StepFailed(f"virtual machine {self.name} does not stop within {seconds:.0f} s")
            time.sleep(0.1)

    def plug(self, serial: str) -> None:
        """Attach a disk to the running machine."""
        with monitor(self.qmp) as qemu:
            qemu.execute("blockdev-add", **self._node(serial))
            qemu.execute("device_add", **self._device(serial))

    def unplug(self, serial: str) -> None:
        """Detach a disk; returns when the machine has let it go."""
        with monitor(self.qmp) as qemu:
            qemu.execute("device_del", id=f"disk-{serial}")
            qemu.wait_for("DEVICE_DELETED", device=f"disk-{serial}")
            qemu.execute("blockdev-del", **{"node-name": f"node-{serial}"})

    def set_link(self, up: bool) -> None:
        """Pull the cable between the machines, or put it back."""
        with monitor(self.qmp) as qemu:
            qemu.execute("set_link", name="link", up=up)

    def _node(self, serial: str) -> dict[str, str]:
        return {"driver": "file", "filename": self.disk(serial).name, "node-name": f"node-{serial}"}

    def _device(self, serial: str) -> dict[str, str]:
        return {"driver": "virtio-blk-pci", "drive": f"node-{serial}", "serial": serial, "id": f"disk-{serial}"}

    def _arguments(self, image: Image) -> list[str]:
        # datagrams: either end may go and come back
        cable = f"local.type=unix,local.path=../../link.{self.number},"
        cable += f"remote.type=unix,remote.path=../../link.{3 - self.number}"
        outside, link = (f"mac={mac(network, self.number)}" for network in (0, 1))
        argv = ["-machine", "pc", "-m", _MEMORY, "-nodefaults", "-no-user-config", "-display", "none",
                "-name", self.name, "-pidfile", "qemu.pid", "-qmp", "unix:qmp,server=on,wait=off",
                "-serial", "file:console", "-kernel", str(image.kernel), "-initrd", "initrd", "-append", _KERNEL,
                # unsafe is it only when this machine crashes: what the other has synced, a killed QEMU has handed over.
                # the first in the machine, so /dev/vda whatever is attached later
                "-drive", "file=root,if=none,id=root,format=qcow2,discard=unmap,cache=unsafe",
                "-device", "virtio-blk-pci,drive=root",
                "-netdev", f"user,id=outside,ipv6=off,hostfwd=tcp:127.0.0.1:{self.port}-:22",
                "-device", f"virtio-net-pci,netdev=outside,{outside}",
                "-netdev", f"dgram,id=cable,{cable}", "-device", f"virtio-net-pci,netdev=cable,id=link,{link}",
                "-device", "virtio-rng-pci"]  # fmt: skip
        for serial in self.disks:
            argv += ["-blockdev", _joined(self._node(serial)), "-device", _joined(self._device(serial))]
        return argv


def is_gone(pid: int) -> bool:
    """Whether a process holds nothing any more; its entry may wait for its parent."""
    try:
        # a thread that is still ending keeps ports and files of all open
        threads = len(list(Path(f"/proc/{pid}/task").iterdir()))
        return threads == 1 and Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def _joined(words: dict[str, str]) -> str:
    return ",".join(f"{key}={value}" for key, value in words.items())


def _padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % 4)
