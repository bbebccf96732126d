"""assert: conditions that must hold."""

from __future__ import annotations

from typing import Any, ClassVar, List, Mapping, Optional, Union

from mnemo_ops.agent.base.record import dataclass, field
from mnemo_ops.agent.engine.resource import Resource


@dataclass(frozen=True)
class Assert(Resource):
    """What must be true, or the play ends on this host.

    :param that: expressions as in ``when``, all of which must hold.
    :param fail_msg: what to say when one does not.
    :param success_msg: what to say when all do.
    :param quiet: say nothing when all hold.
    """

    kind: ClassVar[str] = "assert"
    on_controller: ClassVar[bool] = True
    changes: ClassVar[bool] = False
    ALIASES: ClassVar[Mapping[str, str]] = {"msg": "fail_msg"}
    EXAMPLE: ClassVar[str] = """\
- name: this is a server we know
  assert:
    that: [ansible_distribution == "Debian", ansible_memtotal_mb | int >= 2048]
    fail_msg: the stack needs Debian and 2 GB of memory
"""

    that: Union[str, bool, List[Any]] = field(metadata={"expression": True})
    fail_msg: Optional[Any] = None
    success_msg: Optional[Any] = None
    quiet: bool = False
