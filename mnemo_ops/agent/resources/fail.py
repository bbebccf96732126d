"""fail: a failure on purpose."""

from __future__ import annotations

from typing import ClassVar, Mapping

from mnemo_ops.agent.base.record import dataclass
from mnemo_ops.agent.engine.resource import Resource


@dataclass(frozen=True)
class Fail(Resource):
    """End the play on this host, with a reason.

    :param msg: the reason.
    """

    kind: ClassVar[str] = "fail"
    on_controller: ClassVar[bool] = True
    ALIASES: ClassVar[Mapping[str, str]] = {}
    EXAMPLE: ClassVar[str] = """\
- name: no upgrade over two versions
  fail: {msg: "upgrade to {{ wanted - 1 }} first"}
  when: wanted - installed > 1
"""

    msg: str = "Failed as requested from task"
