"""Directories and files of the host in containers, compared with what is at their paths now.

A bind mount holds what was at its source when the container was started, wherever that is moved, and also once it is
removed. The next start takes what is at the path then: Docker makes an empty directory where there is nothing.
"""

from __future__ import annotations

import posixpath
import stat
from shlex import quote
from typing import Any, Dict, Iterator, List, Mapping, Optional, Tuple

from mnemo_ops.agent.base.lines import each_line
from mnemo_ops.agent.base.record import dataclass
from mnemo_ops.agent.files.mounts import plain
from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.stack.containers import Container, Found
from mnemo_ops.agent.stack.hosts_own import is_hosts_own
from mnemo_ops.errors import Broken, Refused


@dataclass(frozen=True)
class Other:
    """A mount that the next start would make of something else.

    :param source: the path on the host; ``now``: where that lies today which the container holds; empty: unknown.
    :param gone: nothing is at ``source``. :param harmless: a file that only the host changes: its new content counts.
    """

    container: str
    target: str
    source: str
    now: str
    gone: bool
    harmless: bool


def others(machine: Machine, found: Found) -> List[Other]:
    """Of the containers that run: what is stopped holds nothing."""
    return [each for container in found if container.running for each in _others(machine, container)]


def refuse_gone(machine: Machine, found: Found) -> None:
    """:raises Refused: the next start of a container would begin with something else than it holds; names each (3)."""
    every = [each for each in others(machine, found) if not each.harmless]
    if every:
        first = [each for each in every if each.now] or every  # with what was moved much of the rest is where it was
        raise Refused(
            f"{'; '.join(map(_said, every))}; started again, it would begin without that",
            hint="; and ".join(dict.fromkeys(_remedy(machine, each) for each in first)),
        )


def _said(each: Other) -> str:
    how = "is gone" if each.gone else "is not what it was"
    now = f" ({each.now} today)" if each.now else ""
    return f"{each.source} {how}: {each.container} holds at {each.target} what was there{now}"


def _remedy(machine: Machine, each: Other) -> str:
    if not each.now:
        held = quote(f"{each.container}:{each.target}")
        save = f"save what only the container has (docker cp {held} .), put it at {each.source}"
        return f"{save}, then: docker restart {each.container}"
    if not each.gone:
        link = f"ln -s {quote(each.now)} {quote(each.source)}"
        return f"move away what is at {each.source} now, then, as root on the host: {link}"
    old, new = map(quote, _moved(machine, each.source, each.now))
    return f"as root on the host: ln -s {new} {old}; or make the containers anew from there: docker compose up -d"


def _moved(machine: Machine, source: str, now: str) -> Tuple[str, str]:
    """The outermost directories that were moved: what both paths end with stayed as it was, and ``old`` is gone."""
    old, new = source, now
    while posixpath.basename(old) == posixpath.basename(new):
        above = posixpath.dirname(old)
        if machine.stat(above) is not None:
            break
        old, new = above, posixpath.dirname(new)
    return old, new


def _others(machine: Machine, container: Container) -> Iterator[Other]:
    roots: Optional[Dict[str, str]] = None
    for mount in container.mounts:
        source, target = str(mount.get("Source") or ""), str(mount.get("Destination") or "")
        if mount.get("Type") != "bind" or is_hosts_own(source):
            continue
        here = machine.inode(source, follow=True)
        held = machine.inode(f"/proc/{container.pid}/root{target}", follow=True) if container.pid else None
        if here is not None and (held is None or _same(here, held) or not _holds(here.st_mode, held.st_mode)):
            continue  # what no process shows is not known to differ
        roots = _roots(machine, container) if roots is None else roots
        now = _at(machine, roots.get(target, ""), held)
        harmless = here is not None and _harmless(machine, container, mount, here)
        yield Other(container.name, target, source, now, here is None, harmless)


def _same(one: Any, other: Any) -> bool:
    """:param one: as stat(2) says it."""
    return bool((one.st_dev, one.st_ino) == (other.st_dev, other.st_ino))


def _holds(*modes: int) -> bool:
    """Sockets and devices hold nothing: they are made again."""
    return all(stat.S_ISDIR(mode) or stat.S_ISREG(mode) for mode in modes)


def _harmless(machine: Machine, container: Container, mount: Mapping[str, Any], here: Any) -> bool:
    """A file that was replaced, as editors do: read-only in the container, or equal in content."""
    if not stat.S_ISREG(here.st_mode):
        return False
    # by a program: only the kernel follows what leads into a container
    compare = ["cmp", "-s", "--", f"/proc/{container.pid}/root{mount['Destination']}", str(mount["Source"])]
    try:
        return mount.get("RW") is False or machine.ask(compare, check=False, timeout=20.0).rc == 0
    except Broken:
        return False


def _roots(machine: Machine, container: Container) -> Dict[str, str]:
    """Mount point in the container -> the path of what is mounted there, within its file system."""
    lines = each_line(machine.read_text(f"/proc/{container.pid}/mountinfo") or "") if container.pid else []
    fields = [line.split(" ") for line in lines]
    return {plain(row[4]): plain(row[3]) for row in fields if len(row) > 4}


def _at(machine: Machine, path: str, held: Any) -> str:
    """The path, if that which is held lies there on the host: it may lie on another file system."""
    there = machine.inode(path, follow=True) if path and held is not None else None
    return path if there is not None and _same(there, held) else ""
