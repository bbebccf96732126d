"""The virtual machines' image: Debian with its own kernel and Docker, made without a loop mount.

The server under test is not installed, but its packages are in apt's cache: under emulation every download and every
index update costs a test half a minute. Measured on 2 cores: root file system 60-140 s, disk 8 s.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from mnemo_ops.lab.directory import USER, remove
from mnemo_ops.lab.engine import Report, cache_dir, command, install, locked, working
from mnemo_ops.lab.image import Recipe, ensure_root

UID = 1000  # of the user ops
SIZE = "12G"
TOOLS = {"qemu-system-x86_64": "qemu-system-x86", "qemu-img": "qemu-utils", "mke2fs": "e2fsprogs"}

_PACKAGES = (
    # Debian's kernel for clouds: what a hired server runs, without drivers for hardware
    "linux-image-cloud-amd64", "busybox-static",
    "systemd-sysv", "dbus", "udev", "openssh-server", "sudo", "python3", "ca-certificates", "iproute2", "procps",
    "kmod", "e2fsprogs", "iptables", "nftables", "docker.io", "docker-cli", "docker-compose",
    "acl", "age", "openssh-client", "rsync", "tar", "zstd",  # those of the role base
    "nfs-common",  # a minute and a half of a test, and what installs it installs the server's package, too
)  # fmt: skip
_CACHED = ("nfs-kernel-server", "ufw")

# what no test looks at and an emulated processor takes seconds for
_MASKED = (
    "apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "e2scrub_all.timer", "e2scrub_reap.service",
    "fstrim.timer", "systemd-pstore.service", "systemd-binfmt.service", "systemd-udev-load-credentials.service",
    "systemd-network-generator.service", "systemd-networkd-persistent-storage.service", "sshd-keygen.service",
    "getty@tty1.service", "dev-hugepages.mount", "dev-mqueue.mount", "sys-kernel-debug.mount",
    "sys-kernel-tracing.mount", "sys-kernel-config.mount", "sys-fs-fuse-connections.mount", "modprobe@.service",
    "systemd-random-seed.service", "systemd-remount-fs.service", "tmp.mount", "run-lock.mount",
    "nfs-blkmap.service",
)  # fmt: skip

# they run at every boot and whenever units are read again, which a package asks for five times
_GENERATORS = (
    "debug",
    "getty",
    "gpt-auto",
    "hibernate-resume",
    "rc-local",
    "run",
    "ssh",
    "system-update",
    "sysv",
    "tpm2",
)

RECIPE = Recipe(
    name="vm",
    suite="trixie",
    variant="apt",
    packages=_PACKAGES,
    tree=Path(__file__).parent / "files" / "vm",
    skip=("cleanup/apt/lists", "cleanup/apt/cache"),
    commands=(
        f"useradd --create-home --uid {UID} --shell /bin/bash {USER}",
        f"echo '{USER} ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/{USER} && chmod 0440 /etc/sudoers.d/{USER}",
        "rm -f /etc/ssh/ssh_host_* /boot/initrd.img-* && : > /etc/machine-id",
        f"systemctl mask {' '.join(_MASKED)}",
        "mkdir /etc/systemd/system-generators && cd /etc/systemd/system-generators"
        f" && for name in {' '.join(_GENERATORS)}; do ln -s /dev/null systemd-$name-generator; done",
        # so that they need not be unpacked there
        "find /usr/lib/modules -name '*.ko.xz' -exec busybox unxz {} + && depmod $(ls /usr/lib/modules)",
        "systemctl enable systemd-networkd.service mnemo-lab-busybox.service",
        "mnemo-lab-initrd && mnemo-lab-busybox",
        f"apt-get clean && apt-get install -y -q --download-only --no-install-recommends {' '.join(_CACHED)}",
    ),
)

# no loop mount: mke2fs copies the tree, owners, modes and nodes as they are in it
_DISK = """
mkdir "$2/root" && tar -C "$2/root" --numeric-owner -xpf "$1"
cp "$2"/root/boot/vmlinuz-* "$2/kernel" && cp "$2/root/boot/initrd.lab" "$2/initrd"
mke2fs -q -t ext4 -d "$2/root" "$2/disk" "$3"
rm -rf "$2/root"
"""


@dataclass(frozen=True)
class Image:
    """Files in the cache: `disk` is a raw ext4 file system, `initrd` lacks the machine's own part."""

    path: Path

    @property
    def disk(self) -> Path:
        return self.path / "disk"

    @property
    def kernel(self) -> Path:
        return self.path / "kernel"

    @property
    def initrd(self) -> Path:
        return self.path / "initrd"


def ensure_tools(report: Report) -> None:
    """QEMU and what makes a disk, installed when this machine lacks them.

    :raises Refused: (exit code 3) a program is missing and cannot be installed by this user; the hint says which.
    """
    for program, package in TOOLS.items():
        if not shutil.which(program):
            install(package, report, recommended=False)


def image_path() -> Path:
    """Where the image is or will be: named by everything it depends on."""
    digest = hashlib.sha256(f"{RECIPE.root_digest()} {SIZE} {_DISK}".encode()).hexdigest()
    return cache_dir() / f"vm-{digest[:16]}"


def ensure_image(report: Report) -> Image:
    """The image, built when the cache lacks it.

    :raises Refused: (exit code 3) as :func:`ensure_tools`.
    :raises StepFailed: (exit code 6) the build failed; nothing half made is kept.
    """
    image = Image(image_path())
    if not image.path.exists():
        with locked(cache_dir() / f"rootfs-{RECIPE.root_digest()}.lock"):
            if not image.path.exists():
                _build(image.path, report)
    return image


def _build(path: Path, report: Report) -> None:
    """Make the directory; it appears whole or not at all."""
    archive = ensure_root(RECIPE, report)
    partial = path.with_name(f"{path.name}.partial")
    remove([partial])
    partial.mkdir()
    if os.geteuid() != 0 and not shutil.which("fakeroot"):
        install("fakeroot", report)
    rights = [] if os.geteuid() == 0 else ["fakeroot"]  # for the owners of the files
    try:
        with working(report, "making the disk of the virtual machines"):
            command([*rights, "sh", "-ec", _DISK, "sh", str(archive), str(partial), SIZE], timeout=600)
        partial.replace(path)
        archive.unlink()  # a gigabyte that nobody reads again
    finally:
        remove([partial])
