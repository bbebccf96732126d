"""dpkg_selections: what dpkg is told to do with a package, above all to hold it."""

from __future__ import annotations

from typing import ClassVar, Literal, Mapping

from mnemo_ops.agent.base.lines import refuse_lines
from mnemo_ops.agent.base.record import dataclass
from mnemo_ops.agent.base.state import ABSENT, Change, State
from mnemo_ops.agent.engine.resource import Resource
from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.system import dpkg
from mnemo_ops.errors import NotYet


@dataclass(frozen=True)
class DpkgSelections(Resource):
    """The selection of a package dpkg knows; nothing is installed or removed by it.

    :param name: the package.
    :param selection: ``install``, ``hold`` (upgrades leave it alone), ``deinstall`` or ``purge``.
    """

    kind: ClassVar[str] = "dpkg_selections"
    ALIASES: ClassVar[Mapping[str, str]] = {}
    EXAMPLE: ClassVar[str] = """\
- name: the database is upgraded on purpose only
  dpkg_selections: {name: postgresql-17, selection: hold}
"""

    name: str
    selection: Literal["install", "hold", "deinstall", "purge"]

    def __post_init__(self) -> None:
        refuse_lines(name=self.name)

    def desired(self) -> State:
        return {"selection": self.selection}

    def observe(self, machine: Machine) -> State:
        if machine.which("dpkg") is None:
            return ABSENT
        package = dpkg.packages(machine).get(self.name)
        if package is None:
            raise NotYet(f"dpkg does not know a package {self.name}", hint="install it first, or check its spelling")
        return {"selection": package.selection}

    def apply(self, machine: Machine, change: Change) -> State:
        dpkg.wait_for_locks(machine)
        machine.run(["dpkg", "--set-selections"], data=f"{self.name} {self.selection}\n".encode())
        return None
