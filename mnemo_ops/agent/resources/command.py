"""command: run a program, without a shell."""

from __future__ import annotations

import re
import shlex
import time
from dataclasses import dataclass
from typing import ClassVar, List, Mapping, Optional

from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.resource import Resource
from mnemo_ops.agent.state import Change, State
from mnemo_ops.errors import NotYet

_VARIABLE = re.compile(r"\$(\w+)|\$\{(\w+)\}")


@dataclass(frozen=True)
class Command(Resource):
    """A deed: it runs each time, unless ``creates`` or ``removes`` says it was done.

    :param cmd: program and arguments in one line, split as a shell would; no pipes, globs or redirections.
    :param argv: program and arguments as a list, instead of ``cmd``.
    :param chdir: directory to run in.
    :param creates: skip when this path (or a match of this glob) exists.
    :param removes: skip when this path (or a match of this glob) does not exist.
    :param stdin: text for its standard input.
    :param stdin_add_newline: end ``stdin`` with a newline.
    :param strip_empty_ends: no newlines at the end of ``stdout`` and ``stderr``.
    :param expand_argument_vars: replace ``$NAME`` by the variable of its environment; unknown ones stay.
    """

    kind: ClassVar[str] = "command"
    ALIASES: ClassVar[Mapping[str, str]] = {}
    FREE_FORM: ClassVar[str] = "cmd"
    EXAMPLE: ClassVar[str] = """\
- name: parameters for the key exchange, once
  command: openssl dhparam -out /srv/app/tls/dhparam.pem 2048
  args: {creates: /srv/app/tls/dhparam.pem}
- name: what the kernel is
  command: {argv: [uname, -r]}
"""

    cmd: Optional[str] = None
    argv: Optional[List[str]] = None
    chdir: Optional[str] = None
    creates: Optional[str] = None
    removes: Optional[str] = None
    stdin: Optional[str] = None
    stdin_add_newline: bool = True
    strip_empty_ends: bool = True
    expand_argument_vars: bool = True

    def __post_init__(self) -> None:
        if (self.cmd is None) == (self.argv is None):
            raise ValueError("give either cmd or argv")
        if not self._words():
            raise ValueError("the command is empty")

    def _words(self) -> List[str]:
        return shlex.split(self.cmd) if self.cmd is not None else [str(word) for word in self.argv or ()]

    def desired(self) -> State:
        return {"rc": 0}

    def observe(self, machine: Machine) -> State:
        if self.creates and machine.glob(self.creates):
            return {"rc": 0, "skipped": f"{self.creates} exists"}
        if self.removes and not machine.glob(self.removes):
            return {"rc": 0, "skipped": f"{self.removes} does not exist"}
        if self.chdir and machine.stat(self.chdir, follow=True) is None:
            raise NotYet(f"the directory {self.chdir} does not exist")
        return {"rc": None}

    def apply(self, machine: Machine, change: Change) -> State:
        words = self._words()
        if self.expand_argument_vars:
            known = machine.environment()
            words = [_VARIABLE.sub(lambda at: known.get(at[1] or at[2], at[0]), word) for word in words]
        text = self.stdin
        if text is not None and self.stdin_add_newline and not text.endswith("\n"):
            text += "\n"
        began = machine.now()
        done = machine.run(
            words,
            data=None if text is None else text.encode(),
            cwd=machine.path(self.chdir or "/") if self.chdir else None,
            check=False,
        )
        ended = machine.now()
        out, err = (text.rstrip("\r\n") if self.strip_empty_ends else text for text in (done.out, done.err))
        times = {"start": _stamp(began), "end": _stamp(ended), "delta": round(ended - began, 3)}
        return {"rc": done.rc, "cmd": words, "stdout": out, "stderr": err, **times}


def _stamp(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
