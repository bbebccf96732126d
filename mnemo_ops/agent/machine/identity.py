"""Another user: a task in a process that has given root away, so that the kernel decides what it may do."""

from __future__ import annotations

import contextlib
import json
import os
import threading
from typing import IO, TYPE_CHECKING, Any, Callable, ClassVar, Dict, Iterator, Mapping

from mnemo_ops.agent.machine.door import Door
from mnemo_ops.errors import Broken, MnemoError, NotYet, from_json

if TYPE_CHECKING:
    import pwd
    import socket

Question = Mapping[str, Any]
Ask = Callable[[Question], Mapping[str, Any]]


class Identity:
    """:attr:`fetch` writes a file of the controller into an open file."""

    fetch: Callable[[str, IO[bytes]], None]
    _umasks: ClassVar[Dict[str, int]] = {}  # by user, asked once

    def forget(self) -> None:
        """What was read may be stale."""
        raise NotImplementedError

    def as_user(
        self, name: str, there: Callable[[Ask], Dict[str, Any]], answer: Callable[[Question], None]
    ) -> Dict[str, Any]:
        """Run ``there`` in a child process of user ``name``; return what it returns.

        What ``there`` asks is told to ``answer`` here, in the parent; files of the controller come through the parent.

        :raises NotYet: there is no such user. :raises Broken: this process is not root, or the child died (6).
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
                ours.close()
                os.umask(umask)
                self._live_as(user, theirs, passed, there)
            theirs.close()
            return self._serve(name, ours, passed, answer)
        finally:
            ours.close()
            os.close(passed)
            self.forget()
            if child:
                os.waitpid(child, 0)

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
                last = {"failed": MnemoError(f"{type(error).__name__}: {error}").to_json()}
            _send(stream, last)
        finally:
            os._exit(0)

    def _serve(self, name: str, line: socket.socket, passed: int, answer: Callable[[Question], None]) -> Dict[str, Any]:
        with line.makefile("rwb") as stream:
            for text in stream:
                message = json.loads(text)
                if "done" in message:
                    return dict(message["done"])
                if "failed" in message:
                    raise from_json(message["failed"])
                try:
                    if "fetch" in message:
                        os.ftruncate(passed, 0)
                        with open(passed, "wb", closefd=False) as file:
                            file.seek(0)
                            self.fetch(message["fetch"], file)
                    else:
                        answer(message)
                    _send(stream, {})
                except MnemoError as error:
                    _send(stream, {"error": error.to_json()})
        raise Broken(f"the process that acted as {name} died")


def _send(stream: Any, message: Mapping[str, Any]) -> None:
    stream.write(json.dumps(message).encode() + b"\n")
    stream.flush()
