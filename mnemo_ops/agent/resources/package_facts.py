"""package_facts: the installed packages, as facts."""

from __future__ import annotations

from typing import Any, ClassVar, Dict, List, Literal, Mapping

from mnemo_ops.agent.base.lines import each_line
from mnemo_ops.agent.base.record import dataclass, field
from mnemo_ops.agent.base.state import Change, State
from mnemo_ops.agent.engine.resource import Resource
from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.system import dpkg
from mnemo_ops.errors import Broken

Packages = Dict[str, List[Dict[str, Any]]]
RPM = ("name", "version", "release", "epoch", "arch")


@dataclass(frozen=True)
class PackageFacts(Resource):
    """Installed packages as ``ansible_facts.packages``: name -> a list of their version, arch and source.

    :param manager: which package managers to ask: ``auto`` (those that are there), ``apt``, ``rpm``.
    :param strategy: ``first`` of them that is there, or ``all``.
    """

    kind: ClassVar[str] = "package_facts"
    tells_facts: ClassVar[bool] = True
    ALIASES: ClassVar[Mapping[str, str]] = {}
    EXAMPLE: ClassVar[str] = """\
- name: what is installed
  package_facts: {}
"""

    manager: List[Literal["auto", "apt", "rpm", "dnf", "yum"]] = field(default_factory=lambda: ["auto"])
    strategy: Literal["first", "all"] = "first"

    def desired(self) -> State:
        return {}

    def observe(self, machine: Machine) -> State:
        wanted = {"rpm" if name in ("dnf", "yum") else name for name in self.manager}
        there = [name for name, tool in (("apt", "apt-get"), ("rpm", "rpm")) if machine.which(tool)]
        used = there if "auto" in wanted else [name for name in there if name in wanted]
        if not used:
            raise Broken(f"none of the package managers {', '.join(self.manager)} is on this host")
        found: Packages = {}
        for name in used[:1] if self.strategy == "first" else used:
            found.update(_dpkg(machine) if name == "apt" else _rpm(machine))
        return {"ansible_facts": {"packages": found}}

    def apply(self, machine: Machine, change: Change) -> State:
        return None


def _dpkg(machine: Machine) -> Packages:
    found: Packages = {}
    for block in dpkg.blocks(machine):
        if block.get("Status", "").endswith(" installed"):
            row = {"name": block["Package"], "version": block.get("Version", ""), "source": "apt"}
            more = {"arch": block.get("Architecture", ""), "category": block.get("Section", "")}
            found.setdefault(block["Package"], []).append({**row, **more})
    return found


def _rpm(machine: Machine) -> Packages:
    form = "|".join("%{" + name.upper() + "}" for name in RPM) + "\n"
    found: Packages = {}
    for line in each_line(machine.ask(["rpm", "--query", "--all", f"--queryformat={form}"]).out):
        row: Dict[str, Any] = {**dict(zip(RPM, line.split("|"))), "source": "rpm"}
        row["epoch"] = None if row["epoch"] == "(none)" else int(row["epoch"])
        found.setdefault(row["name"], []).append(row)
    return found
