"""wait_for: until a port, a file or a text is there, or gone."""

from __future__ import annotations

import re
from typing import Any, ClassVar, Dict, List, Literal, Mapping, Optional

from mnemo_ops.agent.base.record import dataclass
from mnemo_ops.agent.base.state import Change, State
from mnemo_ops.agent.engine.resource import Resource
from mnemo_ops.agent.machine import Machine
from mnemo_ops.errors import Broken, StepFailed

# include/net/tcp_states.h of Linux, as /proc/net/tcp shows them
STATES = {"ESTABLISHED": 1, "SYN_SENT": 2, "SYN_RECV": 3, "FIN_WAIT1": 4, "FIN_WAIT2": 5, "TIME_WAIT": 6}
ANY = ("0.0.0.0", "::")


@dataclass(frozen=True)
class WaitFor(Resource):
    """Changes nothing; without a port or a path it sleeps for ``timeout`` seconds.

    :param host: name or address, as this host sees it.
    :param port: TCP port.
    :param path: file, instead of a port.
    :param state: ``started`` or ``present``: open, there; ``stopped`` or ``absent``: closed, gone; ``drained``: nobody
        is connected to the port any more.
    :param search_regex: with ``started``: until this is in the file, or in what the service says by itself.
    :param timeout: seconds until it is a failure.
    :param delay: seconds before the first look.
    :param sleep: seconds between looks.
    :param connect_timeout: seconds a connection may take.
    :param msg: what to say instead when the time is up.
    :param active_connection_states: what counts as connected, for ``drained``.
    :param exclude_hosts: who does not count, for ``drained``.
    """

    kind: ClassVar[str] = "wait_for"
    changes: ClassVar[bool] = False
    ALIASES: ClassVar[Mapping[str, str]] = {}
    EXAMPLE: ClassVar[str] = """\
- name: the api answers
  wait_for: {port: 8000, timeout: 60}
- name: the first backup is there
  wait_for: {path: /srv/backups/manifest.json, search_regex: '"complete": true'}
"""

    host: str = "127.0.0.1"
    port: Optional[int] = None
    path: Optional[str] = None
    state: Literal["started", "stopped", "present", "absent", "drained"] = "started"
    search_regex: Optional[str] = None
    timeout: int = 300
    delay: int = 0
    sleep: int = 1
    connect_timeout: int = 5
    msg: Optional[str] = None
    active_connection_states: Optional[List[str]] = None
    exclude_hosts: Optional[List[str]] = None

    def __post_init__(self) -> None:
        if self.port is not None and self.path is not None:
            raise ValueError("port and path exclude each other")
        if self.state == "drained" and self.port is None:
            raise ValueError("state drained needs a port")
        if self.exclude_hosts and self.state != "drained":
            raise ValueError("exclude_hosts goes with state drained")
        if set(self.active_connection_states or ()) - set(STATES):
            raise ValueError(f"active_connection_states are among {', '.join(STATES)}")
        re.compile(self.search_regex or "")

    def desired(self) -> State:
        return {"state": self.state}

    def observe(self, machine: Machine) -> State:
        """A state that is there already needs no waiting; a delay is waited for all the same."""
        looked = not self.delay and (self.port is not None or self.path is not None)
        found = self._look(machine) if looked else None
        return {"state": "waiting"} if found is None else self._record(found, 0.0)

    def apply(self, machine: Machine, change: Change) -> State:
        began, found = machine.now(), None
        machine.sleep(self.delay)
        if self.port is None and self.path is None:
            machine.sleep(max(self.timeout - self.delay, 0))
            return self._record({}, machine.now() - began)

        def met() -> bool:
            nonlocal found
            found = self._look(machine)
            return found is not None

        what = self.path or f"{self.host}:{self.port}"
        try:
            machine.wait_until(f"{what} {self.state}", met, max(self.timeout - self.delay, 0), pause=self.sleep)
        except Broken as error:
            raise StepFailed(self.msg or f"{error.message}: {self._goal(what)}") from None
        return self._record(found or {}, machine.now() - began)

    def _goal(self, what: str) -> str:
        return f"{what} does not hold {self.search_regex!r}" if self.search_regex else f"{what} is not {self.state}"

    def _record(self, found: Dict[str, Any], elapsed: float) -> Dict[str, Any]:
        asked = {"port": self.port, "path": self.path, "search_regex": self.search_regex}
        return {
            "state": self.state,
            "elapsed": int(elapsed),
            "match_groups": [],
            "match_groupdict": {},
            **asked,
            **found,
        }

    def _look(self, machine: Machine) -> Optional[Dict[str, Any]]:
        """What was found; ``None``: it is not so yet."""
        wanted = self.state in ("started", "present")
        if self.state == "drained":
            return None if self._connected(machine) else {}
        if self.search_regex and wanted:
            return self._search(machine)
        if self.path is not None:
            return {} if (machine.stat(machine.expanded(self.path), follow=True) is not None) == wanted else None
        assert self.port is not None
        return {} if machine.reaches(self.host, self.port, self.connect_timeout) == wanted else None

    def _search(self, machine: Machine) -> Optional[Dict[str, Any]]:
        pattern = re.compile(self.search_regex or "", re.MULTILINE)
        text = ""

        def enough(said: bytes) -> bool:
            nonlocal text
            text = said.decode("utf-8", "replace")
            return pattern.search(text) is not None

        if self.path is not None:
            enough(machine.read(machine.expanded(self.path)) or b"")
        elif self.port is not None:
            machine.hears(self.host, self.port, self.connect_timeout, enough)
        match = pattern.search(text) if text else None
        return None if match is None else {"match_groups": list(match.groups()), "match_groupdict": match.groupdict()}

    def _connected(self, machine: Machine) -> bool:
        numbers = {STATES[name] for name in self.active_connection_states or STATES}
        mine = {*machine.numbers(self.host), *ANY}
        excluded = {number for name in self.exclude_hosts or () for number in machine.numbers(name)}
        return any(
            here in mine | {self.host} and port == self.port and state in numbers and there not in excluded
            for here, port, there, state in machine.connections()
        )
