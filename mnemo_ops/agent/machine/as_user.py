"""Another user: a task in a process that has given root away, so that the kernel decides what it may do."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
import time
from typing import IO, TYPE_CHECKING, Any, Callable, ClassVar, Dict, Iterator, List, Mapping

from mnemo_ops.agent.machine.door import Door
from mnemo_ops.errors import Broken, ChannelLost, MnemoError, NotYet, from_json, named

if TYPE_CHECKING:
    import pwd
    import socket

Question = Mapping[str, Any]
Ask = Callable[[Question], Mapping[str, Any]]

ENDING = 10.0  # seconds a child gets to go on once its user has stopped it, or nobody waits for it any more


class Identity:
    """:attr:`fetch` writes a file of the controller into an open file; :attr:`deserted`: the controller went away."""

    fetch: Callable[[str, IO[bytes]], None]
    deserted: Callable[[], bool]
    _umasks: ClassVar[Dict[str, int]] = {}  # by user, asked once

    def forget(self) -> None:
        """What was read may be stale."""
        raise NotImplementedError

    def as_user(
        self, name: str, there: Callable[[Ask], Dict[str, Any]], answer: Callable[[Question], None]
    ) -> Dict[str, Any]:
        """Run ``there`` in a child process of user ``name``; return what it returns.

        What ``there`` asks is told to ``answer`` here, in the parent; files of the controller come through the parent.
        The child is the user's to stop, but has nothing of ours, and we do not wait for it for ever.

        :raises NotYet: there is no such user. :raises Broken: this process is not root, or the child died or was
            stopped (6). :raises ChannelLost: the controller closed the connection meanwhile (4).
        """
        import pwd
        import socket  # slow to import, seldom needed

        try:
            user = pwd.getpwnam(name)
        except KeyError:
            raise NotYet(f"user {name} does not exist") from None
        if os.geteuid() != 0:
            raise Broken(f"only root can act as {name}; this agent is user {os.geteuid()}")
        umask = self._umask_of(name)
        ours, theirs = socket.socketpair()
        passed = os.memfd_create("mnemo-passed")  # shared by both: how a fetched file gets over
        child = 0
        try:
            child = os.fork()
            if child == 0:
                self.forget()  # what it remembers of directories are handles, which close themselves
                _keep_only(theirs.fileno(), passed)
                os.umask(umask)
                self._live_as(user, theirs, passed, there)
            theirs.close()
            return self._serve(name, child, ours, passed, answer)
        finally:
            ours.close()
            os.close(passed)
            self.forget()
            if child:
                _end(child)

    @contextlib.contextmanager
    def reaching_as(self, uid: int, gid: int) -> Iterator[None]:
        """Files are reached as that user in this thread (setfsuid(2)): on a server that takes root for nobody.

        Not across a ``yield`` of a deed: what reports its progress must be root again.
        """
        import ctypes

        libc = ctypes.CDLL(None)
        libc.setfsgid(gid)
        libc.setfsuid(uid)
        me = threading.get_ident()
        Door.acting.add(me)  # the kernel judges what that user reaches
        try:
            yield
        finally:
            Door.acting.discard(me)
            libc.setfsuid(os.geteuid())
            libc.setfsgid(os.getegid())

    def _umask_of(self, name: str) -> int:
        """That of a user's session, as sudo and PAM make it; where there is no sudo, this process's own."""
        import subprocess

        if name not in self._umasks:
            argv = ["sudo", "-n", "-u", name, "--", "sh", "-c", "umask"]
            try:
                said = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=30, cwd="/").stdout
                self._umasks[name] = int(said, 8)
            except (OSError, ValueError, subprocess.TimeoutExpired):
                self._umasks[name] = self.umask
        return self._umasks[name]

    @property
    def umask(self) -> int:
        """What new files are not given."""
        with open("/proc/self/status") as file:
            return next(int(line.split()[1], 8) for line in file if line.startswith("Umask:"))

    def _live_as(
        self, user: pwd.struct_passwd, line: socket.socket, passed: int, there: Callable[[Ask], Dict[str, Any]]
    ) -> None:
        """The child: never returns."""
        stream = line.makefile("rwb")

        def ask(question: Question) -> Mapping[str, Any]:
            _send(stream, question)
            reply = json.loads(stream.readline())
            if "error" in reply:
                raise from_json(reply["error"])
            return dict(reply)

        def fetch(sha256: str, into: IO[bytes]) -> None:
            ask({"fetch": sha256})
            with os.fdopen(os.dup(passed), "rb") as file:
                file.seek(0)
                while chunk := file.read(1 << 20):
                    into.write(chunk)

        try:
            try:
                os.initgroups(user.pw_name, user.pw_gid)
                os.setgid(user.pw_gid)
                os.setuid(user.pw_uid)
                os.environ.update({"HOME": user.pw_dir, "USER": user.pw_name, "LOGNAME": user.pw_name})
                os.chdir(user.pw_dir if os.access(user.pw_dir, os.X_OK) else "/")
                self.fetch = fetch
                last: Dict[str, Any] = {"done": there(ask)}
            except MnemoError as error:
                last = {"failed": error.to_json()}
            except Exception as error:  # a bug must reach the operator
                last = {"failed": MnemoError(named(error)).to_json()}
            _send(stream, last)
        finally:
            os._exit(0)

    def _serve(
        self, name: str, child: int, line: socket.socket, passed: int, answer: Callable[[Question], None]
    ) -> Dict[str, Any]:
        for text in self._said(name, child, line):
            message = json.loads(text)
            if "done" in message:
                return dict(message["done"])
            if "failed" in message:
                raise from_json(message["failed"])
            reply: Dict[str, Any] = {}
            try:
                if "fetch" in message:
                    os.ftruncate(passed, 0)
                    with open(passed, "wb", closefd=False) as file:
                        file.seek(0)
                        self.fetch(message["fetch"], file)
                else:
                    answer(message)
            except MnemoError as error:
                reply = {"error": error.to_json()}
            with contextlib.suppress(OSError):  # it died: there is no next message
                line.sendall(json.dumps(reply).encode() + b"\n")
        raise Broken(f"the process that acted as {name} died")

    def _said(self, name: str, child: int, line: socket.socket) -> Iterator[bytes]:
        """What the child says, line by line."""
        import select  # few tasks are another user's

        poll = select.poll()
        poll.register(line, select.POLLIN)
        since = 0.0
        begun: List[bytes] = []
        while True:
            if poll.poll(1000):
                said = b""
                with contextlib.suppress(ConnectionResetError):
                    said = line.recv(1 << 20)
                if not said:
                    return
                begun.append(said)
                if b"\n" in said:
                    *lines, rest = b"".join(begun).split(b"\n")
                    begun = [rest]
                    yield from lines
                continue
            gone, stopped = self.deserted(), _is_stopped(child)
            since = (since or time.monotonic()) if gone or stopped else 0.0
            late = since and time.monotonic() - since > ENDING
            if gone and (stopped or late):
                raise ChannelLost("the controller closed the connection")
            if late:
                hint = f"ask {name} who stopped it, and run it again"
                raise Broken(f"the process that acted as {name} was stopped for {ENDING:.0f} s", hint=hint)


def _keep_only(*handles: int) -> None:
    """Close what else the parent has open, the lock and the wire among it; not the agent's code in memory."""
    for handle in [int(name) for name in os.listdir("/proc/self/fd")]:
        with contextlib.suppress(OSError):  # that of the list itself
            if handle > 2 and handle not in handles and "/memfd:mnemo" not in os.readlink(f"/proc/self/fd/{handle}"):
                os.close(handle)


def _is_stopped(child: int) -> bool:
    with open(f"/proc/{child}/stat") as file:
        return file.read().rpartition(")")[2].split()[0] in ("T", "t")


def _end(child: int) -> None:
    """It has said all it will; a stopped one ends, too. One that hangs in the kernel is left to it."""
    os.kill(child, signal.SIGKILL)
    end = time.monotonic() + ENDING
    while os.waitpid(child, os.WNOHANG)[0] == 0 and time.monotonic() < end:
        time.sleep(0.002)


def _send(stream: Any, message: Mapping[str, Any]) -> None:
    stream.write(json.dumps(message).encode() + b"\n")
    stream.flush()
