"""A hostile user: what he plants in his directory before root's agent writes there, and what must come of it."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import stat
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SECRET = "root:$6$planted-secret:19000:0:99999:7:::\n"
UID = 1234
CONFIG = "app/config"  # where most of the modules write, below the home

PROGRAMS = ("git", "mount")  # kinds whose work a program does: looked after beforehand, not while it runs

Plant = Callable[[Path, Path, str], None]


@dataclass(frozen=True)
class Case:
    """A module that writes, or reads. ``path``: what it works on, below the home; ``{}`` in arguments is the home."""

    name: str
    kind: str
    args: dict[str, Any]
    path: str = CONFIG
    content: str = "old=1\n"  # of what is there when nothing is planted
    tries: int = 100  # of the race


OWN = {"owner": str(UID), "group": str(UID), "mode": "0644"}
DEST = {"dest": "{}/app/config"}
CASES = (
    Case("copy", "copy", {**DEST, "content": "new\n", **OWN}),
    Case("copy-backup", "copy", {**DEST, "content": "new\n", "backup": True, **OWN}),
    Case("copy-validate", "copy", {**DEST, "content": "new\n", "validate": "/bin/true %s", **OWN}),
    Case("copy-follow", "copy", {**DEST, "content": "new\n", "follow": True, **OWN}),
    Case("copy-no-force", "copy", {**DEST, "content": "new\n", "force": False, **OWN}),
    Case("copy-source", "copy", {"src": "{}/app/config", "dest": "{}/copied", "remote_src": True, **OWN}),
    Case("template", "template", {**DEST, "src": "config.j2", "content": "new\n", **OWN}),
    Case("lineinfile", "lineinfile", {"path": "{}/app/config", "line": "new=1", **OWN}),
    Case("lineinfile-create", "lineinfile", {"path": "{}/app/config", "line": "new=1", "create": True, "backup": True}),
    Case("blockinfile", "blockinfile", {"path": "{}/app/config", "block": "new", **OWN}),
    Case("replace", "replace", {"path": "{}/app/config", "regexp": "o", "replace": "0", **OWN}),
    Case("ini_file", "ini_file", {"path": "{}/app/config", "section": "a", "option": "b", "value": "c", **OWN}),
    Case("file-owner", "file", {"path": "{}/app/config", **OWN}),
    Case("file-touch", "file", {"path": "{}/app/config", "state": "touch", **OWN}),
    Case("file-directory", "file", {"path": "{}/app/config", "state": "directory", **{**OWN, "mode": "0755"}}),
    Case("file-recurse", "file", {"path": "{}/app", "state": "directory", "recurse": True, "owner": str(UID)}),
    Case("file-absent", "file", {"path": "{}/app/config", "state": "absent"}),
    Case("file-link", "file", {"path": "{}/app/config", "state": "link", "src": "/nowhere", "force": True, **OWN}),
    Case("file-hard", "file", {"path": "{}/hard", "state": "hard", "src": "{}/app/config", "force": True, **OWN}),
    Case("assemble", "assemble", {"src": "{}/parts", **DEST, "remote_src": True, **OWN}),
    Case("tempfile", "tempfile", {"path": "{}/app", "state": "file"}),
    Case("unarchive", "unarchive", {"src": "{}/made.tar", "dest": "{}/app", "remote_src": True, **OWN}),
    Case("authorized_key", "authorized_key", {"user": "bob", "key": "ssh-ed25519 QUFB a"}, ".ssh/authorized_keys", ""),
    Case("known_hosts", "known_hosts", {"path": "{}/.ssh/known_hosts", "name": "h", "key": "h ssh-ed25519 QUFB"},
         ".ssh/known_hosts", ""),
    Case("user-key", "user", {"name": "bob", "uid": UID, "generate_ssh_key": True, "ssh_key_type": "ed25519"},
         ".ssh/id_ed25519", tries=5),
    Case("mount", "mount", {"path": "{}/app/config", "src": "none", "fstype": "tmpfs", "state": "ephemeral"}, tries=5),
    Case("git", "git", {"repo": "/nowhere", "dest": "{}/app/config"}, tries=5),
    Case("slurp", "slurp", {"src": "{}/app/config"}),
    Case("stat", "stat", {"path": "{}/app/config", "follow": True}),
    Case("find", "find", {"paths": "{}/app", "get_checksum": True, "follow": True}),
)  # fmt: skip


def link(home: Path, outside: Path, path: str) -> None:
    _away(home / path)
    (home / path).symlink_to(outside / "shadow")


def dangling_link(home: Path, outside: Path, path: str) -> None:
    _away(home / path)
    (home / path).symlink_to(outside / "made-by-root")


def link_in_parent(home: Path, outside: Path, path: str) -> None:
    parent = (home / path).parent
    _away(parent)
    parent.symlink_to(outside)
    (outside / Path(path).name).write_text(SECRET)  # of root, and called as what is asked for


def hard_link(home: Path, outside: Path, path: str) -> None:
    _away(home / path)
    (home / path).hardlink_to(outside / "shadow")


def fifo(home: Path, outside: Path, path: str) -> None:
    _away(home / path)
    os.mkfifo(home / path)


def directory(home: Path, outside: Path, path: str) -> None:
    _away(home / path)
    (home / path).mkdir()
    (home / path / "shadow").symlink_to(outside / "shadow")


def links_beside(home: Path, outside: Path, path: str) -> None:
    """Under the names that the agent itself uses, or used."""
    beside = (home / path).parent
    name = Path(path).name
    for own in (f".mnemo-new-{name}", f"{name}.mnemo-new", f"{name}.mnemo-link", f"{name}.mnemo-new.pub"):
        (beside / own).symlink_to(outside / "shadow")


SHAPES: tuple[Plant, ...] = (link, dangling_link, link_in_parent, hard_link, fifo, directory, links_beside)


def _away(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@dataclass
class Scene:
    """A home of a user and what is root's beside it, below ``root``."""

    root: Path
    uid: int = UID
    before: dict[str, tuple[Any, ...]] = field(default_factory=dict)

    @property
    def home(self) -> Path:
        return self.root / "home" / "bob"

    @property
    def outside(self) -> Path:
        return self.root / "etc" / "private"

    def make(self, case: Case) -> None:
        (self.home / "app").mkdir(parents=True)
        (self.home / ".ssh").mkdir(mode=0o700)
        (self.home / "parts").mkdir()
        (self.home / "parts" / "1").write_text("part\n")
        (self.home / case.path).write_text(case.content)
        with tarfile.open(self.home / "made.tar", "w") as archive:
            archive.add(self.home / "parts" / "1", "config")
        self.outside.mkdir(parents=True)
        (self.outside / "shadow").write_text(SECRET)
        (self.outside / "shadow").chmod(0o600)
        (self.outside / "tool").write_text("#!/bin/sh\n")
        (self.outside / "tool").chmod(0o4755)

    def given(self) -> None:
        """All of the home belongs to him, as far as he could have made it."""
        for path in [self.home, *sorted(self.home.rglob("*"))]:
            if path.is_symlink() or path.lstat().st_nlink == 1 or path.is_dir():
                os.lchown(path, self.uid, self.uid)
        self.before = self.snapshot()

    def snapshot(self) -> dict[str, tuple[Any, ...]]:
        """Everything of root's: bytes, owner, mode, names; of a directory its entries."""
        found: dict[str, tuple[Any, ...]] = {}
        for path in [self.outside, *sorted(self.outside.rglob("*"))]:
            seen = path.lstat()
            content = path.read_bytes() if stat.S_ISREG(seen.st_mode) else b""
            found[str(path)] = (seen.st_mode, seen.st_uid, seen.st_gid, content)
        return found

    def wrong(self) -> list[str]:
        """What he got, or what was changed: nothing of it may be there."""
        after = self.snapshot()
        found = [f"{path} was changed" for path in self.before if after.get(path) != self.before[path]]
        found += [f"{path} was made" for path in after if path not in self.before]
        for path in sorted(self.home.rglob("*")):
            seen = path.lstat()
            if not stat.S_ISREG(seen.st_mode):
                continue
            is_planted = seen.st_ino in {each.stat().st_ino for each in self.outside.iterdir()}
            if SECRET.strip().encode() in path.read_bytes() and not is_planted:
                found.append(f"{path} holds what was read elsewhere")
        return found


@contextlib.contextmanager
def swapping(path: Path, outside: Path, uid: int) -> Iterator[None]:
    """That user's process: what is at ``path`` is now his file, now a link to a file of root's, all the time."""
    other = path.with_name(path.name + ".other")
    other.symlink_to(outside / "shadow")
    os.lchown(other, uid, uid)
    child = os.fork()
    if child == 0:
        try:
            libc = ctypes.CDLL(None)
            os.setgid(uid)
            os.setuid(uid)
            one, two = os.fsencode(path), os.fsencode(other)
            while os.getppid() != 1:
                libc.renameat2(-100, one, -100, two, 2)  # RENAME_EXCHANGE
        finally:
            os._exit(0)
    try:
        yield
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
