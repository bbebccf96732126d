"""file: directories, links, permissions, and what must not exist."""

from __future__ import annotations

import posixpath
import time
from typing import Any, ClassVar, Dict, Iterator, Literal, Mapping, Optional, Union

from mnemo_ops.agent.base.record import dataclass, field, replace
from mnemo_ops.agent.base.state import ABSENT, Change, State
from mnemo_ops.agent.engine.resource import Resource
from mnemo_ops.agent.files.file_write import at_home
from mnemo_ops.agent.files.mode import Mode
from mnemo_ops.agent.files.ownership import Owner, Permission, described
from mnemo_ops.agent.machine import Machine
from mnemo_ops.errors import NotYet, Refused


@dataclass(frozen=True)
class File(Resource):
    """A path on the host: what it is, and who may do what with it.

    :param path: absolute path; links are followed, except for ``link`` and ``absent``, and unless ``follow`` says no.
    :param state: ``directory`` (made with its parents), ``file`` (must exist), ``link``, ``hard``, ``touch`` (made
        empty, times set to now) or ``absent`` (removed, with its content). Default: what is there, permissions only.
    :param mode: permission bits, ``"0644"`` or ``u=rw,g=r,o=``.
    :param owner: user name or number.
    :param group: group name or number.
    :param recurse: give the same permissions to everything below the directory.
    :param src: what a link points to; relative to the directory of ``path``.
    :param force: make a link to what does not exist (yet), or in place of a file or an empty directory.
    :param follow: ``false``: a link itself is meant, not what it points to.
    :param access_time: ``now``, ``preserve`` or a time; default ``now`` for ``touch``, else ``preserve``.
    :param access_time_format: how a time is written (strptime(3)).
    :param modification_time: ``now``, ``preserve`` or a time; default ``now`` for ``touch``, else ``preserve``.
    :param modification_time_format: how a time is written (strptime(3)).
    """

    kind: ClassVar[str] = "file"
    ALIASES: ClassVar[Mapping[str, str]] = {"dest": "path", "name": "path"}
    EXAMPLE: ClassVar[str] = """\
- name: a directory for documents, owned by the user of the container
  file: {path: /srv/app/documents, state: directory, owner: 1000, group: 1000, mode: "0750"}
- name: no leftover
  file: {path: /srv/app/old, state: absent}
"""

    path: str
    state: Optional[Literal["absent", "directory", "file", "hard", "link", "touch"]] = None
    mode: Mode = None
    owner: Owner = None
    group: Owner = None
    recurse: bool = False
    src: Optional[str] = None
    force: bool = False
    follow: bool = True
    access_time: Optional[str] = None
    access_time_format: str = "%Y%m%d%H%M.%S"
    modification_time: Optional[str] = None
    modification_time_format: str = "%Y%m%d%H%M.%S"
    new_mode: Mode = field(default=None, metadata={"internal": True})  # of a directory that is made, and no other

    def __post_init__(self) -> None:
        if (self.src is not None) != (self.state in ("link", "hard")):
            raise ValueError("src needs state link or hard, and those states need src")
        if self.recurse and self.state not in (None, "directory"):
            raise ValueError("recurse goes with state directory")
        self._permission.desired()
        if any(isinstance(time, float) for time in self._times().values()) and self.state in ("link", "hard", "absent"):
            raise ValueError(f"a time does not go with state {self.state}")

    @property
    def _permission(self) -> Permission:
        return Permission(self.owner, self.group, self.mode)

    def _times(self) -> Dict[str, Union[float, str]]:
        """What the times should be: seconds since the epoch, ``now`` or ``preserve``. :raises ValueError: no time."""
        usual = "now" if self.state == "touch" else "preserve"
        found: Dict[str, Union[float, str]] = {}
        for key, given, form in (
            ("atime", self.access_time, self.access_time_format),
            ("mtime", self.modification_time, self.modification_time_format),
        ):
            word = given or usual
            found[key] = word if word in ("now", "preserve") else time.mktime(time.strptime(word, form))
        return found

    @property
    def _touches(self) -> bool:
        return "now" in self._times().values()

    def desired(self) -> State:
        permission = self._permission.desired()
        if self.state == "absent":
            return ABSENT
        if self.state in ("link", "hard"):
            return {"kind": self.state, "target": self.src, **permission}
        times = {key: value for key, value in self._times().items() if isinstance(value, float)}
        touched = {"touched": "now"} if self._touches else {}
        if self.state == "directory" or self.recurse:
            below = {"differing_below": 0} if self.recurse and permission else {}
            return {"kind": "directory", **permission, **times, **touched, **below}
        if self.state == "file":
            return {"kind": "file", **permission, **times, **touched}
        return {"exists": True, **permission, **times, **touched}

    def target(self, observed: State) -> State:
        desired = self.desired()
        if desired is not None and observed is not None and observed.get("state") == "link" and not self.follow:
            for key in ("mode", "symbolic_mode"):  # a link's own mode means nothing
                desired.pop(key, None)
        return desired

    def observe(self, machine: Machine) -> State:
        return at_home(self, machine, "path", "src")._observe(machine)

    def _observe(self, machine: Machine) -> State:
        if self.state == "absent":
            stat = machine.stat(self.path)
            return None if stat is None else {"kind": stat.kind, "path": self.path}
        if self.state in ("link", "hard"):
            return self._observe_link(machine)
        stat = machine.stat(self.path, self.follow)
        if stat is None:
            if self.state in (None, "file") and not self.recurse:
                raise NotYet(f"{self.path} does not exist", hint="state: touch or directory, or copy, would make it")
            return ABSENT
        if (
            self.state in ("file", "directory")
            and stat.kind != self.state
            and (self.state, stat.kind) != ("file", "link")
        ):
            raise Refused(f"{self.path} exists and is not a {self.state}", hint="move it away first")
        found: Dict[str, Any] = {"exists": True, "kind": stat.kind, "path": self.path, **described(machine, stat)}
        found.update(self._permission.observed(machine, stat))
        if stat.kind == "link":
            found["kind"] = self.state or "link"
        inode = machine.inode(self.path, self.follow)
        if inode is not None:
            found.update(atime=inode.st_atime, mtime=inode.st_mtime)
        if self.recurse:
            found["differing_below"] = sum(1 for _ in self._differing(machine))
        return found

    def _observe_link(self, machine: Machine) -> State:
        assert self.src is not None
        target = posixpath.join(posixpath.dirname(self.path), self.src)
        aim = machine.stat(target, follow=True)
        if aim is None and (self.state == "hard" or not self.force):
            raise NotYet(f"{target} does not exist", hint="force: true makes a link to what does not exist yet")
        stat = machine.stat(self.path)
        if stat is None:
            return ABSENT
        found: Dict[str, Any] = {"kind": stat.kind}
        if stat.kind == "link":
            found["target"] = machine.readlink(self.path)
        elif self.state == "hard" and aim is not None and aim.nlink > 1 and aim.inode == stat.inode:
            found = {"kind": "hard", "target": self.src}
        elif stat.kind == "directory" and (machine.names(self.path) or not self.force):
            raise Refused(f"{self.path} is a directory; no link replaces it", hint="move it away first")
        elif not self.force:
            raise Refused(f"{self.path} is a file; no link replaces it without force", hint="force: true replaces it")
        found.update(dest=self.path, src=self.src, **{key: described(machine, stat)[key] for key in ("uid", "gid")})
        if not self.follow:
            return {**found, **Permission(self.owner, self.group, None).observed(machine, stat)}
        return {**found, **(self._permission.observed(machine, aim) if aim else self._permission.desired())}

    def _differing(self, machine: Machine) -> Iterator[str]:
        for below in machine.walk(self.path):
            stat = machine.stat(below)
            if stat is not None and stat.kind != "link" and self._permission.differs(machine, stat):
                yield below

    def apply(self, machine: Machine, change: Change) -> State:
        return at_home(self, machine, "path", "src")._apply(machine, change)

    def _apply(self, machine: Machine, change: Change) -> State:
        if self.state == "absent":
            machine.remove(self.path)
        elif self.state in ("link", "hard"):
            self._apply_link(machine, change)
        elif self.state == "directory" or self.recurse:
            if change.creates:
                self._make_directory(machine)
            self._permission.apply(machine, self.path, self.follow)
            for below in list(self._differing(machine)) if self.recurse else ():
                self._permission.apply(machine, below)
        elif self.state == "touch":
            return self._touch(machine)
        else:
            self._permission.apply(machine, self.path, self.follow)
        return self._timed(machine)

    def _make_directory(self, machine: Machine) -> None:
        """Missing parents get the same permissions, as with Ansible; all appear at once, with them."""
        permission = self._permission if self.mode is not None else replace(self._permission, mode=self.new_mode)
        missing = [self.path]
        while machine.stat(posixpath.dirname(missing[0]) or "/", follow=True) is None:
            missing.insert(0, posixpath.dirname(missing[0]))
        beside = posixpath.join(posixpath.dirname(missing[0]), f".mnemo-new-{posixpath.basename(missing[0])}")
        if machine.stat(beside) is not None:  # a killed run's
            machine.remove(beside)
        for path in missing:
            machine.mkdir(beside + path[len(missing[0]) :], parents=False)
            permission.apply(machine, beside + path[len(missing[0]) :])
        machine.rename(beside, missing[0])

    def _apply_link(self, machine: Machine, change: Change) -> None:
        assert self.src is not None
        if change.creates or {"kind", "target"} & set(change.keys):
            stat = machine.stat(self.path)
            if stat is not None and stat.kind == "directory":
                machine.remove(self.path)  # empty, and asked for with force
            if self.state == "link":
                machine.symlink(self.src, self.path)
            else:
                machine.hardlink(posixpath.join(posixpath.dirname(self.path), self.src), self.path)
        # what the play names, not where the link leads by now
        meant = posixpath.join(posixpath.dirname(self.path), self.src) if self.follow else self.path
        self._permission.apply(machine, meant, self.follow)

    def _touch(self, machine: Machine) -> State:
        if machine.stat(self.path, follow=True) is None:
            machine.write(self.path, b"", 0o666 & ~machine.umask)
        self._permission.apply(machine, self.path, self.follow)
        return self._timed(machine)

    def _timed(self, machine: Machine) -> State:
        """Set the times; a deed when one of them is now."""
        times, inode = self._times(), machine.inode(self.path, self.follow)
        if self.state in ("absent", "link", "hard") or inode is None or set(times.values()) == {"preserve"}:
            return None
        known = {"now": machine.now()}
        access, modification = (
            kept if value == "preserve" else known.get(str(value), value)
            for value, kept in ((times["atime"], inode.st_atime), (times["mtime"], inode.st_mtime))
        )
        if (access, modification) != (inode.st_atime, inode.st_mtime):
            machine.utime(self.path, (float(access), float(modification)))
        return {**(self._observe(machine) or {}), "touched": "now"} if self._touches else None
