"""package: packages by whatever package manager the host has."""

from __future__ import annotations

from typing import ClassVar, List, Literal, Mapping, Union

from mnemo_ops.agent.base.lines import refuse_options
from mnemo_ops.agent.base.record import dataclass
from mnemo_ops.agent.base.state import ABSENT, Change, State
from mnemo_ops.agent.engine.resource import Resource
from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.resources.apt import Apt
from mnemo_ops.agent.resources.dnf import Dnf
from mnemo_ops.errors import Broken

STATES = {"installed": "present", "removed": "absent"}


@dataclass(frozen=True)
class Package(Resource):
    """Packages that are installed, or not, through apt or dnf. Names differ between distributions and stay as given.

    :param name: packages, each ``NAME``, or with a version as the package manager writes it.
    :param state: ``present`` (or ``installed``), ``latest`` or ``absent`` (or ``removed``).
    :param update_cache: refresh the package index first.
    :param use: ``auto``, or the package manager's name.
    """

    kind: ClassVar[str] = "package"
    ALIASES: ClassVar[Mapping[str, str]] = {"pkg": "name"}
    EXAMPLE: ClassVar[str] = """\
- name: a tool that has the same name everywhere
  package: {name: rsync, state: present}
"""

    name: Union[List[str], str]
    state: Literal["present", "installed", "latest", "absent", "removed"] = "present"
    update_cache: bool = False
    use: Literal["auto", "apt", "dnf", "dnf5", "yum"] = "auto"

    def __post_init__(self) -> None:
        refuse_options(name=self.name)

    def _apt(self) -> Apt:
        state = STATES.get(self.state, self.state)
        return Apt(name=self.name, state=state, update_cache=self.update_cache)  # type: ignore[arg-type]

    def _manager(self, machine: Machine) -> Union[Apt, Dnf, None]:
        use = self.use
        if use == "auto":
            use = "apt" if machine.which("apt-get") else "dnf"
        if use == "apt":
            return self._apt() if machine.which("apt-get") else None
        return Dnf(name=self.name, state=self.state, update_cache=self.update_cache) if machine.which("dnf") else None

    def desired(self) -> State:
        return self._apt().desired()

    def observe(self, machine: Machine) -> State:
        manager = self._manager(machine)
        return ABSENT if manager is None else manager.observe(machine)

    def apply(self, machine: Machine, change: Change) -> State:
        manager = self._manager(machine)
        if manager is None:
            raise Broken("this host has neither apt nor dnf")
        return manager.apply(machine, change)
