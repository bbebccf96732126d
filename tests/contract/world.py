"""A small host: a temporary root with account files, and stub programs that are working models."""

from __future__ import annotations

import atexit
import copy
import functools
import hashlib
import json
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

from in_process import MODELS, STUBS

from mnemo_ops.agent.machine import Machine

ACCOUNTS = (
    "useradd", "usermod", "userdel", "groupadd", "groupmod", "groupdel", "chpasswd", "mkhomedir_helper", "chage",
)  # fmt: skip
PROGRAMS = {
    "accounts": (
        "useradd",
        "usermod",
        "userdel",
        "groupadd",
        "groupmod",
        "groupdel",
        "chpasswd",
        "mkhomedir_helper",
        "chage",
    ),
    "ssh_keygen": ("ssh-keygen",),
    "filtering": ("iptables", "ip6tables", "ufw"),
    "exporting": ("exportfs",),
    "cluster": ("gluster",),
    "packages": ("apt-get", "apt-mark", "apt-cache", "dpkg", "dpkg-deb"),
    "rpms": ("dnf", "rpm"),
    "debconf": ("debconf-set-selections",),
    "kernel": ("sysctl", "modprobe", "hostnamectl", "timedatectl", "crontab", "locale-gen", "locale"),
    "looking": ("getent",),
    "disks": (
        *("mount", "umount", "chattr", "findfs", "blkid", "mkfs.ext4", "mkfs.xfs", "mkswap", "pvcreate"),
        *("tune2fs", "xfs_info", "resize2fs", "xfs_growfs"),
    ),
    "pips": ("pip3", "pip", "virtualenv"),
    "choices": ("update-alternatives",),
    "units": ("systemctl", "systemd-run"),
    "engine": ("docker", "dockerd"),
    "streams": ("tar", "zstd", "cat", "age", "rsync", "ssh"),
}
OS_RELEASE = {
    "trixie": 'ID=debian\nVERSION_ID="13"\nVERSION_CODENAME=trixie\n',
    "bookworm": 'ID=debian\nVERSION_ID="12"\nVERSION_CODENAME=bookworm\n',
}
ARCHIVE = {
    "zstd": {"versions": ["1.5.6", "1.5.7"], "builds": ["libcurl"]},
    "curl": {"versions": ["8.14"], "depends": ["libcurl"]},
    "libcurl": {"versions": ["8.14"]},
    "nginx": {"versions": ["1.26"], "units": ["nginx.service"]},
    "exim": {"versions": ["4.98"], "provides": "mail-transport-agent"},
    "docker.io": {"versions": ["26.1.5+dfsg1-9"], "units": ["docker.service"], "programs": ["dockerd"]},
    "docker-cli": {"versions": ["26.1.5+dfsg1-9"], "programs": ["docker"]},
    "docker-compose": {"versions": ["2.26.1-4"]},
    "docker-ce": {"versions": ["5:27.5.1-1", "5:28.0.0-1"], "units": ["docker.service"], "programs": ["dockerd"]},
    "docker-ce-cli": {"versions": ["5:27.5.1-1", "5:28.0.0-1"], "programs": ["docker"]},
    "containerd.io": {"versions": ["1.7"]},
    "docker-buildx-plugin": {"versions": ["0.20"]},
    "docker-compose-plugin": {"versions": ["2.34"]},
}


@functools.cache
def stub(model: str) -> Path:
    """The program behind every name of a model: it finds its root two directories above the name it is called by."""
    directory = Path(tempfile.mkdtemp(prefix="mnemo-stubs-"))
    atexit.register(shutil.rmtree, directory)
    script = directory / model
    lines = (
        f"#!{sys.executable} -IS",
        f"import sys; sys.path.insert(0, {str(MODELS)!r})",
        f"from {model} import main; main(sys.argv[0].rsplit('/', 3)[0], sys.argv)",
    )
    script.write_text("\n".join(lines))
    script.chmod(0o755)
    if model != "streams":
        STUBS[str(script)] = model
    return script


class World:
    """:param root: an empty directory; nothing outside of it is touched."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.offered: dict[str, bytes] = {}
        for directory in ("usr/bin", "usr/share/model", "etc", "home", "var/lib/mnemo_ops", "var/lib/apt/lists", "srv"):
            (root / directory).mkdir(parents=True)
        for model, names in PROGRAMS.items():
            target = str(stub(model))
            where = f"{root}/usr/share/model" if model in ("engine", "streams") else f"{root}/usr/bin"
            for name in names:
                os.symlink(target, f"{where}/{name}")  # noqa: PTH211
        self.write("etc/os-release", OS_RELEASE["trixie"])
        self.write("etc/passwd", "root:x:0:0:root:/root:/bin/bash\nold:x:1500:1500::/home/old:/bin/sh\n")
        self.write("etc/group", "root:x:0:\nsudo:x:27:\nadm:x:4:old\nold:x:1500:\n")
        self.write("etc/shadow", "root:*:20000:0:99999:7:::\nold:$6$old:20000:0:99999:7:::\n")
        self.model("archive", ARCHIVE)
        self.model("offered", {"zstd": ["1.5.6", "1.5.7"], "curl": ["8.14"], "libcurl": ["8.14"]})

    def at(self, root: Path) -> World:
        """The same controller with a copy of this host."""
        other = copy.copy(self)
        other.root = root
        return other

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.is_symlink():  # a stub: one file for every world
            target.unlink()
        target.write_text(text)
        target.chmod(mode)

    def read(self, path: str) -> str:
        return (self.root / path).read_text()

    def model(self, name: str, value: Any) -> None:
        self.write(f"var/lib/model/{name}.json", json.dumps(value))

    def state(self, name: str) -> Any:
        return json.loads(self.read(f"var/lib/model/{name}.json"))

    def script(self, name: str, *lines: str) -> None:
        """A program of the host's own, in Python."""
        self.write(f"usr/bin/{name}", "\n".join([f"#!{sys.executable} -IS", "import os, sys", *lines]), 0o755)

    def install_docker(self) -> None:
        """The client and a running engine, without packages."""
        self._install("engine")

    def install_streams(self) -> None:
        """What moves data, below the root."""
        self._install("streams")

    def _install(self, model: str) -> None:
        for name in PROGRAMS[model]:
            (self.root / "usr/bin" / name).symlink_to(stub(model))

    def remove_programs(self, names: Iterable[str]) -> None:
        for name in names:
            for directory in ("usr/bin", "usr/share/model"):
                (self.root / directory / name).unlink(missing_ok=True)

    def break_programs(self, names: Iterable[str]) -> None:
        """They are there, and always fail."""
        for name in names:
            self.script(name, "print('cannot connect: broken on purpose', file=sys.stderr); sys.exit(1)")

    def offer(self, data: bytes) -> str:
        """A file of the controller; its sha256."""
        digest = hashlib.sha256(data).hexdigest()
        self.offered[digest] = data
        return digest

    def fetch(self, sha256: str, into: IO[bytes]) -> None:
        into.write(self.offered[sha256])

    def machine(self, cls: type[Machine] = Machine, **options: Any) -> Any:
        return cls(str(self.root), search_path=str(self.root / "usr/bin"), fetch=self.fetch, **options)

    def tree(self) -> dict[str, tuple[Any, ...]]:
        """Every path with everything a write would change."""
        return dict(sorted(_prints(str(self.root), "")))

    def outcome(self) -> dict[str, Any]:
        """The host without what two ways to one end may differ in: times, backups, how often a unit was told."""
        found: dict[str, Any] = {}
        for name, (mode, uid, gid, _, _, content) in self.tree().items():
            if name.endswith("units.json"):
                content = [{**each, "deeds": None} for each in json.loads(content).values()]
            elif name.endswith("docker.json"):
                known = json.loads(content)
                known["containers"] = [{**each, "Started": None, "Id": None} for each in known["containers"].values()]
                content = known
            # of a repository, only what it stands for: its index and its diary hold times
            if not name.endswith("~") and ("/.git/" not in name or name.endswith((".git/HEAD", "mnemo-unfinished"))):
                found[name] = (mode, uid, gid, content)
        return found


def _print(path: str | Path) -> tuple[Any, ...]:
    """In plain words of os: half of what these tests do is to look at whole hosts."""
    found = os.lstat(path)
    content: Any = ""
    if stat.S_ISREG(found.st_mode):
        content = Path(path).read_bytes()
    elif stat.S_ISLNK(found.st_mode):
        content = os.readlink(path)  # noqa: PTH115
    return found.st_mode, found.st_uid, found.st_gid, found.st_mtime_ns, found.st_nlink, content


def _prints(top: str, below: str) -> Iterator[tuple[str, tuple[Any, ...]]]:
    with os.scandir(f"{top}/{below}") as entries:
        for entry in entries:
            yield below + entry.name, _print(entry.path)
            if entry.is_dir(follow_symlinks=False):
                yield from _prints(top, f"{below}{entry.name}/")
