"""alternatives: which of several programs a name stands for (update-alternatives(1))."""

from __future__ import annotations

from typing import Any, ClassVar, Dict, Literal, Mapping, Optional

from mnemo_ops.agent.base.lines import each_line, refuse_options
from mnemo_ops.agent.base.record import dataclass
from mnemo_ops.agent.base.state import ABSENT, Change, State
from mnemo_ops.agent.engine.resource import Resource
from mnemo_ops.agent.machine import Machine
from mnemo_ops.errors import Broken, StepFailed


@dataclass(frozen=True)
class Alternatives(Resource):
    """One alternative of a name. Links that follow it (subcommands) are not offered.

    :param name: the name, like ``editor``.
    :param path: the program.
    :param link: where the name is found; needed for a name that does not exist yet.
    :param priority: which is the best when nobody chose; default: 50 for a new one.
    :param state: ``selected``, ``present`` (one of several), ``auto`` (the best is used) or ``absent``.
    """

    kind: ClassVar[str] = "alternatives"
    ALIASES: ClassVar[Mapping[str, str]] = {}
    EXAMPLE: ClassVar[str] = """\
- name: the editor of our choice
  alternatives: {name: editor, path: /usr/bin/vim.basic}
"""

    name: str
    path: str
    link: Optional[str] = None
    priority: Optional[int] = None
    state: Literal["selected", "present", "auto", "absent"] = "selected"

    def __post_init__(self) -> None:
        refuse_options(name=self.name, path=self.path, link=self.link)

    def desired(self) -> State:
        if self.state == "absent":
            return {"alternative": "absent"}
        chosen = {"value": self.path} if self.state == "selected" else {}
        mode = {"mode": "auto"} if self.state == "auto" else {}
        priority = {} if self.priority is None else {"priority": self.priority}
        return {"alternative": "present", **priority, **chosen, **mode}

    def observe(self, machine: Machine) -> State:
        if machine.which("update-alternatives") is None:
            return ABSENT
        done = machine.ask(["update-alternatives", "--query", self.name], check=False)
        if done.rc not in (0, 2) or (done.rc == 2 and "no alternatives for" not in done.err):
            raise Broken(f"update-alternatives cannot tell about {self.name}: {done.err.strip()}")
        head, *others = done.out.split("\n\n")
        group, found = _fields(head), {each["Alternative"]: each for each in map(_fields, others) if each}
        state: Dict[str, Any] = {"alternative": "present" if self.path in found else "absent"}
        if self.path in found:
            state["priority"] = int(found[self.path]["Priority"])
        return {**state, "value": group.get("Value"), "mode": group.get("Status"), "link": group.get("Link")}

    def apply(self, machine: Machine, change: Change) -> State:
        if self.state == "absent":
            machine.run(["update-alternatives", "--remove", self.name, self.path])
            return None
        if {"alternative", "priority"} & set(change.keys):
            link = self.link or (self.observe(machine) or {}).get("link")
            if link is None:
                raise StepFailed(f"the name {self.name} is new: say its link", hint=f"link: /usr/bin/{self.name}")
            priority = str(50 if self.priority is None else self.priority)
            machine.run(["update-alternatives", "--install", link, self.name, self.path, priority])
        left = Change.between(self.observe(machine), self.desired()).keys
        if "value" in left:
            machine.run(["update-alternatives", "--set", self.name, self.path])
        if "mode" in left:
            machine.run(["update-alternatives", "--auto", self.name])
        return None


def _fields(block: str) -> Dict[str, str]:
    return dict(line.split(": ", 1) for line in each_line(block) if ": " in line and line[0] != " ")
