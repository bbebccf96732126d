"""Volumes as declared, looked at before anything is made of them."""

from __future__ import annotations

from typing import Any, ClassVar, List, Mapping, Sequence

from mnemo_ops.agent.base.finding import REFUSES, Finding
from mnemo_ops.agent.base.progress import Report
from mnemo_ops.agent.base.record import asdict, dataclass, field
from mnemo_ops.agent.engine.action import Action
from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.stack import containers as project
from mnemo_ops.agent.stack.stack import Stack
from mnemo_ops.agent.stack.volume_checks.network_mounts import warnings
from mnemo_ops.agent.stack.volume_checks.volumes import findings, occupied
from mnemo_ops.agent.stack.volume_move import moving


@dataclass(frozen=True)
class LookAtVolumes(Action):
    """Everything that speaks against the volumes of a stack, or is worth a warning, as ``findings``.

    :param rows: of ``layout.volumes``. :param kept: keys of the volumes that must survive.
    :param stack: to look which volumes it has by now; empty: it is not asked.
    :param filled: keys of the volumes that a set's data are to go into: they want their directories empty.
    """

    project: str
    rows: Sequence[Mapping[str, Any]]
    kept: Sequence[str]
    stack: Mapping[str, Any] = field(default_factory=dict)
    filled: Sequence[str] = ()
    kind: ClassVar[str] = "look_at_volumes"

    def ready(self, machine: Machine) -> Report:
        """:raises Refused: there is no Docker here (3)."""
        project.refuse_bare(machine)
        used: Mapping[str, str] = {}
        found: List[Finding] = []
        if self.stack:
            stack = Stack.from_json(self.stack)
            used = moving.used(machine, stack)
            found = self._moved(machine) + left_behind(machine, stack)
        directory = str(self.stack.get("directory", ""))
        found += findings(machine, self.project, self.rows, self.kept, used, directory)
        found += [] if found else occupied(machine, [row for row in self.rows if row["key"] in self.filled])
        found += [one for row in self.rows if row.get("addresses") for one in warnings(machine, row)]
        return {"findings": [asdict(one) for one in found]}

    def _moved(self, machine: Machine) -> List[Finding]:
        """Volumes that are just being moved, by a run that may have lost its controller."""
        moves = {row["key"]: moving.read(machine, self.project, row["key"]) for row in self.rows}
        return [
            Finding(
                *("volume.moving", REFUSES, key, f"run {last['id']} is moving it"),
                remedy=f"invoke volumes --volume {key} --to ... continues or ends the move",
            )
            for key, last in moves.items()
            if last is not None and last["state"] != "moved"
        ]


def left_behind(machine: Machine, stack: Stack) -> List[Finding]:
    """Paths of the stack that its containers have elsewhere, with something in them: here they would begin empty."""
    found: List[Finding] = []
    containers = project.containers(machine, stack.project)
    mounted = {str(mount.get("Source")) for one in containers for mount in one.mounts}
    for path in [one.path for one in stack.datasets if one.path not in ("", ".") and not one.volume]:
        here = f"{stack.directory}/{path}"
        if machine.names(here):
            continue
        for source in sorted(one for one in mounted if one.endswith("/" + path) and one != here and machine.names(one)):
            directory = source[: -len(path) - 1]
            remedy = f"set stack.directory: {directory}; or stop the stack and mv {directory} {stack.directory}"
            evidence = f"the stack has it in {source}, and {here} would begin empty"
            found.append(Finding("path.left-behind", REFUSES, path, evidence, remedy))
    return found
