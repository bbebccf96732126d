"""modprobe: a module of the kernel, loaded now and after a reboot."""

from __future__ import annotations

import re
import shlex
from typing import Any, ClassVar, Dict, List, Literal, Mapping, Optional, Pattern

from mnemo_ops.agent.base.lines import each_line, refuse_lines, refuse_options
from mnemo_ops.agent.base.record import dataclass
from mnemo_ops.agent.base.state import ABSENT, Change, State
from mnemo_ops.agent.engine.resource import Resource
from mnemo_ops.agent.machine import Machine

LOADED, OPTIONS = "/etc/modules-load.d", "/etc/modprobe.d"


@dataclass(frozen=True)
class Modprobe(Resource):
    """A module that is loaded, or not; one built into the kernel is always loaded.

    :param name: the module.
    :param state: ``present`` or ``absent``.
    :param params: its parameters, as ``NAME=VALUE`` with spaces between; those of a loaded module are not changed.
    :param persistent: ``present``: loaded at boot, with ``params``; ``absent``: not any more; ``disabled``: as it is.
    """

    kind: ClassVar[str] = "modprobe"
    ALIASES: ClassVar[Mapping[str, str]] = {}
    EXAMPLE: ClassVar[str] = """\
- name: bridged packets pass the firewall
  modprobe: {name: br_netfilter, persistent: present}
"""

    name: str
    state: Literal["present", "absent"] = "present"
    params: str = ""
    persistent: Literal["disabled", "present", "absent"] = "disabled"

    def __post_init__(self) -> None:
        refuse_options(name=self.name, params=self.params)
        refuse_lines(name=self.name, params=self.params)

    def desired(self) -> State:
        found: Dict[str, Any] = {"state": self.state}
        if self.persistent != "disabled":
            found["persistent"] = self.persistent
            found["options"] = sorted(set(shlex.split(self.params))) if self.persistent == "present" else []
        return found

    def observe(self, machine: Machine) -> State:
        if machine.which("modprobe") is None:
            return ABSENT
        at_boot = any(self._is_loading.fullmatch(line) for line in self._lines(machine, LOADED))
        given = (self._is_option.fullmatch(line) for line in self._lines(machine, OPTIONS))
        return {
            "name": self.name,
            "params": self.params,
            "state": "present" if self._loaded(machine) else "absent",
            "persistent": "present" if at_boot else "absent",
            "options": sorted({word for found in given if found for word in found[1].split()}),
        }

    def _loaded(self, machine: Machine) -> bool:
        name = self.name.replace("-", "_")
        modules = each_line(machine.read_text("/proc/modules") or "")
        release = (machine.read_text("/proc/sys/kernel/osrelease") or "").strip()
        built_in = each_line(machine.read_text(f"/lib/modules/{release}/modules.builtin") or "")
        files = (line.rpartition("/")[2].partition(".")[0].replace("-", "_") for line in built_in)
        return name in (line.split(" ", 1)[0] for line in modules) or name in files

    @property
    def _is_loading(self) -> Pattern[str]:
        return re.compile(rf"\s*{re.escape(self.name)}\s*(?:[#;].*)?")

    @property
    def _is_option(self) -> Pattern[str]:
        return re.compile(rf"options {re.escape(self.name)} ([^#;]*?)\s*(?:[#;].*)?")

    def _lines(self, machine: Machine, directory: str) -> List[str]:
        texts = (machine.read_text(f"{directory}/{name}") or "" for name in machine.names(directory))
        return [line for text in texts for line in each_line(text)]

    def apply(self, machine: Machine, change: Change) -> State:
        if "options" in change.keys:
            self._comment_out(machine, OPTIONS, self._is_option)
            lines = [f"options {self.name} {word}\n" for word in shlex.split(self.params)]
            self._write(machine, OPTIONS, lines if self.persistent == "present" else [])
        if "persistent" in change.keys:
            if self.persistent == "absent":
                self._comment_out(machine, LOADED, self._is_loading)
            else:
                self._write(machine, LOADED, [self.name + "\n"])
        if "state" in change.keys:
            given = shlex.split(self.params)
            machine.run(["modprobe", self.name, *given] if self.state == "present" else ["modprobe", "-r", self.name])
        return None

    def _write(self, machine: Machine, directory: str, lines: List[str]) -> None:
        if lines:
            machine.mkdir(directory)
            machine.write(f"{directory}/{self.name}.conf", "".join(lines).encode(), fresh=0o644)

    def _comment_out(self, machine: Machine, directory: str, pattern: Pattern[str]) -> None:
        for name in machine.names(directory):
            old: Optional[str] = machine.read_text(f"{directory}/{name}")
            lines = each_line(old or "")
            new = ["#" + line if pattern.fullmatch(line) else line for line in lines]
            if new != lines:
                machine.write(f"{directory}/{name}", "".join(line + "\n" for line in new).encode())
