"""service: a service of the system, whatever starts it; here that is systemd."""

from __future__ import annotations

from typing import ClassVar, Literal, Mapping, Optional

from mnemo_ops.agent.base.record import dataclass
from mnemo_ops.agent.base.state import Change, State
from mnemo_ops.agent.engine.resource import Resource
from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.resources.systemd import Systemd


@dataclass(frozen=True)
class Service(Resource):
    """A service that runs, starts at boot, or does not. Arguments for other init systems do not exist here.

    :param name: the service.
    :param state: ``started``, ``stopped``, or the deeds ``restarted`` and ``reloaded``, done each time.
    :param enabled: starts at boot.
    :param use: ``auto`` or ``systemd``, which is the same.
    """

    kind: ClassVar[str] = "service"
    ALIASES: ClassVar[Mapping[str, str]] = {}
    EXAMPLE: ClassVar[str] = """\
- name: the web server runs, now and after a reboot
  service: {name: nginx, state: started, enabled: true}
"""

    name: str
    state: Optional[Literal["started", "stopped", "restarted", "reloaded"]] = None
    enabled: Optional[bool] = None
    use: Literal["auto", "systemd"] = "auto"

    def __post_init__(self) -> None:
        if self.state is None and self.enabled is None:
            raise ValueError("give state or enabled")
        self._unit()

    def _unit(self) -> Systemd:
        return Systemd(name=self.name, state=self.state, enabled=self.enabled)

    def desired(self) -> State:
        return self._unit().desired()

    def observe(self, machine: Machine) -> State:
        return self._unit().observe(machine)

    def apply(self, machine: Machine, change: Change) -> State:
        return self._unit().apply(machine, change)
