"""What a check leaves undone, and so cannot know of what comes after it."""

from __future__ import annotations

import posixpath
from typing import Dict, Iterator, Optional, Sequence, Tuple, Type, Union

from mnemo_ops.agent.base.protocol import Event
from mnemo_ops.agent.engine.resource import Resource
from mnemo_ops.agent.machine import Machine

_PATHS = ("path", "dest", "creates")  # the arguments that name what a task makes or changes
_BRING = ("apt", "package", "dnf", "unarchive", "git", "command", "shell", "script", "raw")  # files nobody names
_PROGRAMS = ("command", "shell", "script", "raw")
_UNLESS = ("creates", "removes")  # those that decide whether it is done at all
_READ = ("path", "src", "paths")  # and those that name what it looks at
_NEED = ("path", "dest", "src", "chdir", "key", "env_file", "project_src", "deb")  # or what must be there
_UNITS = ("systemd", "service")
_OWNERS = (("user", "owner"), ("user", "user"), ("group", "group"))  # kinds, and the arguments that name one


def leaves(event: Event, resource: Union[Resource, Type[Resource]], changed: Optional[bool]) -> bool:
    """Whether a check leaves something undone there; of a program, its author may say that it changes nothing.

    :param changed: ``changed_when`` where it is a constant.
    """
    if changed is False and resource.kind in _PROGRAMS:
        return False
    return resource.changes and (event.status in ("changed", "unknown") or bool(event.foreseen))


class Undone:
    """The tasks of a check that the real run would have done, through all batches of a session.

    :attr:`first`: the id of the first one; empty while everything is as the real run would find it.
    """

    def __init__(self) -> None:
        self.first = ""
        self._paths: Dict[str, str] = {}
        self._names: Dict[Tuple[str, str], str] = {}
        self._bringer = ""  # the first task that may bring any file

    def add(self, id: str, resource: Resource) -> None:
        """A task that would have changed something, or might have."""
        self.first = self.first or id
        # a directory that gets another owner does not change what lies in it
        end = "" if getattr(resource, "state", "") == "directory" else "/"
        for path in _named(resource, _PATHS):
            self._paths.setdefault(path + end, id)
        self._bringer = self._bringer or (id if resource.kind in _BRING else "")
        self._names.setdefault((resource.kind, str(getattr(resource, "name", ""))), id)

    def seen_by(self, resource: Resource, event: Event, machine: Machine) -> Event:
        """The event, or ``unknown`` where the real run might have come to another.

        What is to be a directory, or not to be, is unknown where not even the directory around it is there yet, and an
        earlier task may bring both: a package, an archive, a command.

        So is what is left out when a path is there, or is not, and that path would be another by then.

        What looks at a path that would be another by then, or below it, is unknown; so is what finds its path as it
        should be, or would make it only when it is missing. What would change it again is not.
        """
        if not self.first:
            return event
        made = self._names.get((resource.kind, str(getattr(resource, "name", "") or "")), "")
        if event.foreseen and event.before is None and getattr(resource, "name", None) and made:
            return Event(event.id, "unknown", why=f"after {made}")  # an earlier task would make it
        if self._bringer and resource.kind in ("file", "stat") and self._homeless(resource, machine):
            return Event(event.id, "unknown", why=f"after {self._bringer}")
        if id := self._looked_for(resource, _UNLESS):
            return Event(event.id, "unknown", why=f"after {id}")
        if resource.desired() == {}:
            id = self._looked_for(resource, _READ)
        elif event.foreseen and getattr(resource, "force", True):
            return event
        else:
            same = (self._paths.get(path) or self._paths.get(path + "/") for path in _named(resource, _PATHS))
            id = next((id for id in same if id), "")
        return Event(event.id, "unknown", why=f"after {id}") if id else event

    def cause(self, resource: Resource, user: str = "") -> str:
        """The task that makes what this one misses, as far as its arguments tell; else the first; empty: there is none.

        :param user: who does it; empty for the agent's own.
        """
        names = [("user", user), *((kind, str(getattr(resource, field, ""))) for kind, field in _OWNERS)]
        if made := next((self._names[name] for name in names if name in self._names), ""):
            return made
        above = [one for path in _needed(resource) for one in self._paths if (path + "/").startswith(_within(one))]
        if resource.kind in _UNITS:
            name = str(getattr(resource, "name", ""))
            unit = name if "." in name else f"{name}.service"
            above += [one for one in self._paths if posixpath.basename(one.rstrip("/")) == unit]
        return self._paths[max(above, key=len)] if above else (self._bringer or self.first)

    def _homeless(self, resource: Resource, machine: Machine) -> bool:
        if getattr(resource, "state", "absent") not in ("directory", "absent"):
            return False
        return any(machine.stat(posixpath.dirname(path), follow=True) is None for path in _named(resource, _PATHS))

    def _looked_for(self, resource: Resource, fields: Sequence[str]) -> str:
        return next((id for path in _named(resource, fields) if (id := self._below(path, resource.kind))), "")

    def _below(self, path: str, kind: str) -> str:
        """Who would have changed the path, a directory it lies in, or, where all of it is looked for, a part of it."""
        for other, id in self._paths.items():
            if path == other.rstrip("/") or (other.endswith("/") and path.startswith(other)):
                return id
            if kind == "find" and other.startswith(path + "/"):
                return id
        return ""


def _within(path: str) -> str:
    return path.rstrip("/") + "/"


def _needed(resource: Resource) -> Iterator[str]:
    yield from _named(resource, _NEED)
    path, src = getattr(resource, "path", None), getattr(resource, "src", None)
    if isinstance(path, str) and isinstance(src, str):  # what a link points to
        yield posixpath.normpath(posixpath.join(posixpath.dirname(path), src))
    home, files = getattr(resource, "project_src", None), getattr(resource, "files", None)
    if isinstance(home, str) and isinstance(files, list):  # of a compose project
        yield from (posixpath.normpath(posixpath.join(home, file)) for file in files)


def _named(resource: Resource, fields: Sequence[str]) -> Iterator[str]:
    for name in fields:
        value = getattr(resource, name, None)
        for path in value if isinstance(value, list) else [value]:
            if isinstance(path, str) and path.startswith("/"):
                yield posixpath.normpath(path)
