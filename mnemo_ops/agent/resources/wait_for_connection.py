"""wait_for_connection: until the host can be worked on."""

from __future__ import annotations

from typing import ClassVar, Mapping

from mnemo_ops.agent.base.record import dataclass
from mnemo_ops.agent.engine.resource import Resource


@dataclass(frozen=True)
class WaitForConnection(Resource):
    """The controller tries until the host answers; nothing is changed.

    :param timeout: seconds until it is a failure.
    :param delay: seconds before the first try.
    :param sleep: seconds between tries.
    :param connect_timeout: seconds each try may take.
    """

    kind: ClassVar[str] = "wait_for_connection"
    changes: ClassVar[bool] = False
    on_controller: ClassVar[bool] = True
    ALIASES: ClassVar[Mapping[str, str]] = {}
    EXAMPLE: ClassVar[str] = """\
- name: a server that has just been made
  wait_for_connection: {delay: 5, timeout: 300}
"""

    timeout: int = 600
    delay: int = 0
    sleep: int = 1
    connect_timeout: int = 5
