"""group: a group of users."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, Mapping, Optional

from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.resource import Resource
from mnemo_ops.agent.state import ABSENT, Change, State


@dataclass(frozen=True)
class Group(Resource):
    """A group in /etc/group.

    :param name: its name.
    :param gid: its number; default: the next free one, and any number is right.
    :param system: a new one gets a number of the system's range.
    :param state: ``present`` or ``absent``.
    """

    kind: ClassVar[str] = "group"
    ALIASES: ClassVar[Mapping[str, str]] = {}
    EXAMPLE: ClassVar[str] = """\
- name: one group number on every host
  group: {name: mnemo, gid: 4200}
"""

    name: str
    gid: Optional[int] = None
    system: bool = False
    state: Literal["present", "absent"] = "present"

    def desired(self) -> State:
        if self.state == "absent":
            return ABSENT
        return {"name": self.name} if self.gid is None else {"name": self.name, "gid": self.gid}

    def observe(self, machine: Machine) -> State:
        row = machine.accounts("group").get(self.name)
        return None if row is None else {"name": self.name, "gid": int(row[2])}

    def apply(self, machine: Machine, change: Change) -> State:
        number = [] if self.gid is None else ["-g", str(self.gid)]
        if change.deletes:
            machine.run(["groupdel", self.name])
        elif change.creates:
            machine.run(["groupadd", *number, *(["-r"] if self.system else []), self.name])
        else:
            machine.run(["groupmod", *number, self.name])
        return None
