"""Owner, group and mode as states: what is declared, what a path has, and the difference put right."""

from __future__ import annotations

from typing import Any, Dict, Optional, Tuple, Union

from mnemo_ops.agent.base.record import dataclass
from mnemo_ops.agent.files.mode import Mode, declared, resolve
from mnemo_ops.agent.machine import FileStat, Machine

Owner = Optional[Union[str, int]]


@dataclass(frozen=True)
class Permission:
    """What is declared; what is ``None`` is left as it is."""

    owner: Owner
    group: Owner
    mode: Mode

    @property
    def _key(self) -> str:
        """A symbolic mode is compared under a key of its own: ``mode`` is always a number for who registers it."""
        return "mode" if self.mode is None or declared(self.mode).isdigit() else "symbolic_mode"

    def desired(self) -> Dict[str, Any]:
        pairs = {
            "owner": None if self.owner is None else str(self.owner),
            "group": None if self.group is None else str(self.group),
            self._key: None if self.mode is None else declared(self.mode),
        }
        return {key: value for key, value in pairs.items() if value is not None}

    def observed(self, machine: Machine, stat: FileStat) -> Dict[str, Any]:
        """The same keys for what ``stat`` saw; what fits a declaration is written as it was declared.

        :raises NotYet: a declared user or group does not exist yet (6).
        """
        mode, uid, gid = self.resolved(machine, stat.mode, stat.kind == "directory")
        found: Dict[str, Any] = {}
        if uid is not None:
            found["owner"] = str(self.owner) if uid == stat.uid else name_of(machine, "passwd", stat.uid)
        if gid is not None:
            found["group"] = str(self.group) if gid == stat.gid else name_of(machine, "group", stat.gid)
        if self.mode is not None:
            found[self._key] = declared(self.mode) if mode == stat.mode else f"{stat.mode:04o}"
        return found

    def resolved(
        self, machine: Machine, current: int, is_directory: bool
    ) -> Tuple[Optional[int], Optional[int], Optional[int]]:
        """Mode, uid and gid as numbers; ``None``: not declared. :raises NotYet: no such user or group yet (6)."""
        return (
            None if self.mode is None else resolve(self.mode, current, is_directory),
            None if self.owner is None else machine.uid(str(self.owner)),
            None if self.group is None else machine.gid(str(self.group)),
        )

    def differs(self, machine: Machine, stat: FileStat) -> bool:
        return self.observed(machine, stat) != self.desired()

    def apply(self, machine: Machine, path: str, follow: bool = True) -> None:
        """Change what differs on ``path``; of a link that is not followed only the owner: its mode means nothing."""
        path = machine.realpath(path) if follow else path
        stat = machine.stat(path, follow)
        if stat is None:
            return
        mode, uid, gid = self.resolved(machine, stat.mode, stat.kind == "directory")
        if (uid is not None and uid != stat.uid) or (gid is not None and gid != stat.gid):
            machine.chown(path, -1 if uid is None else uid, -1 if gid is None else gid)
            stat = machine.stat(path, follow) or stat  # a change of owner drops setuid bits
        if mode is not None and mode != stat.mode and stat.kind != "link":
            machine.chmod(path, mode)


def described(machine: Machine, stat: FileStat) -> Dict[str, Any]:
    """What Ansible's file kinds return about a path, whatever was declared."""
    return {
        "uid": stat.uid,
        "gid": stat.gid,
        "owner": name_of(machine, "passwd", stat.uid),
        "group": name_of(machine, "group", stat.gid),
        "mode": f"{stat.mode:04o}",
        "size": stat.size,
        "state": stat.kind,
    }


def name_of(machine: Machine, database: str, number: int) -> str:
    """Name of a user (``passwd``) or ``group``; its number when it has none."""
    rows = machine.accounts(database).items()
    return next((name for name, row in rows if row[2] == str(number)), str(number))
