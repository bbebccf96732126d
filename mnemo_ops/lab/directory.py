"""The lab's directory, ``.lab/`` of the checkout: key pair, known host keys, inventory and the servers' data roots."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from mnemo_ops.errors import Refused, UsageError
from mnemo_ops.lab.engine import command

USER = "ops"
PORT = 22


@dataclass(frozen=True)
class Server:
    """A server of the lab; `state` is ``running``, ``stopped`` or ``absent``.

    :param link: address on the cable between virtual machines, empty for containers.
    """

    name: str
    address: str
    port: int
    user: str
    state: str
    link: str = ""


@dataclass(frozen=True)
class LabDirectory:
    """Names and files of the lab that belongs to `root`."""

    root: Path

    @property
    def hash(self) -> str:
        return hashlib.sha256(str(self.root.resolve()).encode()).hexdigest()[:8]

    @property
    def label(self) -> str:
        return f"mnemo.lab={self.hash}"

    @property
    def network(self) -> str:
        return f"mnemo-lab-{self.hash}"

    @property
    def path(self) -> Path:
        return self.root.resolve() / ".lab"

    @property
    def key(self) -> Path:
        return self.path / "id_ed25519"

    @property
    def known_hosts(self) -> Path:
        return self.path / "known_hosts"

    @property
    def inventory(self) -> Path:
        return self.path / "inventory.yml"

    def container(self, name: str) -> str:
        return f"{self.network}-{name}"

    def data_root(self, name: str) -> Path:
        return self.path / name / "docker"

    def machine(self, name: str) -> Path:
        """What a virtual machine is made of."""
        return self.path / name / "vm"

    def only(self, tier: str) -> None:
        """:raises Refused: (exit code 3) the lab has servers of the other tier."""
        other = {"vm": "docker", "container": "vm"}[tier]
        if names := sorted(path.parent.name for path in self.path.glob(f"*/{other}")):
            raise Refused(f"the lab has servers of the other tier: {', '.join(names)}", hint="invoke lab.down")

    def public_key(self) -> str:
        """The lab's public key, its pair made when missing."""
        if not self.key.exists():
            self.path.mkdir(exist_ok=True)
            argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", self.network, "-f", str(self.key)]
            command(argv)
        return self.key.with_suffix(".pub").read_text().strip()

    def write_known_hosts(self, keys: Mapping[str, Sequence[str]]) -> None:
        """:param keys: ``name,address`` -> lines of the server's ``/etc/ssh/ssh_host_*_key.pub``."""
        lines = [f"{hosts} {' '.join(line.split()[:2])}" for hosts, found in keys.items() for line in found]
        _write(self.known_hosts, "\n".join([*lines, ""]))

    def write_inventory(self, servers: Iterable[Server]) -> None:
        """All servers, and how they are reached: also by the others, where that is another address."""
        hosts = {
            server.name: {
                "ansible_host": server.address,
                "ansible_port": server.port,
                "ansible_user": USER,
                "ansible_ssh_private_key_file": str(self.key),
                "mnemo_known_hosts_file": str(self.known_hosts),
                **({"mnemo_peer_address": server.link} if server.link else {}),
            }
            for server in servers
        }
        members: dict[str, dict[str, str]] = {name: {} for name in hosts}
        everything = {"all": {"hosts": hosts, "children": {"servers": {"hosts": members}}}}
        _write(self.inventory, yaml.safe_dump(everything, sort_keys=False))

    def generated(self) -> list[Path]:
        """What `up` has made here, and nothing else."""
        files = [self.key, self.key.with_suffix(".pub"), self.known_hosts, self.inventory]
        data = [path.parent for path in self.path.glob("*/docker")]
        return [path for path in (*files, *data) if path.exists()]

    def ssh(self, address: str, port: int = PORT) -> list[str]:
        """The argument vector of an ssh that knows only the lab's key and the lab's servers."""
        known = str(self.known_hosts).replace("%", "%%")
        options = ["BatchMode=yes", "IdentitiesOnly=yes", "StrictHostKeyChecking=yes", "GlobalKnownHostsFile=/dev/null",
                   f'UserKnownHostsFile="{known}"']  # fmt: skip
        given = [word for option in options for word in ("-o", option)]
        return ["ssh", "-F", "/dev/null", "-i", str(self.key), *given, "-p", str(port), f"{USER}@{address}"]


def check_names(names: Sequence[str]) -> None:
    """:raises UsageError: (exit code 2) one cannot be a host name, or comes twice."""
    for name in names:
        if not re.fullmatch(r"[a-z]([a-z0-9-]{0,30}[a-z0-9])?", name):
            raise UsageError(f"`{name}` cannot be a server's name", hint="lower-case letters, digits and dashes")
    if len(set(names)) < len(names):
        raise UsageError(f"a server's name comes twice: {', '.join(names)}")


def remove(paths: Sequence[Path]) -> None:
    """Remove files and directories, unmounting what is still mounted below them."""
    for path in paths:
        for mount in sorted(_mounts_below(path), reverse=True):
            command(["umount", "--lazy", mount])
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _mounts_below(path: Path) -> list[str]:
    mounts = (line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines())
    decoded = (re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), mount) for mount in mounts)
    return [mount for mount in decoded if Path(mount) == path or path in Path(mount).parents]


def _write(path: Path, text: str) -> None:
    """Replace the file when its content differs."""
    if path.exists() and path.read_text() == text:
        return
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(text)
    partial.replace(path)
