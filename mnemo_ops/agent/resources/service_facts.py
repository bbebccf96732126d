"""service_facts: the services of the host, as facts."""

from __future__ import annotations

from typing import ClassVar, Dict, List, Mapping

from mnemo_ops.agent.base.lines import each_line
from mnemo_ops.agent.base.record import dataclass
from mnemo_ops.agent.base.state import Change, State
from mnemo_ops.agent.engine.resource import Resource
from mnemo_ops.agent.machine import Machine

BAD = ("not-found", "masked", "failed")


@dataclass(frozen=True)
class ServiceFacts(Resource):
    """Every service systemd knows, as ``ansible_facts.services``: name -> its name, state, status, source.

    None where systemd does not run.
    """

    kind: ClassVar[str] = "service_facts"
    tells_facts: ClassVar[bool] = True
    ALIASES: ClassVar[Mapping[str, str]] = {}
    EXAMPLE: ClassVar[str] = """\
- name: what runs here
  service_facts: {}
"""

    def desired(self) -> State:
        return {}

    def observe(self, machine: Machine) -> State:
        runs = machine.which("systemctl") and machine.stat("/run/systemd/system")  # sd_booted(3)
        return {"ansible_facts": {"services": _services(machine) if runs else {}}}

    def apply(self, machine: Machine, change: Change) -> State:
        return None


def _services(machine: Machine) -> Dict[str, Dict[str, str]]:
    def rows(what: str) -> Dict[str, List[str]]:
        words = ["systemctl", what, "--type=service", "--all", "--plain", "--no-legend", "--no-pager", "--full"]
        lines = (line.split() for line in each_line(machine.ask(words).out))
        return {fields[0]: fields[1:] for fields in lines if len(fields) > 1}

    units, files = rows("list-units"), rows("list-unit-files")
    found: Dict[str, Dict[str, str]] = {}
    for name, fields in units.items():  # load, active, sub, description
        status = next((bad for bad in BAD if bad in fields[:3]), files.get(name, fields[1:2])[0])
        found[name] = _service(name, "running" if fields[2:3] == ["running"] else "stopped", status)
    for name in set(files) - set(units):  # not loaded: systemd says inactive of those
        found[name] = _service(name, "unknown" if "@." in name else "inactive", files[name][0])
    return found


def _service(name: str, state: str, status: str) -> Dict[str, str]:
    return {"name": name, "state": state, "status": status, "source": "systemd"}
