"""Containers that still see what their files were before a deploy: Compose compares no contents of what is mounted."""

from __future__ import annotations

from typing import Any, ClassVar, Dict, Iterator, List, Mapping, Sequence

from mnemo_ops.agent.base.progress import Deed, Progress, Report
from mnemo_ops.agent.base.record import dataclass
from mnemo_ops.agent.engine.action import Action
from mnemo_ops.agent.files import mounts
from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.stack import containers, orchestrator
from mnemo_ops.agent.stack.containers import Container
from mnemo_ops.agent.stack.stack import Stack
from mnemo_ops.errors import NotStarted

_REPLACED = "//deleted"  # the kernel's mark for a mounted file whose name has another file by now


@dataclass(frozen=True)
class RestartStale(Action):
    """Restart what was started before a file changed that it has from the stack's directory.

    A single file is mounted as the file that it was: replaced by another one, the container keeps the old one. What is
    below a directory is there, but was read at the start. A start takes all of it as it is.

    :param wanted: paths below the stack's directory that a deploy puts there -> SHA-256 of what they are to be; empty:
        they are that already.
    :raises NotStarted: one does not run, or is not as well as it was (6).
    """

    stack: Mapping[str, Any]
    wanted: Mapping[str, str]
    kind: ClassVar[str] = "restart_stale"

    def ready(self, machine: Machine) -> Report:
        """``stale``: service -> the files that it does not see, or will not."""
        return {"stale": _told(self._stale(machine))}

    def run(self, machine: Machine) -> Deed:
        stack, stale = Stack.from_json(self.stack), self._stale(machine)
        if stale:
            yield Progress(note="restarting " + ", ".join(_told(stale)))
            found = [each for each, _ in stale]
            wrong = orchestrator.restart(machine, found, stack.stores, stack.grace)
            if wrong:
                said = f"not well after a restart: {containers.described(wrong)}"
                raise NotStarted(said, hint=orchestrator.looking(list(wrong)))
        return {"restarted": _told(stale)}

    def _stale(self, machine: Machine) -> List[tuple[Container, List[str]]]:
        stack = Stack.from_json(self.stack)
        files = {stack.path(path): sum for path, sum in self.wanted.items()}
        rows = [(each, sorted(set(_unseen(machine, each, files)))) for each in _running(machine, stack.project)]
        return [(each, [path[len(stack.directory) + 1 :] for path in paths]) for each, paths in rows if paths]


def _running(machine: Machine, project: str) -> List[Container]:
    return [each for each in containers.containers(machine, project) if each.running]


def _told(stale: Sequence[tuple[Container, List[str]]]) -> Dict[str, List[str]]:
    return {each.service: paths for each, paths in stale}


def _unseen(machine: Machine, container: Container, files: Mapping[str, str]) -> Iterator[str]:
    """Of these files those that a container does not have as they are, or are to be."""
    there = mounts.mounted(machine, str(container.pid)) if container.pid else {}
    replaced = {target for target, one in there.items() if one.root.endswith(_REPLACED)}
    began = containers.nanoseconds(container.started)
    for mount in container.mounts:
        source = str(mount.get("Source", ""))
        if source in files:
            if mount.get("Destination") in replaced or _differs(machine, source, files):
                yield source
        elif not mount.get("RW", True):  # what it may write, it may have written
            for path in files:
                if path.startswith(f"{source}/") and (
                    _written(machine, path) > began or _differs(machine, path, files)
                ):
                    yield path


def _differs(machine: Machine, path: str, files: Mapping[str, str]) -> bool:
    return bool(files[path]) and machine.sha256(path) != files[path]


def _written(machine: Machine, path: str) -> int:
    stat = machine.stat(path, follow=True)
    return stat.mtime_ns if stat else 0
