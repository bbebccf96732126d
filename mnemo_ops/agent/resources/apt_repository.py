"""apt_repository: a source of packages, as one line."""

from __future__ import annotations

import re
from typing import Any, ClassVar, Dict, List, Literal, Mapping, Optional

from mnemo_ops.agent.base.lines import each_line
from mnemo_ops.agent.base.record import dataclass
from mnemo_ops.agent.base.state import ABSENT, Change, State
from mnemo_ops.agent.engine.resource import Resource
from mnemo_ops.agent.files.mode import Mode
from mnemo_ops.agent.files.ownership import Permission
from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.system import dpkg
from mnemo_ops.errors import StepFailed

INDEX = "package index"
_TYPES = ("deb", "deb-src")


@dataclass(frozen=True)
class AptRepository(Resource):
    """A line in apt's lists of sources; a source apt cannot load is taken back.

    :param repo: the line: ``deb [OPTIONS] URI SUITE COMPONENT...``.
    :param state: ``present`` or ``absent``.
    :param filename: file below sources.list.d for a new line, without ``.list``; default: made from the URI.
    :param mode: permissions of that file.
    :param update_cache: refresh the package index when the line was added or removed.
    :param update_cache_retries: how often apt asks a server again.
    :param update_cache_retry_max_delay: seconds it waits at most before it does.
    """

    kind: ClassVar[str] = "apt_repository"
    ALIASES: ClassVar[Mapping[str, str]] = {"update-cache": "update_cache"}
    EXAMPLE: ClassVar[str] = """\
- name: the vendor's packages
  apt_repository:
    repo: "deb [signed-by=/etc/apt/keyrings/vendor.gpg] https://packages.example.com/debian trixie main"
    filename: vendor
"""

    repo: str
    state: Literal["present", "absent"] = "present"
    filename: Optional[str] = None
    mode: Mode = None
    update_cache: bool = True
    update_cache_retries: int = 5
    update_cache_retry_max_delay: int = 12

    def __post_init__(self) -> None:
        if self.repo.startswith("ppa:"):
            raise ValueError("ppa: is not supported; give its address and key to deb822_repository (uris, signed_by)")
        words = re.sub(r"\[[^\]]*\]", "", self.repo).split()
        if len(words) < 3 or words[0] not in _TYPES:
            raise ValueError("repo should look like 'deb [OPTIONS] URI SUITE COMPONENT...'")

    @property
    def _line(self) -> str:
        return " ".join(self.repo.split())

    @property
    def _permission(self) -> Permission:
        return Permission(None, None, self.mode)

    def _file(self) -> str:
        """Where a new line goes."""
        uri = re.sub(r"\[[^\]]*\]", "", self.repo).split()[1]
        plain = uri.partition("://")[2] or uri
        name = self.filename or "_".join(re.findall(r"[a-zA-Z0-9]+", plain.rpartition("@")[2]))
        return f"{name}.list" if "/" in name else f"{dpkg.SOURCES}.d/{name}.list"

    def desired(self) -> State:
        index = {INDEX: "fresh"} if self.update_cache else {}
        return {"repo": self.state, **(self._permission.desired() if self.state == "present" else {}), **index}

    def observe(self, machine: Machine) -> State:
        if self.update_cache and machine.which("apt-get") is None:
            return ABSENT
        found: Dict[str, Any] = {"repo": "absent", "sources_added": [], "sources_removed": []}
        for path in self._files(machine):
            states = [_active(line) for line in self._lines(machine, path) if _source(line) == self._line]
            stat = machine.stat(path, follow=True)
            if any(states) and stat is not None:
                found.update(self._permission.observed(machine, stat), repo="present")
            elif states and self.state == "present" and found["repo"] == "absent":
                found["repo"] = "disabled"
        return {**found, INDEX: "old" if dpkg.index_age(machine) == float("inf") else "fresh"}

    def _files(self, machine: Machine) -> List[str]:
        found = [dpkg.SOURCES, *machine.glob(f"{dpkg.SOURCES}.d/*.list")]
        return found if self._file() in found else [*found, self._file()]

    def _lines(self, machine: Machine, path: str) -> List[str]:
        return each_line(machine.read_text(path) or "")

    def apply(self, machine: Machine, change: Change) -> State:
        before = {path: machine.read(path) for path in self._files(machine)}
        touched = self._edit(machine) if "repo" in change.keys else []
        if self.mode is not None and self.state == "present":
            for path in (path for path in self._files(machine) if machine.stat(path) and self._holds(machine, path)):
                self._permission.apply(machine, path)
        if self.update_cache:
            try:
                delay = self.update_cache_retry_max_delay
                dpkg.update(machine, retries=self.update_cache_retries, delay=delay)
            except StepFailed:
                for path in touched:
                    _put(machine, path, before[path])
                raise
        added = [path for path in touched if before[path] is None]
        removed = [path for path in touched if machine.stat(path) is None]
        return {**(self.observe(machine) or {}), "sources_added": added, "sources_removed": removed}

    def _holds(self, machine: Machine, path: str) -> bool:
        return any(_active(line) and _source(line) == self._line for line in self._lines(machine, path))

    def _edit(self, machine: Machine) -> List[str]:
        """The files that were changed."""
        texts = {path: self._lines(machine, path) for path in self._files(machine)}
        holding = [path for path, lines in texts.items() if any(_source(line) == self._line for line in lines)]
        if self.state == "present" and not holding:
            holding = [self._file()]
            texts[holding[0]].append(self._line)
        for path in holding:
            if self.state == "present":
                lines = [self._line if _source(line) == self._line else line for line in texts[path]]
            else:
                lines = [line for line in texts[path] if not (_active(line) and _source(line) == self._line)]
            machine.mkdir(path.rpartition("/")[0])
            _put(machine, path, "".join(line + "\n" for line in lines).encode() if lines else None)
        return holding


def _active(line: str) -> bool:
    return not line.lstrip().startswith("#")


def _source(line: str) -> str:
    """The source a line names, in or out of use; empty when it names none."""
    words = line.strip().lstrip("# \t").partition("#")[0].split()
    return " ".join(words) if words[:1] and words[0] in _TYPES else ""


def _put(machine: Machine, path: str, data: Optional[bytes]) -> None:
    if data is None:
        machine.remove(path)
    else:
        machine.write(path, data, fresh=0o644)
