"""The one door to files: root reaches what a path names, never what a local user made it point to.

A directory is *trusted* where nobody but root can change what the names in it stand for, nor the names that lead to
it: there a path is used as it is. From the first directory on where somebody else may write, every step is an open
directory (``O_NOFOLLOW``), and what is done there is done under ``/proc/self/fd``, so that nothing is looked up twice.

A link that somebody else may have made is followed where he could have gone himself: to what lies below the link's own
directory, or belongs to him. systemd-tmpfiles judges links so, too (``CHASE_SAFE``, systemd/src/basic/chase.c), and
refuses files with a second name that somebody else owns. Whoever is not root goes in with his own power alone: the
kernel judges.
"""

from __future__ import annotations

import contextlib
import errno
import os
import posixpath
import stat as bits
import threading
import weakref
from typing import Any, ClassVar, Dict, Iterator, Optional, Set, Tuple

from mnemo_ops.errors import StepFailed

HANDLES = "/proc/self/fd/"
NOBODY_ELSE, ANYBODY = 0, -1  # who may change what a name stands for, beside root; else a user's number
LINKS = 40  # as many as the kernel follows
_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_CLOEXEC
_ITSELF = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC


class Reached:
    """A directory that was reached.

    :param name: the path that leads there without links. :param real: how this process names it.
    :param changes: who may put something else under its name. :param handle: closed with the last use of it.
    """

    def __init__(self, name: str, real: str, changes: int, found: os.stat_result, handle: int = -1) -> None:
        self.name, self.real, self.changes, self.handle = name, real, changes, handle
        self.uid = found.st_uid
        self.sticky = bool(found.st_mode & bits.S_ISVTX) and found.st_uid == 0
        self.within = changes  # who may change the names in it
        if found.st_uid != 0:
            self.within = found.st_uid
        elif found.st_mode & 0o022:  # an access list shows in the bits of the group
            self.within = ANYBODY

    def __del__(self) -> None:
        if self.handle >= 0:
            os.close(self.handle)

    @property
    def trusted(self) -> bool:
        return self.within == NOBODY_ELSE

    def changers(self, of: os.stat_result) -> int:
        """Who may put something else under the name of this entry: in a sticky directory only its owner."""
        return of.st_uid if self.sticky and self.changes == NOBODY_ELSE else self.within


class Door:
    """:attr:`root`: directory every path is looked up under."""

    root: str
    _cache: Dict[str, Any]
    acting: ClassVar[Set[int]] = set()  # threads that reach files as another user (setfsuid(2))

    def path(self, path: str) -> str:
        """Where ``path`` of the host lies for this process, links and all: for programs, and for looking at mounts."""
        return path if self.root == "/" else os.path.join(self.root, path.lstrip("/"))

    @contextlib.contextmanager
    def at(self, path: str, follow: bool = False) -> Iterator[str]:
        """The name this process uses for ``path``; while the block lasts its directory is the same one.

        :param follow: what a link at the end stands for.
        :raises StepFailed: a link on the way is somebody else's and leads to what is not his (6).
        :raises OSError: a directory on the way is missing, or none; about ``path``.
        """
        real, held = self.reach(path, follow)
        try:
            yield real
        except OSError as error:
            raise self.about(path, error) from None
        finally:
            del held

    def reach(self, path: str, follow: bool = False) -> Tuple[str, Optional[Reached]]:
        """As :meth:`at`: the name, good while the second is held."""
        directory, name = self._reach_entry(path, follow)
        if directory is not None:
            return _below(directory.real, name), directory
        real = self.path(path)
        return os.path.realpath(real) if follow and os.path.islink(real) else real, None

    def staying(self, path: str) -> Optional[Reached]:
        """A directory that is looked at entry by entry: opened once, as long as this is held."""
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            return self.reach(path + "/.")[1]
        return None

    def about(self, path: str, error: OSError) -> OSError:
        """The same error about the path: nobody knows the other name."""
        if isinstance(error.filename, str) and is_handle(error.filename):
            error.filename = self.path(path)
        return error

    @contextlib.contextmanager
    def itself(self, path: str) -> Iterator[str]:
        """As :meth:`at`, the inode itself: for what follows a link that somebody puts there meanwhile, as chmod(2).

        :raises StepFailed: the file has another name, too, and belongs to somebody else than its directory (6).
        """
        directory, name = self._reach_entry(path, False)
        with self._named(path):
            if directory is None or directory.trusted:
                yield _below(directory.real, name) if directory else self.path(path)
                return
            handle = os.open(_below(directory.real, name), _ITSELF)
            try:
                _refuse_foreign(directory, path, os.fstat(handle))
                yield f"{HANDLES}{handle}"
            finally:
                os.close(handle)

    def opened(self, path: str, strict: bool = True, follow: bool = True) -> int:
        """A handle of a file for reading.

        :param follow: whatever link leads to it; else a link is an error (ELOOP).
        :raises StepFailed: it is no regular file, where somebody may let us wait for ever; or, when ``strict``, as
            :meth:`itself` (6).
        """
        directory, name = self._reach_entry(path, follow)
        guarded = not follow or (directory is not None and not directory.trusted)
        real = _below(directory.real, name) if directory else self.path(path)
        try:
            handle = os.open(real, _READ | (os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY if guarded else 0))
        except OSError as error:
            raise self.about(path, error) from None
        try:
            found = os.fstat(handle)
            if bits.S_ISDIR(found.st_mode):
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), self.path(path))
            if guarded and not bits.S_ISREG(found.st_mode):
                raise StepFailed(f"{path} is not a regular file", hint=f"look at it: ls -ld {path}")
            if directory is not None and guarded and strict:
                _refuse_foreign(directory, path, found)
        except BaseException:
            os.close(handle)
            raise
        return handle

    @contextlib.contextmanager
    def _named(self, path: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise self.about(path, error) from None

    def realpath(self, path: str) -> str:
        """``path`` with every link on the way followed, as the host names it. :raises StepFailed: as :meth:`at` (6)."""
        if not self._guards():
            return self._real_path(path)
        try:
            directory, name = self._reach_entry(path, True)
        except (FileNotFoundError, NotADirectoryError):
            parent = posixpath.dirname(path.rstrip("/"))
            return posixpath.join(self.realpath(parent), posixpath.basename(path.rstrip("/")))
        return posixpath.normpath(_below(directory.name, name)) if directory else self._real_path(path)

    def for_program(self, path: str) -> str:
        """The path as an argument for a program, which follows what it finds: without the links that are there now.

        What somebody puts in its way while it runs is not in our hand. :raises StepFailed: as :meth:`at` (6).
        """
        return self.path(self.realpath(path)) if self.root == "/" else self.path(path)

    def _real_path(self, path: str) -> str:
        if self.root == "/":
            return os.path.realpath(path)
        real = os.path.relpath(os.path.realpath(self.path(path)), os.path.realpath(self.root))
        return os.path.normpath("/" + real)

    # -- the way there -----------------------------------------------------------------------------------------------

    def _guards(self) -> bool:
        return os.geteuid() == 0 and threading.get_ident() not in self.acting

    def _reach_entry(self, path: str, follow: bool) -> Tuple[Optional[Reached], str]:
        """The directory an entry is in, and its name there; no directory: nothing has to be looked after."""
        if not self._guards() or not path.startswith("/"):
            return None, ""
        return self._entry(path, follow, 0)

    def _entry(self, path: str, follow: bool, links: int) -> Tuple[Reached, str]:
        follow = follow or path.endswith("/")  # as the kernel does
        path = path.rstrip("/") or "/"
        parent, _, name = path.rpartition("/")
        if name in ("", ".", ".."):
            return self.reached(path, links), "."
        directory = self.reached(parent.rstrip("/") or "/", links)
        if follow:
            with contextlib.suppress(FileNotFoundError):
                found = os.lstat(_below(directory.real, name))
                if bits.S_ISLNK(found.st_mode):
                    return self._followed(directory, name, found, links, entry=True)
        return directory, name

    def reached(self, path: str, links: int = 0) -> Reached:
        """The directory at ``path``. What is trusted is looked up once until something is written; a handle lives as
        long as somebody uses it: one that stayed open would keep a file system from being unmounted."""
        known = self._cache.get(f"door/{path}")
        if isinstance(known, weakref.ref):
            known = known()
        if known is None:
            known = self._reach(path.rstrip("/") or "/", links)
            self._cache[f"door/{path}"] = weakref.ref(known) if known.handle >= 0 else known
        reached: Reached = known
        return reached

    def _reach(self, path: str, links: int) -> Reached:
        if path == "/":
            return Reached("/", self.root, NOBODY_ELSE, os.stat(self.root))
        parent, name = posixpath.split(path)
        directory = self.reached(parent, links)
        if name in ("", "."):
            return directory
        if name == "..":
            return self.reached(posixpath.dirname(directory.name), links)
        real = _below(directory.real, name)
        with self._named(path):
            found = os.lstat(real)
        if bits.S_ISLNK(found.st_mode):
            reached: Reached = self._followed(directory, name, found, links, entry=False)[0]
            return reached
        if not bits.S_ISDIR(found.st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), self.path(path))
        changes = directory.changers(found)
        below = _below(directory.name, name)
        here = Reached(below, self.path(below), changes, found)
        if here.trusted:  # by its own name: the handle it was found under may be closed
            return here
        with self._named(path):
            handle = os.open(real, _DIRECTORY)
        return Reached(here.name, f"{HANDLES}{handle}", changes, os.fstat(handle), handle)

    def _followed(
        self, directory: Reached, name: str, link: os.stat_result, links: int, entry: bool
    ) -> Tuple[Reached, str]:
        """What a link stands for: a directory (``entry`` false) or an entry of one."""
        path = _below(directory.name, name)
        if links >= LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), self.path(path))
        target = os.readlink(_below(directory.real, name))
        inside = not target.startswith("/") and ".." not in target.split("/")
        of_root = link.st_uid == 0 and directory.uid == 0 and directory.changes == NOBODY_ELSE
        far = target if target.startswith("/") else posixpath.join(directory.name, target)
        if self.root != "/" and (far + "/").startswith(self.root.rstrip("/") + "/"):
            far = far[len(self.root.rstrip("/")) :] or "/"  # made by whoever sees the root from outside
        if entry:
            reached, last = self._entry(far, True, links + 1)
        else:
            reached, last = self.reached(far, links + 1), ""
        if of_root or inside:
            return reached, last
        who = directory.changers(link)
        if not self._is_of(who, reached, last):
            raise StepFailed(
                f"{path} is a link to {target} that user {_who(who)} may have made, and that is not theirs: root does "
                "not follow it; nothing was read or changed there",
                hint=f"name {target} itself, or remove the link (ls -ld {path})",
            )
        return reached, last

    def _is_of(self, who: int, reached: Reached, last: str) -> bool:
        """Whether somebody could have gone there himself: a directory of his, and nothing or a file of his in it."""
        if who == NOBODY_ELSE:
            return True
        if who == ANYBODY or reached.uid != who:
            return False
        try:
            return not last or os.lstat(_below(reached.real, last)).st_uid == who
        except FileNotFoundError:
            return True


def _refuse_foreign(directory: Reached, path: str, found: os.stat_result) -> None:
    """:raises StepFailed: a file with several names, of which somebody may have planted this one (6)."""
    if found.st_nlink > 1 and bits.S_ISREG(found.st_mode) and (found.st_uid == 0 or found.st_uid != directory.uid):
        raise StepFailed(
            f"{path} is one of {found.st_nlink} names of a file of user {found.st_uid}, and user "
            f"{_who(directory.within)} may have put it there: nothing was read or changed",
            hint=f"find its other names (find / -xdev -inum {found.st_ino}); remove the one that does not belong",
        )


def is_handle(real: str) -> bool:
    """Whether a name is that of an open directory or file, or of what is in one."""
    return real.startswith(HANDLES)


def _below(directory: str, name: str) -> str:
    return directory + name if directory.endswith("/") else f"{directory}/{name}"


def _who(number: int) -> str:
    return "anybody" if number == ANYBODY else str(number)
