"""meta: what concerns the run, not the host."""

from __future__ import annotations

from typing import ClassVar, Literal, Mapping

from mnemo_ops.agent.base.record import dataclass
from mnemo_ops.agent.engine.resource import Resource


@dataclass(frozen=True)
class Meta(Resource):
    """A word to the run itself.

    :param action: ``flush_handlers``: run what was notified, now; ``end_host``, ``end_play``, ``end_batch``: stop here
        without failing; ``noop``, ``reset_connection``, ``clear_facts``, ``clear_host_errors``: nothing to do here.
    """

    kind: ClassVar[str] = "meta"
    on_controller: ClassVar[bool] = True
    ALIASES: ClassVar[Mapping[str, str]] = {}
    FREE_FORM: ClassVar[str] = "action"
    EXAMPLE: ClassVar[str] = """\
- meta: flush_handlers
- meta: end_host
  when: ansible_virtualization_type == "container"
"""

    action: Literal[
        "flush_handlers",
        "end_host",
        "end_play",
        "end_batch",
        "noop",
        "reset_connection",
        "clear_facts",
        "clear_host_errors",
    ]
