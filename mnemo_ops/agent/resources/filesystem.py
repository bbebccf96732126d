"""filesystem: a file system on a blank device; nothing that is there is ever overwritten."""

from __future__ import annotations

import re
import shlex
from typing import ClassVar, Dict, List, Literal, Mapping, Optional

from mnemo_ops.agent.base.lines import each_line, refuse_options
from mnemo_ops.agent.base.record import dataclass
from mnemo_ops.agent.base.state import ABSENT, Change, State
from mnemo_ops.agent.engine.resource import Resource
from mnemo_ops.agent.files import mounts
from mnemo_ops.agent.machine import Machine
from mnemo_ops.errors import Broken, NotYet, Refused

MAKERS: Dict[str, List[str]] = {
    **{f"ext{number}": [f"mkfs.ext{number}", "-F"] for number in (2, 3, 4)},
    **{name: [f"mkfs.{name}", "-f"] for name in ("xfs", "btrfs", "f2fs")},
    "vfat": ["mkfs.vfat"],
    "swap": ["mkswap", "-f"],
    "lvm": ["pvcreate", "-y"],
}
UUIDS = {"ext2": "-U", "ext3": "-U", "ext4": "-U", "btrfs": "-U", "swap": "-U", "xfs": "-m"}
WHOLE = "the whole device"
SLACK = 8 << 20  # bytes at the end that a file system may leave unused: less than its next group needs


@dataclass(frozen=True)
class Filesystem(Resource):
    """A file system on a device. A device with another signature (a file system, a partition table, a member of
    something) is refused, ``force`` or not: its message names the command that makes it blank.

    :param dev: the device, or a file.
    :param fstype: type of the file system; ``lvm`` makes a physical volume.
    :param opts: further options for mkfs.
    :param uuid: UUID of a new one; another one than an existing has is refused.
    :param resizefs: grow it (ext2 to ext4, xfs) to the size of the device.
    :param force: accepted for what is right already; it destroys nothing here.
    :param state: ``present``, or ``absent``: refused while there is anything.
    """

    kind: ClassVar[str] = "filesystem"
    ALIASES: ClassVar[Mapping[str, str]] = {"type": "fstype", "device": "dev"}
    EXAMPLE: ClassVar[str] = """\
- name: the data disk, if it is new
  filesystem: {dev: /dev/disk/by-id/virtio-data, fstype: ext4, opts: -L data}
"""

    dev: str
    fstype: Optional[Literal["ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "vfat", "swap", "lvm"]] = None
    opts: Optional[str] = None
    uuid: Optional[str] = None
    resizefs: bool = False
    force: bool = False
    state: Literal["present", "absent"] = "present"

    def __post_init__(self) -> None:
        refuse_options(dev=self.dev)
        if self.state == "present" and self.fstype is None:
            raise ValueError("fstype is missing")
        if self.resizefs and self.uuid is not None:
            raise ValueError("resizefs and uuid exclude each other")
        if self.resizefs and self.fstype not in ("ext2", "ext3", "ext4", "xfs"):
            raise ValueError("resizefs is for ext2, ext3, ext4 and xfs")
        if self.uuid is not None and (self.fstype not in UUIDS or not re.fullmatch(r"[0-9a-fA-F-]{36}", self.uuid)):
            raise ValueError("uuid is a UUID in full, for ext2, ext3, ext4, xfs, btrfs or swap")

    def desired(self) -> State:
        if self.state == "absent":
            return ABSENT
        return {"type": self.fstype, **({"size": WHOLE} if self.resizefs else {})}

    def observe(self, machine: Machine) -> State:
        if machine.stat(self.dev, follow=True) is None:
            if self.state == "absent":
                return ABSENT
            raise NotYet(f"there is no device {self.dev}")
        if machine.which("blkid") is None and self.state == "present":
            return ABSENT
        found = self._signature(machine)
        if found is None:
            return ABSENT
        return {"type": self.fstype, "size": self._size(machine) if self.resizefs else None, "uuid": found.get("UUID")}

    def _signature(self, machine: Machine) -> Optional[Dict[str, str]]:
        """What is on the device: ``None`` when it is blank. :raises Refused: something else than declared (3)."""
        done = machine.ask(["blkid", "-p", "-o", "export", machine.path(self.dev)], check=False)
        if done.rc == 2 and not done.err.strip():
            return None
        if done.rc not in (0, 8):
            raise Broken(f"blkid cannot tell what is on {self.dev}: {done.err.strip() or done.rc}")
        found = dict(line.split("=", 1) for line in each_line(done.out) if "=" in line)
        there = found.get("TYPE") or (f"a {found['PTTYPE']} partition table" if "PTTYPE" in found else "several things")
        wanted = "LVM2_member" if self.fstype == "lvm" else self.fstype
        if self.state == "absent" or there != wanted:
            self._refuse(f"{self.dev} holds {there}, which would be lost")
        if self.uuid is not None and found.get("UUID", "").lower() != self.uuid.lower():
            self._refuse(f"{self.dev} holds {there} with the UUID {found.get('UUID')}, not {self.uuid}")
        return found

    def _refuse(self, what: str) -> None:
        raise Refused(
            what,
            hint=f"name another device; lsblk -f {self.dev} shows what is on it, and mnemo_ops never erases a disk",
        )

    # -- size --------------------------------------------------------------------------------------------------------

    def _size(self, machine: Machine) -> str:
        stat = machine.stat(self.dev, follow=True)
        assert stat is not None
        device = stat.size
        if stat.kind != "file":
            device = int(machine.ask(["blockdev", "--getsize64", machine.path(self.dev)]).out)
        used = self._used(machine)
        return WHOLE if used + SLACK >= device else f"{used} of {device} bytes"

    def _used(self, machine: Machine) -> int:
        if self.fstype == "xfs":
            shown = machine.ask(["xfs_info", self._mount_point(machine) or machine.path(self.dev)]).out
            size = re.search(r"^data\s.*bsize=(\d+)\s+blocks=(\d+)", shown, re.MULTILINE)
            numbers = list(size.groups()) if size else []
        else:
            shown = machine.ask(["tune2fs", "-l", machine.path(self.dev)]).out
            numbers = re.findall(r"^Block (?:count|size):\s*(\d+)", shown, re.MULTILINE)
        if len(numbers) != 2:
            raise Broken(f"the size of the file system on {self.dev} cannot be read")
        return int(numbers[0]) * int(numbers[1])

    def _mount_point(self, machine: Machine) -> Optional[str]:
        device = machine.realpath(self.dev)
        every = mounts.mounted(machine).items()
        return next((path for path, found in every if machine.realpath(found.source) == device), None)

    # -- doing -------------------------------------------------------------------------------------------------------

    def apply(self, machine: Machine, change: Change) -> State:
        machine.note = f"{self.fstype} on {self.dev}"
        if self._signature(machine) is None:  # looked at again: between check and deed somebody may have used it
            machine.run([*MAKERS[str(self.fstype)], *self._identity(), *self._options(), machine.path(self.dev)])
        elif "size" in change.keys and self.fstype == "xfs":
            where = self._mount_point(machine)
            if where is None:
                raise NotYet(f"{self.dev} must be mounted for xfs to grow")
            machine.run(["xfs_growfs", where])
        elif "size" in change.keys:
            machine.run(["resize2fs", machine.path(self.dev)])
        return None

    def _identity(self) -> List[str]:
        if self.uuid is None:
            return []
        return [UUIDS[str(self.fstype)], f"uuid={self.uuid}" if self.fstype == "xfs" else self.uuid]

    def _options(self) -> List[str]:
        return shlex.split(self.opts or "")
