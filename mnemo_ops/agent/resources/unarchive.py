"""unarchive: what an archive holds, in a directory."""

from __future__ import annotations

import posixpath
from typing import IO, Any, ClassVar, Dict, List, Mapping, Optional, Tuple

from mnemo_ops.agent.base.record import dataclass, field
from mnemo_ops.agent.base.state import Change, State
from mnemo_ops.agent.engine.resource import Resource
from mnemo_ops.agent.files import archive, archive_names
from mnemo_ops.agent.files.archive import Content, Member
from mnemo_ops.agent.files.archive_names import Selection
from mnemo_ops.agent.files.file_write import at_home
from mnemo_ops.agent.files.mode import Mode
from mnemo_ops.agent.files.ownership import Owner, Permission, described
from mnemo_ops.agent.machine import Machine
from mnemo_ops.errors import NotYet, Refused, StepFailed

Wanted = Dict[str, Tuple[int, Member]]  # where an entry goes -> its row's number, and the row


@dataclass(frozen=True)
class Unarchive(Resource):
    """An archive's files below a directory: those that are missing or differ in content, mode or owner are unpacked.

    :param src: tar, tar.gz, tar.bz2, tar.xz or zip: of the controller, or with ``remote_src`` of the host, or a URL.
    :param dest: directory to unpack into; it must exist.
    :param remote_src: ``src`` is a file of the host, or a URL the host fetches.
    :param copy: the opposite of ``remote_src``, in old playbooks.
    :param creates: skip when this path exists.
    :param include: names in the archive, with all below them; none: everything.
    :param exclude: names or patterns to leave out.
    :param extra_opts: options of tar: ``--strip-components=1``, ``--exclude``, ``--transform``, ``--no-same-owner``.
    :param keep_newer: a file that is newer than the archive's stays.
    :param list_files: name the archive's files in ``files`` of the result.
    :param decrypt: an archive that ansible-vault encrypted arrives in clear.
    :param validate_certs: check the certificate of a URL's server.
    :param mode: permission bits of everything unpacked; default: the archive's.
    :param owner: user name or number; default: the archive's, when the task runs as root.
    :param group: group name or number.
    """

    kind: ClassVar[str] = "unarchive"
    ALIASES: ClassVar[Mapping[str, str]] = {}
    EXAMPLE: ClassVar[str] = """\
- name: the application, without the directory its archive begins with
  unarchive:
    src: app-1.2.0.tar.gz
    dest: /srv/app
    owner: deploy
    extra_opts: [--strip-components=1]
"""

    src: str = field(metadata={"archive": "sha256"})
    dest: str
    remote_src: bool = False
    copy: bool = True
    creates: Optional[str] = None
    include: List[str] = field(default_factory=list)
    exclude: List[str] = field(default_factory=list)
    extra_opts: List[str] = field(default_factory=list)
    keep_newer: bool = False
    list_files: bool = False
    decrypt: bool = True
    validate_certs: bool = True
    mode: Mode = None
    owner: Owner = None
    group: Owner = None
    sha256: Optional[str] = field(default=None, metadata={"internal": True})
    members: Optional[List[Dict[str, Any]]] = field(default=None, metadata={"internal": True})

    def __post_init__(self) -> None:
        self._permission.desired()
        if self.include and self.exclude:
            raise ValueError("give either include or exclude")
        archive_names.selection(self.extra_opts, self.include, self.exclude)

    @property
    def _permission(self) -> Permission:
        return Permission(self.owner, self.group, self.mode)

    @property
    def _selection(self) -> Selection:
        return archive_names.selection(self.extra_opts, self.include, self.exclude)

    def desired(self) -> State:
        return {"differing": []}

    def observe(self, machine: Machine) -> State:
        here = at_home(self, machine, "dest", "src")
        if self.creates and machine.glob(machine.expanded(self.creates)):
            return {"differing": [], "msg": f"not unpacked, since {self.creates} exists"}
        return here._look(machine)

    def _look(self, machine: Machine) -> State:
        stat = machine.stat(self.dest, follow=True)
        if stat is None:
            raise NotYet(f"the directory {self.dest} does not exist", hint="make it first: file, state: directory")
        if stat.kind != "directory":
            raise Refused(f"{self.dest} is not a directory", hint="name the directory to unpack into")
        wanted = self._wanted(self._members(machine))
        for directory in {posixpath.dirname(path) for path in wanted if path != self._dest}:
            archive_names.refuse_outside(machine, self.dest, directory)
        differing = [path for path, (_, member) in wanted.items() if self._differs(machine, path, member)]
        differing += [path for path in self._implied(wanted) if self._strange(machine, path)]
        files = {"files": [member.name for _, member in wanted.values()]} if self.list_files else {}
        seen = {"differing": differing[:50], "dest": self.dest, "src": self.src, **files}
        return {**seen, **described(machine, stat), "state": "directory"}

    def apply(self, machine: Machine, change: Change) -> State:
        here = at_home(self, machine, "dest", "src")
        wanted = here._wanted(here._members(machine))
        left = {path: row for path, row in wanted.items() if here._differs(machine, path, row[1])}
        archive_names.refuse_full(machine, here.dest, here.src, {path: row for path, (_, row) in left.items()})
        places = {number: (path, member) for path, (number, member) in left.items()}
        with here._open(machine) as file:
            for number, (found, content) in enumerate(archive.opened(file, self.src)):
                path, member = places.get(number, ("", found))
                if (found.name, found.kind) != (member.name, member.kind):
                    raise StepFailed(f"{self.src} changed while it was read", hint="run it again")
                if path:
                    here._unpack(machine, path, member, content)
        for path, (_, member) in reversed(list(left.items())):  # directories last: theirs may be a mode without w
            if member.kind == "directory":
                archive_names.refuse_outside(machine, here.dest, path)
                here._permissions(machine, member).apply(machine, path)
        for path in here._implied(wanted):
            archive_names.refuse_outside(machine, here.dest, path)
            here._permission.apply(machine, path)
        machine.sync_all()
        return here._look(machine)

    # -- the archive -----------------------------------------------------------------------------------------------

    def _members(self, machine: Machine) -> List[Member]:
        """What the archive holds: as the controller wrote it down, or as it is read here, once."""
        if self.members is not None:
            return archive.members(self.members)

        def read() -> List[Dict[str, Any]]:
            with self._open(machine) as file:
                return archive.listed(file, self.src)

        return archive.members(machine.once("unarchive/" + self.src, read))

    def _open(self, machine: Machine) -> IO[bytes]:
        if self.sha256 is not None or "://" in self.src:
            file = machine.spool()
            try:
                if self.sha256 is not None:
                    machine.fetch(self.sha256, file)
                else:
                    self._download(machine, file)
            except BaseException:
                file.close()
                raise
            file.seek(0)
            return file
        stat = machine.stat(self.src, follow=True)
        if stat is None:
            raise NotYet(f"{self.src} does not exist")
        return machine.open(self.src)

    def _download(self, machine: Machine, file: IO[bytes]) -> None:
        from mnemo_ops.agent.system.http import Request, send, shown

        answer = send(machine, Request(self.src, verify=self.validate_certs), file)
        if answer.status >= 300:
            raise StepFailed(f"{shown(self.src)} answered {answer.status} {answer.reason}")

    @property
    def _dest(self) -> str:
        return posixpath.normpath(self.dest)

    def _wanted(self, rows: List[Member]) -> Wanted:
        found = archive_names.placed(rows, self._selection)
        return {
            posixpath.normpath(posixpath.join(self._dest, name)): (number, rows[number])
            for name, number in found.items()
        }

    def _implied(self, wanted: Wanted) -> List[str]:
        """Directories right below ``dest`` that entries lie in and no entry names: theirs is what is declared."""
        dest = self._dest.rstrip("/")
        tops = {f"{dest}/{path[len(dest) + 1 :].split('/')[0]}" for path in wanted if path.startswith(dest + "/")}
        return sorted(tops.difference(wanted))

    def _strange(self, machine: Machine, path: str) -> bool:
        stat = machine.stat(path, follow=True)
        return stat is None or self._permission.differs(machine, stat)

    # -- one entry -------------------------------------------------------------------------------------------------

    def _permissions(self, machine: Machine, member: Member) -> Permission:
        """Declared ones, else the archive's; a user the host does not know goes by number, as with tar."""
        mode = f"{member.mode if machine.is_root else member.mode & ~0o022:04o}" if self.mode is None else self.mode
        if not machine.is_root or not self._selection.same_owner or member.uid < 0:
            return Permission(self.owner, self.group, mode)

        def who(declared: Owner, database: str, name: str, number: int) -> Owner:
            known = not self._selection.numeric_owner and name in machine.accounts(database)
            return declared if declared is not None else name if known else number

        owner = who(self.owner, "passwd", member.user, member.uid)
        return Permission(owner, who(self.group, "group", member.group, member.gid), mode)

    def _differs(self, machine: Machine, path: str, member: Member) -> bool:
        stat = machine.stat(path)
        if stat is not None and stat.kind == "link" and member.kind == "directory":
            archive_names.refuse_outside(machine, self.dest, path)
            stat = machine.stat(path, follow=True)  # a link to a directory inside will do
        if stat is None or stat.kind != member.kind:
            return True
        if member.kind == "link":
            return machine.readlink(path) != member.target
        if member.kind == "file" and self.keep_newer and stat.mtime_ns / 1e9 > member.mtime:
            return False
        if self._permissions(machine, member).differs(machine, stat):
            return True
        return member.kind == "file" and (stat.size != member.size or machine.sha256(path) != member.sha256)

    def _unpack(self, machine: Machine, path: str, member: Member, content: Content) -> None:
        if path != self._dest:
            archive_names.refuse_outside(machine, self.dest, posixpath.dirname(path))
            machine.mkdir(posixpath.dirname(path))
        found = machine.stat(path)
        if member.kind == "directory":
            if found is not None and found.kind == "link":
                archive_names.refuse_outside(machine, self.dest, path)  # a link to a directory inside will do
                found = machine.stat(path, follow=True)
            if found is not None and found.kind != "directory":
                machine.remove(path)
            machine.mkdir(path)
        elif found is not None and found.kind == "directory":
            raise Refused(f"{path} is a directory, and a {member.kind} in the archive", hint="move it away first")
        elif member.kind == "link":
            machine.symlink(member.target, path)
        else:
            if found is not None and found.kind == "link":
                machine.remove(path)  # never written through
            mode, uid, gid = self._permissions(machine, member).resolved(machine, member.mode, False)
            with content() as source, machine.replacing(path, mode, uid, gid, False, follow=False) as target:
                machine.pour(source, target)
            machine.utime(path, (member.mtime, member.mtime))
