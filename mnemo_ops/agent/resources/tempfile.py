"""tempfile: a file or directory under a name nobody else has."""

from __future__ import annotations

from typing import ClassVar, Literal, Mapping, Optional

from mnemo_ops.agent.base.record import dataclass
from mnemo_ops.agent.base.state import Change, State
from mnemo_ops.agent.engine.resource import Resource
from mnemo_ops.agent.files.ownership import described
from mnemo_ops.agent.machine import Machine
from mnemo_ops.errors import StepFailed


@dataclass(frozen=True)
class TempFile(Resource):
    """A deed: a new, empty file (0600) or directory (0700) each time; ``result.path`` is where. It stays until a task
    removes it.

    :param state: ``file`` or ``directory``.
    :param path: directory to make it in; default ``/tmp``.
    :param prefix: beginning of its name.
    :param suffix: end of its name.
    """

    kind: ClassVar[str] = "tempfile"
    ALIASES: ClassVar[Mapping[str, str]] = {}
    EXAMPLE: ClassVar[str] = """\
- name: a place to unpack
  tempfile: {state: directory, suffix: .build}
  register: build
"""

    state: Literal["directory", "file"] = "file"
    path: Optional[str] = None
    prefix: str = "ansible."
    suffix: str = ""

    def desired(self) -> State:
        return {"state": self.state}

    def observe(self, machine: Machine) -> State:
        return {"state": None}

    def apply(self, machine: Machine, change: Change) -> State:
        place = machine.expanded(self.path or "/tmp")
        found = machine.stat(place, follow=True)
        if found is None or found.kind != "directory":
            raise StepFailed(f"the directory {place} does not exist", hint="make it first: file, state: directory")
        made = machine.mktemp(place, self.prefix, self.suffix, self.state == "directory")
        stat = machine.stat(made)
        assert stat is not None
        return {"path": made, **described(machine, stat)}
