"""mount: a file system that is mounted, now and at boot."""

from __future__ import annotations

import hashlib
from typing import Any, ClassVar, Dict, List, Literal, Mapping, Optional

from mnemo_ops.agent.base.lines import each_line, refuse_options
from mnemo_ops.agent.base.record import dataclass
from mnemo_ops.agent.base.state import ABSENT, Change, State
from mnemo_ops.agent.engine.resource import Resource
from mnemo_ops.agent.files import mounts
from mnemo_ops.agent.files.file_write import back_up
from mnemo_ops.agent.machine import Machine
from mnemo_ops.errors import CommandFailed, NotYet, Refused

PARTS = ("src", "fstype", "opts", "dump", "passno")


@dataclass(frozen=True)
class Mount(Resource):
    """A mount point: its line in fstab, and what is mounted there. An entry that cannot be mounted is taken back.

    :param path: the mount point; ``none`` for swap.
    :param src: device, ``UUID=``, ``LABEL=``, ``HOST:/PATH`` or directory.
    :param fstype: type of the file system; ``none`` for a bind mount.
    :param opts: options, with commas between; default: ``defaults``.
    :param opts_no_log: the options hold a secret: only a sha256 of them is shown.
    :param dump: for dump(8).
    :param passno: order of checks at boot.
    :param boot: whether it is mounted at boot; if not, ``noauto`` is added to ``opts``.
    :param state: ``mounted`` (in fstab and now), ``present`` (in fstab), ``unmounted`` (fstab stays), ``absent``
        (neither, and the empty directory is removed), ``absent_from_fstab``, ``ephemeral`` (now, fstab stays) or the
        deed ``remounted``.
    :param fstab: another file than /etc/fstab.
    :param backup: keep the old fstab beside it.
    :param guard: while nothing is mounted there, nothing can be written there: the bare directory is made immutable
        (chattr(1)) before it is mounted on, and refused when it holds something, which the mount would hide.
    """

    kind: ClassVar[str] = "mount"
    ALIASES: ClassVar[Mapping[str, str]] = {"name": "path"}
    EXAMPLE: ClassVar[str] = """\
- name: the data disk; the host boots without it, too
  mount: {path: /data, src: LABEL=data, fstype: ext4, opts: "defaults,nofail", state: mounted}
"""

    path: str
    state: Literal["absent", "absent_from_fstab", "mounted", "present", "unmounted", "remounted", "ephemeral"]
    src: Optional[str] = None
    fstype: Optional[str] = None
    opts: Optional[str] = None
    opts_no_log: bool = False
    dump: str = "0"
    passno: str = "0"
    boot: bool = True
    fstab: str = "/etc/fstab"
    backup: bool = False
    guard: bool = False

    def __post_init__(self) -> None:
        refuse_options(src=self.src, path=self.path)
        if self.state in ("mounted", "present", "ephemeral") and None in (self.src, self.fstype):
            raise ValueError(f"state {self.state} needs src and fstype")
        if self.path == "none" and self.state not in ("present", "absent_from_fstab"):
            raise ValueError("swap has no mount point: state present or absent_from_fstab, and swapon")
        if self.guard and self.state not in ("mounted", "ephemeral", "absent"):
            raise ValueError("guard goes with state mounted, ephemeral or absent")

    @property
    def _path(self) -> str:
        return self.path.rstrip("/") or "/"

    @property
    def _options(self) -> str:
        options = self.opts or "defaults"
        return options if self.boot else options + ",noauto"

    def _entry(self) -> Dict[str, str]:
        return {
            "src": str(self.src),
            "fstype": str(self.fstype),
            "opts": self._options,
            "dump": self.dump,
            "passno": self.passno,
        }

    def _shown(self, entry: Mapping[str, str]) -> Dict[str, str]:
        shown = {part: entry[part] for part in PARTS}
        if self.opts_no_log:
            shown["opts"] = "sha256:" + hashlib.sha256(shown["opts"].encode()).hexdigest()
        return shown

    def desired(self) -> State:
        wanted: Dict[str, Any] = {}
        if self.state in ("mounted", "present"):
            wanted["entry"] = self._shown(self._entry())
        elif self.state.startswith("absent"):
            wanted["entry"] = None
        if self.state in ("mounted", "ephemeral"):
            wanted["mounted"] = "yes"
        elif self.state in ("unmounted", "absent"):
            wanted["mounted"] = "no"
        return wanted or {"mounted": "anew"}

    def observe(self, machine: Machine) -> State:
        if "mounted" in (self.desired() or {}) and machine.which("mount") is None:
            return ABSENT
        if self.guard and self.state != "absent":
            mounts.refuse_hiding(machine, self._path)
        entry = next(filter(self._is_ours, map(mounts.fields, self._lines(machine))), None)
        there = mounts.mounted(machine).get(self._path)
        now = "no" if there is None else "yes" if self._fits(machine, there) else f"from {there.source}"
        if self.state == "ephemeral" and now.startswith("from"):
            raise Refused(
                f"{there.source if there else ''} is mounted on {self._path}, not {self.src}",
                hint=f"unmount it first: umount {self._path}",
            )
        asked = {**self._shown(self._entry()), "src": self.src, "fstype": self.fstype}
        own = {"name": self.path, **asked, "boot": self.boot, "fstab": self.fstab}
        return {**own, "entry": entry and self._shown(entry), "mounted": now}

    def _lines(self, machine: Machine) -> List[str]:
        return each_line(machine.read_text(self.fstab) or "")

    def _is_ours(self, entry: Mapping[str, str]) -> bool:
        if not entry or (entry["path"].rstrip("/") or "/") != self._path:
            return False
        return self._path != "none" or self.src is None or entry["src"] == self.src

    def _fits(self, machine: Machine, there: mounts.Mounted) -> bool:
        """Whether it comes from ``src``, as far as the kernel says where it comes from."""
        if self.src is None or self.state not in ("mounted", "ephemeral") or "bind" in self._options:
            return True
        source = mounts.device(machine, self.src)
        if source.startswith("/dev/") and there.source.startswith("/dev/"):
            return source == machine.realpath(there.source)
        return not str(self.fstype).startswith("nfs") or source.rstrip("/") == there.source.rstrip("/")

    def apply(self, machine: Machine, change: Change) -> State:
        if self.state == "remounted":
            return self._remount(machine)
        there = mounts.mounted(machine).get(self._path)
        if there is not None and (self.state in ("unmounted", "absent") or not self._fits(machine, there)):
            machine.run(["umount", self._path])
            there = None
        if self.state == "absent" and machine.stat(self._path) is not None and not machine.names(self._path):
            self._set_guard(machine, "-i")
            machine.rmdir(self._path)  # before the entry: a run that is cut here finds it still to be done
        kept: Dict[str, Any] = {}
        before = machine.read(self.fstab)
        if "entry" in change.keys:
            kept = {"backup_file": back_up(machine, self.fstab)} if self.backup and before is not None else {}
            if there is not None and self.state == "mounted":
                self._change_options(machine)
            self._write(machine)
        if self.state in ("mounted", "ephemeral") and self._path not in mounts.mounted(machine):
            self._mount(machine, before)
        return {**(self.observe(machine) or {}), **kept}

    def _remount(self, machine: Machine) -> State:
        if self._path not in mounts.mounted(machine):
            raise NotYet(f"nothing is mounted on {self._path}")
        self._change_options(machine)
        return {"mounted": "anew"}

    def _change_options(self, machine: Machine) -> None:
        """Before fstab says so: a run that is cut here does it again."""
        given = "," + self._options if self.opts is not None or self.state == "mounted" else ""
        try:
            machine.run(["mount", *self._table(machine), "-o", "remount" + given, self._path])
        except CommandFailed:
            if self.state == "remounted":
                raise
            machine.run(["umount", self._path])  # some options hold from the start or not at all

    def _table(self, machine: Machine) -> List[str]:
        return ["-T", machine.path(self.fstab)] if self.fstab != "/etc/fstab" else []

    def _write(self, machine: Machine) -> None:
        entry = {**self._entry(), "path": self.path}
        wanted = " ".join(mounts.escaped(entry[field]) for field in mounts.FIELDS)
        lines: List[str] = []
        placed = self.state.startswith("absent")
        for line in self._lines(machine):
            if not self._is_ours(mounts.fields(line)):
                lines.append(line)
            elif not placed:
                lines.append(wanted)
                placed = True
        text = "".join(line + "\n" for line in (lines if placed else [*lines, wanted]))
        machine.mkdir(self.fstab.rpartition("/")[0] or "/")
        machine.write(self.fstab, text.encode(), fresh=0o644)

    def _set_guard(self, machine: Machine, flag: str) -> None:
        if self.guard:
            machine.run(["chattr", flag, machine.for_program(self._path)])

    def _mount(self, machine: Machine, before: Optional[bytes]) -> None:
        machine.realpath(self._path)  # mount(8) would follow any link; this refuses a planted one
        machine.mkdir(self._path)
        self._set_guard(machine, "+i")
        words = ["mount", *self._table(machine)]
        if self.state == "ephemeral":
            words = ["mount", "-t", str(self.fstype), "-o", self._options, str(self.src)]
        try:
            machine.note = f"mounting {self.src} on {self._path}"
            machine.run([*words, self._path])
        except CommandFailed:
            if self.state == "mounted" and before is not None:  # an entry that does not work may stop the next boot
                machine.write(self.fstab, before)
            raise
