"""hostname: the name of the host, now and after a reboot."""

from __future__ import annotations

from typing import ClassVar, Literal, Mapping, Optional

from mnemo_ops.agent.base.lines import each_line, refuse_options
from mnemo_ops.agent.base.record import dataclass
from mnemo_ops.agent.base.state import ABSENT, Change, State
from mnemo_ops.agent.engine.resource import Resource
from mnemo_ops.agent.machine import Machine


@dataclass(frozen=True)
class Hostname(Resource):
    """The host's name, set by systemd (hostnamectl(1)). /etc/hosts is left alone.

    :param name: the name, at most 64 characters.
    :param use: ``systemd``, which is what is used anyway.
    """

    kind: ClassVar[str] = "hostname"
    tells_facts: ClassVar[bool] = True
    ALIASES: ClassVar[Mapping[str, str]] = {}
    EXAMPLE: ClassVar[str] = """\
- name: what it is called
  hostname: {name: web1.example.com}
"""

    name: str
    use: Optional[Literal["systemd"]] = None

    def __post_init__(self) -> None:
        refuse_options(name=self.name)
        if not 0 < len(self.name) <= 64 or self.name.split() != [self.name]:
            raise ValueError("name should be 1 to 64 characters without spaces")

    def desired(self) -> State:
        return {"static": self.name, "current": self.name}

    def observe(self, machine: Machine) -> State:
        if machine.which("hostnamectl") is None:
            return ABSENT
        lines = [line.strip() for line in each_line(machine.read_text("/etc/hostname") or "")]
        current = (machine.read_text("/proc/sys/kernel/hostname") or "").strip()
        short, _, domain = self.name.partition(".")
        names = {"hostname": short, "nodename": self.name, "fqdn": self.name, "domain": domain}
        return {
            "name": self.name,
            "static": next((line for line in lines if line and not line.startswith("#")), ""),
            "current": current,
            "ansible_facts": {f"ansible_{key}": value for key, value in names.items()},
        }

    def apply(self, machine: Machine, change: Change) -> State:
        for key, which in (("static", ["--pretty", "--static"]), ("current", ["--transient"])):
            if key in change.keys:
                machine.run(["hostnamectl", *which, "set-hostname", self.name])
        return None
