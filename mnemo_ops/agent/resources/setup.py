"""setup: the facts of a host, once more."""

from __future__ import annotations

import fnmatch
from typing import ClassVar, List, Mapping, Optional

from mnemo_ops.agent.base.record import dataclass
from mnemo_ops.agent.base.state import State
from mnemo_ops.agent.engine.resource import Resource
from mnemo_ops.agent.facts import gather as facts
from mnemo_ops.agent.machine import Machine


@dataclass(frozen=True)
class Setup(Resource):
    """Gathers facts, as the start of each play does; afterwards they are as the host is now.

    :param filter: only facts whose name matches one of these shell patterns, with ``ansible_`` or without.
    :param gather_subset: accepted and of no effect: gathering all of them takes some milliseconds.
    :param gather_timeout: accepted and of no effect: nothing is asked that could wait.
    """

    kind: ClassVar[str] = "setup"
    tells_facts: ClassVar[bool] = True
    ALIASES: ClassVar[Mapping[str, str]] = {}
    EXAMPLE: ClassVar[str] = """\
- name: memory, as it is now
  setup: {filter: ["ansible_mem*"]}
"""

    filter: Optional[List[str]] = None
    gather_subset: Optional[List[str]] = None
    gather_timeout: int = 10

    def desired(self) -> State:
        return {}

    def observe(self, machine: Machine) -> State:
        patterns = [name if name.startswith("ansible_") else f"ansible_{name}" for name in self.filter or ["*"]]
        found = {f"ansible_{name}": value for name, value in facts.gather(machine).items()}
        return {
            "ansible_facts": {
                name: value
                for name, value in found.items()
                if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
            }
        }
