"""How the stack's volumes are stored: one schema for every type, what is refused, and the rows our playbooks read.

Sources: nfs(5), mount.glusterfs(8), the options AWS recommends for EFS (docs.aws.amazon.com/efs) and the names
of disks as AWS (NVMe), Google Cloud and DigitalOcean document them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar

from mnemo_ops.agent.disks import DATA
from mnemo_ops.agent.record import MISSING, dataclass, fields, replace
from mnemo_ops.json_forms import Schema, of_dataclass
from mnemo_ops.mnemosyne.nfs_schema import CLIENT_OPTIONS, DIRECTORY
from mnemo_ops.spelling import suggest

MOUNTS = "/mnt/mnemo"  # our own mount points: /mnt/mnemo/PROJECT/VOLUME
NFS_PORT, GLUSTER_PORT = 2049, 24007
EFS_OPTIONS = "nfsvers=4.1,rsize=1048576,wsize=1048576,hard,timeo=600,retrans=2,noresvport"
EFS_NAMES = "efs.REGION.amazonaws.com"
LATE = "_netdev,nofail"  # mounted when the network is there; the host boots without it, too
SERVERS_OWNER = {"written": False, "fixed_owner": True}  # who owns it is set on the server, and only there
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

    def reached(self, addresses: Mapping[str, str]) -> Storage:
        return replace(self, server=addresses.get(self.server, self.server))

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
        return {"server": self.server, "path": path, "driver_options": mount, **SERVERS_OWNER}


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
        mount = {"fstype": self.fstype, "opts": options, "passno": "2"}  # checked at boot, fsck(8)
        return {**_mounted(project, key, mount), "device": self.path, "wait": self.wait}


@dataclass(frozen=True)
class Efs(Storage):
    """A directory of an Elastic File System (or of any NFSv4 server), which the host mounts.

    :param file_system: its name, FS.efs.REGION.amazonaws.com; without TLS a host of the inventory or an address, too.
    :param directory: of the file system, or of the access point; made when it is missing; default: /PROJECT/VOLUME.
    :param access_point: fsap-...: everything below it belongs to its user; goes with TLS only, which it implies.
    :param tls: encrypted on the way, by mount.efs of amazon-efs-utils.
    :param options: mount options, with commas between, in addition to those AWS recommends, or instead of those they
        contradict.
    :param i_accept_the_risk: Postgres on a network file system is meant.
    """

    type: ClassVar[str] = "efs"
    file_system: str
    directory: str = ""
    access_point: str = ""
    tls: bool = False
    options: str = ""
    i_accept_the_risk: bool = False

    def __post_init__(self) -> None:
        if self.directory:
            _absolute(self.directory, "directory")
        if self.access_point and not re.fullmatch(r"fsap-[0-9a-f]+", self.access_point):
            raise ValueError(f"access_point: {self.access_point!r} is not the id of one, like fsap-0abc")
        if self._helped and not self.file_system.startswith("fs-"):
            raise ValueError(f"file_system: TLS and access points need its name, like fs-0abc.{EFS_NAMES}")
        if re.fullmatch(r"fs-[0-9a-f]+", self.file_system):
            raise ValueError(f"file_system: this is an id; say its name, {self.file_system}.{EFS_NAMES}")

    def reached(self, addresses: Mapping[str, str]) -> Storage:
        return replace(self, file_system=addresses.get(self.file_system, self.file_system))

    @property
    def _helped(self) -> bool:
        """Mounted by mount.efs, which adds AWS's options itself."""
        return self.tls or bool(self.access_point)

    @property
    def place(self) -> str:
        return f"{self.file_system}:{self.access_point}{self.directory.rstrip('/')}" if self.directory else ""

    @property
    def mount_options(self) -> str:
        point = f",accesspoint={self.access_point}" if self.access_point else ""
        return merged(f"tls{point},noresvport" if self._helped else EFS_OPTIONS, self.options)

    def row(self, project: str, key: str) -> dict[str, Any]:
        mount = {
            "src": f"{self.file_system}:/",
            "fstype": "efs" if self._helped else "nfs4",
            "opts": merged(self.mount_options, LATE),
        }
        own = SERVERS_OWNER if self.access_point else {}
        bound = _mounted(project, key, mount, self.directory.rstrip("/") or f"/{project}/{key}")
        return {**bound, "addresses": [self.file_system], "port": NFS_PORT, **own}


@dataclass(frozen=True)
class Glusterfs(Storage):
    """A directory of a GlusterFS volume, which the host mounts through FUSE; `playbooks/gluster.yml` makes clusters.

    :param servers: hosts of the inventory, addresses or names; the first is asked, the others when it is silent.
    :param volume: name of the Gluster volume.
    :param directory: of the Gluster volume; made when it is missing; default: /PROJECT/VOLUME.
    :param options: further mount options, with commas between.
    :param i_accept_the_risk: Postgres on it is meant.
    """

    type: ClassVar[str] = "glusterfs"
    servers: tuple[str, ...]
    volume: str
    directory: str = ""
    options: str = ""
    i_accept_the_risk: bool = False

    def __post_init__(self) -> None:
        if not self.servers:
            raise ValueError("servers: name at least one")
        if not re.fullmatch(r"[\w-]+", self.volume):
            raise ValueError(f"volume: {self.volume!r} is not the name of a Gluster volume; directory: is one below it")
        if self.directory:
            _absolute(self.directory, "directory")

    @property
    def place(self) -> str:
        return f"{self.servers[0]}:{self.volume}{self.directory.rstrip('/')}" if self.directory else ""

    def reached(self, addresses: Mapping[str, str]) -> Storage:
        return replace(self, servers=tuple(addresses.get(name, name) for name in self.servers))

    def row(self, project: str, key: str) -> dict[str, Any]:
        others = ":".join(self.servers[1:])
        mount = {
            "src": f"{self.servers[0]}:/{self.volume}",
            "fstype": "glusterfs",
            # where the host serves, too, its daemon starts first
            "opts": merged(f"{LATE},x-systemd.after=glusterd.service", self.options)
            + (f",backup-volfile-servers={others}" if others else ""),
        }
        bound = _mounted(project, key, mount, self.directory.rstrip("/") or f"/{project}/{key}")
        return {**bound, "addresses": list(self.servers), "port": GLUSTER_PORT, "volume": self.volume}


TYPES: dict[str, type[Storage]] = {cls.type: cls for cls in (Local, Nfs, Efs, Glusterfs, Block, Bind, External)}
_REMOTE = "waits for the network at every commit, and a second server on the same files destroys them"
RISKS = {
    "nfs": f"Postgres on NFS {_REMOTE}",
    "efs": f"Postgres on EFS {_REMOTE}",
    "glusterfs": "GlusterFS does not support live databases, as its own documentation says: Postgres on it loses data",
}


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
    if database == "postgres" and isinstance(found, (Nfs, Efs, Glusterfs)) and not found.i_accept_the_risk:
        raise ValueError(
            f"{RISKS[found.type]}; keep it on a disk of its host (local, block or bind), or add i_accept_the_risk: true"
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


def _mounted(project: str, key: str, mount: Mapping[str, str], own: str = "") -> dict[str, Any]:
    """A mount of our own and a directory in it: a restore renames that, and it holds no lost+found.

    :param own: directory of this volume, where others may have theirs, too.
    """
    path = f"{MOUNTS}/{project}/{key}"
    return {**_bound(f"{path}{own}/{DATA}"), "mount": {"path": path, **mount}}


def row(project: str, key: str, found: Storage, written: bool) -> dict[str, Any]:
    """What our playbooks are told of a volume. :param written: by the application: its user owns it."""
    labels = {"mnemo.stack": project, "mnemo.role": key}
    own = {"key": key, "name": f"{project}_{key}", "type": found.type, "written": written, "labels": labels,
           "fixed_owner": False}  # fmt: skip
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
