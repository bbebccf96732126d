"""File systems and where they are mounted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from example import Example
from world import World

MIB = 1 << 20
ROOT = "22 1 8:0 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
FSTAB = "# mine\n/dev/sda1 / ext4 errors=remount-ro 0 1\n/dev/sdb /data ext4 defaults 0 2\n"
DATA: dict[str, Any] = {"path": "/data", "src": "/dev/sdb", "fstype": "ext4", "passno": "2"}
MOUNT, MKFS = ("mount", "umount"), ("blkid", "mkfs.ext4", "mkfs.xfs", "resize2fs", "xfs_growfs")


def mounted(*lines: str, fstab: str = FSTAB) -> Callable[[World], None]:
    """A host with these mounts besides its root."""

    def prepare(world: World) -> None:
        world.write("etc/fstab", fstab)
        (world.root / "data").mkdir()
        world.write("proc/self/mountinfo", ROOT + "".join(line + "\n" for line in lines))

    return prepare


def at_data(source: str = "/dev/sdb") -> str:
    return f"30 22 8:16 / /data rw - ext4 {source} rw"


def disk(said: str = "", size: int = 64 * MIB, at: str = "") -> Callable[[World], None]:
    """A device with this signature; mounted there."""

    def prepare(world: World) -> None:
        mounted(*([f"30 22 8:16 / {at} rw - xfs /dev/sdb rw"] if at else []))(world)
        (world.root / "dev").mkdir()
        with (world.root / "dev/sdb").open("w") as file:
            file.write(said + "\n")
            file.truncate(size)

    return prepare


EXAMPLES: tuple[Example, ...] = (
    Example("present", "mount", {**DATA, "state": "present", "boot": False}, mounted(fstab="# mine\n")),
    Example("mounted", "mount", {**DATA, "state": "mounted"}, mounted(fstab=""), tools=MOUNT),
    Example("in-fstab-only", "mount", {**DATA, "path": "/data/", "state": "mounted"}, mounted(), tools=MOUNT),
    Example("new-options", "mount", {**DATA, "opts": "noatime", "state": "mounted"}, mounted(at_data()), tools=MOUNT),
    Example("not-by-remount", "mount", {**DATA, "opts": "vers=3", "state": "mounted"}, mounted(at_data()), tools=MOUNT),
    Example(
        "guarded",
        "mount",
        {**DATA, "path": "/srv/pg", "src": "UUID=7f3c", "guard": True, "state": "mounted"},
        disk("ext4 7f3c 4194304"),
        tools=(*MOUNT, "chattr"),
    ),
    Example(
        "unguarded",
        "mount",
        {"path": "/data", "guard": True, "state": "absent"},
        mounted(at_data()),
        tools=(*MOUNT, "chattr"),
    ),
    Example(
        "from-elsewhere", "mount", {**DATA, "src": "/dev/sdc", "state": "mounted"}, mounted(at_data()), tools=MOUNT
    ),
    Example("unmounted", "mount", {"path": "/data", "state": "unmounted"}, mounted(at_data()), tools=MOUNT),
    Example("absent", "mount", {"path": "/data", "state": "absent"}, mounted(at_data()), tools=MOUNT),
    Example(
        "not-in-fstab", "mount", {"path": "/data", "state": "absent_from_fstab", "backup": True}, mounted(at_data())
    ),
    Example("ephemeral", "mount", {**DATA, "opts": "ro", "state": "ephemeral"}, mounted(fstab=""), tools=MOUNT),
    Example("remounted", "mount", {"path": "/data", "state": "remounted"}, mounted(at_data()), deed=True, tools=MOUNT),
    Example(
        "own-table",
        "mount",
        {**DATA, "src": "HOST:/a b", "fstype": "nfs", "fstab": "/srv/fstab", "state": "mounted"},
        mounted(),
        tools=MOUNT,
    ),
    Example("blank", "filesystem", {"dev": "/dev/sdb", "fstype": "ext4", "opts": "-L data"}, disk(), tools=MKFS),
    Example(
        "named",
        "filesystem",
        {"dev": "/dev/sdb", "fstype": "xfs", "uuid": "0f3c7a52-0000-4000-8000-000000000001"},
        disk(),
        tools=MKFS,
    ),
    Example(
        "grows",
        "filesystem",
        {"dev": "/dev/sdb", "fstype": "ext4", "resizefs": True},
        disk("ext4 7f3c 4194304"),
        tools=MKFS,
    ),
    Example(
        "grows-mounted",
        "filesystem",
        {"dev": "/dev/sdb", "fstype": "xfs", "resizefs": True},
        disk("xfs 7f3c 4194304", at="/data"),
        tools=MKFS,
    ),
)
