"""A directory and its twin: copied while it is written to, then compared, every file by its hash.

What takes long is done while the writers still run. A file that did not change since it was hashed keeps its hash, so
that the last look, with the writers stopped, reads only what they wrote meanwhile.
"""

from __future__ import annotations

import hashlib
import posixpath
import re
from contextlib import nullcontext
from typing import Any, ContextManager, Dict, Generator, List, Optional, Sequence, Tuple

from mnemo_ops.agent.base.progress import Deed, Progress
from mnemo_ops.agent.files import listing as tree
from mnemo_ops.agent.machine import CHUNK, Machine
from mnemo_ops.errors import Refused

SETTLED = 2 * 10**9  # nanoseconds: a file changed within the clock's grain of being read may be changed again unseen
SHOWN = 16  # chunks between two words on how far it is
RSYNC = (
    *("rsync", "--archive", "--hard-links", "--acls", "--xattrs", "--sparse", "--numeric-ids", "--whole-file"),
    *("--delete", "--modify-window=-1"),
)
VANISHED = (0, 24)  # of rsync: a file went away while it was copied
UNREADY = (*VANISHED, 23)  # and one that changed so fast that it could not be copied whole

Row = Dict[str, Any]
PROBE = tree.OURS + "probe-"

User = Optional[Tuple[int, int]]
Stamp = Tuple[int, int, int, int]


class Twin:
    """One of the two. :param user: as whom it is reached, where the server takes root for nobody."""

    def __init__(self, machine: Machine, path: str, user: User = None) -> None:
        self.machine, self.path, self.user = machine, path, user
        self._known: Dict[str, Tuple[Stamp, str]] = {}

    def acting(self) -> ContextManager[None]:
        return self.machine.reaching_as(*self.user) if self.user else nullcontext()

    def size(self) -> Tuple[int, int]:
        """Bytes on the disk (a hole is none), and entries."""
        blocks: Dict[int, int] = {}
        count = 0
        with self.acting():
            for path in tree.below(self.machine, self.path, self.path):
                count += 1
                found = self.machine.inode(path)
                blocks.update({found.st_ino: found.st_blocks * 512} if found else {})
        return sum(blocks.values()), count

    def names(self) -> List[str]:
        """What is at its top, without files of ours."""
        with self.acting():
            return [name for name in self.machine.names(self.path) if not tree.is_ours(name)]

    def ours(self) -> List[str]:
        """Names of ours at its top, as rsync takes them for nothing but names."""
        with self.acting():
            return [
                re.sub(r"([*?\[\\])", r"\\\1", name) for name in self.machine.names(self.path) if tree.is_ours(name)
            ]

    def hash(self, total: int, note: str) -> Deed:
        """Read what is not known yet. :param total: bytes to expect."""
        self.machine.sync_all()  # a page written through a mapping has its time only when it is on the disk
        done = 0
        with self.acting():
            paths = list(tree.below(self.machine, self.path, self.path))
        for path in paths:
            reading = self._digest(path)
            for count in reading:
                done += count
                yield Progress(done, max(total, done), note)
        return {}

    def _digest(self, path: str) -> Generator[int, None, None]:
        """Hash one file unless its hash is known; yields bytes read."""
        began = int(self.machine.now() * 1e9)
        with self.acting():
            if self._sha256(path) is not None or not self._is_file(path):
                return
            stamp = self._stamp(path)
            try:
                file = self.machine.open(path, strict=False)  # it is hashed only
            except FileNotFoundError:  # a writer took it away
                return
        digest, count = hashlib.sha256(), 0
        with file:
            for number, chunk in enumerate(iter(lambda: file.read(CHUNK), b"")):
                digest.update(chunk)
                count += len(chunk)
                if number % SHOWN == SHOWN - 1:
                    yield count
                    count = 0
        if stamp is not None and stamp[3] < began - SETTLED:
            self._known[path] = stamp, digest.hexdigest()
        else:
            self._known[path] = (0, 0, 0, 0), digest.hexdigest()
        yield count

    def _is_file(self, path: str) -> bool:
        found = self.machine.stat(path)
        return found is not None and found.kind == "file"

    def _stamp(self, path: str) -> Optional[Stamp]:
        found = self.machine.inode(path)
        return (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns) if found else None

    def _sha256(self, path: str) -> Optional[str]:
        stamp, sha256 = self._known.get(path, (None, ""))
        return sha256 if stamp is not None and stamp == self._stamp(path) else None

    def rows(self) -> List[Row]:
        """Each entry, as :func:`tree.entries` has it, with the times of files.

        To be asked when nobody writes, after :meth:`hash`.
        """
        first: tree.First = {}
        with self.acting():
            return [self._row(path, first) for path in [self.path, *tree.below(self.machine, self.path, self.path)]]

    def _row(self, path: str, first: tree.First) -> Row:
        found = self.machine.stat(path)
        assert found is not None
        relative = "." if path == self.path else posixpath.relpath(path, self.path)
        row: Row = {"path": relative, "kind": found.kind, "uid": found.uid, "gid": found.gid}
        tree.more(self.machine, path, found, row, first)
        if found.kind == "link":
            return {**row, "target": self.machine.readlink(path)}
        row["mode"] = found.mode
        if found.kind == "file":
            row.update(size=found.size, mtime=found.mtime_ns // 10**9, sha256=self._known.get(path, (None, ""))[1])
        return row


def copy(source: Twin, target: Twin, total: int, note: str, fine: Sequence[int] = (0,), *options: str) -> Deed:
    """Make ``target`` like ``source``, what is superfluous there removed; files of ours stay. :param total: bytes.

    :raises CommandFailed: rsync did not end well: the disk is full, for one (6).
    """
    machine = source.machine
    free = machine.free_bytes(target.path)
    argv = [*RSYNC, *options, *(f"--exclude=/{name}" for name in {*source.ours(), *target.ours()})]
    ends = [source.path + "/", target.path + "/"]
    if source.user and target.user:
        argv = [*_identity(source.user), *argv]
    elif source.user or target.user:  # that end is a process of its own
        argv.append("--rsh=sh -c 'shift; exec " + " ".join(_identity(source.user or target.user)) + ' "$@"\' sh')
        ends[0 if source.user else 1] = "there:" + ends[0 if source.user else 1]
    written = lambda: min(total, max(0, free - machine.free_bytes(target.path)))  # noqa: E731
    yield from machine.watched([*argv, *ends], written, total, note, fine)
    machine.sync_all()
    return {}


def _identity(user: User) -> List[str]:
    assert user is not None
    return ["setpriv", f"--reuid={user[0]}", f"--regid={user[1]}", "--clear-groups"]


def squashed(machine: Machine, path: str) -> User:
    """Whose directory it is, when root is nobody there (``root_squash`` of exports(5)); ``None``: root is root.

    :raises Refused: it belongs to root, who may not write there: nobody could (3).
    """
    found = machine.stat(path)
    assert found is not None
    try:
        for left in machine.names(path):  # by a probe that was killed
            if left.startswith(PROBE) and tree.is_ours(left):
                machine.remove(f"{path}/{left}")
        probe = machine.mktemp(path, PROBE, "", False)
        made = machine.stat(probe)
        machine.remove(probe)
        if made is not None and made.uid == machine.effective_uid:
            return None
    except PermissionError:
        pass
    if found.uid == 0:
        raise Refused(
            "the export is owned by root and root_squash is on, so nothing can write to it",
            hint="set owner in nfs.exports to the number of the user that writes, then: invoke nfs-setup",
        )
    return found.uid, found.gid


def unequal(source: Twin, target: Twin) -> List[str]:
    """What differs, a line an entry; empty: they are twins."""
    return tree.differences(source.rows(), target.rows(), where="the original")
