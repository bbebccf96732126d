"""shell: run a command line through a shell."""

from __future__ import annotations

from typing import ClassVar, Mapping, Optional, Tuple

from mnemo_ops.agent.base.record import dataclass
from mnemo_ops.agent.base.state import Change, State
from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.system.command_run import Execution, execute, with_newline


@dataclass(frozen=True)
class Shell(Execution):
    """A deed: it runs each time, unless ``creates`` or ``removes`` says it was done.

    :param cmd: text for the shell: pipes, globs and redirections work; a pipe hides failures unless it says pipefail.
    :param executable: absolute path of the shell; default ``/bin/sh``.
    :param chdir: directory to run in; ``creates`` and ``removes`` may be relative to it.
    :param creates: skip when this path (or a match of this glob) exists.
    :param removes: skip when this path (or a match of this glob) does not exist.
    :param stdin: text for its standard input.
    :param stdin_add_newline: end ``stdin`` with a newline.
    """

    kind: ClassVar[str] = "shell"
    ALIASES: ClassVar[Mapping[str, str]] = {"_raw_params": "cmd"}
    FREE_FORM: ClassVar[str] = "cmd"
    INLINE: ClassVar[Tuple[str, ...]] = ("creates", "removes", "chdir", "executable", "stdin", "stdin_add_newline")
    EXAMPLE: ClassVar[str] = """\
- name: the list of what is installed, once
  shell: set -o pipefail; dpkg -l | awk '/^ii/ {print $2}' > installed.txt
  args: {executable: /bin/bash, chdir: /srv/app, creates: installed.txt}
"""

    cmd: str = ""
    executable: Optional[str] = None
    stdin: Optional[str] = None
    stdin_add_newline: bool = True

    def __post_init__(self) -> None:
        if not self.cmd.strip():
            raise ValueError("the command is empty")

    def apply(self, machine: Machine, change: Change) -> State:
        words = [self.executable or "/bin/sh", "-c", self.cmd]
        stdin = with_newline(self.stdin, self.stdin_add_newline)
        return execute(machine, words, self.cmd, chdir=self.chdir, stdin=stdin)
