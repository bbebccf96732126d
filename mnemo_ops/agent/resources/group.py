"""group: a group of users."""

from __future__ import annotations

from typing import ClassVar, List, Literal, Mapping, Optional

from mnemo_ops.agent.base.lines import refuse_lines, refuse_options
from mnemo_ops.agent.base.record import dataclass
from mnemo_ops.agent.base.state import ABSENT, Change, State
from mnemo_ops.agent.engine.resource import Resource
from mnemo_ops.agent.machine import Machine


@dataclass(frozen=True)
class Group(Resource):
    """A group in /etc/group.

    :param name: its name.
    :param gid: its number; default: the next free one, and any number is right.
    :param non_unique: the number may be another group's, too.
    :param system: a new one gets a number of the system's range.
    :param gid_min: where the numbers of new groups begin, instead of GID_MIN in login.defs(5).
    :param gid_max: where they end, instead of GID_MAX.
    :param local: accepted: only the files of this host are read and changed anyway.
    :param force: with ``absent``: even while it is the primary group of a user.
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
    non_unique: bool = False
    system: bool = False
    gid_min: Optional[int] = None
    gid_max: Optional[int] = None
    local: bool = False
    force: bool = False
    state: Literal["present", "absent"] = "present"

    def __post_init__(self) -> None:
        refuse_options(name=self.name)
        refuse_lines(name=self.name)
        if self.non_unique and self.gid is None:
            raise ValueError("non_unique needs a gid")

    def desired(self) -> State:
        if self.state == "absent":
            return ABSENT
        return {"name": self.name} if self.gid is None else {"name": self.name, "gid": self.gid}

    def observe(self, machine: Machine) -> State:
        row = machine.accounts("group").get(self.name)
        return None if row is None else {"name": self.name, "gid": int(row[2]), "system": self.system}

    def apply(self, machine: Machine, change: Change) -> State:
        number = [] if self.gid is None else ["-g", str(self.gid), *(["-o"] if self.non_unique else [])]
        if change.deletes:
            machine.run(["groupdel", *(["-f"] if self.force else []), self.name])
        elif change.creates:
            machine.run(["groupadd", *number, *self._range(), *(["-r"] if self.system else []), self.name])
        else:
            machine.run(["groupmod", *number, self.name])
        return None

    def _range(self) -> List[str]:
        ends = {"GID_MIN": self.gid_min, "GID_MAX": self.gid_max}
        return [word for key, end in ends.items() if end is not None for word in ("-K", f"{key}={end}")]
