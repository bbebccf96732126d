"""systemd: a unit that runs, starts at boot, or does not."""

from __future__ import annotations

import re
import time
from typing import Any, ClassVar, Dict, List, Literal, Mapping, Optional

from mnemo_ops.agent.base.lines import each_line
from mnemo_ops.agent.base.record import dataclass
from mnemo_ops.agent.base.state import ABSENT, Change, State
from mnemo_ops.agent.engine.resource import Resource
from mnemo_ops.agent.machine import Machine
from mnemo_ops.errors import CommandFailed, NotYet, StepFailed

DEEDS = ("restarted", "reloaded")
VERBS = {"started": "start", "stopped": "stop", "restarted": "restart", "reloaded": "reload"}
# what systemd reads besides the units it has loaded: its generators' inputs, and the directories new files appear in
INPUTS = (
    "/etc/fstab",
    "/etc/crypttab",
    "/etc/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
)
SECRET = ("Environment",)  # services get passwords by it
OF_UNITS = ("systemd", "service")
_PROPERTY = re.compile(r"[A-Z]\w*=")

Properties = Dict[str, str]


@dataclass(frozen=True)
class Unit:
    """What systemd says of a unit it knows."""

    properties: Mapping[str, str]

    def _says(self, name: str) -> str:
        return self.properties.get(name, "")

    @property
    def running(self) -> bool:
        active, sub = self._says("ActiveState"), self._says("SubState")
        return active in ("active", "reloading") or (active == "activating" and sub != "auto-restart")

    @property
    def masked(self) -> bool:
        return self._says("LoadState") == "masked"

    @property
    def enabled(self) -> Optional[bool]:
        """``None`` for units nothing can be said of: static, generated, transient, ..."""
        state = self._says("UnitFileState")
        if state in ("enabled", "enabled-runtime", "linked", "disabled", "masked", "masked-runtime", "bad"):
            return state.startswith("enabled")
        return None

    @property
    def stale(self) -> bool:
        """Its files changed since systemd read them."""
        return self._says("NeedDaemonReload") == "yes"

    @property
    def ends_by_itself(self) -> bool:
        return self._says("Type") == "oneshot" and self._says("RemainAfterExit") != "yes"


def look(machine: Machine, name: str, scope: str = "system") -> Optional[Unit]:
    """A unit, or ``None``: no such unit, or no systemd on this host. :raises CommandFailed: it does not answer (6)."""
    if machine.which("systemctl") is None:
        return None
    if scope == "global":
        return _look_global(machine, name)

    def read() -> Dict[str, Properties]:
        """Of all units the batch will ask for, while it has changed nothing: most of what it takes is the start."""
        others = {args.get("name") for kind, args in machine.batch if kind in OF_UNITS and _scope(args) == scope}
        names = sorted({name, *filter(None, others)})
        done = machine.ask([*systemctl(scope), "show", "--", *names], env=session(machine, scope), check=False)
        told = done.out.rstrip("\n").split("\n\n")
        if done.rc == 0 and len(told) == len(names):
            return dict(zip(names, map(_properties, told)))
        return {}  # one that cannot be asked for, or a value with an empty line

    def alone() -> Properties:
        return _properties(machine.ask([*systemctl(scope), "show", "--", name], env=session(machine, scope)).out)

    together: Dict[str, Properties] = machine.once(f"systemd/{scope}", read)
    properties = together.get(name) or machine.once(f"systemd/{scope}/{name}", alone)
    return Unit(properties) if properties.get("LoadState", "") not in ("", "not-found") else None


def _scope(args: Mapping[str, Any]) -> str:
    return str(args.get("scope", "system"))


def _properties(shown: str) -> Properties:
    found: Properties = {}
    key = ""
    for line in each_line(shown):
        if _PROPERTY.match(line):
            key, _, found[key] = line.partition("=")
        elif key and line:  # a value of several lines
            found[key] += "\n" + line
    return found


def _look_global(machine: Machine, name: str) -> Optional[Unit]:
    """For every user nothing runs; a unit only is enabled or not."""
    done = machine.ask([*systemctl("global"), "is-enabled", "--", name], check=False)
    state = done.out.strip()
    if not state and "No such file" not in done.err:
        raise CommandFailed(f"systemctl is-enabled ended with {done.rc}: {done.err.strip()}")
    load = "masked" if state.startswith("masked") else "loaded"
    return Unit({"UnitFileState": state, "LoadState": load}) if state not in ("", "not-found") else None


def systemctl(scope: str) -> List[str]:
    return ["systemctl", *([] if scope == "system" else ["--" + scope])]


def session(machine: Machine, scope: str) -> Dict[str, str]:
    """Where a user's own systemd listens: sudo does not say it."""
    return {"XDG_RUNTIME_DIR": f"/run/user/{machine.effective_uid}"} if scope == "user" else {}


@dataclass(frozen=True)
class Systemd(Resource):
    """A unit of systemd.

    :param name: unit; ``.service`` when it has no suffix. Not needed for ``daemon_reload`` alone.
    :param state: ``started``, ``stopped``, or the deeds ``restarted`` and ``reloaded``, done each time.
    :param enabled: starts at boot; nothing to do for static and generated units.
    :param masked: cannot be started at all; may be said of a unit that does not exist yet.
    :param daemon_reload: make systemd read its files again if they changed.
    :param daemon_reexec: make systemd start itself anew, each time.
    :param scope: ``system``, ``user`` (the systemd of the user the task runs as) or ``global`` (of all users to come).
    :param force: ``enabled`` and ``masked`` replace links that are in the way.
    :param no_block: do not wait for the end of a start, stop, restart or reload.
    """

    kind: ClassVar[str] = "systemd"
    ALIASES: ClassVar[Mapping[str, str]] = {
        "service": "name",
        "unit": "name",
        "daemon-reload": "daemon_reload",
        "daemon-reexec": "daemon_reexec",
    }
    EXAMPLE: ClassVar[str] = """\
- name: time is right
  systemd: {name: systemd-timesyncd, state: started, enabled: true}
"""

    name: Optional[str] = None
    state: Optional[Literal["started", "stopped", "restarted", "reloaded"]] = None
    enabled: Optional[bool] = None
    masked: Optional[bool] = None
    daemon_reload: bool = False
    daemon_reexec: bool = False
    scope: Literal["system", "user", "global"] = "system"
    force: bool = False
    no_block: bool = False

    def __post_init__(self) -> None:
        asked = (self.state, self.enabled, self.masked) != (None,) * 3
        if self.name is None and (asked or not (self.daemon_reload or self.daemon_reexec)):
            raise ValueError("name is missing")
        if self.name is not None and not (asked or self.daemon_reload or self.daemon_reexec):
            raise ValueError("give state, enabled, masked, daemon_reload or daemon_reexec")
        if set(self.name or "") & set("*?["):
            raise ValueError("name is one unit, not a pattern")
        if self.scope == "global" and (self.state or self.daemon_reload or self.daemon_reexec):
            raise ValueError("scope global has no running units, so it takes neither state nor daemon_reload")

    def desired(self) -> State:
        pairs = {
            "reload_needed": False if self.daemon_reload else None,
            "manager": "executed anew" if self.daemon_reexec else None,
            "masked": self.masked,
            "enabled": self.enabled,
            "state": self.state,
        }
        return {key: value for key, value in pairs.items() if value is not None}

    def observe(self, machine: Machine) -> State:
        if machine.which("systemctl") is None:
            return ABSENT
        if self.name is None:
            return {"manager": "running", "reload_needed": self.daemon_reload and self._anything_stale(machine)}
        unit = look(machine, self.name, self.scope)
        if unit is None:
            if self.masked is not None and (self.state, self.enabled) == (None, None):
                return {"manager": "running", "name": self.name, "masked": False, "reload_needed": False}
            raise NotYet(f"there is no unit {self.name} on this host", hint="check that its package is installed")
        return {
            "name": self.name,
            "manager": "running",
            "reload_needed": unit.stale,
            "masked": unit.masked,
            "enabled": self.enabled if unit.enabled is None else unit.enabled,
            "state": "started" if unit.running else "stopped",
            "status": {name: value for name, value in unit.properties.items() if name not in SECRET},
        }

    def _anything_stale(self, machine: Machine) -> bool:
        def show(what: str, *units: str) -> str:
            words = [*systemctl(self.scope), "show", f"--property={what}", *units]
            return machine.ask(words, env=session(machine, self.scope)).out

        if "NeedDaemonReload=yes" in each_line(show("NeedDaemonReload", "--", "*")):
            return True
        loaded = show("UnitsLoadTimestampMonotonic").partition("=")[2].strip()
        if self.scope != "system" or not loaded.isdigit():
            return False
        when = machine.now() - time.monotonic() + int(loaded) / 1e6
        found = (machine.stat(path, follow=True) for path in INPUTS)
        return any(stat is not None and stat.mtime_ns / 1e9 > when for stat in found)

    def apply(self, machine: Machine, change: Change) -> State:
        wrong = set(change.keys)
        done: Dict[str, Any] = {}
        if "reload_needed" in wrong:
            self._run(machine, "daemon-reload")
        if "manager" in wrong:
            self._run(machine, "daemon-reexec")
            done["manager"] = "executed anew"
        if self.name is not None:
            if "masked" in wrong and not self.masked:
                self._run(machine, "unmask")
            unit = look(machine, self.name, self.scope)
            if unit is None and (self.state, self.enabled) != (None, None):
                raise StepFailed(
                    f"there is no unit {self.name} on this host", hint="check that its package is installed"
                )
            if "enabled" in wrong and unit is not None and unit.enabled is not None:
                self._run(machine, "enable" if self.enabled else "disable")
            if "masked" in wrong and self.masked:  # last: what is masked does not show that it is enabled
                self._run(machine, "mask")
            if "state" in wrong and unit is not None:
                done.update(self._move(machine, unit))
        return {**(self.observe(machine) or {}), **done} if done else None

    def _run(self, machine: Machine, verb: str) -> None:
        words = [*systemctl(self.scope), verb]
        if verb in ("enable", "disable", "mask", "unmask") and self.force:
            words.append("--force")
        if verb in VERBS.values() and self.no_block:
            words.append("--no-block")
        unit = [] if verb.startswith("daemon-") else ["--", str(self.name)]
        machine.run([*words, *unit], env=session(machine, self.scope))

    def _move(self, machine: Machine, unit: Unit) -> Dict[str, Any]:
        """The record of what looking again would not show."""
        machine.note = f"systemctl: {self.name} is being {self.state}"
        verb = VERBS[str(self.state)]
        self._run(machine, "start" if verb == "reload" and not unit.running else verb)
        if self.no_block:
            return {"state": self.state}
        if self.state not in DEEDS and not (self.state == "started" and unit.ends_by_itself):
            return {}
        now = (self.observe(machine) or {}).get("state")
        fell = now != "started" and self.state in DEEDS and not unit.ends_by_itself
        return {"state": now if fell else self.state}
