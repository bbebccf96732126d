"""user: a user, its groups, its home and its key."""

from __future__ import annotations

import posixpath
import time
from typing import Any, ClassVar, Dict, List, Literal, Mapping, Optional, Set, Union

from mnemo_ops.agent.base.lines import refuse_lines, refuse_options
from mnemo_ops.agent.base.record import dataclass
from mnemo_ops.agent.base.state import ABSENT, Change, State
from mnemo_ops.agent.engine.resource import Resource
from mnemo_ops.agent.machine import Machine, hashing

# field -> its place in shadow(5) and the option of chage(1)
AGEING = {
    "password_expire_min": (3, "-m"),
    "password_expire_max": (4, "-M"),
    "password_expire_warn": (5, "-W"),
    "password_expire_account_disable": (6, "-I"),
}
UNSET = ("", "!", "!!", "*")
DAY = 86400  # seconds


@dataclass(frozen=True)
class User(Resource):
    """A user in /etc/passwd; what is not given stays as it is.

    :param name: login name.
    :param uid: its number.
    :param non_unique: the number may be another user's, too.
    :param group: primary group, name or number; must exist.
    :param groups: further groups, all of them unless ``append``; ``[]`` or ``""`` removes it from every one.
    :param append: only add to ``groups``.
    :param shell: login shell.
    :param home: home directory.
    :param create_home: make the home directory when it is missing.
    :param move_home: when ``home`` changes, the old directory moves there, unless something is there already.
    :param skeleton: what a new home is filled with; default: /etc/skel.
    :param umask: of a new home, octal.
    :param system: a new one gets a number of the system's range.
    :param uid_min: where the numbers of new users begin, instead of UID_MIN in login.defs(5).
    :param uid_max: where they end, instead of UID_MAX.
    :param comment: full name (GECOS).
    :param password: the hash crypt(3) made (``$6$...``), never the password; reported as a sha256 of it.
    :param update_password: ``on_create`` leaves the password of an existing user alone.
    :param password_lock: lock or unlock the password; keys still work.
    :param password_expire_min: days between changes, at least.
    :param password_expire_max: days after which it has to be changed.
    :param password_expire_warn: days of warning before that.
    :param password_expire_account_disable: days after that until the account is disabled.
    :param expires: when the account ends, in seconds since the epoch; negative: never.
    :param generate_ssh_key: make a key, without a passphrase, when there is none.
    :param ssh_key_file: where, relative to the home; default: ``.ssh/id_TYPE``.
    :param ssh_key_type: rsa, ed25519, ecdsa.
    :param ssh_key_bits: its size; default: what ssh-keygen takes.
    :param ssh_key_comment: its comment; default: ``ansible-generated on HOSTNAME``.
    :param local: accepted: only the files of this host are read and changed anyway.
    :param state: ``present`` or ``absent``.
    :param remove: with ``absent``, remove its home and mail as well.
    :param force: with ``absent``: even while it is logged in.
    """

    kind: ClassVar[str] = "user"
    ALIASES: ClassVar[Mapping[str, str]] = {"user": "name", "createhome": "create_home"}
    EXAMPLE: ClassVar[str] = """\
- name: who deploys
  user: {name: deploy, groups: [sudo], append: true, shell: /bin/bash, generate_ssh_key: true, ssh_key_type: ed25519}
"""

    name: str
    uid: Optional[int] = None
    non_unique: bool = False
    group: Optional[Union[str, int]] = None
    groups: Optional[Union[List[str], str]] = None
    append: bool = False
    shell: Optional[str] = None
    home: Optional[str] = None
    create_home: bool = True
    move_home: bool = False
    skeleton: Optional[str] = None
    umask: Optional[str] = None
    system: bool = False
    uid_min: Optional[int] = None
    uid_max: Optional[int] = None
    comment: Optional[str] = None
    password: Optional[str] = None
    update_password: Literal["always", "on_create"] = "always"
    password_lock: Optional[bool] = None
    password_expire_min: Optional[int] = None
    password_expire_max: Optional[int] = None
    password_expire_warn: Optional[int] = None
    password_expire_account_disable: Optional[int] = None
    expires: Optional[float] = None
    generate_ssh_key: bool = False
    ssh_key_file: Optional[str] = None
    ssh_key_type: str = "rsa"
    ssh_key_bits: Optional[int] = None
    ssh_key_comment: Optional[str] = None
    local: bool = False
    state: Literal["present", "absent"] = "present"
    remove: bool = False
    force: bool = False

    def __post_init__(self) -> None:
        refuse_options(name=self.name, skeleton=self.skeleton, umask=self.umask)
        refuse_lines(name=self.name, ssh_key_comment=self.ssh_key_comment)
        if self.password is not None and (":" in self.password or "\n" in self.password):
            raise ValueError("password must be a hash as crypt(3) makes it")
        if self.force and self.generate_ssh_key:
            raise ValueError("force would make a new key each time; remove the old one with a file task instead")
        if self.append and self.groups is None:
            raise ValueError("append needs groups")
        if self.non_unique and self.uid is None:
            raise ValueError("non_unique needs a uid")

    def _groups(self) -> List[str]:
        names = self.groups if isinstance(self.groups, list) else [self.groups or ""]
        return sorted({name.strip() for text in names for name in text.split(",") if name.strip()})

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
            "password_lock": self.password_lock,
            **{key: getattr(self, key) for key in AGEING},
            "expires": None if self.expires is None else _date(self.expires),
            "home_exists": True if self.create_home else None,
            "ssh_key": True if self.generate_ssh_key else None,
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
            "gid": int(row[3]),
            "group": row[3] if str(self.group).isdigit() else primary,
            "groups": member,
            "comment": row[4],
            "home": row[5],
            "shell": row[6],
            **self._shadow(machine),
            "home_exists": machine.stat(row[5], follow=True) is not None,
            **self._key(machine, row[5]),
        }

    def _shadow(self, machine: Machine) -> Dict[str, Any]:
        """Only what is asked for: reading it needs root."""
        asked = (self.password, self.password_lock, self.expires, *(getattr(self, key) for key in AGEING))
        if all(value is None for value in asked):
            return {}
        row = machine.accounts("shadow").get(self.name)
        if row is None:
            return dict.fromkeys(("password", "password_lock", "expires", *AGEING))
        ageing = {
            key: int(row[place]) if row[place] else _never(getattr(self, key)) for key, (place, _) in AGEING.items()
        }
        return {
            "password": self._password(row[1]),
            "password_lock": row[1].startswith("!"),
            "expires": _date(float(row[7]) * DAY) if row[7] else "never",
            **ageing,
        }

    def _password(self, stored: str) -> Optional[str]:
        if self.password is None:
            return None
        bare = stored if stored in UNSET else stored.lstrip("!")
        if bare in UNSET and bare != self.password:  # never set: a run may have been cut after useradd
            return None
        return _digest(self.password if self.update_password == "on_create" else bare)

    # -- its key -----------------------------------------------------------------------------------------------------

    def _key_path(self, home: str) -> str:
        return posixpath.join(home, self.ssh_key_file or f".ssh/id_{self.ssh_key_type}")

    def _key(self, machine: Machine, home: str) -> Dict[str, Any]:
        if not self.generate_ssh_key:
            return {}
        path = self._key_path(home)
        public = (machine.read_text(path + ".pub") or "").strip()
        return {"ssh_key": machine.stat(path) is not None, "ssh_key_file": path, "ssh_public_key": public}

    def _make_key(self, machine: Machine) -> None:
        """The public half first: a key that is there is whole, and its user's."""
        found = self.observe(machine) or {}
        path, uid, gid = self._key_path(found["home"]), found["uid"], found["gid"]
        directory = posixpath.dirname(path)
        if machine.stat(directory, follow=True) is None:
            machine.remove(directory + ".mnemo-new")
            machine.mkdir(directory + ".mnemo-new", 0o700)
            machine.chown(directory + ".mnemo-new", uid, gid)
            machine.rename(directory + ".mnemo-new", directory)
        bits = [] if self.ssh_key_bits is None else ["-b", str(self.ssh_key_bits)]
        host = (machine.read_text("/proc/sys/kernel/hostname") or "").strip()
        comment = self.ssh_key_comment or f"ansible-generated on {host}"
        options = ["-q", "-t", self.ssh_key_type, *bits, "-C", comment, "-N", ""]
        private = f"{machine.runtime_dir}/key-{self.name}"  # a program would follow what the user puts in its way
        machine.remove(private)
        machine.mkdir(private, 0o700)
        try:
            machine.run(["ssh-keygen", *options, "-f", machine.path(private) + "/key"])
            public, key = (machine.read(f"{private}/key{suffix}") or b"" for suffix in (".pub", ""))
        finally:
            machine.remove(private)
        machine.write(path + ".pub", public, 0o644, uid, gid)
        machine.write(path, key, 0o600, uid, gid)

    # -- changing ----------------------------------------------------------------------------------------------------

    def apply(self, machine: Machine, change: Change) -> State:
        if change.deletes:
            options = [*(["-r"] if self.remove else []), *(["-f"] if self.force else [])]
            machine.run(["userdel", *options, self.name])
            return None
        keys = set(change.keys)
        if change.creates:
            self._create(machine)
        else:
            self._modify(machine, keys)
        if self.password is not None and "password" in keys:  # by stdin: an argument would be seen by everybody
            machine.run(["chpasswd", "-e"], data=f"{self.name}:{self.password}\n".encode())
        ageing = [word for key, (_, flag) in AGEING.items() if key in keys for word in (flag, str(getattr(self, key)))]
        if ageing:
            machine.run(["chage", *ageing, self.name])
        lock = (self.observe(machine) or {}).get("password_lock")  # a new password unlocks
        if self.password_lock is not None and lock is not self.password_lock:
            machine.run(["usermod", "-L" if self.password_lock else "-U", self.name])
        if self.create_home and not (self.observe(machine) or {}).get("home_exists"):  # a new home, too
            machine.run(["mkhomedir_helper", self.name, *self._filling()])
        if self.generate_ssh_key and "ssh_key" in keys:
            self._make_key(machine)
        return None

    def _modify(self, machine: Machine, keys: Set[str]) -> None:
        old = machine.accounts("passwd")[self.name][5]
        moves = self.move_home and self.home is not None and "home" in keys and machine.stat(self.home) is None
        moves = moves and machine.stat(old) is not None
        adding = ["-a"] if self.append and "groups" in keys else []
        options = self._options(keys)
        if options:
            machine.run(["usermod", *adding, *options, *(["-m"] if moves else []), self.name])

    def _filling(self) -> List[str]:
        """Arguments of mkhomedir_helper(8): umask and skeleton, in this order."""
        umask = [] if self.umask is None and self.skeleton is None else [self.umask or "0022"]
        return umask if self.skeleton is None else [*umask, self.skeleton]

    def _create(self, machine: Machine) -> None:
        options = ["-m" if self.create_home else "-M", *(["-r"] if self.system else [])]
        if self.group is None and self.name in machine.accounts("group"):
            options.append("-N")  # a group of that name exists: none is made for the user
        if self.skeleton is not None and self.create_home:
            options += ["-k", self.skeleton]
        defaults = {"UMASK": self.umask, "UID_MIN": self.uid_min, "UID_MAX": self.uid_max}
        options += [word for key, value in defaults.items() if value is not None for word in ("-K", f"{key}={value}")]
        keys = {"uid", "group", "groups", "shell", "home", "comment", "expires"}
        machine.run(["useradd", *options, *self._options(keys), self.name])

    def _options(self, keys: Set[str]) -> List[str]:
        wanted = self.desired() or {}
        flags = {"uid": "-u", "group": "-g", "shell": "-s", "home": "-d", "comment": "-c", "expires": "-e"}
        if wanted.get("expires") == "never":
            wanted["expires"] = ""
        named = [key for key in flags if key in keys and key in wanted]
        words = [word for key in named for word in (flags[key], str(wanted[key]))]
        words += ["-o"] if self.non_unique and "uid" in named else []
        return [*words, "-G", ",".join(self._groups())] if "groups" in keys and "groups" in wanted else words


def _never(days: Optional[int]) -> Optional[int]:
    """An empty field of shadow(5) is what any negative number asks for."""
    return days if days is not None and days < 0 else None


def _date(seconds: float) -> str:
    return "never" if seconds < 0 else time.strftime("%Y-%m-%d", time.gmtime(seconds))


def _digest(secret: str) -> str:
    return "sha256:" + hashing.of(secret.encode())
