"""What follows from a compose project on its host: read from itself, and from what runs."""

from __future__ import annotations

from typing import Any, ClassVar, Mapping

from mnemo_ops.agent.base.progress import Report
from mnemo_ops.agent.base.record import asdict, dataclass
from mnemo_ops.agent.engine.action import Action
from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.stack import containers
from mnemo_ops.agent.stack.project.derive import derive
from mnemo_ops.agent.stack.project.read import read, source
from mnemo_ops.agent.stack.stack import Stack


@dataclass(frozen=True)
class ShowStack(Action):
    """``directory``, ``files`` and ``env_files`` of the project (absolute); ``rows``: each with its reason, and what
    overrules it; no value of an environment is in one.

    :raises Refused: files of the project are gone (3). :raises CommandFailed: Compose cannot read them (6).
    """

    stack: Mapping[str, Any]
    kind: ClassVar[str] = "show_stack"

    def ready(self, machine: Machine) -> Report:
        stack = Stack.from_json(self.stack)
        containers.refuse_bare(machine)
        found = containers.containers(machine, stack.project)
        where = source(machine, stack, found)
        model = read(machine, stack.project, where)
        rows = [asdict(row) for row in derive(machine, model, found, where)]
        return {"directory": where.directory, "files": where.files, "env_files": where.env_files, "rows": rows}
