"""stat: what is known of a path."""

from __future__ import annotations

import stat as bits
from typing import Any, ClassVar, Dict, Literal, Mapping, Tuple

from mnemo_ops.agent.base.record import dataclass
from mnemo_ops.agent.base.state import State
from mnemo_ops.agent.engine.resource import Resource
from mnemo_ops.agent.files.ownership import name_of
from mnemo_ops.agent.machine import Machine

Algorithm = Literal["md5", "sha1", "sha224", "sha256", "sha384", "sha512"]

_RIGHTS = {"r": 4, "w": 2, "x": 1}
_KINDS = {
    "isdir": bits.S_ISDIR,
    "ischr": bits.S_ISCHR,
    "isblk": bits.S_ISBLK,
    "isreg": bits.S_ISREG,
    "isfifo": bits.S_ISFIFO,
    "islnk": bits.S_ISLNK,
    "issock": bits.S_ISSOCK,
}
_ATTRIBUTES = {  # letters of lsattr, chattr(1)
    "A": "noatime",
    "a": "append",
    "c": "compressed",
    "C": "nocow",
    "d": "nodump",
    "D": "dirsync",
    "e": "extents",
    "E": "encrypted",
    "i": "immutable",
    "I": "indexed",
    "j": "journalled",
    "N": "inline",
    "s": "zero",
    "S": "synchronous",
    "t": "notail",
    "T": "blockroot",
    "u": "undelete",
}


@dataclass(frozen=True)
class Stat(Resource):
    """What a path is, for ``register``: ``result.stat.exists``, ``isdir``, ``islnk``, ``mode``, ``size``, ``checksum``,
    ``pw_name`` and the rest.

    :param path: the path; it need not exist.
    :param follow: look at what a link points to.
    :param get_checksum: the content's checksum of a regular file.
    :param checksum_algorithm: which one.
    :param get_mime: ``mimetype`` and ``charset`` as the program ``file`` sees them; ``unknown`` without it.
    :param get_attributes: ``attributes``, ``attr_flags`` and ``version`` as ``lsattr`` lists them.
    """

    kind: ClassVar[str] = "stat"
    ALIASES: ClassVar[Mapping[str, str]] = {
        "dest": "path",
        "name": "path",
        "checksum": "checksum_algorithm",
        "checksum_algo": "checksum_algorithm",
        "mime": "get_mime",
        "mime_type": "get_mime",
        "mime-type": "get_mime",
        "attr": "get_attributes",
        "attributes": "get_attributes",
    }
    EXAMPLE: ClassVar[str] = """\
- name: is the database there already?
  stat: {path: /srv/app/data/PG_VERSION, get_checksum: false}
  register: database
"""

    path: str
    follow: bool = False
    get_checksum: bool = True
    checksum_algorithm: Algorithm = "sha1"
    get_mime: bool = True
    get_attributes: bool = True

    def desired(self) -> State:
        return {}

    def observe(self, machine: Machine) -> State:
        found = facts(machine, self.path, self.follow)
        if found is None:
            return {"stat": {"exists": False}}
        if self.get_checksum and found["isreg"] and found["readable"]:
            found["checksum"] = machine.digest(self.path, self.checksum_algorithm)
        if found["islnk"]:
            found["lnk_source"] = machine.realpath(self.path)
            found["lnk_target"] = machine.readlink(self.path)
        if self.get_mime:
            found["mimetype"], found["charset"] = self._mime(machine)
        if self.get_attributes:
            found.update(self._attributes(machine))
        return {"stat": {"exists": True, **found}}

    def _mime(self, machine: Machine) -> Tuple[str, str]:
        if not machine.which("file"):
            return "unknown", "unknown"
        argv = ["file", "--brief", "--mime-type", "--mime-encoding", *(["--dereference"] if self.follow else [])]
        done = machine.ask([*argv, "--", machine.path(self.path)], check=False)
        kind, _, charset = done.out.strip().partition("; charset=")
        return kind or "unknown", charset or "unknown"

    def _attributes(self, machine: Machine) -> Dict[str, Any]:
        found: Dict[str, Any] = {"attributes": [], "attr_flags": "", "version": None}
        if machine.which("lsattr"):
            done = machine.ask(["lsattr", "-vd", "--", machine.path(self.path)], check=False)
            words = done.out.split()
            if done.rc == 0 and len(words) > 1:
                flags = words[1].replace("-", "")
                names = [_ATTRIBUTES[letter] for letter in flags if letter in _ATTRIBUTES]
                found = {"attributes": names, "attr_flags": flags, "version": words[0]}
        return found


def facts(machine: Machine, path: str, follow: bool) -> State:
    """Everything an inode says, under Ansible's names; ``None`` when there is nothing."""
    found = machine.inode(path, follow)
    if found is None:
        return None
    mode, may = found.st_mode, machine.may(path)
    rights = {
        f"{letter}{who}": bool(mode & (bit << shift))
        for who, shift in (("usr", 6), ("grp", 3), ("oth", 0))
        for letter, bit in _RIGHTS.items()
    }
    return {
        "path": path,
        "mode": f"{bits.S_IMODE(mode):04o}",
        **{name: test(mode) for name, test in _KINDS.items()},
        "isuid": bool(mode & bits.S_ISUID),
        "isgid": bool(mode & bits.S_ISGID),
        "uid": found.st_uid,
        "gid": found.st_gid,
        "pw_name": name_of(machine, "passwd", found.st_uid),
        "gr_name": name_of(machine, "group", found.st_gid),
        "size": found.st_size,
        "inode": found.st_ino,
        "dev": found.st_dev,
        "nlink": found.st_nlink,
        "atime": found.st_atime,
        "mtime": found.st_mtime,
        "ctime": found.st_ctime,
        "blocks": found.st_blocks,
        "block_size": found.st_blksize,
        "device_type": found.st_rdev,
        **rights,
        "readable": may["r"],
        "writeable": may["w"],
        "executable": may["x"],
    }
