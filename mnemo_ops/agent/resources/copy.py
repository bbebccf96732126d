"""copy: a file of the controller, a text or another file of the host, in its place; what template shares with it."""

from __future__ import annotations

import json
import posixpath
from dataclasses import dataclass, field
from typing import IO, Any, ClassVar, Dict, List, Mapping, Optional, Union

from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.mode import Mode
from mnemo_ops.agent.permission import Owner, Permission
from mnemo_ops.agent.placing import Placing, as_state, checked_validate, text_of
from mnemo_ops.agent.resource import Resource
from mnemo_ops.agent.state import ABSENT, Change, State
from mnemo_ops.errors import NotYet, Refused, StepFailed


@dataclass(frozen=True)
class Placed(Resource):
    """A file whose content is declared: what copy and template have in common."""

    dest: str
    mode: Mode = None
    owner: Owner = None
    group: Owner = None
    backup: bool = False
    force: bool = True
    validate: Optional[str] = None

    def __post_init__(self) -> None:
        self._permission.desired()
        checked_validate(self.validate)

    @property
    def _permission(self) -> Permission:
        return Permission(self.owner, self.group, self.mode)

    def _name(self) -> str:
        """File name for a ``dest`` that is a directory; empty when there is none."""
        raise NotImplementedError

    def _declared(self) -> Dict[str, Any]:
        """The content as a state."""
        raise NotImplementedError

    def _found(self, machine: Machine, path: str) -> Dict[str, Any]:
        """The content of ``path`` under the same keys."""
        raise NotImplementedError

    def _fill(self, machine: Machine, file: IO[bytes]) -> None:
        raise NotImplementedError

    def _path(self, machine: Machine) -> str:
        stat = machine.stat(self.dest, follow=True)
        if not self.dest.endswith("/") and (stat is None or stat.kind != "directory"):
            return self.dest
        if not self._name():
            raise Refused(f"{self.dest} is a directory; a text needs the name of a file")
        return posixpath.join(self.dest, self._name())

    def desired(self) -> State:
        content = self._declared() if self.force else {}  # without force, any content is right
        return {"kind": "file", **content, **self._permission.desired()}

    def observe(self, machine: Machine) -> State:
        path = self._path(machine)
        stat = machine.stat(path)
        if stat is None:
            return ABSENT
        if stat.kind not in ("file", "link"):
            raise Refused(f"{path} exists and is not a regular file", hint="move it away first")
        found: Dict[str, Any] = {"path": path, "kind": stat.kind, "size": stat.size}
        content = self._found(machine, path) if stat.kind == "file" else {}
        return {**found, **content, **self._permission.observed(machine, stat)}

    def apply(self, machine: Machine, change: Change) -> State:
        path = self._path(machine)
        if not change.creates and not {"kind", *self._declared()} & set(change.keys):
            self._permission.apply(machine, path)
            return None
        if self.dest.endswith("/"):
            machine.mkdir(self.dest.rstrip("/") or "/")
        elif machine.stat(posixpath.dirname(path) or "/", follow=True) is None:
            raise StepFailed(
                f"the directory {posixpath.dirname(path)} does not exist", hint="make it first: file, state: directory"
            )
        Placing(self._permission, self.backup, self.validate).put(machine, path, lambda file: self._fill(machine, file))
        return None


@dataclass(frozen=True)
class Copy(Placed):
    """A file with this content.

    :param dest: path on the host; a directory (or a path ending in ``/``, made when missing) keeps the name of ``src``.
    :param src: file of the controller, or with ``remote_src`` of the host.
    :param content: the text itself; a mapping or list is written as JSON.
    :param mode: permission bits, ``"0644"`` or ``u=rw,g=r,o=``; a new file gets 0644.
    :param owner: user name or number.
    :param group: group name or number.
    :param backup: keep the old content beside it, ``NAME.PID.DATE@TIME~``.
    :param force: ``false``: only when nothing is there yet.
    :param remote_src: ``src`` is a file of the host.
    :param decrypt: a ``src`` that ansible-vault encrypted arrives in clear.
    :param validate: command that must succeed on the new file (``%s``) before it takes its place.
    """

    kind: ClassVar[str] = "copy"
    ALIASES: ClassVar[Mapping[str, str]] = {}
    EXAMPLE: ClassVar[str] = """\
- name: a certificate from the controller
  copy: {src: tls/cert.pem, dest: /srv/app/tls/, owner: root, group: root, mode: "0644"}
- name: a sudo rule that cannot lock anybody out
  copy:
    content: "deploy ALL=(ALL) NOPASSWD: ALL\\n"
    dest: /etc/sudoers.d/deploy
    mode: "0440"
    validate: /usr/sbin/visudo -cf %s
"""

    src: Optional[str] = field(default=None, metadata={"file": "sha256"})
    content: Optional[Union[str, Dict[str, Any], List[Any]]] = None
    remote_src: bool = False
    decrypt: bool = True
    sha256: Optional[str] = field(default=None, metadata={"internal": True})

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.src is None) == (self.content is None):
            raise ValueError("give either src or content")

    def _name(self) -> str:
        return posixpath.basename(self.src) if self.src else ""

    def _data(self) -> bytes:
        return (self.content if isinstance(self.content, str) else json.dumps(self.content)).encode()

    def _declared(self) -> Dict[str, Any]:
        if self.content is not None:
            return as_state(self._data())
        return {"same_as": self.src} if self.remote_src else {"sha256": self.sha256}

    def _found(self, machine: Machine, path: str) -> Dict[str, Any]:
        if self.content is not None:
            return text_of(machine, path)
        found = machine.sha256(path)
        if not self.remote_src:
            return {"sha256": found}
        source = machine.stat(str(self.src), follow=True)
        if source is None:
            raise NotYet(f"{self.src} does not exist on the host")
        return {"same_as": self.src if machine.sha256(str(self.src)) == found else f"sha256:{found}"}

    def _fill(self, machine: Machine, file: IO[bytes]) -> None:
        if self.content is not None:
            file.write(self._data())
        elif self.remote_src:
            self._fill_from_host(machine, file)
        elif self.sha256 is None:
            raise StepFailed(f"{self.src} was not offered by the controller")
        else:
            machine.fetch(self.sha256, file)

    def _fill_from_host(self, machine: Machine, file: IO[bytes]) -> None:
        stat = machine.stat(str(self.src), follow=True)
        if stat is None or stat.kind != "file":
            raise StepFailed(f"{self.src} is not a file of the host; remote_src copies single files")
        with machine.open(str(self.src)) as source:
            machine.pour(source, file)
