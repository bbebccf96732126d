"""command: run a program, without a shell."""

from __future__ import annotations

import re
import shlex
from typing import ClassVar, List, Mapping, Optional, Tuple

from mnemo_ops.agent.base.record import dataclass
from mnemo_ops.agent.base.state import Change, State
from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.system.command_run import Execution, execute, with_newline

_VARIABLE = re.compile(r"\$(\w+)|\$\{(\w+)\}")


@dataclass(frozen=True)
class Command(Execution):
    """A deed: it runs each time, unless ``creates`` or ``removes`` says it was done.

    :param cmd: program and arguments in one line, split as a shell would; no pipes, globs or redirections.
    :param argv: program and arguments as a list, instead of ``cmd``.
    :param chdir: directory to run in; ``creates`` and ``removes`` may be relative to it.
    :param creates: skip when this path (or a match of this glob) exists.
    :param removes: skip when this path (or a match of this glob) does not exist.
    :param stdin: text for its standard input.
    :param stdin_add_newline: end ``stdin`` with a newline.
    :param strip_empty_ends: no newlines at the end of ``stdout`` and ``stderr``.
    :param expand_argument_vars: replace ``$NAME`` by its variable (unknown ones stay), ``~`` by the home directory.
    """

    kind: ClassVar[str] = "command"
    ALIASES: ClassVar[Mapping[str, str]] = {"_raw_params": "cmd"}
    FREE_FORM: ClassVar[str] = "cmd"
    INLINE: ClassVar[Tuple[str, ...]] = (
        "creates", "removes", "chdir", "stdin", "stdin_add_newline", "strip_empty_ends",
    )  # fmt: skip
    EXAMPLE: ClassVar[str] = """\
- name: parameters for the key exchange, once
  command: openssl dhparam -out /srv/app/tls/dhparam.pem 2048
  args: {creates: /srv/app/tls/dhparam.pem}
- name: what the kernel is
  command: {argv: [uname, -r]}
"""

    cmd: Optional[str] = None
    argv: Optional[List[str]] = None
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

    def apply(self, machine: Machine, change: Change) -> State:
        words = self._words()
        if self.expand_argument_vars:
            known = machine.environment()
            words = [_VARIABLE.sub(lambda at: known.get(at[1] or at[2], at[0]), word) for word in words]
            words = [machine.expanded(word) for word in words]
        stdin = with_newline(self.stdin, self.stdin_add_newline)
        return execute(machine, words, words, chdir=self.chdir, stdin=stdin, strip=self.strip_empty_ends)
