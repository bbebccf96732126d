"""copy: a file of the controller, a text or another file of the host, in its place; what template shares with it."""

from __future__ import annotations

import json
import posixpath
from itertools import chain
from typing import IO, Any, ClassVar, Dict, Iterator, List, Mapping, Optional, Tuple, Union

from mnemo_ops.agent.base.record import dataclass, field, replace
from mnemo_ops.agent.base.state import ABSENT, Change, State
from mnemo_ops.agent.engine.resource import Resource
from mnemo_ops.agent.files.file_write import Placing, as_state, at_home, checked_validate, text_of
from mnemo_ops.agent.files.mode import Mode
from mnemo_ops.agent.files.ownership import Owner, Permission, described
from mnemo_ops.agent.machine import FileStat, Machine
from mnemo_ops.agent.resources.file import File
from mnemo_ops.errors import NotYet, Refused, StepFailed


@dataclass(frozen=True)
class Placed(Resource):
    """A file whose content is declared: what copy, template and assemble have in common."""

    dest: str
    mode: Mode = None
    owner: Owner = None
    group: Owner = None
    backup: bool = False
    force: bool = True
    follow: bool = False
    validate: Optional[str] = None

    def __post_init__(self) -> None:
        self._permission.desired()
        checked_validate(self.validate)

    @property
    def _permission(self) -> Permission:
        return Permission(self.owner, self.group, None if self.mode == "preserve" else self.mode)

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
        path = self.dest
        if self.dest.endswith("/") or (stat is not None and stat.kind == "directory"):
            if not self._name():
                raise Refused(f"{self.dest} is a directory; a text needs the name of a file")
            path = posixpath.join(self.dest, self._name())
        return machine.realpath(path) if self.follow else path

    def desired(self) -> State:
        content = self._declared() if self.force else {}  # without force, any content is right
        return {"kind": "file", **content, **self._permission.desired()}

    def observe(self, machine: Machine) -> State:
        return at_home(self, machine, "dest")._observe(machine)

    def _observe(self, machine: Machine) -> State:
        path = self._path(machine)
        stat = machine.stat(path)
        if stat is None:
            return ABSENT
        if stat.kind not in ("file", "link"):
            raise Refused(f"{path} exists and is not a regular file", hint="move it away first")
        content = self._found(machine, path) if stat.kind == "file" else {}
        seen = {"dest": path, "path": path, "kind": stat.kind, **described(machine, stat)}
        return {**seen, **content, **self._permission.observed(machine, stat)}

    def apply(self, machine: Machine, change: Change) -> State:
        return at_home(self, machine, "dest")._apply(machine, change)

    def _apply(self, machine: Machine, change: Change) -> State:
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
        placing = Placing(self._placed_with(machine), self.backup, self.validate)
        kept = placing.put(machine, path, lambda file: self._fill(machine, file))
        return {**(self._observe(machine) or {}), **kept}

    def _placed_with(self, machine: Machine) -> Permission:
        return self._permission


@dataclass(frozen=True)
class Copy(Placed):
    """A file with this content, or a directory with everything in it.

    :param dest: path on the host; a directory (or a path ending in ``/``, made when missing) keeps the name of ``src``.
    :param src: file or directory of the controller, or with ``remote_src`` of the host; ``dir/`` means what is in it.
    :param content: the text itself; a mapping or list is written as JSON.
    :param mode: permission bits, ``"0644"`` or ``u=rw,g=r,o=``, ``preserve``: those of ``src``; a new file gets 0644.
    :param directory_mode: permission bits of directories that are made on the way.
    :param owner: user name or number.
    :param group: group name or number.
    :param backup: keep the old content beside it, ``NAME.PID.DATE@TIME~``.
    :param force: ``false``: only when nothing is there yet.
    :param follow: write through a link at ``dest`` instead of replacing it.
    :param local_follow: a link below ``src`` stands for what it points to; ``false``: it is copied as a link.
    :param remote_src: ``src`` is a file of the host.
    :param checksum: SHA1 ``src`` must have.
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
    directory_mode: Mode = None
    local_follow: bool = True
    remote_src: bool = False
    checksum: Optional[str] = None
    decrypt: bool = True
    sha256: Optional[str] = field(default=None, metadata={"internal": True})

    def __post_init__(self) -> None:
        super().__post_init__()
        Permission(None, None, self.directory_mode).desired()
        if (self.src is None) == (self.content is None):
            raise ValueError("give either src or content")
        if self.mode == "preserve" and self.src is None:
            raise ValueError("mode preserve needs src")

    def _name(self) -> str:
        return posixpath.basename(self.src) if self.src else ""

    def _data(self) -> bytes:
        return (self.content if isinstance(self.content, str) else json.dumps(self.content)).encode()

    def _declared(self) -> Dict[str, Any]:
        if self.content is not None:
            return as_state(self._data())
        return {"same_as": self.src} if self.remote_src else {"sha256": self.sha256}

    def _source(self, machine: Machine) -> FileStat:
        source = machine.stat(str(self.src), follow=True)
        if source is None:
            raise NotYet(f"{self.src} does not exist on the host")
        return source

    def _found(self, machine: Machine, path: str) -> Dict[str, Any]:
        if self.content is not None:
            return text_of(machine, path)
        sha256, sha1 = machine.digests(path, ("sha256", "sha1")) or ("", "")
        if not self.remote_src:
            return {"sha256": sha256, "checksum": sha1, "src": self.src}
        source, found = self._source(machine), machine.stat(path)
        same = machine.digest(str(self.src), "sha1") == sha1
        if self.mode == "preserve":
            same = same and found is not None and found.mode == machine.own_mode(str(self.src), source)
        return {"same_as": self.src if same else f"sha1:{sha1}", "checksum": sha1, "src": self.src}

    def _placed_with(self, machine: Machine) -> Permission:
        if self.mode != "preserve" or not self.remote_src:
            return self._permission
        return Permission(self.owner, self.group, f"{machine.own_mode(str(self.src), self._source(machine)):04o}")

    def _fill(self, machine: Machine, file: IO[bytes]) -> None:
        if self.content is not None:
            file.write(self._data())
        elif self.remote_src:
            with machine.open(str(self.src)) as source:
                machine.pour(source, file)
        elif self.sha256 is None:
            raise StepFailed(f"{self.src} is not among the files that the controller offers")
        else:
            machine.fetch(self.sha256, file)

    # -- a directory of the host: its parts are resources of their own ---------------------------------------------

    def target(self, observed: State) -> State:
        if observed is not None and "differing" in observed:
            return {"differing": []}
        return self.desired()

    def observe(self, machine: Machine) -> State:
        if not self.remote_src:
            return super().observe(machine)
        here = at_home(self, machine, "dest", "src")
        if here._source(machine).kind == "directory":
            return {"dest": here.dest, "src": here.src, "differing": [name for name, _, _ in here._left(machine)][:50]}
        if self.checksum and machine.digest(str(here.src), "sha1") != self.checksum.lower():
            raise StepFailed(f"{self.src} does not have the checksum {self.checksum}")
        return here._observe(machine)

    def apply(self, machine: Machine, change: Change) -> State:
        here = at_home(self, machine, "dest", "src")
        if not self.remote_src or here._source(machine).kind != "directory":
            return here._apply(machine, change)
        for _, part, left in here._left(machine):
            part.apply(machine, left)
        return None

    def _left(self, machine: Machine) -> Iterator[Tuple[str, Resource, Change]]:
        """What of the directory is still to do, in order."""
        source = str(self.src)
        dest = self.dest if source.endswith("/") else posixpath.join(self.dest, posixpath.basename(source))
        parts = self._parts(machine, source.rstrip("/"), dest)
        if dest != self.dest:
            own = File(self.dest, "directory", new_mode=self.directory_mode, owner=self.owner, group=self.group)
            parts = chain([(self.dest, own)], parts)
        for path, part in parts:
            observed = part.observe(machine)
            left = Change.between(observed, part.target(observed))
            if left:
                yield path, part, left

    def _parts(self, machine: Machine, source: str, dest: str) -> Iterator[Tuple[str, Resource]]:
        stat = machine.stat(source, follow=self.local_follow)
        if stat is None or stat.kind in ("socket", "other"):
            return
        if stat.kind == "link":
            target = machine.readlink(source)
            yield dest, File(dest, "link", src=target, force=True, follow=False, owner=self.owner, group=self.group)
        elif stat.kind == "directory":
            new = f"{machine.own_mode(source, stat):04o}" if self.directory_mode is None else self.directory_mode
            yield dest, File(dest, "directory", new_mode=new, owner=self.owner, group=self.group)
            for name in machine.names(source):
                yield from self._parts(machine, posixpath.join(source, name), posixpath.join(dest, name))
        else:
            mode = "preserve" if self.mode is None and machine.stat(dest) is None else self.mode
            yield (
                dest,
                replace(self, dest=dest, src=source, mode=mode, checksum=None),
            )
