"""Changing files: beside the old one, fsync, rename; or not at all."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import struct
from typing import IO, Iterator, Optional, Tuple

from mnemo_ops.agent.machine.attributes import CAPABILITY, attributes_of, give
from mnemo_ops.agent.machine.door import is_handle
from mnemo_ops.agent.machine.reading import UNKNOWN, Reading

SET_FLAGS = 0x40086602  # FS_IOC_SETFLAGS of 64-bit Linux (ioctl_iflags(2))


class Writing(Reading):
    """Every method says :meth:`~Reading.writing` before it changes anything."""

    @contextlib.contextmanager
    def replacing(
        self,
        path: str,
        mode: Optional[int] = None,
        uid: Optional[int] = None,
        gid: Optional[int] = None,
        durable: bool = True,
        *,
        fresh: int = 0o600,
        like: str = "",
        follow: bool = True,
    ) -> Iterator[IO[bytes]]:
        """A new file that takes the place of ``path`` when the block ends well: written beside it, fsync, rename.

        The old content stays until the rename. Its access list and attributes are the old file's, and owner and mode
        where they are not given; until then only its owner may read it. Other hard links keep the old content.

        :param durable: no, where many files are written and :meth:`sync_all` follows.
        :param fresh: mode where there is no old file. :param like: the file to take after instead of the old one.
        :param follow: the file a link at ``path`` stands for; else the link itself gives way.
        :raises StepFailed: an attribute of the old file cannot be kept; it stays as it was (6).
        """
        self.writing()
        with self.at(path, follow) as real:
            temporary = os.path.join(os.path.dirname(real), f".mnemo-{os.urandom(6).hex()}")
            try:
                handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            except OSError as error:
                error.filename = real  # nobody knows the other name
                raise
            try:
                with os.fdopen(handle, "wb") as file:
                    yield file
                    file.flush()
                    self._take_after(
                        like or (self.realpath(path) if follow else path), file.fileno(), mode, uid, gid, fresh
                    )
                    if durable:
                        os.fsync(file.fileno())
                os.rename(temporary, real)
            except BaseException:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(temporary)
                raise
            if durable:
                self._sync(os.path.dirname(real))

    @contextlib.contextmanager
    def making(self, path: str) -> Iterator[IO[bytes]]:
        """A new file (0600) in the place of whatever is there: on the disk when the block ends well, else gone."""
        self.remove(path)
        with self.at(path) as real:
            handle = os.open(real, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)  # never through a link
            try:
                with os.fdopen(handle, "wb") as file:
                    yield file
                    file.flush()
                    os.fsync(handle)
            except BaseException:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(real)
                raise

    def sync_all(self) -> None:
        """Make everything durable that was written so far (sync(2))."""
        os.sync()

    def write(
        self,
        path: str,
        data: bytes,
        mode: Optional[int] = None,
        uid: Optional[int] = None,
        gid: Optional[int] = None,
        *,
        fresh: int = 0o600,
    ) -> None:
        """Replace the content of ``path`` atomically and durably, as :meth:`replacing` does."""
        with self.replacing(path, mode, uid, gid, fresh=fresh) as file:
            file.write(data)

    def scratch(self, directory: str) -> IO[bytes]:
        """A file without a name on the file system of ``directory``: gone with this process, however that ends."""
        self.writing()
        import tempfile  # slow to import, seldom needed

        with self.at(directory + "/.") as real:
            return tempfile.TemporaryFile(dir=real)

    def spool(self) -> IO[bytes]:
        """A file without a name for what is only looked at: no write, it is gone with this process."""
        import tempfile  # slow to import, seldom needed

        return tempfile.TemporaryFile()

    def mktemp(self, directory: str, prefix: str, suffix: str, folder: bool) -> str:
        """Make an empty file (0600) or directory (0700) with a name nobody has; its path."""
        import tempfile  # slow to import, seldom needed

        self.writing()
        with self.at(directory + "/.") as real:
            if folder:
                made = tempfile.mkdtemp(suffix, prefix, real)
            else:
                handle, made = tempfile.mkstemp(suffix, prefix, real)
                os.close(handle)
        return os.path.join(directory, os.path.basename(made))

    def append(self, path: str, data: bytes) -> None:
        """Add to the end of a file, durably."""
        self.writing()
        with self.at(path) as real:
            handle = os.open(real, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o666)
        with os.fdopen(handle, "ab") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())

    def sync(self, path: str) -> None:
        """Make a file's content durable, whoever wrote it."""
        with self.open(path) as file:
            os.fsync(file.fileno())

    def sync_directory(self, path: str) -> None:
        """Make renames and creations in a directory durable."""
        with self.at(path + "/.") as real:
            self._sync(real)

    def _sync(self, real: str) -> None:
        handle = os.open(real, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        except OSError as error:
            if error.errno != errno.EINVAL:  # file systems that cannot sync a directory
                raise
        finally:
            os.close(handle)

    def open_lock(self, path: str) -> IO[bytes]:
        """A file for ``flock``; made (0600) when missing, never replaced: a new one would be a second lock."""
        self.writing()
        with self.at(path) as real:
            return os.fdopen(os.open(real, os.O_RDONLY | os.O_CREAT | os.O_NOFOLLOW, 0o600), "rb")

    def mkdir(self, path: str, mode: Optional[int] = None, parents: bool = True) -> None:
        """Make a directory (and its parents) with this mode, or what the umask leaves; nothing when it exists."""
        if self.stat(path, follow=True) is not None:
            return
        if parents and os.path.dirname(path) not in ("", "/"):
            self.mkdir(os.path.dirname(path))
        self.writing()
        with self.at(path) as real:
            os.mkdir(real, 0o777 if mode is None else mode)  # never open to more, not for an instant
        if mode is not None:
            self.chmod(path, mode)

    def chmod(self, path: str, mode: int) -> None:
        """Change the mode; of what a link stands for. :raises StepFailed: as :meth:`~Door.itself` (6)."""
        self.writing()
        with self.itself(self.realpath(path)) as real:  # the kernel would follow a link on to anywhere
            os.chmod(real, mode)

    def chown(self, path: str, uid: int = -1, gid: int = -1) -> None:
        """Change the owner; a link itself, not what it points to."""
        self.writing()
        with self.itself(path) as real:
            os.chown(real, uid, gid, follow_symlinks=is_handle(real))

    def drop_access_lists(self, path: str) -> None:
        """Leave a directory nothing but its mode (acl(5))."""
        self.writing()
        with self.itself(self.realpath(path)) as real:
            for name in ("system.posix_acl_default", "system.posix_acl_access"):
                try:
                    os.removexattr(real, name)
                except OSError as error:
                    if error.errno not in (errno.ENODATA, errno.EOPNOTSUPP):
                        raise

    def set_flags(self, path: str, flags: int, of: int, instead: str = "") -> None:
        """Give a file or directory these flags (ioctl_iflags(2)) as far as its file system has them.

        :param of: the flags it is about; others stay.
        :param instead: an attribute (xattr(7)) that only root can give: it is taken away, from the same file, whatever
            name of it somebody put there.
        """
        self.writing()
        now = self.flags(path)
        if (now & of) == flags and not instead:
            return
        with self.at(path) as real:
            handle = os.open(real, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
        try:
            if instead:
                os.removexattr(handle, instead)
            fcntl.ioctl(handle, SET_FLAGS, struct.pack("l", now & ~of | flags))
        except OSError as error:
            if error.errno not in UNKNOWN:
                raise
        finally:
            os.close(handle)

    def symlink(self, target: str, path: str) -> None:
        """Make ``path`` a link to ``target``, in one step when something is there."""
        self.writing()
        with self._put(path) as temporary:
            os.symlink(target, temporary)

    def hardlink(self, target: str, path: str) -> None:
        """Make ``path`` another name of ``target``, in one step when something is there."""
        self.writing()
        with self.itself(target) as there, self._put(path) as temporary:
            # linkat(2) follows what a handle stands for when asked to, link(2) nothing
            os.link(there, temporary, src_dir_fd=-1 if is_handle(there) else None)

    @contextlib.contextmanager
    def _put(self, path: str) -> Iterator[str]:
        """A name beside ``path``, which what is made there gets when the block ends well."""
        with self.at(path) as real:
            temporary = os.path.join(os.path.dirname(real), f".mnemo-{os.urandom(6).hex()}")
            try:
                yield temporary
                os.rename(temporary, real)
            finally:  # of two names of the same file rename(2) leaves both
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(temporary)

    def utime(self, path: str, times: Optional[Tuple[float, float]] = None) -> None:
        """Set access and modification time (seconds since the epoch); now, when not given."""
        self.writing()
        with self.itself(self.realpath(path)) as real:
            os.utime(real, times)

    def rename(self, source: str, target: str) -> None:
        """Move within one file system, durably."""
        self.writing()
        with self.at(source) as old, self.at(target) as new:
            os.rename(old, new)
        for directory in {os.path.dirname(source), os.path.dirname(target)}:
            self.sync_directory(directory)

    def remove(self, path: str) -> None:
        """Remove a file, a link or a whole directory tree; nothing when it is not there."""
        self.writing()
        found = self.stat(path)
        if found is None:
            return
        with self.at(path) as real:
            if found.kind == "directory":
                import shutil  # slow to import, seldom needed

                shutil.rmtree(real)
            else:
                os.unlink(real)

    def rmdir(self, path: str) -> None:
        """Remove a directory that is empty; any other stays, with an error (rmdir(2))."""
        self.writing()
        with self.at(path) as real:
            os.rmdir(real)

    def _take_after(
        self, path: str, handle: int, mode: Optional[int], uid: Optional[int], gid: Optional[int], fresh: int
    ) -> None:
        """Give an open file owner, attributes and mode of the one at ``path``, as that is now."""
        try:
            with self.itself(path) as real:
                old, kept = os.stat(real), attributes_of(real)
                guarded = is_handle(real)
        except (FileNotFoundError, NotADirectoryError):
            os.fchown(handle, -1 if uid is None else uid, -1 if gid is None else gid)
            os.fchmod(handle, fresh if mode is None else mode)  # with the access list its directory gives new files
            return
        uid, gid = old.st_uid if uid is None else uid, old.st_gid if gid is None else gid
        lasting = stat.S_IMODE(old.st_mode)
        if (uid, gid) != (old.st_uid, old.st_gid) or guarded:  # as chown(2): nobody else's power for a new owner
            kept.pop(CAPABILITY, None)
            lasting &= ~(stat.S_ISUID | stat.S_ISGID)
        os.fchown(handle, uid, gid)
        give(handle, kept, lasting if mode is None else mode, path)
