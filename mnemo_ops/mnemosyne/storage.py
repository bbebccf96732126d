"""How the stack's volumes are stored: one schema for every type, what is refused, and the rows our playbooks read.

Sources: nfs(5); the names of disks as AWS (NVMe), Google Cloud and DigitalOcean document them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar

from mnemo_ops.agent.disks import DATA
from mnemo_ops.agent.record import MISSING, dataclass, fields
from mnemo_ops.json_forms import Schema, of_dataclass
from mnemo_ops.mnemosyne.nfs_schema import CLIENT_OPTIONS, DIRECTORY
from mnemo_ops.spelling import suggest

MOUNTS = "/mnt/mnemo"  # our own mount points: /mnt/mnemo/PROJECT/VOLUME
OPPOSITES = {
    "soft": "hard",
    "softerr": "hard",
    "nolock": "lock",
    "noac": "ac",
    "resvport": "noresvport",
    "vers": "nfsvers",
}
PLUGINS = {
    "rexray": "the plugin is unmaintained since 2019 and knows neither gp3 nor NVMe; attach the disk and say "
    "{type: block, aws: vol-...}",
    "gcplogs": "that is a logging driver, it stores nothing; attach a Persistent Disk and say {type: block, gcp: NAME}",
}

Spec = Mapping[str, Any]


@dataclass(frozen=True)
class Storage:
    """Where one volume of the stack is kept.

    :raises ValueError: what is wrong, with the remedy.
    """

    type: ClassVar[str]

    @property
    def place(self) -> str:
        """What no other volume may share; empty when it cannot be shared."""
        return ""

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
        _absolute(self.path, "path")

    @property
    def place(self) -> str:
        return self.path.rstrip("/")

    def row(self, project: str, key: str) -> dict[str, Any]:
        return _bound(self.path.rstrip("/"))


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

    @property
    def place(self) -> str:
        return self.name

    def row(self, project: str, key: str) -> dict[str, Any]:
        return {"name": self.name}


@dataclass(frozen=True)
class Nfs(Storage):
    """An export of an NFS server, mounted by Docker while a container uses it; `invoke nfs-setup` makes exports.

    :param server: a host of the inventory, an address or a name.
    :param path: the exported directory on the server; default: /srv/nfs/VOLUME.
    :param options: mount options, with commas between, in addition to nfsvers=4.2, hard, timeo=600, retrans=2 and
        noresvport, or instead of those they contradict.
    :param i_accept_the_risk: Postgres on a network file system is meant.
    """

    type: ClassVar[str] = "nfs"
    server: str
    path: str = ""
    options: str = ""
    i_accept_the_risk: bool = False

    def __post_init__(self) -> None:
        if self.path:
            _absolute(self.path, "path")

    @property
    def place(self) -> str:
        return f"{self.server}:{self.path.rstrip('/')}" if self.path else ""

    @property
    def mount_options(self) -> str:
        return merged(CLIENT_OPTIONS, self.options)

    def row(self, project: str, key: str) -> dict[str, Any]:
        path = self.path.rstrip("/") or f"{DIRECTORY}/{key}"
        # Docker mounts it when a container starts; the owner is set on the server
        mount = {"type": "nfs", "o": f"addr={self.server},{self.mount_options}", "device": f":{path}"}
        return {"server": self.server, "path": path, "driver_options": mount, "written": False}


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
            raise ValueError("say which disk by exactly one of device, aws, gcp and digitalocean")
        if not re.fullmatch(r"/dev/[\w.:+@/-]+", self.path) or ".." in self.path:
            raise ValueError(f"{self.path!r} is not a path below /dev; ls -l /dev/disk/by-id shows the disks of a host")
        if self.aws and not re.fullmatch(r"vol-[0-9a-f]+", self.aws):
            raise ValueError(f"aws: {self.aws!r} is not the id of an EBS volume, like vol-0abc")
        if self.fstype not in ("ext4", "xfs"):
            raise ValueError(f"fstype is {self.fstype!r}, neither ext4 nor xfs")
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

    @property
    def place(self) -> str:
        return self.path

    def row(self, project: str, key: str) -> dict[str, Any]:
        options = merged(self.options, f"nofail,x-systemd.device-timeout={self.wait}s")
        return {**_mounted(project, key, self.fstype, options), "device": self.path, "wait": self.wait}


TYPES: dict[str, type[Storage]] = {cls.type: cls for cls in (Local, Nfs, Block, Bind, External)}


def parse(key: str, spec: Any, databases: Mapping[str, str]) -> Storage:
    """The storage of one volume, as the inventory describes it.

    :param databases: volume -> kind (postgres, redis) of those that hold one.
    :raises ValueError: what is wrong, with the remedy; nothing was opened.
    """
    if not isinstance(spec, Mapping):
        raise ValueError(f"is {spec!r}, not a mapping like {{type: local}}")
    _refuse_plugin(spec)
    kind = spec.get("type", "local")
    if kind not in TYPES:
        raise ValueError(f"there is no type {kind!r}; {suggest(str(kind), TYPES)}")
    found = _build(TYPES[kind], {name: value for name, value in spec.items() if name != "type"})
    if key in databases:
        _refuse_risk(found, databases[key])
    return found


def _refuse_plugin(spec: Spec) -> None:
    for word in (str(spec.get("type", "")), str(spec.get("driver", ""))):
        for plugin, why in PLUGINS.items():
            if plugin in word:
                raise ValueError(f"{word} is refused: {why}")
    if "driver" in spec or "driver_opts" in spec:
        raise ValueError(f"has no driver and driver_opts, but a type: one of {', '.join(TYPES)}")


def _build(cls: type[Storage], given: Spec) -> Storage:
    known = {one.name: one for one in fields(cls)}
    for name in given:
        if name not in known:
            raise ValueError(f"type {cls.type} has no '{name}'; {suggest(name, known) or 'it has no settings'}")
    missing = [name for name, one in known.items() if one.default is MISSING and name not in given]
    if missing:
        raise ValueError(f"type {cls.type} needs {', '.join(missing)}")
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
    for name, value in values.items():
        kind = {"bool": bool, "int": int, "str": str}.get(str(known[name].type), tuple)
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            wanted = {bool: "true or false", int: "a number", str: "a text", tuple: "a list"}[kind]
            raise ValueError(f"{name} is {value!r}, not {wanted}")
    return cls(**values)


def _refuse_risk(found: Storage, database: str) -> None:
    unsafe = {"soft", "softerr", "nolock"} & set(found.mount_options.split(","))
    if unsafe:
        raise ValueError(
            f"{', '.join(sorted(unsafe))} loses writes of a database when the server is away for a moment; leave it out"
        )
    if database == "postgres" and isinstance(found, Nfs) and not found.i_accept_the_risk:
        raise ValueError(
            "Postgres on NFS waits for the network at every commit, and a second server on the same files destroys "
            "them; keep it on a disk of its host (local, block or bind), or add i_accept_the_risk: true"
        )


def merged(usual: str, more: str) -> str:
    """Mount options: a name given later replaces the same name, and its opposite."""
    found: dict[str, str] = {}
    for option in filter(None, (usual + "," + more).split(",")):
        name = option.partition("=")[0]
        found[OPPOSITES.get(name, name)] = option
    return ",".join(found.values())


def _absolute(path: str, name: str) -> None:
    parts = [part for part in path.split("/") if part]
    if not path.startswith("/") or ".." in parts or not parts:
        raise ValueError(f"{name}: {path!r} is not an absolute path of its own")


def _bound(directory: str) -> dict[str, Any]:
    return {"directory": directory, "driver_options": {"type": "none", "o": "bind", "device": directory}}


def _mounted(project: str, key: str, fstype: str, options: str) -> dict[str, Any]:
    """A mount of our own and a directory in it: a restore renames that, and it holds no lost+found."""
    path = f"{MOUNTS}/{project}/{key}"
    return {**_bound(f"{path}/{DATA}"), "mount": {"path": path, "fstype": fstype, "opts": options}}


def row(project: str, key: str, found: Storage, written: bool) -> dict[str, Any]:
    """What our playbooks are told of a volume. :param written: by the application: its user owns it."""
    labels = {"mnemo.stack": project, "mnemo.role": key}
    own = {"key": key, "name": f"{project}_{key}", "type": found.type, "written": written, "labels": labels}
    return {**own, "directory": "", **found.row(project, key)}


def schema() -> Schema:
    """JSON Schema of ``stack.volumes``: by type, so that an editor names a mistake in that one form."""
    cases = []
    for name, cls in TYPES.items():
        form = of_dataclass(cls)
        form["properties"]["type"] = {"const": name}
        form["required"] = [one.name for one in fields(cls) if one.default is MISSING]
        chosen = {"properties": {"type": {"const": name}}, **({} if name == "local" else {"required": ["type"]})}
        cases.append({"if": chosen, "then": form})
    one = {"type": "object", "properties": {"type": {"enum": list(TYPES)}}, "allOf": cases}
    return {"type": "object", "description": "how a volume is stored; local when nothing is said",
            "additionalProperties": one}  # fmt: skip
