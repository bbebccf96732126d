"""locale_gen: the languages of the host (Debian's locale-gen(8))."""

from __future__ import annotations

import re
from typing import ClassVar, Dict, List, Literal, Mapping, Union

from mnemo_ops.agent.base.lines import each_line, refuse_lines
from mnemo_ops.agent.base.record import dataclass
from mnemo_ops.agent.base.state import ABSENT, Change, State
from mnemo_ops.agent.engine.resource import Resource
from mnemo_ops.agent.machine import Machine
from mnemo_ops.errors import NotYet

CHOSEN, SUPPORTED = "/etc/locale.gen", "/usr/share/i18n/SUPPORTED"


@dataclass(frozen=True)
class LocaleGen(Resource):
    """Locales that exist, or not; the others in /etc/locale.gen stay.

    :param name: locales, like ``de_AT.UTF-8``.
    :param state: ``present`` or ``absent``.
    """

    kind: ClassVar[str] = "locale_gen"
    ALIASES: ClassVar[Mapping[str, str]] = {}
    EXAMPLE: ClassVar[str] = """\
- name: names are sorted as here
  locale_gen: {name: de_AT.UTF-8}
"""

    name: Union[List[str], str]
    state: Literal["present", "absent"] = "present"

    def __post_init__(self) -> None:
        refuse_lines(name=self.name)

    def _names(self) -> List[str]:
        return [self.name] if isinstance(self.name, str) else self.name

    def desired(self) -> State:
        return {name: self.state for name in self._names()}

    def observe(self, machine: Machine) -> State:
        if machine.which("locale-gen") is None:
            return ABSENT
        there = {_plain(line) for line in each_line(machine.ask(["locale", "-a"]).out)}
        for name in self._names():
            if self.state == "present" and _plain(name) not in there:
                self._line(machine, name)
        return {"mechanism": "glibc", **{n: "present" if _plain(n) in there else "absent" for n in self._names()}}

    def _line(self, machine: Machine, name: str) -> str:
        """The line that chooses it. :raises NotYet: nobody knows this locale (6)."""
        for path in (CHOSEN, SUPPORTED):
            for line in each_line(machine.read_text(path) or ""):
                words = line.lstrip("# ").split()
                if len(words) == 2 and words[0] == name:
                    return " ".join(words)
        raise NotYet(f"there is no locale {name}", hint=f"{SUPPORTED} lists them")

    def apply(self, machine: Machine, change: Change) -> State:
        names = [name for name in self._names() if name in change.keys]
        old = each_line(machine.read_text(CHOSEN) or "")
        new = self._with(machine, old, names) if self.state == "present" else _without(old, names)
        if new != old:
            machine.write(CHOSEN, "".join(line + "\n" for line in new).encode(), fresh=0o644)
        machine.note = "locale-gen"
        machine.run(["locale-gen"])
        return None

    def _with(self, machine: Machine, old: List[str], names: List[str]) -> List[str]:
        wanted: Dict[str, str] = {name: self._line(machine, name) for name in names}
        new = [line.lstrip("# ") if " ".join(line.lstrip("# ").split()) in wanted.values() else line for line in old]
        return [*new, *(line for line in wanted.values() if not any(line == " ".join(each.split()) for each in new))]


def _without(old: List[str], names: List[str]) -> List[str]:
    return ["# " + line if line.split(" ")[0] in names else line for line in old]


def _plain(name: str) -> str:
    """As ``locale -a`` writes it: UTF-8 is utf8 there."""
    language, dot, rest = name.partition(".")
    charset, at, modifier = rest.partition("@")
    return language + dot + re.sub(r"[^a-z0-9]", "", charset.lower()) + at + modifier
