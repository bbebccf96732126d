"""nfs_export: a directory other hosts may mount, compared with what the kernel exports."""

from __future__ import annotations

import ipaddress
import posixpath
import re
from typing import ClassVar, Dict, List, Literal, Mapping, Tuple

from mnemo_ops.agent.base.lines import each_line
from mnemo_ops.agent.base.record import dataclass
from mnemo_ops.agent.base.state import ABSENT, Change, State
from mnemo_ops.agent.engine.resource import Resource
from mnemo_ops.agent.machine import Machine
from mnemo_ops.errors import Broken, CommandFailed, NotYet, VerificationFailed

DIRECTORY = "/etc/exports.d"
WORLD = "*"
# exports(5) knows them, exportfs -v does not show them
HIDDEN = ("subtree_check", "acl", "no_acl", "auth_nlm", "no_auth_nlm", "pnfs", "no_pnfs")


@dataclass(frozen=True)
class NfsExport(Resource):
    """An export with a file of its own in /etc/exports.d; /etc/exports and the files of others are left alone.

    When the kernel does not export what was asked for, the old file is put back and loaded again.

    :param path: absolute path of a directory that exists.
    :param clients: addresses and networks; each may have options of its own, ``10.0.0.0/24(ro)``.
    :param options: exports(5) options of all clients without their own.
    :param allow_world: accept ``*`` as a client: anybody who reaches this host.
    :param state: ``present`` or ``absent``.
    """

    kind: ClassVar[str] = "nfs_export"
    ALIASES: ClassVar[Mapping[str, str]] = {}
    EXAMPLE: ClassVar[str] = """\
- name: documents, for the two hosts that need them
  nfs_export: {path: /srv/nfs/documents, clients: [10.0.0.11, 10.0.0.12]}
"""

    path: str
    clients: List[str]
    options: str = "rw,sync,no_subtree_check,root_squash"
    allow_world: bool = False
    state: Literal["present", "absent"] = "present"

    def __post_init__(self) -> None:
        if not self.path.startswith("/") or re.search(r'[\s"#\\]', self.path):
            raise ValueError("path must be absolute, without spaces and quotes")
        if re.search(r'[()\s"#\\]', self.options):
            raise ValueError("options must be words with commas between them")
        if not self.clients and self.state == "present":
            raise ValueError("clients is empty: no host could mount it")
        for client in self._parsed():
            if client == WORLD and not self.allow_world:
                raise ValueError(
                    "clients: * lets in everybody who reaches this host; give networks, or allow_world: true"
                )
            if client != WORLD:
                ipaddress.ip_network(client)  # ValueError says what is wrong with it

    def _parsed(self) -> Dict[str, List[str]]:
        """Client to its options."""
        found = {}
        for text in self.clients:
            match = re.fullmatch(r"([^()\s]+)(?:\(([^()\s]*)\))?", text.strip())
            if match is None:
                raise ValueError(f"clients: {text!r} should be an address or network, with options in brackets perhaps")
            found[match[1]] = [word for word in (match[2] or self.options).split(",") if word]
        return found

    @property
    def _file(self) -> str:
        return posixpath.join(DIRECTORY, "mnemo" + re.sub(r"[^\w.]+", "-", self.path) + ".exports")

    def _text(self) -> str:
        clients = " ".join(f"{client}({','.join(words)})" for client, words in self._parsed().items())
        return f"{self.path} {clients}\n"

    def desired(self) -> State:
        if self.state == "absent":
            return ABSENT
        shown = {name: [word for word in words if word not in HIDDEN] for name, words in self._parsed().items()}
        return {"file": self._text(), "exported": shown}

    def observe(self, machine: Machine) -> State:
        """:raises NotYet: there is no such directory (6)."""
        text = machine.read_text(self._file)
        if self.state == "absent":
            return ABSENT if text is None else {"file": text}
        stat = machine.stat(self.path, follow=True)
        if stat is None or stat.kind != "directory":
            raise NotYet(f"the directory {self.path} does not exist")
        exported = self._exported(machine)
        if text is None and not exported:
            return ABSENT
        wanted = (self.desired() or {})["exported"]
        kept = {name: [word for word in wanted.get(name, words) if word in words] for name, words in exported.items()}
        return {"file": text, "exported": kept, "path": self.path}

    def _exported(self, machine: Machine) -> Dict[str, Tuple[str, ...]]:
        """What the kernel exports of this path: client to options."""
        if machine.which("exportfs") is None:
            return {}
        done = machine.ask(["exportfs", "-v"], check=False)
        if done.rc != 0:
            raise Broken(f"exportfs does not answer: {done.err.strip()[-500:]}")
        lines = each_line(re.sub(r"\n\s+", " ", done.out))  # a long path stands on a line of its own
        rows = (re.match(r"(\S+)\s+(\S+?)\((.*?)\)", line) for line in lines)
        mine = [row for row in rows if row is not None and row[1] == self.path]
        return {row[2].replace("<world>", WORLD): tuple(row[3].split(",")) for row in mine}

    def apply(self, machine: Machine, change: Change) -> State:
        if machine.which("exportfs") is None:
            raise Broken("exportfs is not installed on this host", hint="apt: {name: nfs-kernel-server}")
        old = machine.read(self._file)
        if change.deletes:
            machine.write(self._file, b"")  # it stays until the kernel has been told: a run that is cut is noticed
            machine.run(["exportfs", "-ra"])
            machine.remove(self._file)
            return None
        machine.mkdir(DIRECTORY)
        machine.write(self._file, self._text().encode(), fresh=0o644)
        done = machine.run(["exportfs", "-ra"], check=False)
        left = Change.between(self.observe(machine), self.desired())
        if done.rc == 0 and not left:
            return None
        self._restore(machine, old)
        said = done.err.strip()[-1000:]
        if done.rc != 0:
            raise CommandFailed(f"exportfs refuses the export: {said}; the previous exports are active again")
        shown, asked = ((side or {}).get("exported") for side in (left.before, left.after))
        why = f"the kernel exports {shown}, asked for {asked}: {said or 'exportfs said nothing'}"
        raise VerificationFailed(f"{why}; the previous exports are active again")

    def _restore(self, machine: Machine, old: object) -> None:
        if isinstance(old, bytes):
            machine.write(self._file, old, fresh=0o644)
        else:
            machine.remove(self._file)
        machine.run(["exportfs", "-ra"], check=False)
