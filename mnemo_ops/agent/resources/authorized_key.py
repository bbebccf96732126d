"""authorized_key: who may log in as a user, by key."""

from __future__ import annotations

import io
import posixpath
from typing import Any, ClassVar, Dict, List, Literal, Mapping, Optional, Tuple

from mnemo_ops.agent.base.lines import each_line, refuse_lines
from mnemo_ops.agent.base.record import dataclass
from mnemo_ops.agent.base.state import Change, State
from mnemo_ops.agent.engine.resource import Resource
from mnemo_ops.agent.files.ownership import Permission
from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.system.ssh_keys import Key, parse, parse_all
from mnemo_ops.errors import NotYet, StepFailed


@dataclass(frozen=True)
class AuthorizedKey(Resource):
    """Lines of an authorized_keys file; what else is in it stays, unless ``exclusive``.

    :param user: whose; must exist.
    :param key: public key, or several, one per line; a URL they are loaded from, or ``file:///path`` on the host.
    :param state: ``present`` or ``absent``.
    :param path: the file, with ``%h`` for the home and ``%u`` for the user; default: ``%h/.ssh/authorized_keys``.
    :param manage_dir: make its directory, and make it the user's alone.
    :param exclusive: no other key, and nothing else, stays in the file.
    :param key_options: options of these keys, instead of those in ``key``.
    :param comment: comment of these keys, instead of their own.
    :param validate_certs: only ``true``: a key from someone else would let him in.
    """

    kind: ClassVar[str] = "authorized_key"
    ALIASES: ClassVar[Mapping[str, str]] = {}
    EXAMPLE: ClassVar[str] = """\
- name: who may log in, and nobody else
  authorized_key:
    user: deploy
    key: |
      ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJnWJHJrZDqzOVbMT1F/8L0d8cVbOJ5IUsZ1sgzKHS4o ada
      ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAhG1mHlTmHEeqkBhVHU3cPAWgjWZVWqIVEpiZoJvCkK ben
    exclusive: true
"""

    user: str
    key: str
    state: Literal["present", "absent"] = "present"
    path: Optional[str] = None
    manage_dir: bool = True
    exclusive: bool = False
    key_options: Optional[str] = None
    comment: Optional[str] = None
    validate_certs: Literal[True] = True

    def __post_init__(self) -> None:
        refuse_lines(comment=self.comment, key_options=self.key_options)
        if "://" not in self.key:
            self._parsed(self.key)

    def _parsed(self, text: str) -> List[Key]:
        keys = parse_all(text)
        if not keys:
            raise ValueError("key holds no public key")
        if self.key_options is not None:
            keys = [key._replace(before=self.key_options) for key in keys]
        return keys if self.comment is None else [key._replace(comment=self.comment) for key in keys]

    def desired(self) -> State:
        return {"state": self.state}

    def target(self, observed: State) -> State:
        """The lines of the file as they should be, given those that are."""
        if observed is None or "lines" not in observed:
            return observed
        wanted = [Key(*key) for key in observed["wanted"]]
        lines, blobs = list(observed["lines"]), {key.blob for key in wanted}
        if self.state == "absent":
            return {"lines": [line for line in lines if _blob(line) not in blobs]}
        if self.exclusive:
            lines = [line for line in lines if _blob(line) in blobs]
        present = {_blob(line): parse(line) for line in lines}
        new = [key for key in wanted if present.get(key.blob) != key]
        replaced = {key.blob for key in new}
        kept = [line for line in lines if _blob(line) not in replaced]
        return {"lines": kept + [key.line() for key in new], "permission": "right"}

    def observe(self, machine: Machine) -> State:
        """:raises NotYet: no such user yet. :raises StepFailed: what the URL holds is no key (6)."""
        row = machine.accounts("passwd").get(self.user)
        if row is None:
            raise NotYet(f"user {self.user} does not exist")
        path = self._path(row)
        text = machine.read_text(path)
        wrong = [place for place, right in self._owned(row, path) if self._differs(machine, place, right)]
        return {
            "lines": each_line(text or ""),
            "wanted": [list(key) for key in self._wanted(machine)],
            "permission": ", ".join(wrong) or "right",
            "user": self.user,
            "keyfile": path,
            "exclusive": self.exclusive,
        }

    def _path(self, row: List[str]) -> str:
        return (self.path or "%h/.ssh/authorized_keys").replace("%h", row[5]).replace("%u", self.user)

    def _owned(self, row: List[str], path: str) -> List[Tuple[str, Permission]]:
        """What belongs to the user alone."""
        directory = [(posixpath.dirname(path), Permission(row[2], row[3], "0700"))] if self.manage_dir else []
        return [*directory, (path, Permission(row[2], row[3], "0600"))]

    @staticmethod
    def _differs(machine: Machine, path: str, right: Permission) -> bool:
        stat = machine.stat(path, follow=True)
        return stat is None or right.differs(machine, stat)

    def _wanted(self, machine: Machine) -> List[Key]:
        if "://" not in self.key:
            return self._parsed(self.key)

        def load() -> str:
            if self.key.startswith("file://"):
                text = machine.read_text(self.key[len("file://") :])
                if text is None:
                    raise NotYet(f"{self.key} does not exist")
                return text
            into = io.BytesIO()
            machine.download(self.key.strip(), into)
            return into.getvalue().decode("utf-8", "replace")

        try:
            return self._parsed(machine.once(f"authorized_key/{self.key}", load))
        except ValueError as error:
            raise StepFailed(f"{self.key.strip()}: {error}") from None

    def apply(self, machine: Machine, change: Change) -> State:
        after: Dict[str, Any] = change.after or {}
        row = machine.accounts("passwd")[self.user]
        path = self._path(row)
        directory = posixpath.dirname(path)
        if self.state == "present" and self.manage_dir:
            if machine.stat(directory, follow=True) is None:
                machine.mkdir(directory, 0o700)
            self._owned(row, path)[0][1].apply(machine, directory)
        if "lines" in change.keys or machine.stat(path, follow=True) is None:
            if machine.stat(directory, follow=True) is None:
                raise NotYet(f"the directory {directory} does not exist", hint="manage_dir: true makes it")
            text = "".join(line + "\n" for line in after["lines"])
            machine.write(path, text.encode(), 0o600, int(row[2]), int(row[3]))
        if self.state == "present":
            self._owned(row, path)[-1][1].apply(machine, path)
        return None


def _blob(line: str) -> str:
    key = parse(line)
    return key.blob if key is not None else ""
