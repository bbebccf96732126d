"""user: a user, its groups and its home."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, ClassVar, Dict, List, Literal, Mapping, Optional, Set, Union

from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.resource import Resource
from mnemo_ops.agent.state import ABSENT, Change, State


@dataclass(frozen=True)
class User(Resource):
    """A user in /etc/passwd; what is not given stays as it is.

    :param name: login name.
    :param uid: its number.
    :param group: primary group, name or number; must exist.
    :param groups: further groups, all of them unless ``append``; ``[]`` or ``""`` removes it from every one.
    :param append: only add to ``groups``.
    :param shell: login shell.
    :param home: home directory; an existing one is not moved.
    :param create_home: make the home directory when it is missing.
    :param system: a new one gets a number of the system's range.
    :param comment: full name (GECOS).
    :param password: the hash crypt(3) made (``$6$...``), never the password; reported as a sha256 of it.
    :param update_password: ``on_create`` leaves the password of an existing user alone.
    :param state: ``present`` or ``absent``.
    :param remove: with ``absent``, remove its home and mail as well.
    """

    kind: ClassVar[str] = "user"
    ALIASES: ClassVar[Mapping[str, str]] = {"user": "name", "createhome": "create_home"}
    EXAMPLE: ClassVar[str] = """\
- name: who deploys
  user: {name: deploy, groups: [sudo], append: true, shell: /bin/bash}
"""

    name: str
    uid: Optional[int] = None
    group: Optional[Union[str, int]] = None
    groups: Optional[Union[List[str], str]] = None
    append: bool = False
    shell: Optional[str] = None
    home: Optional[str] = None
    create_home: bool = True
    system: bool = False
    comment: Optional[str] = None
    password: Optional[str] = None
    update_password: Literal["always", "on_create"] = "always"
    state: Literal["present", "absent"] = "present"
    remove: bool = False

    def __post_init__(self) -> None:
        if self.password is not None and (":" in self.password or "\n" in self.password):
            raise ValueError("password must be a hash as crypt(3) makes it")

    def _groups(self) -> List[str]:
        names = self.groups.split(",") if isinstance(self.groups, str) else self.groups or []
        return sorted({name.strip() for name in names if name.strip()})

    def desired(self) -> State:
        if self.state == "absent":
            return ABSENT
        declared: Dict[str, Any] = {
            "uid": self.uid,
            "group": None if self.group is None else str(self.group),
            "groups": None if self.groups is None else self._groups(),
            "shell": self.shell,
            "home": self.home,
            "comment": self.comment,
            "password": None if self.password is None else _digest(self.password),
            "home_exists": True if self.create_home else None,
        }
        return {"name": self.name, **{key: value for key, value in declared.items() if value is not None}}

    def observe(self, machine: Machine) -> State:
        row = machine.accounts("passwd").get(self.name)
        if row is None:
            return ABSENT
        groups = machine.accounts("group")
        primary = next((name for name, group in groups.items() if group[2] == row[3]), row[3])
        member = sorted(name for name, group in groups.items() if self.name in group[3].split(",") and name != primary)
        if self.append:  # being in others, too, is fine
            member = [name for name in self._groups() if name in (*member, primary)]
        elif primary in self._groups():
            member = sorted({*member, primary})
        return {
            "name": self.name,
            "uid": int(row[2]),
            "group": row[3] if str(self.group).isdigit() else primary,
            "groups": member,
            "comment": row[4],
            "home": row[5],
            "shell": row[6],
            "password": self._password(machine),
            "home_exists": machine.stat(row[5], follow=True) is not None,
        }

    def _password(self, machine: Machine) -> Optional[str]:
        if self.password is None:
            return None
        shadow = machine.accounts("shadow").get(self.name)
        if shadow is None or shadow[1] in ("", "!", "!!", "*"):  # never set: a run may have been cut after useradd
            return None
        return _digest(self.password if self.update_password == "on_create" else shadow[1])

    def apply(self, machine: Machine, change: Change) -> State:
        if change.deletes:
            machine.run(["userdel", *(["-r"] if self.remove else []), self.name])
            return None
        keys = set(change.keys)
        if change.creates:
            self._create(machine)
        elif keys - {"password", "home_exists"}:
            adding = ["-a"] if self.append and "groups" in keys else []
            machine.run(["usermod", *adding, *self._options(keys), self.name])
        if self.password is not None and "password" in keys:  # by stdin: an argument would be seen by everybody
            machine.run(["chpasswd", "-e"], data=f"{self.name}:{self.password}\n".encode())
        if self.create_home and not (self.observe(machine) or {}).get("home_exists"):  # a new home, too
            machine.run(["mkhomedir_helper", self.name])
        return None

    def _create(self, machine: Machine) -> None:
        options = ["-m" if self.create_home else "-M", *(["-r"] if self.system else [])]
        if self.group is None and self.name in machine.accounts("group"):
            options.append("-N")  # a group of that name exists: none is made for the user
        keys = {"uid", "group", "groups", "shell", "home", "comment"}
        machine.run(["useradd", *options, *self._options(keys), self.name])

    def _options(self, keys: Set[str]) -> List[str]:
        wanted = self.desired() or {}
        flags = {"uid": "-u", "group": "-g", "shell": "-s", "home": "-d", "comment": "-c"}
        named = [key for key in flags if key in keys and key in wanted]
        words = [word for key in named for word in (flags[key], str(wanted[key]))]
        return [*words, "-G", ",".join(self._groups())] if "groups" in keys and "groups" in wanted else words


def _digest(secret: str) -> str:
    return "sha256:" + hashlib.sha256(secret.encode()).hexdigest()
