"""The host a stack moves to: marked as such from the first write, so that an interrupted run can be cleaned up."""

from __future__ import annotations

import json
from typing import Any, ClassVar, Dict, Mapping, Optional

from mnemo_ops.agent import project
from mnemo_ops.agent.action import Action, Deed, Progress
from mnemo_ops.agent.actions.load import identity_path
from mnemo_ops.agent.actions.services import fence_path
from mnemo_ops.agent.actions.swap import record_path, sibling
from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.record import dataclass
from mnemo_ops.agent.stack import Stack
from mnemo_ops.errors import Refused


def _path(machine: Machine, name: str) -> str:
    return f"{machine.state_dir}/targets/{name}.json"


def read_target(machine: Machine, name: str) -> Optional[Dict[str, Any]]:
    """The mark of a project that moves here: run, set id, state (copying or serving); ``None``: no such mark."""
    text = machine.read_text(_path(machine, name))
    return None if text is None else dict(json.loads(text))


@dataclass(frozen=True)
class MarkTarget(Action):
    """Write the mark. ``state``: copying, or serving once the stack may take writes here.

    What marks of an earlier life are on a host without the stack (it served, or moved away, and was emptied) go.

    :raises Refused: copying to a host that holds the stack (3).
    """

    project: str
    run_id: str
    state: str
    kind: ClassVar[str] = "mark_target"

    def run(self, machine: Machine) -> Deed:
        yield Progress()
        if self.state == "copying":
            found = project.containers(machine, self.project)
            if found:
                raise Refused(f"{self.project} already has containers on this host: {', '.join(sorted(found))}")
            machine.remove(fence_path(machine, self.project))
        machine.mkdir(machine.state_dir, 0o700)
        machine.mkdir(machine.state_dir + "/targets", 0o700)
        mark = {"run": self.run_id, "state": self.state, "at": machine.now()}
        machine.write(_path(machine, self.project), json.dumps(mark).encode(), 0o600)
        return mark


@dataclass(frozen=True)
class CleanTarget(Action):
    """Remove what an interrupted run put here: only while its mark says that this host never served.

    :raises Refused: there is no such mark, or the stack serves here (3).
    """

    stack: Mapping[str, Any]
    run_id: str
    kind: ClassVar[str] = "clean_target"

    def run(self, machine: Machine) -> Deed:
        stack = Stack.from_json(self.stack)
        removed = []
        found = project.containers(machine, stack.project)
        self._own(machine, stack)
        for container in found.values():
            yield Progress(note=f"removing the container {container.name}")
            machine.run(["docker", "rm", "--force", container.name])
            removed.append(container.name)
        volumes = machine.ask(["docker", "volume", "ls", "-q"]).out.split() if machine.which("docker") else []
        for name in (each for each in volumes if each.startswith(stack.project + "_")):
            self._own(machine, stack)  # looked at again right before each deletion
            yield Progress(note=f"removing the copy in {name}")
            machine.run(["docker", "volume", "rm", name])
            removed.append(name)
        self._own(machine, stack)
        machine.remove(stack.directory)
        # a kill in the middle of unpacking the config leaves these: secrets in clear, and the key to them
        machine.remove(sibling(stack.directory, "restore", self.run_id))
        machine.remove(identity_path(machine, self.run_id))
        machine.remove(record_path(machine, stack.project))
        for name in machine.names(stack.store):
            if name.startswith((self.run_id, f"images-{self.run_id}")):
                machine.remove(f"{stack.store}/{name}")
        machine.remove(_path(machine, stack.project))
        return {"removed": removed}

    def _own(self, machine: Machine, stack: Stack) -> None:
        mark = read_target(machine, stack.project)
        if mark is None or mark["run"] != self.run_id or mark["state"] != "copying":
            raise Refused(f"{stack.project} on this host is not the unfinished copy of run {self.run_id}")
