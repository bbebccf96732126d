"""file: directories, links, permissions, and what must not exist."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass
from typing import Any, ClassVar, Dict, Iterator, Literal, Mapping, Optional

from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.mode import Mode
from mnemo_ops.agent.permission import Owner, Permission
from mnemo_ops.agent.resource import Resource
from mnemo_ops.agent.state import ABSENT, Change, State
from mnemo_ops.errors import NotYet, Refused


@dataclass(frozen=True)
class File(Resource):
    """A path on the host: what it is, and who may do what with it.

    :param path: absolute path; links are followed, except for ``link`` and ``absent``.
    :param state: ``directory`` (made with its parents), ``file`` (must exist), ``link``, ``hard``, ``touch`` (made
        empty, times set to now) or ``absent`` (removed, with its content). Default: what is there, permissions only.
    :param mode: permission bits, ``"0644"`` or ``u=rw,g=r,o=``.
    :param owner: user name or number.
    :param group: group name or number.
    :param recurse: give the same permissions to everything below the directory.
    :param src: what a link points to; relative to the directory of ``path``.
    :param force: make a link to what does not exist (yet), or in place of a file or an empty directory.
    :param access_time: ``preserve`` keeps it when ``touch`` meets an existing file.
    :param modification_time: ``preserve`` keeps it when ``touch`` meets an existing file.
    """

    kind: ClassVar[str] = "file"
    ALIASES: ClassVar[Mapping[str, str]] = {"dest": "path", "name": "path"}
    EXAMPLE: ClassVar[str] = """\
- name: a directory for uploads, owned by the user of the container
  file: {path: /srv/app/uploads, state: directory, owner: 1000, group: 1000, mode: "0750"}
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
    access_time: Literal["now", "preserve"] = "now"
    modification_time: Literal["now", "preserve"] = "now"

    def __post_init__(self) -> None:
        if (self.src is not None) != (self.state in ("link", "hard")):
            raise ValueError("src goes with state link or hard, and they need it")
        if self.recurse and self.state not in (None, "directory"):
            raise ValueError("recurse goes with state directory")
        self._permission.desired()

    @property
    def _permission(self) -> Permission:
        return Permission(self.owner, self.group, self.mode)

    @property
    def _touches(self) -> bool:
        return self.state == "touch" and "now" in (self.access_time, self.modification_time)

    def desired(self) -> State:
        permission = self._permission.desired()
        if self.state == "absent":
            return ABSENT
        if self.state in ("link", "hard"):
            return {"kind": self.state, "target": self.src, **permission}
        if self.state == "directory" or self.recurse:
            below = {"differing_below": 0} if self.recurse and permission else {}
            return {"kind": "directory", **permission, **below}
        if self.state == "file":
            return {"kind": "file", **permission}
        return {"exists": True, **permission, **({"touched": "now"} if self._touches else {})}

    def observe(self, machine: Machine) -> State:
        if self.state == "absent":
            stat = machine.stat(self.path)
            return None if stat is None else {"kind": stat.kind}
        if self.state in ("link", "hard"):
            return self._observe_link(machine)
        stat = machine.stat(self.path, follow=True)
        if stat is None:
            if self.state in (None, "file") and not self.recurse:
                raise NotYet(f"{self.path} does not exist", hint="state: touch or directory, or copy, would make it")
            return ABSENT
        if self.state in ("file", "directory") and stat.kind != self.state:
            raise Refused(f"{self.path} exists and is not a {self.state}", hint="move it away first")
        found: Dict[str, Any] = {"exists": True, "kind": stat.kind, **self._permission.observed(machine, stat)}
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
            raise Refused(f"{self.path} is a directory; it is not replaced by a link", hint="move it away first")
        elif not self.force:
            raise Refused(f"{self.path} is a file; it is not replaced by a link", hint="force: true replaces it")
        return {**found, **(self._permission.observed(machine, aim) if aim else self._permission.desired())}

    def _differing(self, machine: Machine) -> Iterator[str]:
        for below in machine.walk(self.path):
            stat = machine.stat(below)
            if stat is not None and stat.kind != "link" and self._permission.differs(machine, stat):
                yield below

    def apply(self, machine: Machine, change: Change) -> State:
        if self.state == "absent":
            machine.remove(self.path)
        elif self.state in ("link", "hard"):
            self._apply_link(machine, change)
        elif self.state == "directory" or self.recurse:
            if change.creates:
                self._make_directory(machine)
            self._permission.apply(machine, self.path)
            for below in list(self._differing(machine)) if self.recurse else ():
                self._permission.apply(machine, below)
        elif self.state == "touch":
            return self._touch(machine)
        else:
            self._permission.apply(machine, self.path)
        return None

    def _make_directory(self, machine: Machine) -> None:
        """Missing parents get the same permissions, as with Ansible; all appear at once, with them."""
        missing = [self.path]
        while machine.stat(posixpath.dirname(missing[0]) or "/", follow=True) is None:
            missing.insert(0, posixpath.dirname(missing[0]))
        beside = posixpath.join(posixpath.dirname(missing[0]), f".mnemo-new-{posixpath.basename(missing[0])}")
        if machine.stat(beside) is not None:  # a killed run's
            machine.remove(beside)
        for path in missing:
            machine.mkdir(beside + path[len(missing[0]) :], parents=False)
            self._permission.apply(machine, beside + path[len(missing[0]) :])
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
        self._permission.apply(machine, self.path)

    def _touch(self, machine: Machine) -> State:
        stat = machine.stat(self.path, follow=True)
        if stat is None:
            machine.write(self.path, b"", 0o644)
        elif self._touches:
            now, kept = machine.now(), stat.mtime_ns / 1e9
            machine.utime(self.path, (now, kept if self.modification_time == "preserve" else now))
        self._permission.apply(machine, self.path)
        return {**(self.observe(machine) or {}), "touched": "now"}
