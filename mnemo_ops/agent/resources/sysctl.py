"""sysctl: a parameter of the kernel, in a file and in force."""

from __future__ import annotations

from typing import Any, ClassVar, Dict, List, Literal, Mapping, Optional, Tuple, Union

from mnemo_ops.agent.base.lines import each_line, refuse_lines, refuse_options
from mnemo_ops.agent.base.record import dataclass
from mnemo_ops.agent.base.state import ABSENT, Change, State
from mnemo_ops.agent.engine.resource import Resource
from mnemo_ops.agent.machine import Machine
from mnemo_ops.errors import CommandFailed

TRUE, FALSE = ("y", "yes", "on", "1", "true", "t", "1.0"), ("n", "no", "off", "0", "false", "f", "0.0")


@dataclass(frozen=True)
class Sysctl(Resource):
    """A line ``NAME=VALUE`` in a file of sysctl(8), loaded when it differs from what is in force.

    :param name: the parameter, like ``vm.swappiness``.
    :param value: its value.
    :param state: ``present`` or ``absent``; a line that is removed leaves the value in force as it is.
    :param reload: load the file when a line of it or the value in force differs.
    :param sysctl_set: set the value itself as well.
    :param sysctl_file: the file.
    :param ignoreerrors: it does not matter when the kernel does not know the parameter.
    """

    kind: ClassVar[str] = "sysctl"
    ALIASES: ClassVar[Mapping[str, str]] = {"key": "name", "val": "value"}
    EXAMPLE: ClassVar[str] = """\
- name: what redis asks for
  sysctl: {name: vm.overcommit_memory, value: 1, sysctl_file: /etc/sysctl.d/60-redis.conf}
"""

    name: str
    value: Optional[Union[bool, str, int]] = None
    state: Literal["present", "absent"] = "present"
    reload: bool = True
    sysctl_set: bool = False
    sysctl_file: str = "/etc/sysctl.conf"
    ignoreerrors: bool = False

    def __post_init__(self) -> None:
        refuse_options(name=self.name)
        refuse_lines(value=self._value)
        if not self._name or set("=#;\n") & set(self._name):
            raise ValueError("name should be a parameter of the kernel")
        if self.state == "present" and (self.value is None or not str(self.value).strip()):
            raise ValueError("value is missing")

    @property
    def _name(self) -> str:
        return self.name.strip()

    @property
    def _value(self) -> str:
        text = str(self.value).strip()
        return "1" if text.lower() in TRUE else "0" if text.lower() in FALSE else text

    @property
    def _live(self) -> bool:
        return self.state == "present" and (self.reload or self.sysctl_set)

    def desired(self) -> State:
        if self.state == "absent":
            return {"file": None}
        return {"file": self._value, **({"in_force": self._value} if self._live else {})}

    def observe(self, machine: Machine) -> State:
        if (self.reload or self.sysctl_set) and machine.which("sysctl") is None:
            return ABSENT
        values = [value for key, value in self._pairs(machine) if key == self._name]
        found: Dict[str, Any] = {"file": values[0] if values else None}
        if self._live:
            found["in_force"] = self._in_force(machine)
        return found

    def _in_force(self, machine: Machine) -> Optional[str]:
        """What the kernel says, in the words of the task when it means the same."""
        name = self._name
        dots, slashes = name.find("."), name.find("/")
        if slashes < 0 or 0 <= dots < slashes:  # the first separator says which one it is (sysctl(8))
            name = name.translate(str.maketrans("./", "/."))
        text = machine.read_text("/proc/sys/" + name)
        if text is None:
            return self._value if self.ignoreerrors else None
        return self._value if text.split() == self._value.split() else text.strip()

    def _pairs(self, machine: Machine) -> List[Tuple[str, str]]:
        """Each line's name and value; a line without is ('', the line)."""
        found = []
        for line in each_line(machine.read_text(self.sysctl_file) or ""):
            key, equals, value = line.strip().partition("=")
            said = equals and not line.lstrip().startswith(("#", ";"))
            found.append((key.strip(), value.strip()) if said else ("", line.strip()))
        return found

    def apply(self, machine: Machine, change: Change) -> State:
        skip = ["-e"] if self.ignoreerrors else []
        if "file" in change.keys:
            machine.mkdir(self.sysctl_file.rpartition("/")[0])
            machine.write(self.sysctl_file, self._text(machine).encode(), fresh=0o644)
        if self.sysctl_set and "in_force" in change.keys:
            self._run(machine, "sysctl", *skip, "-w", f"{self._name}={self._value}")
        if self.reload and machine.stat(self.sysctl_file, follow=True) is not None:
            self._run(machine, "sysctl", *skip, "-p", machine.path(self.sysctl_file))
        return None

    def _text(self, machine: Machine) -> str:
        """The file with this line once, where it was; of a name said twice, only the first stays."""
        wanted = {self._name: self._value} if self.state == "present" else {}
        lines: List[str] = []
        seen = set()
        for key, value in self._pairs(machine):
            if key == "":
                lines.append(value)
            elif key not in seen:
                seen.add(key)
                value = wanted.get(key, value)
                lines += [] if key == self._name and not wanted else [f"{key}={value}"]
        lines += [f"{key}={value}" for key, value in wanted.items() if key not in seen]
        return "".join(line + "\n" for line in lines)

    def _run(self, machine: Machine, *words: str) -> None:
        done = machine.run(words)
        if "setting key" in done.err:  # it may end with 0 although the kernel did not take the value
            raise CommandFailed(f"sysctl did not reach the kernel: {done.err.strip()}")
