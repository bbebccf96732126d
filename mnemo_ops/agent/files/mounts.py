"""What is mounted where (proc_pid_mountinfo(5)) and what should be (fstab(5))."""

from __future__ import annotations

import posixpath
import re
from typing import Any, Dict, List, Mapping, Optional

from mnemo_ops.agent.base.lines import each_line
from mnemo_ops.agent.base.record import dataclass
from mnemo_ops.agent.machine import Machine
from mnemo_ops.errors import Refused

FIELDS = ("src", "path", "fstype", "opts", "dump", "passno")
LABEL = "mnemo.mount"  # of a volume in a directory of the host: the mount point that was on when it was made
_OCTAL = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True)
class Mounted:
    """``source``: the device or address; ``root``: which directory of it, ``/`` unless it is a bind mount."""

    source: str
    root: str
    fstype: str


def mounted(machine: Machine, process: str = "self") -> Dict[str, Mounted]:
    """Mount point -> what is on top there, as a process sees it."""
    found: Dict[str, Mounted] = {}
    for line in each_line(machine.read_text(f"/proc/{process}/mountinfo") or ""):
        fields = line.split(" ")  # as the kernel parts them: a user names directories that he mounts on
        fstype, source = fields[fields.index("-") + 1 :][:2]
        found[plain(fields[4])] = Mounted(plain(source), plain(fields[3]), fstype)
    return found


def plain(text: str) -> str:
    """A field of mountinfo or fstab, of which blanks and the like are written in octal."""
    return _OCTAL.sub(lambda code: chr(int(code[1], 8)), text)


def escaped(text: str) -> str:
    """A field of fstab: what would end it is written in octal."""
    for letter in "\\ &\t\n":
        text = text.replace(letter, f"\\{ord(letter):03o}")
    return text


def fields(line: str) -> Dict[str, str]:
    """A line of fstab; empty for comments and what is none."""
    words: List[str] = re.findall(r"[^ \t]+", line.partition("#")[0])
    if not 4 <= len(words) <= 6:
        return {}
    return dict(zip(FIELDS, [plain(word) for word in [*words, "0", "0"]]))


def entry(machine: Machine, path: str) -> Optional[str]:
    """What fstab mounts there."""
    rows = map(fields, each_line(machine.read_text("/etc/fstab") or ""))
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


def label(machine: Machine, path: str) -> Dict[str, str]:
    """What a volume in this directory is to remember: the mount point it is on, when that is not the root's."""
    there, path = mounted(machine), machine.realpath(path)
    while path not in there and path != "/":
        path = posixpath.dirname(path)
    return {} if path == "/" else {LABEL: path}


def refuse_point(machine: Machine, path: str, remedy: str) -> None:
    """:raises Refused: ``path`` is a mount point, and a restore renames the directory that holds the data (3)."""
    if machine.realpath(path) in mounted(machine):
        raise Refused(f"{path} is itself a mount point: a restore cannot rename it", hint=remedy)


def refuse_around(machine: Machine, path: str) -> None:
    """:raises Refused: ``path`` is to be removed, and what is mounted there or below would be emptied (3)."""
    path = machine.realpath(path)
    points = [point for point in mounted(machine) if f"{point}/".startswith(f"{path}/")]
    if points:
        raise Refused(
            f"{', '.join(points)}: something is mounted there, and {path} is to be removed",
            hint=f"umount {' '.join(reversed(points))}, then run this command again",
        )


def refuse_gone(machine: Machine, volume: Mapping[str, Any]) -> None:
    """A bare mount point holds nothing, or what was written while it was bare: the volume's data are elsewhere.

    :param volume: of ``docker volume inspect``. :raises Refused: what it lay on is not mounted any more (3).
    """
    path = (volume.get("Labels") or {}).get(LABEL, "")
    if path and path not in mounted(machine):
        raise Refused(
            f"nothing is mounted on {path}: the data of the volume {volume['Name']} are on what was mounted there",
            hint=f"mount {path} again, restart the containers that use the volume, then run this command again",
        )


def refuse_hiding(machine: Machine, path: str) -> None:
    """:raises Refused: nothing is mounted on ``path`` and it holds something, which a mount would hide (3)."""
    names = [] if path in mounted(machine) or machine.stat(path) is None else machine.names(path)
    if names:
        few = ", ".join(names[:3]) + (" and more" if len(names) > 3 else "")
        raise Refused(
            f"nothing is mounted on {path} and it holds {few}, which a mount would hide",
            hint=f"move it away, mv {path} {path}.before, and run this command again",
        )
