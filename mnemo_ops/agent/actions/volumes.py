"""Volumes as declared, looked at before anything is made of them."""

from __future__ import annotations

from typing import Any, ClassVar, Mapping, Sequence

from mnemo_ops.agent.action import Action, Report
from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.network_mounts import warnings
from mnemo_ops.agent.record import asdict, dataclass
from mnemo_ops.agent.volumes import findings
from mnemo_ops.errors import Refused


@dataclass(frozen=True)
class LookAtVolumes(Action):
    """Everything that speaks against the volumes of a stack, as ``findings``; ``warnings``: what does not, yet.

    :param rows: of ``layout.volumes``. :param kept: keys of the volumes that must survive.
    """

    project: str
    rows: Sequence[Mapping[str, Any]]
    kept: Sequence[str]
    kind: ClassVar[str] = "look_at_volumes"

    def ready(self, machine: Machine) -> Report:
        return {
            "findings": [asdict(one) for one in findings(machine, self.project, self.rows, self.kept)],
            "warnings": [
                f"{row['key']}: {one}" for row in self.rows if row.get("addresses") for one in warnings(machine, row)
            ],
        }


def refuse(found: Sequence[Mapping[str, str]]) -> None:
    """:raises Refused: there are findings (3)."""
    if not found:
        return
    lines = [f"{one['volume']}: {one['what']}" for one in found]
    hints = "; ".join(dict.fromkeys(one["remedy"] for one in found))
    raise Refused(lines[0] if len(lines) == 1 else "".join(f"\n  - {line}" for line in lines), hint=hints)
