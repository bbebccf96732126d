"""Types of volumes that lie on other hosts: mounted by Docker, or by the host.

Sources of the options: nfs(5), mount.glusterfs(8), and what AWS recommends for EFS (docs.aws.amazon.com/efs).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar

from mnemo_ops.agent.base.record import dataclass, replace
from mnemo_ops.stack.nfs_options import CLIENT_OPTIONS, DIRECTORY
from mnemo_ops.stack.volumes.types import Storage, absolute, address, merged, mounted, words

NFS_PORT, GLUSTER_PORT = 2049, 24007
EFS_OPTIONS = "nfsvers=4.1,rsize=1048576,wsize=1048576,hard,timeo=600,retrans=2,noresvport"
EFS_NAMES = "efs.REGION.amazonaws.com"
LATE = "_netdev,nofail"  # mounted when the network is there; the host boots without it, too
SERVERS_OWNER = {"written": False, "fixed_owner": True}  # who owns it is set on the server, and only there


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
        address(self.server, "server")
        if self.path:
            absolute(self.path, "path")
        words(self.options)

    def reached(self, addresses: Mapping[str, str]) -> Storage:
        return replace(self, server=addresses.get(self.server, self.server))

    def place(self, project: str, key: str) -> str:
        return f"{self.server}:{self._directory(key)}"

    def _directory(self, key: str) -> str:
        return self.path.rstrip("/") or f"{DIRECTORY}/{key}"

    @property
    def mount_options(self) -> str:
        return merged(CLIENT_OPTIONS, self.options)

    def row(self, project: str, key: str) -> dict[str, Any]:
        path = self._directory(key)
        # Docker mounts it when a container starts; the owner is set on the server
        mount = {"type": "nfs", "o": f"addr={self.server},{self.mount_options}", "device": f":{path}"}
        return {"server": self.server, "path": path, "driver_options": mount, **SERVERS_OWNER}


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
        address(self.file_system, "file_system")
        words(self.options)
        if self.directory:
            absolute(self.directory, "directory")
        if self.access_point and not re.fullmatch(r"fsap-[0-9a-f]+", self.access_point):
            raise ValueError(f"access_point: {self.access_point!r} is not the id of one, like fsap-0abc")
        if self._helped and not self.file_system.startswith("fs-"):
            raise ValueError(f"file_system: TLS and access points need its name, like fs-0abc.{EFS_NAMES}")
        if re.fullmatch(r"fs-[0-9a-f]+", self.file_system):
            raise ValueError(f"file_system: this is an id; write its name, {self.file_system}.{EFS_NAMES}")

    def reached(self, addresses: Mapping[str, str]) -> Storage:
        return replace(self, file_system=addresses.get(self.file_system, self.file_system))

    @property
    def _helped(self) -> bool:
        """Mounted by mount.efs, which adds AWS's options itself."""
        return self.tls or bool(self.access_point)

    def place(self, project: str, key: str) -> str:
        return f"{self.file_system}:{self.access_point}{self._directory(project, key)}"

    def _directory(self, project: str, key: str) -> str:
        return self.directory.rstrip("/") or f"/{project}/{key}"

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
        bound = mounted(project, key, mount, self._directory(project, key))
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
        for server in self.servers:
            address(server, "servers")
        words(self.options)
        if not re.fullmatch(r"[\w-]+", self.volume):
            raise ValueError(f"volume: {self.volume!r} is not the name of a Gluster volume; directory: is one below it")
        if self.directory:
            absolute(self.directory, "directory")

    def place(self, project: str, key: str) -> str:
        return f"{self.servers[0]}:{self.volume}{self._directory(project, key)}"

    def _directory(self, project: str, key: str) -> str:
        return self.directory.rstrip("/") or f"/{project}/{key}"

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
        bound = mounted(project, key, mount, self._directory(project, key))
        return {**bound, "addresses": list(self.servers), "port": GLUSTER_PORT, "volume": self.volume}
