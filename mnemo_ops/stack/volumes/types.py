"""Types of volumes that lie on one host: what each is told, checks, and hands to our playbooks.

Source of the names of disks: AWS (NVMe), Google Cloud and DigitalOcean document them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar

from mnemo_ops.agent.base.record import dataclass
from mnemo_ops.agent.stack.volume_checks.disks import DATA

MOUNTS = "/mnt/mnemo"  # our own mount points: /mnt/mnemo/PROJECT/VOLUME
OPPOSITES = {
    "soft": "hard",
    "softerr": "hard",
    "nolock": "lock",
    "noac": "ac",
    "resvport": "noresvport",
    "vers": "nfsvers",
}


@dataclass(frozen=True)
class Storage:
    """Where one volume of the stack is kept.

    :raises ValueError: what is wrong, with the remedy.
    """

    type: ClassVar[str]

    def place(self, project: str, key: str) -> str:
        """What no other volume may share; empty when it cannot be shared."""
        return ""

    def reached(self, addresses: Mapping[str, str]) -> Storage:
        """The same, its servers by their addresses. :param addresses: of hosts of the inventory."""
        return self

    @property
    def mount_options(self) -> str:
        """NFS options that a database cannot live with are refused by them."""
        return ""

    def row(self, project: str, key: str) -> dict[str, Any]:
        """What ``playbooks/volumes/TYPE.yml`` is told beside key, name, type and labels."""
        return {}


@dataclass(frozen=True)
class Local(Storage):
    """A directory of Docker's own, on the disk of the host."""

    type: ClassVar[str] = "local"

    def row(self, project: str, key: str) -> dict[str, Any]:
        return {"driver_options": {}}


@dataclass(frozen=True)
class Bind(Storage):
    """A directory of the host.

    :param path: absolute.
    """

    type: ClassVar[str] = "bind"
    path: str

    def __post_init__(self) -> None:
        absolute(self.path, "path")

    def place(self, project: str, key: str) -> str:
        return self.path.rstrip("/")

    def row(self, project: str, key: str) -> dict[str, Any]:
        return bound(self.path.rstrip("/"))


@dataclass(frozen=True)
class External(Storage):
    """A Docker volume that somebody else made; it is used, never changed.

    :param name: its name, without the project before it.
    """

    type: ClassVar[str] = "external"
    name: str

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+", self.name):
            raise ValueError(f"name: {self.name!r} is not the name of a Docker volume")

    def place(self, project: str, key: str) -> str:
        return self.name

    def row(self, project: str, key: str) -> dict[str, Any]:
        return {"name": self.name}


@dataclass(frozen=True)
class Block(Storage):
    """A disk of its own, attached to the host; one of ``device``, ``aws``, ``gcp`` and ``digitalocean`` says which.

    :param device: path of the device, best below /dev/disk/by-id: those names stay.
    :param aws: id of an EBS volume (vol-0abc), where disks are NVMe.
    :param gcp: device name of a Persistent Disk or Hyperdisk.
    :param digitalocean: name of a volume.
    :param fstype: file system that a blank disk gets: ext4 or xfs.
    :param options: mount options, with commas between; ``nofail`` and the time to wait are added.
    :param wait: seconds the disk may take to appear, at boot, too.
    """

    type: ClassVar[str] = "block"
    device: str = ""
    aws: str = ""
    gcp: str = ""
    digitalocean: str = ""
    fstype: str = "ext4"
    options: str = "defaults"
    wait: int = 30

    def __post_init__(self) -> None:
        if sum(map(bool, (self.device, self.aws, self.gcp, self.digitalocean))) != 1:
            raise ValueError("name the disk with exactly one of device, aws, gcp and digitalocean")
        if not re.fullmatch(r"/dev/[\w.:+@/-]+", self.path) or ".." in self.path:
            raise ValueError(f"{self.path!r} is not a path below /dev; ls -l /dev/disk/by-id shows the disks of a host")
        if self.aws and not re.fullmatch(r"vol-[0-9a-f]+", self.aws):
            raise ValueError(f"aws: {self.aws!r} is not the id of an EBS volume, like vol-0abc")
        if self.fstype not in ("ext4", "xfs"):
            raise ValueError(f"fstype is {self.fstype!r}, neither ext4 nor xfs")
        words(self.options)
        if self.wait < 1:
            raise ValueError("wait: at least a second")

    @property
    def path(self) -> str:
        """The device file, by a name that stays."""
        names = {
            "nvme-Amazon_Elastic_Block_Store_": self.aws.replace("-", ""),
            "google-": self.gcp,
            "scsi-0DO_Volume_": self.digitalocean,
        }
        return self.device or next(f"/dev/disk/by-id/{prefix}{name}" for prefix, name in names.items() if name)

    def place(self, project: str, key: str) -> str:
        return self.path

    def row(self, project: str, key: str) -> dict[str, Any]:
        options = merged(self.options, f"nofail,x-systemd.device-timeout={self.wait}s")
        mount = {"fstype": self.fstype, "opts": options, "passno": "2"}  # checked at boot, fsck(8)
        return {**mounted(project, key, mount), "device": self.path, "wait": self.wait}


def merged(usual: str, more: str) -> str:
    """Mount options: a name given later replaces the same name, and its opposite."""
    found: dict[str, str] = {}
    for option in filter(None, (usual + "," + more).split(",")):
        name = option.partition("=")[0]
        found[OPPOSITES.get(name, name)] = option
    return ",".join(found.values())


def absolute(path: str, name: str) -> None:
    parts = [part for part in path.split("/") if part]
    if not path.startswith("/") or ".." in parts or not parts or not path.isprintable():
        raise ValueError(f"{name}: {path!r} is not an absolute path of its own; begin with /, like /data/documents")


def address(value: str, name: str) -> None:
    """:raises ValueError: neither an address nor the name of a host: commas and blanks would begin other options."""
    if not re.fullmatch(r"[\w.:%-]+", value):
        raise ValueError(f"{name}: {value!r} is no host of the inventory, no address and no name")


def words(options: str) -> None:
    """:raises ValueError: these are not mount options."""
    for option in filter(None, options.split(",")):
        if not re.fullmatch(r"[!-+\--~]+", option) or option.startswith("addr="):
            raise ValueError(f"options: {option!r} is not a mount option; names with commas and no blanks between")


def bound(directory: str) -> dict[str, Any]:
    return {"directory": directory, "driver_options": {"type": "none", "o": "bind", "device": directory}}


def mounted(project: str, key: str, mount: Mapping[str, str], own: str = "") -> dict[str, Any]:
    """A mount of our own and a directory in it: a restore renames that, and it holds no lost+found.

    :param own: directory of this volume, where others may have theirs, too.
    """
    path = f"{MOUNTS}/{project}/{key}"
    return {**bound(f"{path}{own}/{DATA}"), "mount": {"path": path, **mount}}
