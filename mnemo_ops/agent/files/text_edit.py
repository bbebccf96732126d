"""Edits: a text file of the host that should differ in one place and stay as it is everywhere else."""

from __future__ import annotations

import codecs
import posixpath
import re
from typing import Any, Dict, List, Optional, Pattern

from mnemo_ops.agent.base.state import ABSENT, Change, State
from mnemo_ops.agent.engine.resource import Resource
from mnemo_ops.agent.files.file_write import Placing, at_home, checked_validate
from mnemo_ops.agent.files.mode import Mode
from mnemo_ops.agent.files.ownership import Owner, Permission, described
from mnemo_ops.agent.machine import Machine
from mnemo_ops.errors import NotYet, Refused


class Edit(Resource):
    """What lineinfile, blockinfile, replace and ini_file have in common; each is a dataclass with these fields.

    A link is followed, unless ``follow`` says no. What is not text in ``encoding`` passes through unchanged.
    """

    path: str
    mode: Mode
    owner: Owner
    group: Owner
    backup: bool
    create: bool = False
    validate: Optional[str] = None
    encoding: str = "utf-8"
    follow: bool = True

    def edited(self, text: str) -> str:
        """The text as it should be. Pure."""
        raise NotImplementedError

    def told(self, before: Optional[str], after: str) -> str:
        """What the edit did, in Ansible's words; ``before`` is ``None`` for a file that was not there."""
        raise NotImplementedError

    @property
    def removes(self) -> bool:
        """A file that does not exist has nothing to remove."""
        return False

    def __post_init__(self) -> None:
        self._permission.desired()
        checked_validate(self.validate)
        try:
            codecs.lookup(self.encoding)
        except LookupError as problem:
            raise ValueError(str(problem)) from None

    @property
    def _permission(self) -> Permission:
        return Permission(self.owner, self.group, self.mode)

    def desired(self) -> State:
        return {"content": self.edited(""), **self._permission.desired()}

    def target(self, observed: State) -> State:
        permission = self._permission.desired()
        if observed is not None and "msg" in observed:  # the record of this very edit: not every pattern is at rest
            return {"content": observed["content"], **permission}
        text = self.edited(observed["content"] if observed else "")
        return ABSENT if observed is None and not text else {"content": text, **permission}

    def observe(self, machine: Machine) -> State:
        return at_home(self, machine, "path")._observe(machine)

    def _observe(self, machine: Machine) -> State:
        stat = machine.stat(self.path, follow=True)
        if stat is None:
            if self.create or self.removes:
                return ABSENT
            raise NotYet(f"{self.path} does not exist", hint="this module changes only files that exist")
        if stat.kind != "file":
            raise Refused(f"{self.path} is not a regular file", hint="name the file to change")
        text = (machine.read(self.path) or b"").decode(self.encoding, "surrogateescape")
        seen = {"path": self.path, "content": text, **described(machine, stat)}
        return {**seen, **self._permission.observed(machine, stat)}

    def apply(self, machine: Machine, change: Change) -> State:
        return at_home(self, machine, "path")._apply(machine, change)

    def _apply(self, machine: Machine, change: Change) -> State:
        before, after = ((state or {}).get("content") for state in (change.before, change.after))
        done: Dict[str, Any] = {"msg": "ownership, perms or SE linux context changed"}
        if before != after and after is not None:
            path = machine.realpath(self.path) if self.follow else self.path
            machine.mkdir(posixpath.dirname(path))
            data = after.encode(self.encoding, "surrogateescape")
            placing = Placing(self._permission, self.backup, self.validate)
            done = {"msg": self.told(before, after), **placing.put(machine, path, lambda file: file.write(data))}
        self._permission.apply(machine, self.path)
        return {**(self.observe(machine) or {}), **done}


def lines_of(text: str) -> List[str]:
    """Lines with their ends; only CR and LF end one."""
    data = text.encode("utf-8", "surrogateescape")
    return [line.decode("utf-8", "surrogateescape") for line in data.splitlines(keepends=True)]


def ended(lines: List[str]) -> List[str]:
    """The same lines, the last one with its end: something is to follow."""
    return [*lines[:-1], lines[-1] + "\n"] if lines and lines[-1][-1] not in "\r\n" else lines


def compiled(pattern: Optional[str]) -> Optional[Pattern[str]]:
    """A place's expression; ``None`` for the words BOF and EOF. :raises ValueError: it is not an expression."""
    if not pattern or pattern in ("BOF", "EOF"):
        return None
    try:
        return re.compile(pattern)
    except re.error as problem:
        raise ValueError(f"{pattern!r} is not a regular expression: {problem}") from None


def check_groups(pattern: str, template: str) -> None:
    """:raises ValueError: ``template`` refers to a group that ``pattern`` does not have."""
    try:
        re.sub(pattern, template, "")
    except (re.error, IndexError) as problem:
        raise ValueError(f"{template!r} does not fit {pattern!r}: {problem}") from None
