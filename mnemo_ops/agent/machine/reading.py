"""Looking: files, directories, users. Absence is a positive answer; any other trouble is raised."""

from __future__ import annotations

import errno
import fcntl
import os
import stat as statmod
import struct
import sys
from typing import IO, Any, Callable, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple, Union

from mnemo_ops.agent.base.lines import each_line
from mnemo_ops.agent.base.record import dataclass
from mnemo_ops.agent.machine import hashing as digest
from mnemo_ops.agent.machine.attributes import ACL, attributes_of, own_mode
from mnemo_ops.agent.machine.door import Door
from mnemo_ops.errors import MnemoError, NotYet

CHUNK = 1 << 20  # bytes
ATTRIBUTES = ("user.", "trusted.", "security.", "system.posix_acl_")
OF_THE_HOST = ("security.selinux", "security.ima", "security.evm")  # labels and signatures that mean nothing elsewhere
FLAGS = 0x80086601  # FS_IOC_GETFLAGS of 64-bit Linux (ioctl_iflags(2))
UNKNOWN = (errno.ENOTTY, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS)  # of a file system without such flags
FIXED = 0x30  # FS_IMMUTABLE_FL and FS_APPEND_FL
COLUMNS = {
    "passwd": 7,
    "group": 4,
    "shadow": 8,
}  # of a row; one with less is no account
KINDS = {
    statmod.S_IFREG: "file",
    statmod.S_IFDIR: "directory",
    statmod.S_IFLNK: "link",
    statmod.S_IFSOCK: "socket",
}


@dataclass(frozen=True)
class FileStat:
    """What ``lstat`` says. ``kind``: file, directory, link, socket, other; ``mode``: permissions; sizes in bytes."""

    kind: str
    mode: int
    uid: int
    gid: int
    size: int
    mtime_ns: int
    inode: int
    nlink: int


class Reading(Door):
    """What can be seen of a host below ``root``; what was read is remembered until the next write.

    :attr:`batch`: kind and arguments of the tasks done together, for whoever can look for all of them at once; empty
    after the first write: from then on that would be done again and again.
    :param read_only: any write raises :class:`MnemoError`.
    """

    def __init__(self, root: str, read_only: bool) -> None:
        self.root = root
        self.read_only = read_only
        self.batch: Sequence[Tuple[str, Mapping[str, Any]]] = ()
        self._cache: Dict[str, Any] = {}

    def writing(self) -> None:
        """Called before every write: what was read before it may be stale."""
        if self.read_only:
            raise MnemoError("a check tried to write: this is a bug in the resource")
        self.batch = ()
        self.forget()

    def forget(self) -> None:
        """What was read may be stale."""
        self._cache.clear()

    def once(self, key: str, read: Callable[[], Any]) -> Any:
        """``read()`` once per batch, again after the next write."""
        try:
            return self._cache[key]
        except KeyError:  # looked up once: another thread's write may empty the cache at any time
            value = self._cache[key] = read()
            return value

    def encoded(self, path: str) -> bytes:
        """A name as the file system has it."""
        return os.fsencode(path)

    def inode(self, path: str, follow: bool = False) -> Optional[os.stat_result]:
        """Everything stat(2) says; ``None`` when there is nothing; any other trouble is raised as in :meth:`stat`."""
        try:
            if follow:  # whose link it is matters to whoever goes there, not to a look from afar
                return os.stat(self.path(path))
            real, _held = self.reach(path)
            return os.lstat(real)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise self.about(path, error) from None

    def may(self, path: str) -> Dict[str, bool]:
        """Whether this user may read, write or execute ``path`` (access(2)): ``{"r": ..., "w": ..., "x": ...}``."""
        asked = {"r": os.R_OK, "w": os.W_OK, "x": os.X_OK}
        with self.at(path, follow=True) as real:
            return {letter: os.access(real, bits) for letter, bits in asked.items()}

    def stat(self, path: str, follow: bool = False) -> Optional[FileStat]:
        """``None`` when there is nothing; any other trouble (permission, I/O) is raised, never taken for absence."""
        found = self.inode(path, follow)
        return None if found is None else self._stat(found)

    def stat_of(self, file: IO[bytes]) -> FileStat:
        """Of an open file."""
        return self._stat(os.fstat(file.fileno()))

    def _stat(self, found: os.stat_result) -> FileStat:
        return FileStat(
            KINDS.get(statmod.S_IFMT(found.st_mode), "other"),
            statmod.S_IMODE(found.st_mode),
            found.st_uid,
            found.st_gid,
            found.st_size,
            found.st_mtime_ns,
            found.st_ino,
            found.st_nlink,
        )

    def read(self, path: str, limit: int = 64 * CHUNK) -> Optional[bytes]:
        """The content, at most ``limit`` bytes; ``None`` when the file does not exist."""
        try:
            with self.open(path) as file:
                # small reads: /proc answers ENOMEM to a large one
                return b"".join(iter(lambda: file.read(min(65536, limit)), b""))[:limit]
        except (FileNotFoundError, NotADirectoryError):
            return None

    def read_text(self, path: str) -> Optional[str]:
        data = self.read(path)
        return None if data is None else data.decode("utf-8", "replace")

    def sha256(self, path: str, tick: Callable[[int], None] = lambda count: None) -> Optional[str]:
        """Hex digest of a file's content, in chunks (``tick`` gets their sizes); ``None`` without a file."""
        return self.digest(path, "sha256", tick)

    def digest(self, path: str, algorithm: str, tick: Callable[[int], None] = lambda count: None) -> Optional[str]:
        """As :meth:`sha256` with another algorithm of :mod:`hashlib`."""
        found = self.digests(path, (algorithm,), tick)
        return found[0] if found else None

    def digests(
        self, path: str, algorithms: Sequence[str], tick: Callable[[int], None] = lambda count: None
    ) -> Optional[List[str]]:
        """Several digests of a file, which is read once."""
        try:
            with os.fdopen(self.opened(path, strict=False), "rb") as file:
                size = os.fstat(file.fileno()).st_size
                found = [digest.new(algorithm, size) for algorithm in algorithms]
                for chunk in iter(lambda: file.read(CHUNK), b""):
                    for each in found:
                        each.update(chunk)
                    tick(len(chunk))
        except (FileNotFoundError, NotADirectoryError):
            return None
        return [each.hexdigest() for each in found]

    def expanded(self, path: str) -> str:
        """``~`` and ``~name`` at the start of a path as the home directory of this user or that one."""
        if not path.startswith("~"):
            return path
        name, slash, rest = path[1:].partition("/")
        rows = self.accounts("passwd").values()
        home = next((row[5] for row in rows if (row[0] == name if name else row[2] == str(os.geteuid()))), "~" + name)
        return home + slash + rest

    def readlink(self, path: str) -> str:
        with self.at(path) as real:
            return os.readlink(real)

    def own_mode(self, path: str, stat: FileStat) -> int:
        """The mode for a copy of it: of one with an access list, whose group bits are the mask, the group's own."""
        if stat.kind == "link":
            return stat.mode
        with self.at(path, follow=True) as real:
            return own_mode(attributes_of(real).get(ACL, b""), stat.mode)

    def xattrs(self, path: str, file: Optional[IO[bytes]] = None, exact: bool = False) -> Dict[str, str]:
        """Extended attributes (xattr(7)) in hex, access lists sorted; not those that only this host understands.

        :param file: at ``path``, where it is open. :param exact: access lists as they are.
        """
        if file:
            return _attributes(file.fileno(), exact)
        with self.at(path) as real:
            return _attributes(real, exact)

    def special(self, path: str) -> str:
        """What a name stands for that is no file, directory, link or socket: ``fifo``, ``char 1:3``, ``block 8:0``."""
        with self.at(path) as real:
            found = os.lstat(real)
        if statmod.S_ISFIFO(found.st_mode):
            return "fifo"
        kind = "char" if statmod.S_ISCHR(found.st_mode) else "block"
        return f"{kind} {os.major(found.st_rdev)}:{os.minor(found.st_rdev)}"

    def is_fixed(self, path: str) -> bool:
        """Whether a file or directory is immutable or takes nothing but appends (chattr(1)): nobody may rename it."""
        return bool(self.flags(path) & FIXED)

    def flags(self, path: str, file: Optional[IO[bytes]] = None) -> int:
        """The flags of a file or directory (ioctl_iflags(2)); 0 where it, or its file system, has none.

        :param file: at ``path``, where it is open.
        """
        handle = -1
        try:
            if file is None:
                with self.at(path) as real:
                    handle = os.open(real, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
            given = fcntl.ioctl(file.fileno() if file else handle, FLAGS, bytes(8))
        except OSError as error:
            # it changed since it was listed, so it is not; or somebody holds a lease on it, and may
            if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO, errno.EAGAIN, *UNKNOWN):
                return 0
            raise
        finally:
            if handle >= 0:
                os.close(handle)
        return int.from_bytes(given[:4], sys.byteorder)

    def locked_by(self, path: str) -> Optional[int]:
        """Process that holds a POSIX lock on ``path`` (F_GETLK, fcntl(2)), 0 when it cannot be seen; ``None``: free."""
        layout = "hhqqi4x"  # struct flock of 64-bit Linux
        try:
            with self.open(path) as file:
                asked = struct.pack(layout, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
                kind, _, _, _, pid = struct.unpack(layout, fcntl.fcntl(file, fcntl.F_GETLK, asked))
        except FileNotFoundError:
            return None
        return None if kind == fcntl.F_UNLCK else max(int(pid), 0)

    def is_locked(self, path: str) -> bool:
        """Whether somebody holds ``flock`` on a file; false when it is not there."""
        try:
            handle = self.opened(path)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return False
        except BlockingIOError:
            return True
        finally:
            os.close(handle)

    def names(self, path: str) -> List[str]:
        """Sorted names in a directory; empty when it does not exist."""
        try:
            with self.at(path + "/.") as real:
                return sorted(os.listdir(real))
        except (FileNotFoundError, NotADirectoryError):
            return []

    def glob(self, pattern: str) -> List[str]:
        """Sorted paths that match; a path without wildcards matches itself when it exists."""
        import glob  # with what it imports a millisecond, and few tasks have a pattern

        cut = 0 if self.root == "/" else len(self.root.rstrip("/"))
        return sorted(found[cut:] for found in glob.glob(self.path(pattern)))

    def walk(self, path: str) -> Iterator[str]:
        """Every path below ``path`` (not itself), directories before their content, sorted; links are not followed."""
        _held = self.staying(path)
        for name in self.names(path):
            below = os.path.join(path, name)
            yield below
            found = self.stat(below)
            if found is not None and found.kind == "directory":
                yield from self.walk(below)

    def pour(self, source: IO[bytes], target: IO[bytes]) -> None:
        """Everything that is left in one open file into another, in bounded memory."""
        while chunk := source.read(CHUNK):
            target.write(chunk)

    def open(self, path: str, follow: bool = True, strict: bool = True) -> IO[bytes]:
        """An existing file for reading. :raises StepFailed: as :meth:`~Door.opened` (6)."""
        return os.fdopen(self.opened(path, strict, follow), "rb")

    def free_bytes(self, path: str) -> int:
        """Bytes an unprivileged writer can still write at ``path`` or its nearest existing parent."""
        found = self._file_system(path)
        return found.f_bavail * found.f_frsize

    def is_read_only(self, path: str) -> bool:
        """Whether the file system at ``path`` or its nearest existing parent takes no writes (statvfs(3))."""
        return bool(self._file_system(path).f_flag & os.ST_RDONLY)

    def _file_system(self, path: str) -> os.statvfs_result:
        while self.stat(path, follow=True) is None and path not in ("", "/"):
            path = os.path.dirname(path)
        return os.statvfs(self.path(path))

    def space(self, path: str) -> Dict[str, int]:
        """Size and use of the file system at a mount point, in Ansible's words; empty when it may not be asked."""
        try:
            found = os.statvfs(self.path(path))
        except OSError:
            return {}
        return {
            "size_total": found.f_frsize * found.f_blocks,
            "size_available": found.f_frsize * found.f_bavail,
            "block_size": found.f_bsize,
            "block_total": found.f_blocks,
            "block_available": found.f_bavail,
            "block_used": found.f_blocks - found.f_bavail,
            "inode_total": found.f_files,
            "inode_available": found.f_favail,
            "inode_used": found.f_files - found.f_favail,
        }

    def free_inodes(self, path: str) -> Optional[int]:
        """Inodes left at ``path``'s nearest existing parent; ``None`` where the file system does not count them."""
        found = self._file_system(path)
        return found.f_favail if found.f_files else None

    # -- users and groups: the files, so that a temporary root works too ---------------------------------------

    def accounts(self, database: str) -> Dict[str, List[str]]:
        """``passwd`` or ``group``: name -> the fields of its line."""

        def read() -> Dict[str, List[str]]:
            lines = each_line(self.read_text("/etc/" + database) or "")
            rows = [line.split(":") for line in lines if line and not line.startswith("#")]
            return {row[0]: row for row in rows if len(row) >= COLUMNS[database]}

        found: Dict[str, List[str]] = self.once("accounts/" + database, read)
        return found

    def _id(self, database: str, name: str) -> int:
        if name.isdigit():
            return int(name)
        row = self.accounts(database).get(name)
        if row is None:
            raise NotYet(f"{'user' if database == 'passwd' else 'group'} {name} does not exist")
        return int(row[2])

    def uid(self, name: str) -> int:
        """Number of a user; raises :class:`NotYet` when there is no such user yet."""
        return self._id("passwd", name)

    def gid(self, name: str) -> int:
        """Number of a group; raises :class:`NotYet` when there is no such group yet."""
        return self._id("group", name)


def _attributes(real: Union[str, int], exact: bool) -> Dict[str, str]:
    follow = not isinstance(real, str)
    try:
        names = os.listxattr(real, follow_symlinks=follow)
    except OSError as error:
        if error.errno in (errno.EOPNOTSUPP, errno.ENOENT):
            return {}
        raise
    if not names:  # as of most files
        return {}
    normal = (lambda _, value: value) if exact else _normal
    kept = sorted(name for name in names if name.startswith(ATTRIBUTES) and name not in OF_THE_HOST)
    return {name: normal(name, os.getxattr(real, name, follow_symlinks=follow)).hex() for name in kept}


def _normal(name: str, value: bytes) -> bytes:
    """An access list (acl(5)) with its entries sorted, after the four bytes of its version."""
    if not name.startswith("system.posix_acl_"):
        return value
    return value[:4] + b"".join(sorted(value[at : at + 8] for at in range(4, len(value), 8)))
