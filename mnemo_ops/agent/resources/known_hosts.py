"""known_hosts: which keys other hosts have."""

from __future__ import annotations

import posixpath
from typing import ClassVar, List, Literal, Mapping, Optional, Set

from mnemo_ops.agent.base.lines import each_line
from mnemo_ops.agent.base.record import dataclass
from mnemo_ops.agent.base.state import Change, State
from mnemo_ops.agent.engine.resource import Resource
from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.system.ssh_keys import Key, hashed, names, parse, parse_all
from mnemo_ops.errors import NotYet


@dataclass(frozen=True)
class KnownHosts(Resource):
    """Lines of a known_hosts file; a host has one key of each type.

    :param name: the host as ssh looks it up: ``name``, or ``[name]:port``.
    :param key: its key with its name before it, as ssh-keyscan(1) prints; several lines for several types.
        Not needed for ``absent``: then every key of the host goes.
    :param path: the file.
    :param hash_host: keep a hash instead of the name.
    :param state: ``present`` or ``absent``.
    """

    kind: ClassVar[str] = "known_hosts"
    ALIASES: ClassVar[Mapping[str, str]] = {"host": "name"}
    EXAMPLE: ClassVar[str] = """\
- name: where the code comes from
  known_hosts:
    name: git.example.org
    key: git.example.org ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJnWJHJrZDqzOVbMT1F/8L0d8cVbOJ5IUsZ1sgzKHS4o
    path: /etc/ssh/ssh_known_hosts
"""

    name: str
    key: Optional[str] = None
    path: str = "~/.ssh/known_hosts"
    hash_host: bool = False
    state: Literal["present", "absent"] = "present"

    def __post_init__(self) -> None:
        if self.key is None and self.state == "present":
            raise ValueError("key is missing")
        for key in self._keys():
            if not names(key, self._host):
                raise ValueError(f"the key is not about {self._host}: it begins with {key.before[:60]!r}")

    @property
    def _host(self) -> str:
        return self.name.lower()

    def _keys(self) -> List[Key]:
        return parse_all(self.key or "")

    def desired(self) -> State:
        return {"state": self.state}

    def target(self, observed: State) -> State:
        lines: List[str] = list((observed or {}).get("lines", ()))
        if self.state == "absent":
            gone = {key.blob for key in self._keys()}
            return {"lines": [line for line in lines if not self._is_mine(line, gone)]}
        for key in self._keys():
            mine = [line for line in lines if self._is_mine(line) and _type(line) == key.type]
            if not any(self._fits(line, key) for line in mine) or len(mine) > 1:
                lines = [line for line in lines if line not in mine]
                lines.append(self._line(key))
        return {"lines": lines}

    def _is_mine(self, line: str, blobs: Optional[Set[str]] = None) -> bool:
        key = parse(line)
        return key is not None and names(key, self._host) and (not blobs or key.blob in blobs)

    def _fits(self, line: str, key: Key) -> bool:
        found = parse(line)
        return found is not None and found.blob == key.blob and (found.before.startswith("|1|") or not self.hash_host)

    def _line(self, key: Key) -> str:
        """The salt comes from the key, so that the same is asked for always in the same words."""
        if not self.hash_host or key.before.startswith("|1|"):
            return key.line()
        import hashlib

        salt = hashlib.sha1(f"{self._host} {key.blob}".encode()).digest()
        return key._replace(before=hashed(self._host, salt)).line()

    def observe(self, machine: Machine) -> State:
        text = machine.read_text(self._path(machine)) or ""
        return {"lines": each_line(text), "name": self.name, "path": self.path, "state": self.state}

    def _path(self, machine: Machine) -> str:
        return machine.expanded(self.path)

    def apply(self, machine: Machine, change: Change) -> State:
        path = self._path(machine)
        if machine.stat(posixpath.dirname(path), follow=True) is None:
            raise NotYet(f"the directory {posixpath.dirname(path)} does not exist", hint="make it with a file task")
        lines = (change.after or {})["lines"]
        text = "".join(line + "\n" for line in lines)
        machine.write(path, text.encode(), fresh=0o644)
        return None


def _type(line: str) -> str:
    key = parse(line)
    return key.type if key is not None else ""
