"""Machine: the one door to the operating system.

Everything a resource or an action knows or changes goes through here, so that a check can be shown to write nothing,
a test can put a temporary root and stub programs under the same code, and a kill can be placed between any two writes.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import glob
import hashlib
import os
import shutil
import signal
import socket
import stat as statmod
import struct
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from typing import IO, Any, Callable, Dict, Iterator, List, Mapping, Optional, Sequence, Set, Tuple

from mnemo_ops.agent.action import Deed, Progress
from mnemo_ops.errors import Broken, CommandFailed, MnemoError, NotYet

CHUNK = 1 << 20
SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

Fetch = Callable[[str, IO[bytes]], None]
Tick = Callable[[], None]


@dataclass(frozen=True)
class FileStat:
    """What ``lstat`` says. ``kind``: file, directory, link or other; ``mode``: permission bits; sizes in bytes."""

    kind: str
    mode: int
    uid: int
    gid: int
    size: int
    mtime_ns: int
    inode: int
    nlink: int


@dataclass(frozen=True)
class Completed:
    """A program that ended. ``out`` and ``err`` are decoded as UTF-8 with replacement."""

    argv: Tuple[str, ...]
    rc: int
    out: str
    err: str


def _no_fetch(sha256: str, into: IO[bytes]) -> None:
    raise Broken(f"the controller offers no file with sha256 {sha256}")


class Conversation:
    """A program that is asked line by line (psql): question in, everything up to an end mark out."""

    MARK = "mnemo-end-of-answer"

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def ask(self, text: str) -> str:
        """What psql prints for this SQL. :raises Broken: it ended instead of answering (6)."""
        assert self._process.stdin is not None and self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):  # its last words say more than the broken pipe
            self._process.stdin.write(f"{text}\n\\echo {self.MARK}\n".encode())
            self._process.stdin.flush()
        said: List[bytes] = []
        for line in self._process.stdout:
            if line.strip() == self.MARK.encode():
                return b"".join(said).decode("utf-8", "replace").strip()
            said.append(line)
        assert self._process.stderr is not None
        why = self._process.stderr.read().decode("utf-8", "replace").strip()
        raise Broken(f"the database session ended: {why[-1000:]}")

    def __enter__(self) -> Conversation:
        return self

    def __exit__(self, *_: object) -> None:
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        self._process.wait()


class Machine:
    """One host, seen from inside.

    :param root: directory every path is looked up under; ``/`` on a real host.
    :param search_path: ``PATH`` for programs.
    :param read_only: any write raises :class:`MnemoError`: check mode is held to its promise.
    :param state_dir: instead of the usual :attr:`state_dir`.
    :param fetch: writes the file with the given sha256 into an open file; asks the controller for it.
    """

    def __init__(
        self,
        root: str = "/",
        *,
        search_path: str = SEARCH_PATH,
        read_only: bool = False,
        state_dir: str = "",
        fetch: Fetch = _no_fetch,
    ) -> None:
        self.root = root
        self._state_dir = state_dir
        self.search_path = search_path
        self.read_only = read_only
        self.fetch = fetch
        self.leases: Set[str] = set()  # leases this process renews while it lives
        self.program: Callable[[], bytes] = bytes  # the agent's own zip
        self.note = ""  # what is being done right now; the heartbeat carries it to the operator
        self._cache: Dict[str, Any] = {}

    # -- bookkeeping ---------------------------------------------------------------------------------------------

    def writing(self) -> None:
        """Called before every write: what was read before it may be stale."""
        if self.read_only:
            raise MnemoError("a check tried to write: this is a bug in the resource")
        self._cache.clear()

    def once(self, key: str, read: Callable[[], Any]) -> Any:
        """``read()`` once per batch, again after the next write."""
        try:
            return self._cache[key]
        except KeyError:  # looked up once: another thread's write may empty the cache at any time
            value = self._cache[key] = read()
            return value

    def path(self, path: str) -> str:
        """Where ``path`` of the host lies for this process."""
        return path if self.root == "/" else os.path.join(self.root, path.lstrip("/"))

    @property
    def is_root(self) -> bool:
        return os.geteuid() == 0

    @property
    def effective_uid(self) -> int:
        return os.geteuid()

    @property
    def user_name(self) -> str:
        """Login name of the user the agent runs as; its number when it has none."""
        rows = self.accounts("passwd").values()
        return next((row[0] for row in rows if row[2] == str(os.geteuid())), str(os.geteuid()))

    @property
    def python(self) -> str:
        """The interpreter the agent runs on."""
        return sys.executable

    @property
    def pid(self) -> int:
        return os.getpid()

    @property
    def architecture(self) -> str:
        return os.uname().machine

    def ipv4_of(self, interface: str) -> Optional[str]:
        """First IPv4 address of a network interface (SIOCGIFADDR, netdevice(7)); ``None`` when it has none."""
        request = struct.pack("256s", interface.encode()[:15])
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                return socket.inet_ntoa(fcntl.ioctl(probe.fileno(), 0x8915, request)[20:24])
            except OSError:
                return None

    @property
    def state_dir(self) -> str:
        """Where mnemo_ops keeps what must survive a reboot: 0700, one per user."""
        if self._state_dir:
            return self._state_dir
        return "/var/lib/mnemo_ops" if self.is_root else os.path.expanduser("~/.local/state/mnemo_ops")

    @property
    def runtime_dir(self) -> str:
        """Where secrets may lie for a moment: in memory, gone with a reboot."""
        return "/run/mnemo_ops" if self.is_root else f"/run/user/{os.geteuid()}/mnemo_ops"

    def keep_program(self) -> str:
        """Path of the agent's own zip on disk, for units that must run when nobody is connected."""
        data = self.program()
        if not data:
            raise MnemoError("this process does not know its own program: this is a bug")
        path = f"{self.state_dir}/agent-{hashlib.sha256(data).hexdigest()[:12]}.zip"
        if self.stat(path) is None:
            self.mkdir(self.state_dir, 0o700)
            self.write(path, data, 0o600)
        return path

    # -- reading files -------------------------------------------------------------------------------------------

    def stat(self, path: str, follow: bool = False) -> Optional[FileStat]:
        """``None`` when there is nothing; any other trouble (permission, I/O) is raised, never taken for absence."""
        try:
            found = os.stat(self.path(path)) if follow else os.lstat(self.path(path))
        except (FileNotFoundError, NotADirectoryError):
            return None
        kinds = {statmod.S_IFREG: "file", statmod.S_IFDIR: "directory", statmod.S_IFLNK: "link"}
        return FileStat(
            kinds.get(statmod.S_IFMT(found.st_mode), "other"),
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
            with open(self.path(path), "rb") as file:
                # small reads: /proc answers ENOMEM to a large one
                return b"".join(iter(lambda: file.read(min(65536, limit)), b""))[:limit]
        except (FileNotFoundError, NotADirectoryError):
            return None

    def read_text(self, path: str) -> Optional[str]:
        data = self.read(path)
        return None if data is None else data.decode("utf-8", "replace")

    def sha256(self, path: str, tick: Callable[[int], None] = lambda count: None) -> Optional[str]:
        """Hex digest of a file's content, in chunks (``tick`` gets their sizes); ``None`` without a file."""
        digest = hashlib.sha256()
        try:
            with open(self.path(path), "rb") as file:
                for chunk in iter(lambda: file.read(CHUNK), b""):
                    digest.update(chunk)
                    tick(len(chunk))
        except (FileNotFoundError, NotADirectoryError):
            return None
        return digest.hexdigest()

    def readlink(self, path: str) -> str:
        return os.readlink(self.path(path))

    def realpath(self, path: str) -> str:
        """``path`` with every link on the way followed, as the host names it."""
        if self.root == "/":
            return os.path.realpath(path)
        return "/" + os.path.relpath(os.path.realpath(self.path(path)), os.path.realpath(self.root))

    def locked_by(self, path: str) -> Optional[int]:
        """Process that holds a POSIX lock on ``path`` (F_GETLK, fcntl(2)), 0 when it cannot be seen; ``None``: free."""
        layout = "hhqqi4x"  # struct flock of 64-bit Linux
        try:
            with open(self.path(path), "rb") as file:
                asked = struct.pack(layout, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
                kind, _, _, _, pid = struct.unpack(layout, fcntl.fcntl(file, fcntl.F_GETLK, asked))
        except FileNotFoundError:
            return None
        return None if kind == fcntl.F_UNLCK else max(int(pid), 0)

    def names(self, path: str) -> List[str]:
        """Sorted names in a directory; empty when it does not exist."""
        try:
            return sorted(os.listdir(self.path(path)))
        except FileNotFoundError:
            return []

    def glob(self, pattern: str) -> List[str]:
        """Sorted paths that match; a path without wildcards matches itself when it exists."""
        cut = 0 if self.root == "/" else len(self.root.rstrip("/"))
        return sorted(found[cut:] for found in glob.glob(self.path(pattern)))

    def walk(self, path: str) -> Iterator[str]:
        """Every path below ``path`` (not itself), directories before their content, sorted; links are not followed."""
        for name in self.names(path):
            below = os.path.join(path, name)
            yield below
            found = self.stat(below)
            if found is not None and found.kind == "directory":
                yield from self.walk(below)

    def pour(self, source: IO[bytes], target: IO[bytes]) -> None:
        """Everything that is left in one open file into another, in bounded memory."""
        shutil.copyfileobj(source, target, CHUNK)

    def open(self, path: str) -> IO[bytes]:
        """An existing file for reading."""
        return open(self.path(path), "rb")

    def free_bytes(self, path: str) -> int:
        """Bytes an unprivileged writer can still write at ``path`` or its nearest existing parent."""
        where = path
        while self.stat(where, follow=True) is None and where not in ("", "/"):
            where = os.path.dirname(where)
        found = os.statvfs(self.path(where))
        return found.f_bavail * found.f_frsize

    def free_inodes(self, path: str) -> Optional[int]:
        """Inodes left at ``path``'s nearest existing parent; ``None`` where the file system does not count them."""
        where = path
        while self.stat(where, follow=True) is None and where not in ("", "/"):
            where = os.path.dirname(where)
        found = os.statvfs(self.path(where))
        return found.f_favail if found.f_files else None

    # -- users and groups (the files, so that a temporary root works too) -------------------------------------------

    def accounts(self, database: str) -> Dict[str, List[str]]:
        """``passwd`` or ``group``: name -> the fields of its line."""

        def read() -> Dict[str, List[str]]:
            lines = (self.read_text("/etc/" + database) or "").splitlines()
            rows = [line.split(":") for line in lines if line and not line.startswith("#")]
            return {row[0]: row for row in rows}

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

    # -- writing files -------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def replacing(
        self, path: str, mode: Optional[int] = None, uid: Optional[int] = None, gid: Optional[int] = None
    ) -> Iterator[IO[bytes]]:
        """A new file that takes the place of ``path`` when the block ends well: written beside it, fsync, rename.

        The old content stays until the rename; owner and mode not given are the old file's, else 0600 of this user.
        """
        self.writing()
        real = self.path(path)
        old = self.stat(path, follow=True)
        if os.path.islink(real):
            real = os.path.realpath(real)
        handle, temporary = tempfile.mkstemp(prefix=".mnemo-", dir=os.path.dirname(real))
        try:
            with os.fdopen(handle, "wb") as file:
                yield file
                file.flush()
                os.fchown(
                    file.fileno(),
                    uid if uid is not None else (old.uid if old else -1),
                    gid if gid is not None else (old.gid if old else -1),
                )
                os.fchmod(file.fileno(), mode if mode is not None else (old.mode if old else 0o600))
                os.fsync(file.fileno())
            os.rename(temporary, real)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)
            raise
        self.sync_directory(os.path.dirname(path))

    def write(
        self, path: str, data: bytes, mode: Optional[int] = None, uid: Optional[int] = None, gid: Optional[int] = None
    ) -> None:
        """Replace the content of ``path`` atomically and durably."""
        with self.replacing(path, mode, uid, gid) as file:
            file.write(data)

    def scratch(self, directory: str) -> IO[bytes]:
        """A file without a name on the file system of ``directory``: gone with this process, however that ends."""
        self.writing()
        return tempfile.TemporaryFile(dir=self.path(directory))

    def append(self, path: str, data: bytes) -> None:
        """Add to the end of a file, durably."""
        self.writing()
        with open(self.path(path), "ab") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())

    def sync(self, path: str) -> None:
        """Make a file's content durable, whoever wrote it."""
        handle = os.open(self.path(path), os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    def sync_directory(self, path: str) -> None:
        """Make renames and creations in a directory durable."""
        handle = os.open(self.path(path), os.O_RDONLY | os.O_DIRECTORY)
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
        return os.fdopen(os.open(self.path(path), os.O_RDONLY | os.O_CREAT, 0o600), "rb")

    def mkdir(self, path: str, mode: int = 0o755, parents: bool = True) -> None:
        """Make a directory (and its parents, 0755); nothing when it exists."""
        if self.stat(path, follow=True) is not None:
            return
        if parents and os.path.dirname(path) not in ("", "/"):
            self.mkdir(os.path.dirname(path))
        self.writing()
        os.mkdir(self.path(path), mode)
        os.chmod(self.path(path), mode)

    def chmod(self, path: str, mode: int) -> None:
        self.writing()
        os.chmod(self.path(path), mode)

    def chown(self, path: str, uid: int = -1, gid: int = -1) -> None:
        """Change the owner; a link itself, not what it points to."""
        self.writing()
        os.lchown(self.path(path), uid, gid)

    def symlink(self, target: str, path: str) -> None:
        """Make ``path`` a link to ``target``, in one step when something is there."""
        self.writing()
        temporary = self.path(path) + ".mnemo-link"
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        os.symlink(target, temporary)
        os.rename(temporary, self.path(path))

    def hardlink(self, target: str, path: str) -> None:
        """Make ``path`` another name of ``target``, in one step when something is there."""
        self.writing()
        temporary = self.path(path) + ".mnemo-link"
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        os.link(self.path(target), temporary)
        os.rename(temporary, self.path(path))

    def utime(self, path: str, times: Optional[Tuple[float, float]] = None) -> None:
        """Set access and modification time (seconds since the epoch); now, when not given."""
        self.writing()
        os.utime(self.path(path), times)

    def rename(self, source: str, target: str) -> None:
        """Move within one file system, durably."""
        self.writing()
        os.rename(self.path(source), self.path(target))
        for directory in {os.path.dirname(source), os.path.dirname(target)}:
            self.sync_directory(directory)

    def remove(self, path: str) -> None:
        """Remove a file, a link or a whole directory tree; nothing when it is not there."""
        self.writing()
        found = self.stat(path)
        if found is None:
            return
        if found.kind == "directory":
            shutil.rmtree(self.path(path))
        else:
            os.unlink(self.path(path))

    # -- programs ------------------------------------------------------------------------------------------------

    def which(self, name: str) -> Optional[str]:
        """Full path of a program, or ``None``: the tool is not installed."""
        return shutil.which(name, path=self.search_path)

    def environment(self, extra: Optional[Mapping[str, str]] = None) -> Dict[str, str]:
        """A small, predictable environment: messages in English, nothing inherited but the user."""
        base = {key: os.environ[key] for key in ("HOME", "USER", "LOGNAME") if key in os.environ}
        base.update({"PATH": self.search_path, "LC_ALL": "C.UTF-8", "LANG": "C.UTF-8"})
        base.update(extra or {})
        return base

    def _call(
        self,
        argv: Sequence[str],
        data: Optional[bytes],
        env: Optional[Mapping[str, str]],
        timeout: float,
        cwd: Optional[str],
        check: bool,
    ) -> Completed:
        try:
            process = subprocess.Popen(
                list(argv),
                stdin=subprocess.PIPE if data is not None else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=self.environment(env),
                cwd=cwd,
                start_new_session=True,  # a signal to the agent must not cut a package manager in half
            )
        except FileNotFoundError:
            raise Broken(f"{argv[0]} is not installed on this host") from None
        try:
            out, err = process.communicate(data, timeout)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            raise Broken(f"{argv[0]} did not answer within {timeout:.0f} s") from None
        done = Completed(
            tuple(argv), process.returncode, out.decode("utf-8", "replace"), err.decode("utf-8", "replace")
        )
        if check and done.rc != 0:
            said = (done.err.strip() or done.out.strip() or "no output")[-2000:]
            raise CommandFailed(f"{os.path.basename(argv[0])} {_verb(argv)}ended with {done.rc}: {said}")
        return done

    def ask(
        self,
        argv: Sequence[str],
        *,
        data: Optional[bytes] = None,
        env: Optional[Mapping[str, str]] = None,
        timeout: float = 60.0,
        check: bool = True,
    ) -> Completed:
        """Run a program that only reads; ``timeout`` in seconds.

        :raises Broken: it is missing or does not answer (6). :raises CommandFailed: it ended with an error (6).
        """
        return self._call(argv, data, env, timeout, None, check)

    def run(
        self,
        argv: Sequence[str],
        *,
        data: Optional[bytes] = None,
        env: Optional[Mapping[str, str]] = None,
        timeout: float = 3600.0,
        cwd: Optional[str] = None,
        check: bool = True,
    ) -> Completed:
        """Run a program that changes something; ``timeout`` in seconds. Errors as :meth:`ask`."""
        self.writing()
        return self._call(argv, data, env, timeout, cwd, check)

    def talk(self, argv: Sequence[str]) -> Conversation:
        """Start a program to be asked line by line; use as a context manager, it ends with the block."""
        pipe = subprocess.PIPE
        process = subprocess.Popen(list(argv), stdin=pipe, stdout=pipe, stderr=pipe, env=self.environment())
        return Conversation(process)

    def pipe(
        self,
        argv: Sequence[str],
        *,
        source: Optional[IO[bytes]] = None,
        sink: Optional[IO[bytes]] = None,
        env: Optional[Mapping[str, str]] = None,
        tick: Tick = lambda: None,
    ) -> str:
        """Run a program that moves data: stdin from ``source``, stdout into ``sink`` (files), no size in memory.

        ``tick`` is called about four times a second while it runs; what it raises ends the program.

        :returns: what it said on stderr. :raises CommandFailed: it ended with an error (6).
        """
        self.writing()
        with tempfile.TemporaryFile() as errors:
            process = subprocess.Popen(
                list(argv),
                stdin=source if source is not None else subprocess.DEVNULL,
                stdout=sink if sink is not None else errors,
                stderr=errors,
                env=self.environment(env),
            )
            try:
                while process.poll() is None:
                    tick()
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        process.wait(0.25)
            except BaseException:
                process.kill()
                process.wait()
                raise
            errors.seek(0)
            said = errors.read().decode("utf-8", "replace").strip()
        if process.returncode != 0:
            raise CommandFailed(
                f"{os.path.basename(argv[0])} {_verb(argv)}ended with {process.returncode}: {said[-2000:]}"
            )
        return said

    def moving(self, argv: Sequence[str], path: str, done: int, total: int, note: str) -> Deed:
        """Run a program that writes ``path``, yield how far it is; ``done``, ``total`` in bytes. As :meth:`pipe`."""
        self.writing()
        with tempfile.TemporaryFile() as errors:
            process = subprocess.Popen(
                list(argv), stdin=subprocess.DEVNULL, stdout=errors, stderr=errors, env=self.environment()
            )
            try:
                while process.poll() is None:
                    found = self.stat(path)
                    yield Progress(done + (found.size if found else 0), total, note)
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        process.wait(0.25)
            except BaseException:
                process.kill()
                process.wait()
                raise
            errors.seek(0)
            said = errors.read().decode("utf-8", "replace").strip()
        if process.returncode != 0:
            raise CommandFailed(f"{os.path.basename(argv[0])} ended with {process.returncode}: {said[-2000:]}")
        return {}

    def reaches(self, address: str, port: int, timeout: float) -> bool:
        """Whether a TCP connection can be made from here; ``timeout`` in seconds."""
        try:
            with socket.create_connection((address, port), timeout):
                return True
        except OSError:
            return False

    def listens(self, port: int) -> bool:
        """Whether something accepts connections on a local TCP port."""
        return self.reaches("127.0.0.1", port, 1.0)

    def http_get(self, url: str, timeout: float) -> Tuple[int, bytes]:
        """Status and body (at most 1 MiB); redirects are not followed. :raises Broken: no answer at all (6)."""
        import http.client  # slow to import, seldom needed

        address, _, path = url.partition("://")[2].partition("/")
        connection = http.client.HTTPConnection(address, timeout=timeout)
        try:
            connection.request("GET", "/" + path)
            answer = connection.getresponse()
            return answer.status, answer.read(CHUNK)
        except (OSError, http.client.HTTPException) as error:
            raise Broken(f"{url} does not answer: {error}") from None
        finally:
            connection.close()

    def wait_until(self, what: str, true: Callable[[], bool], deadline: float, pause: float = 0.2) -> None:
        """Poll until ``true()``; ``deadline`` in seconds from now. :raises Broken: it never became true (6)."""
        end = time.monotonic() + deadline
        while not true():
            if time.monotonic() > end:
                raise Broken(f"{what} did not happen within {deadline:.0f} s")
            self.note = f"waiting: {what}"
            time.sleep(pause)

    def now(self) -> float:
        """Seconds since the epoch."""
        return time.time()


def _verb(argv: Sequence[str]) -> str:
    """The sub-command for an error message; never options or values, they may be secret."""
    return f"{argv[1]} " if len(argv) > 1 and argv[1].replace("-", "").isalpha() and len(argv[1]) < 20 else ""
