"""script: a script of the controller, run on the host."""

from __future__ import annotations

import re
import shlex
from typing import ClassVar, Mapping, Optional, Tuple

from mnemo_ops.agent.base.record import dataclass, field
from mnemo_ops.agent.base.state import Change, State
from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.system.command_run import Execution, execute
from mnemo_ops.errors import StepFailed

_WORD = re.compile(r"""((?:[^\s'"\\]|\\.|'[^']*'|"(?:\\.|[^"\\])*")+)(?:\s+(.*))?$""", re.DOTALL)


@dataclass(frozen=True)
class Script(Execution):
    """A deed: the script is brought to the host, run each time, unless ``creates`` or ``removes`` says it was done, and
    taken away again.

    :param cmd: path of the script on the controller, and its arguments, which a shell reads.
    :param executable: program to run it with; without it, its first line (``#!``) says.
    :param chdir: directory to run in; ``creates`` and ``removes`` may be relative to it.
    :param creates: skip when this path (or a match of this glob) exists.
    :param removes: skip when this path (or a match of this glob) does not exist.
    :param decrypt: a script that ansible-vault encrypted arrives in clear.
    """

    kind: ClassVar[str] = "script"
    ALIASES: ClassVar[Mapping[str, str]] = {"_raw_params": "cmd", "free_form": "cmd"}
    FREE_FORM: ClassVar[str] = "cmd"
    INLINE: ClassVar[Tuple[str, ...]] = ("creates", "removes", "chdir", "executable", "decrypt")
    EXAMPLE: ClassVar[str] = """\
- name: what the vendor calls an installation, once
  script: install.sh --prefix /opt/tool
  args: {creates: /opt/tool/bin/tool}
"""

    cmd: str = field(default="", metadata={"script": "sha256"})
    executable: Optional[str] = None
    decrypt: bool = True
    sha256: Optional[str] = field(default=None, metadata={"internal": True})

    def __post_init__(self) -> None:
        if not self.cmd.strip():
            raise ValueError("cmd is missing: the path of a script")
        split(self.cmd)

    def _place(self, machine: Machine) -> str:
        return f"{machine.state_dir}/script-{(self.sha256 or '')[:16]}"

    def target(self, observed: State) -> State:
        left = {"left_behind": None} if observed is not None and "left_behind" in observed else {}
        return {"rc": 0, **left}

    def observe(self, machine: Machine) -> State:
        found = super().observe(machine) or {}
        place = self._place(machine)
        if found["rc"] == 0 and machine.stat(place) is not None:  # of a run that was killed
            return {**found, "left_behind": place}
        return found

    def apply(self, machine: Machine, change: Change) -> State:
        name, rest = split(self.cmd)
        place = self._place(machine)
        if (change.before or {}).get("rc") == 0:
            machine.remove(place)
            return None
        if self.sha256 is None:
            raise StepFailed(f"{name} was not offered by the controller")
        machine.mkdir(machine.state_dir, 0o700)
        with machine.replacing(place, 0o700) as file:
            machine.fetch(self.sha256, file)
        line = " ".join(word for word in (self.executable or "", shlex.quote(machine.path(place)), rest) if word)
        try:
            return execute(machine, ["/bin/sh", "-c", line], self.cmd, chdir=self.chdir)
        finally:
            machine.remove(place)


def split(cmd: str) -> Tuple[str, str]:
    """The script's path, and what follows it as it was written. :raises ValueError: an open quote."""
    found = _WORD.match(cmd.strip())
    if found is None:
        raise ValueError(f"{cmd!r} has a quote that does not end")
    return shlex.split(found[1])[0], found[2] or ""
