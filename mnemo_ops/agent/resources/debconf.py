"""debconf: answers to the questions of Debian packages, before they are asked."""

from __future__ import annotations

import hashlib
from typing import Any, ClassVar, Dict, Literal, Mapping, Optional, Union

from mnemo_ops.agent.base.lines import each_line, refuse_lines
from mnemo_ops.agent.base.record import dataclass
from mnemo_ops.agent.base.state import ABSENT, Change, State
from mnemo_ops.agent.engine.resource import Resource
from mnemo_ops.agent.machine import Machine

ANSWERS, PASSWORDS = "/var/cache/debconf/config.dat", "/var/cache/debconf/passwords.dat"


@dataclass(frozen=True)
class Debconf(Resource):
    """One answer in debconf's own databases; without ``question``, only what a package has been answered.

    :param name: the package that asks.
    :param question: name of the question; needs ``vtype`` and ``value``.
    :param vtype: its type.
    :param value: the answer; of type password it is reported as a sha256 only.
    :param unseen: leave the question marked as not asked yet.
    """

    kind: ClassVar[str] = "debconf"
    ALIASES: ClassVar[Mapping[str, str]] = {
        "pkg": "name",
        "selection": "question",
        "setting": "question",
        "answer": "value",
    }
    EXAMPLE: ClassVar[str] = """\
- name: mail is delivered on this host only
  debconf: {name: postfix, question: postfix/main_mailer_type, vtype: select, value: Local only}
"""

    name: str
    question: Optional[str] = None
    vtype: Optional[
        Literal["boolean", "error", "multiselect", "note", "password", "select", "string", "text", "title"]
    ] = None
    value: Optional[Union[bool, str, int, float]] = None
    unseen: bool = False

    def __post_init__(self) -> None:
        refuse_lines(name=self.name, question=self.question)
        given = [self.question is not None, self.vtype is not None, self.value is not None]
        if any(given) != all(given):
            raise ValueError("question, vtype and value belong together")
        if "\n" in self._text():
            raise ValueError("value must be one line")

    def _text(self) -> str:
        text = str(self.value)
        if self.vtype == "boolean" or isinstance(self.value, bool):
            return {"yes": "true", "1": "true", "no": "false", "0": "false"}.get(text.lower(), text.lower())
        return text

    def desired(self) -> State:
        return {} if self.question is None else {"value": self._shown(self._text())}

    def _shown(self, text: str) -> str:
        if self.vtype == "multiselect":
            return ", ".join(sorted(word.strip() for word in text.split(",")))
        return _digest(text) if self.vtype == "password" else text

    def observe(self, machine: Machine) -> State:
        if machine.which("debconf-set-selections") is None:
            return ABSENT
        answers, passwords = self._answers(machine, ANSWERS), self._answers(machine, PASSWORDS)
        shown = {name: self._shown(text) if name == self.question else text for name, text in answers.items()}
        shown.update({name: _digest(text) for name, text in passwords.items()})
        found: Dict[str, Any] = {"current": shown}
        return {**found, "value": shown[str(self.question)]} if self.question in shown else found

    def _answers(self, machine: Machine, path: str) -> Dict[str, str]:
        """What this package has been answered: debconf's file of paragraphs (debconf-devel(7), driver File)."""
        found: Dict[str, str] = {}
        for block in (machine.read_text(path) or "").split("\n\n"):
            fields = dict(line.split(": ", 1) for line in each_line(block) if ": " in line and line[0] != " ")
            if self.name in fields.get("Owners", "").split(", ") and "Name" in fields:
                found[fields["Name"]] = fields.get("Value", "")
        return found

    def apply(self, machine: Machine, change: Change) -> State:
        line = f"{self.name} {self.question} {self.vtype} {self._text()}\n"
        machine.run(["debconf-set-selections", *(["-u"] if self.unseen else [])], data=line.encode())
        return None


def _digest(secret: str) -> str:
    return "sha256:" + hashlib.sha256(secret.encode()).hexdigest()
