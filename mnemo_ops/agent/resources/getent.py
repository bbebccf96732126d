"""getent: entries of the host's databases: users, groups, hosts, services."""

from __future__ import annotations

from typing import Any, ClassVar, Dict, Mapping, Optional

from mnemo_ops.agent.base.lines import each_line, refuse_options
from mnemo_ops.agent.base.record import dataclass
from mnemo_ops.agent.base.state import State
from mnemo_ops.agent.engine.resource import Resource
from mnemo_ops.agent.machine import Machine
from mnemo_ops.errors import Broken, NotYet

WITH_COLONS = ("passwd", "shadow", "group", "gshadow")


@dataclass(frozen=True)
class Getent(Resource):
    """Reads a database as getent(1) does; the result is the fact ``getent_DATABASE``: key to its other fields.

    :param database: passwd, group, hosts, services, ...
    :param key: only this entry.
    :param split: what separates fields; default: ``:`` in passwd, shadow, group and gshadow, else white space.
    :param fail_key: a missing key is a failure; else its value is ``null``.
    :param service: ask this service (files, sss, ...) instead of those of nsswitch.conf(5).
    """

    kind: ClassVar[str] = "getent"
    tells_facts: ClassVar[bool] = True
    ALIASES: ClassVar[Mapping[str, str]] = {}
    EXAMPLE: ClassVar[str] = """\
- name: where the deploying user lives (getent_passwd.deploy[4])
  getent: {database: passwd, key: deploy}
"""

    database: str
    key: Optional[str] = None
    split: Optional[str] = None
    fail_key: bool = True
    service: Optional[str] = None

    def __post_init__(self) -> None:
        refuse_options(database=self.database)

    def desired(self) -> State:
        return {}

    def observe(self, machine: Machine) -> State:
        """:raises Broken: no such database, or it cannot be listed. :raises NotYet: no such key (6)."""
        service = [] if self.service is None else ["-s", self.service]
        key = [] if self.key is None else ["--", self.key]
        done = machine.ask(["getent", *service, self.database, *key], check=False)
        if done.rc not in (0, 2):
            said = each_line(done.err.strip())[:1] or [f"getent ended with {done.rc}"]
            raise Broken(f"the database {self.database} cannot be read: {said[0]}")
        found = self._entries(done.out)
        if done.rc == 2 and self.key is not None:
            if self.fail_key:
                raise NotYet(f"{self.database} has no entry {self.key}", hint="fail_key: false")
            found = {self.key: None}
        return {"ansible_facts": {f"getent_{self.database}": found}}

    def _entries(self, text: str) -> Dict[str, Any]:
        """A key that comes more than once (hosts) has a list of its entries."""
        separator = self.split or (":" if self.database in WITH_COLONS else None)
        rows: Dict[str, Any] = {}
        for line in each_line(text):
            first, *rest = line.split(separator) or [""]
            rows.setdefault(first, []).append(rest)
        return {name: entries[0] if len(entries) == 1 else entries for name, entries in rows.items()}
