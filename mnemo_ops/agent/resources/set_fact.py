"""set_fact: variables given a value on the way."""

from __future__ import annotations

from typing import ClassVar, Mapping

from mnemo_ops.agent.base.record import dataclass
from mnemo_ops.agent.engine.resource import Resource


@dataclass(frozen=True)
class SetFact(Resource):
    """Variables for this host, from here to the end of the run.

    :param cacheable: also a fact, in ``ansible_facts``.
    """

    kind: ClassVar[str] = "set_fact"
    on_controller: ClassVar[bool] = True
    ALIASES: ClassVar[Mapping[str, str]] = {}
    OPEN: ClassVar[bool] = True  # any other argument is the name of a variable
    EXAMPLE: ClassVar[str] = """\
- name: where today's backup goes
  set_fact:
    backup_directory: "/srv/backup/{{ ansible_date_time.date }}"
"""

    cacheable: bool = False
