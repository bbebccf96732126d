"""timezone: which time the host shows."""

from __future__ import annotations

from typing import Any, ClassVar, Dict, Literal, Mapping, Optional

from mnemo_ops.agent.base.lines import each_line, refuse_options
from mnemo_ops.agent.base.record import dataclass
from mnemo_ops.agent.base.state import ABSENT, Change, State
from mnemo_ops.agent.engine.resource import Resource
from mnemo_ops.agent.machine import Machine
from mnemo_ops.errors import NotYet

LINK, ZONES = "/etc/localtime", "/usr/share/zoneinfo/"


@dataclass(frozen=True)
class Timezone(Resource):
    """The time zone and what the hardware clock counts in, set by systemd (timedatectl(1)).

    :param name: the zone, like ``Europe/Vienna``.
    :param hwclock: ``UTC`` or ``local``.
    """

    kind: ClassVar[str] = "timezone"
    ALIASES: ClassVar[Mapping[str, str]] = {"rtc": "hwclock"}
    EXAMPLE: ClassVar[str] = """\
- name: logs of all hosts can be compared
  timezone: {name: Etc/UTC}
"""

    name: Optional[str] = None
    hwclock: Optional[Literal["UTC", "local"]] = None

    def __post_init__(self) -> None:
        refuse_options(name=self.name)
        if self.name is None and self.hwclock is None:
            raise ValueError("give name or hwclock")

    def desired(self) -> State:
        return {key: value for key, value in (("name", self.name), ("hwclock", self.hwclock)) if value is not None}

    def observe(self, machine: Machine) -> State:
        if machine.which("timedatectl") is None:
            return ABSENT
        if self.name is not None and machine.stat(ZONES + self.name, follow=True) is None:
            raise NotYet(f"there is no time zone {self.name} on this host", hint="is tzdata installed?")
        link = machine.stat(LINK)
        zone = machine.readlink(LINK).partition("zoneinfo/")[2] if link and link.kind == "link" else ""
        lines = each_line(machine.read_text("/etc/adjtime") or "")
        found: Dict[str, Any] = {"hwclock": "local" if lines[2:3] == ["LOCAL"] else "UTC"}
        return {**found, "name": zone or ("a file of its own" if link else "UTC")}

    def apply(self, machine: Machine, change: Change) -> State:
        if "name" in change.keys:
            machine.run(["timedatectl", "set-timezone", str(self.name)])
        if "hwclock" in change.keys:
            machine.run(["timedatectl", "set-local-rtc", str(int(self.hwclock == "local"))])
        return None
