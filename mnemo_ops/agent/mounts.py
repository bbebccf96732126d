"""What is mounted where (proc_pid_mountinfo(5)) and what should be (fstab(5))."""

from __future__ import annotations

import re
from typing import Dict, List, Optional

from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.record import dataclass
from mnemo_ops.errors import Refused

FIELDS = ("src", "path", "fstype", "opts", "dump", "passno")
_OCTAL = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True)
class Mounted:
    """``source``: the device or address; ``root``: which directory of it, ``/`` unless it is a bind mount."""

    source: str
    root: str
    fstype: str


def mounted(machine: Machine) -> Dict[str, Mounted]:
    """Mount point -> what is on top there."""
    found: Dict[str, Mounted] = {}
    for line in (machine.read_text("/proc/self/mountinfo") or "").splitlines():
        fields = line.split()
        fstype, source = fields[fields.index("-") + 1 :][:2]
        found[_plain(fields[4])] = Mounted(_plain(source), _plain(fields[3]), fstype)
    return found


def _plain(text: str) -> str:
    return _OCTAL.sub(lambda code: chr(int(code[1], 8)), text)


def escaped(text: str) -> str:
    """A field of fstab: what would end it is written in octal."""
    for letter in "\\ &\t":
        text = text.replace(letter, f"\\{ord(letter):03o}")
    return text


def fields(line: str) -> Dict[str, str]:
    """A line of fstab; empty for comments and what is none."""
    words: List[str] = line.partition("#")[0].split()
    if not 4 <= len(words) <= 6:
        return {}
    return dict(zip(FIELDS, [_plain(word) for word in [*words, "0", "0"]]))


def entry(machine: Machine, path: str) -> Optional[str]:
    """What fstab mounts there."""
    rows = map(fields, (machine.read_text("/etc/fstab") or "").splitlines())
    return next((row["src"] for row in rows if row.get("path") == path), None)


def device(machine: Machine, source: str) -> str:
    """The device file behind ``UUID=``, ``LABEL=``, ``PARTUUID=``, ``PARTLABEL=`` or a link; else as it was given."""
    tag, _, value = source.partition("=")
    if tag in ("UUID", "LABEL", "PARTUUID", "PARTLABEL"):
        link = f"/dev/disk/by-{tag.lower()}/" + value.strip('"')
        if machine.stat(link) is None and machine.which("findfs") is not None:  # no udev makes links in a container
            return machine.ask(["findfs", source], check=False).out.strip() or link
        source = link
    return machine.realpath(source) if source.startswith("/dev/") else source


def refuse_hiding(machine: Machine, path: str) -> None:
    """:raises Refused: nothing is mounted on ``path`` and it holds something, which a mount would hide (3)."""
    names = [] if path in mounted(machine) or machine.stat(path) is None else machine.names(path)
    if names:
        few = ", ".join(names[:3]) + (" and more" if len(names) > 3 else "")
        raise Refused(
            f"nothing is mounted on {path} and it holds {few}, which a mount would hide",
            hint=f"move it away, mv {path} {path}.before, and run this again",
        )
