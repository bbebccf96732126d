"""systemd: a unit that runs, starts at boot, or does not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Dict, Literal, Mapping, Optional

from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.resource import Resource
from mnemo_ops.agent.state import ABSENT, Change, State
from mnemo_ops.errors import StepFailed

PROPERTIES = "LoadState,ActiveState,SubState,UnitFileState,NeedDaemonReload,Type,RemainAfterExit"
DEEDS = ("restarted", "reloaded")


@dataclass(frozen=True)
class Unit:
    """What systemd says of a unit it knows."""

    properties: Mapping[str, str]

    @property
    def running(self) -> bool:
        active, sub = self.properties["ActiveState"], self.properties["SubState"]
        return active in ("active", "reloading") or (active == "activating" and sub != "auto-restart")

    @property
    def masked(self) -> bool:
        return self.properties["LoadState"] == "masked"

    @property
    def enabled(self) -> Optional[bool]:
        """``None`` for units nothing can be said of: static, generated, transient, ..."""
        state = self.properties["UnitFileState"]
        if state in ("enabled", "enabled-runtime", "linked", "disabled", "masked", "masked-runtime", "bad"):
            return state.startswith("enabled")
        return None

    @property
    def stale(self) -> bool:
        """Its files changed since systemd read them."""
        return self.properties["NeedDaemonReload"] == "yes"

    @property
    def ends_by_itself(self) -> bool:
        return self.properties["Type"] == "oneshot" and self.properties["RemainAfterExit"] != "yes"


def look(machine: Machine, name: str) -> Optional[Unit]:
    """A unit, or ``None``: no such unit, or no systemd on this host. :raises CommandFailed: it does not answer (6)."""
    if machine.which("systemctl") is None:
        return None

    def read() -> str:
        return machine.ask(["systemctl", "show", f"--property={PROPERTIES}", "--", name]).out

    pairs = [line.split("=", 1) for line in machine.once(f"systemd/{name}", read).splitlines() if "=" in line]
    found = {**dict.fromkeys(PROPERTIES.split(","), ""), **{key: value for key, value in pairs}}
    return Unit(found) if found["LoadState"] not in ("", "not-found") else None


@dataclass(frozen=True)
class Systemd(Resource):
    """A unit of the system's systemd.

    :param name: unit; ``.service`` when it has no suffix. Not needed for ``daemon_reload`` alone.
    :param state: ``started``, ``stopped``, or the deeds ``restarted`` and ``reloaded``, done each time.
    :param enabled: starts at boot; nothing to do for static and generated units.
    :param masked: cannot be started at all.
    :param daemon_reload: make systemd read its files again if they changed.
    """

    kind: ClassVar[str] = "systemd"
    ALIASES: ClassVar[Mapping[str, str]] = {"service": "name", "unit": "name"}
    EXAMPLE: ClassVar[str] = """\
- name: time is right
  systemd: {name: systemd-timesyncd, state: started, enabled: true}
"""

    name: Optional[str] = None
    state: Optional[Literal["started", "stopped", "restarted", "reloaded"]] = None
    enabled: Optional[bool] = None
    masked: Optional[bool] = None
    daemon_reload: bool = False

    def __post_init__(self) -> None:
        if self.name is None and (not self.daemon_reload or (self.state, self.enabled, self.masked) != (None,) * 3):
            raise ValueError("name is missing")

    def desired(self) -> State:
        pairs = {"masked": self.masked, "enabled": self.enabled, "state": self.state}
        reload = {"reload_needed": False} if self.daemon_reload else {}
        return {**reload, **{key: value for key, value in pairs.items() if value is not None}}

    def observe(self, machine: Machine) -> State:
        if machine.which("systemctl") is None:
            return ABSENT
        if self.name is None:
            shown = machine.ask(["systemctl", "show", "--property=NeedDaemonReload", "--", "*"]).out
            return {"reload_needed": "NeedDaemonReload=yes" in shown.splitlines()}
        unit = look(machine, self.name)
        if unit is None:
            return ABSENT
        return {
            "reload_needed": unit.stale,
            "masked": unit.masked,
            "enabled": self.enabled if unit.enabled is None else unit.enabled,
            "state": "started" if unit.running else "stopped",
        }

    def apply(self, machine: Machine, change: Change) -> State:
        wrong = set(change.keys)
        if self.daemon_reload and "reload_needed" in wrong:
            machine.run(["systemctl", "daemon-reload"])
        if self.name is None:
            return None
        unit = look(machine, self.name)
        if unit is None:
            raise StepFailed(f"there is no unit {self.name} on this host", hint="is its package installed?")
        if "masked" in wrong and self.masked is not unit.masked:
            machine.run(["systemctl", "mask" if self.masked else "unmask", "--", self.name])
        if "enabled" in wrong and unit.enabled is not None:
            machine.run(["systemctl", "enable" if self.enabled else "disable", "--", self.name])
        return self._move(machine, unit) if "state" in wrong else None

    def _move(self, machine: Machine, unit: Unit) -> State:
        assert self.name is not None
        machine.note = f"systemctl: {self.name} is being {self.state}"
        verb = {"started": "start", "stopped": "stop", "restarted": "restart", "reloaded": "reload"}[str(self.state)]
        if verb == "reload" and not unit.running:
            verb = "start"
        machine.run(["systemctl", verb, "--", self.name])
        if self.state not in DEEDS and not (self.state == "started" and unit.ends_by_itself):
            return None
        now: Dict[str, Any] = self.observe(machine) or {}
        if now.get("state") != "started" and self.state in DEEDS and not unit.ends_by_itself:
            return now  # it started and fell over
        return {**now, "state": self.state}
