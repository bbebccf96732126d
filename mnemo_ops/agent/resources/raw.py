"""raw: run a command line through a shell, each time, with nothing around it."""

from __future__ import annotations

from typing import ClassVar, Mapping, Optional, Tuple

from mnemo_ops.agent.base.record import dataclass
from mnemo_ops.agent.base.state import Change, State
from mnemo_ops.agent.engine.resource import Resource
from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.system.command_run import execute


@dataclass(frozen=True)
class Raw(Resource):
    """A deed, done each time; ``shell`` can do more.

    :param free_form: text for the shell.
    :param executable: absolute path of the shell; default ``/bin/sh``.
    """

    kind: ClassVar[str] = "raw"
    ALIASES: ClassVar[Mapping[str, str]] = {"_raw_params": "free_form"}
    FREE_FORM: ClassVar[str] = "free_form"
    INLINE: ClassVar[Tuple[str, ...]] = ("executable",)
    EXAMPLE: ClassVar[str] = """\
- name: how long it has been up
  raw: uptime
"""

    free_form: str = ""
    executable: Optional[str] = None

    def __post_init__(self) -> None:
        if not self.free_form.strip():
            raise ValueError("the command is empty")

    def desired(self) -> State:
        return {"rc": 0}

    def observe(self, machine: Machine) -> State:
        return {"rc": None}

    def apply(self, machine: Machine, change: Change) -> State:
        shell = self.executable or "/bin/sh"
        return execute(machine, [shell, "-c", self.free_form], self.free_form, strip=False)
