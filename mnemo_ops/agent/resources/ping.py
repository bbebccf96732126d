"""ping: whether the agent answers on this host."""

from __future__ import annotations

from typing import ClassVar, Mapping

from mnemo_ops.agent.base.record import dataclass
from mnemo_ops.agent.base.state import State
from mnemo_ops.agent.engine.resource import Resource
from mnemo_ops.agent.machine import Machine
from mnemo_ops.errors import StepFailed


@dataclass(frozen=True)
class Ping(Resource):
    """A connection, a Python and an agent: all of it works when this answers.

    :param data: what it answers; ``crash`` fails.
    """

    kind: ClassVar[str] = "ping"
    ALIASES: ClassVar[Mapping[str, str]] = {}
    EXAMPLE: ClassVar[str] = """\
- name: who is there
  ping: {}
"""

    data: str = "pong"

    def desired(self) -> State:
        return {}

    def observe(self, machine: Machine) -> State:
        if self.data == "crash":
            raise StepFailed("boom", hint="data: crash asks for this")
        return {"ping": self.data}
