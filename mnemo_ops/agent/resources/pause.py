"""pause: a wait of so many seconds."""

from __future__ import annotations

from typing import ClassVar, Mapping, Optional

from mnemo_ops.agent.base.record import dataclass
from mnemo_ops.agent.engine.resource import Resource


@dataclass(frozen=True)
class Pause(Resource):
    """Wait on the way, as long as it says; a play never asks a question.

    :param seconds: how long.
    :param minutes: how long, in minutes.
    """

    kind: ClassVar[str] = "pause"
    on_controller: ClassVar[bool] = True
    ALIASES: ClassVar[Mapping[str, str]] = {}
    EXAMPLE: ClassVar[str] = """\
- name: the load balancer looks every ten seconds
  pause: {seconds: 15}
"""

    seconds: Optional[float] = None
    minutes: Optional[float] = None

    def __post_init__(self) -> None:
        if (self.seconds is None) == (self.minutes is None):
            raise ValueError("give either seconds or minutes")
