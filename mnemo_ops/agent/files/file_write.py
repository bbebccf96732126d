"""A file put in its place: backup, validation, permissions, one atomic replacement; contents as states."""

from __future__ import annotations

import posixpath
import time
from typing import IO, Any, Callable, Dict, Optional, TypeVar

from mnemo_ops.agent.base.record import dataclass, replace
from mnemo_ops.agent.engine.resource import Resource
from mnemo_ops.agent.files.ownership import Permission
from mnemo_ops.agent.machine import FileStat, Machine, hashing

SHOWN = 64 * 1024  # bytes; larger contents are compared and reported by their sha256

Fill = Callable[[IO[bytes]], Any]


@dataclass(frozen=True)
class Placing:
    """How a new content takes its place.

    :param backup: keep the old content beside it, ``NAME.PID.DATE@TIME~``.
    :param validate: command that must succeed on the new file (``%s``) first.
    """

    permission: Permission
    backup: bool = False
    validate: Optional[str] = None

    def put(self, machine: Machine, path: str, fill: Fill) -> Dict[str, str]:
        """Write ``path`` with what ``fill`` writes; a link is replaced, never written through.

        On any failure the old content stays as it was.

        :returns: ``{"backup_file": path}`` when one was made. :raises CommandFailed: the validation failed (6).
        """
        old = machine.stat(path)
        kept = {"backup_file": back_up(machine, path)} if self.backup and old is not None else {}
        beside = path
        if self.validate or (old is not None and old.kind == "link"):
            beside = posixpath.join(posixpath.dirname(path), f".mnemo-new-{posixpath.basename(path)}")
        if beside != path:
            machine.remove(beside)  # of a run that was killed
        self._write(machine, beside, path, old if old is not None and old.kind == "file" else None, fill)
        if beside == path:
            return kept
        try:
            if self.validate:
                import shlex  # few files are validated

                machine.ask([word.replace("%s", beside) for word in shlex.split(self.validate)])
            machine.rename(beside, path)
        except Exception:
            machine.remove(beside)
            raise
        return kept

    def _write(self, machine: Machine, beside: str, path: str, old: Optional[FileStat], fill: Fill) -> None:
        current = old.mode if old else 0o666 & ~machine.umask
        mode, uid, gid = self.permission.resolved(machine, current, False)
        like = path if old else ""
        with machine.replacing(beside, mode, uid, gid, fresh=current, like=like, follow=False) as file:
            fill(file)


def checked_validate(validate: Optional[str]) -> None:
    """:raises ValueError: there is no place for the file's name in it."""
    if validate is not None and "%s" not in validate:
        raise ValueError("validate must contain %s, the file to look at")


def back_up(machine: Machine, path: str) -> str:
    """Keep the content of ``path`` beside it, for those who could read it there; the copy's path."""
    stamp = time.strftime("%Y-%m-%d@%H:%M:%S", time.localtime(machine.now()))
    copy = f"{path}.{machine.pid}.{stamp}~"
    with machine.open(path) as source, machine.replacing(copy, like=path) as target:
        machine.pour(source, target)
    return copy


def as_state(data: bytes) -> Dict[str, Any]:
    """A content as it is shown and compared: text when small, else its sha256."""
    if len(data) <= SHOWN:
        try:
            return {"content": data.decode()}
        except UnicodeDecodeError:
            pass
    return {"content": "sha256:" + hashing.of(data)}


def text_of(machine: Machine, path: str) -> Dict[str, Any]:
    """The content of a file of the host, as :func:`as_state` writes it, and its SHA1 as ``checksum``."""
    data = machine.read(path, SHOWN + 1) or b""
    if len(data) > SHOWN:
        sha256, sha1 = machine.digests(path, ("sha256", "sha1")) or ("", "")
        return {"content": f"sha256:{sha256}", "checksum": sha1}
    return {**as_state(data), "checksum": hashing.of(data, "sha1")}


R = TypeVar("R", bound=Resource)


def at_home(resource: R, machine: Machine, *names: str) -> R:
    """The same resource with ``~`` in these arguments replaced by the home directory."""
    given = {name: getattr(resource, name) for name in names}
    found = {name: machine.expanded(path) for name, path in given.items() if path and path.startswith("~")}
    return replace(resource, **found) if found else resource
