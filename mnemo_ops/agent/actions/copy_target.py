"""The host a stack moves to: marked as such from the first write, so that an interrupted run can be cleaned up."""

from __future__ import annotations

from typing import Any, ClassVar, List, Mapping, Sequence

from mnemo_ops.agent.actions.services import ComposeUp
from mnemo_ops.agent.actions.transfer import Fetch, key_path
from mnemo_ops.agent.base.progress import Deed, Progress
from mnemo_ops.agent.base.record import dataclass, field
from mnemo_ops.agent.base.validators import RunId
from mnemo_ops.agent.docker import cli as docker
from mnemo_ops.agent.engine.action import Action
from mnemo_ops.agent.files import mounts
from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.process import lease
from mnemo_ops.agent.stack import containers, copy_marker, restore_record
from mnemo_ops.agent.stack.fence import fence_path
from mnemo_ops.agent.stack.orchestrator import Orchestrator
from mnemo_ops.agent.stack.restore_record import AFTER, BEFORE, SCRATCH, record_path, sibling
from mnemo_ops.agent.stack.stack import Stack
from mnemo_ops.errors import Refused, VerificationFailed


@dataclass(frozen=True)
class MarkTarget(Action):
    """Write the mark. ``state``: copying, or serving once the stack may take writes here; in between settling, which
    writes none: what is here is still a copy, but its lease asks old first whether it is to serve.

    A copy that nobody goes on with is stopped by its lease, and stays stopped; what may serve is started by it.

    What marks of an earlier life are on a host without the stack (it served, or moved away, and was emptied) go.

    :param ask: the arguments of a :class:`~mnemo_ops.agent.actions.transfer.Fetch`, which fetches old's answer.
    :raises Refused: copying to a host that holds the stack (3).
    """

    stack: Mapping[str, Any]
    run_id: RunId
    state: str
    hosts: Sequence[str] = ()
    ask: Mapping[str, Any] = field(default_factory=dict)
    kind: ClassVar[str] = "mark_target"

    def run(self, machine: Machine) -> Deed:
        yield Progress()
        name, held = Stack.from_json(self.stack).project, f"target-{self.run_id}"
        mark = {"run": self.run_id, "state": self.state, "at": machine.now(), "hosts": list(self.hosts)}
        if self.state == "copying":
            found = containers.containers(machine, name)
            if found:
                names = ", ".join(each.name for each in found)
                raise Refused(f"{name} already has containers on this host: {names}")
            machine.remove(fence_path(machine, name))
            machine.remove(record_path(machine, name))  # what a restore kept here went with the data
        else:
            mark["restart"] = (copy_marker.read(machine, name) or {}).get("restart", {})
        about = {"stack": dict(self.stack), "run_id": self.run_id}
        ask = [{"kind": "ask_fence", "args": {**about, "ask": dict(self.ask)}}] if self.state == "settling" else []
        # they do nothing without the mark of this run
        lease.hold(machine, held, self.run_id, [*ask, {"kind": "stop_copy", "args": about}])
        if self.state == "settling":
            return {}
        with lease.guarded(machine, held):  # what serves is never stopped for a copy
            copy_marker.write(machine, name, mark)
        copy_marker.let_go(machine, name)
        return mark


@dataclass(frozen=True)
class AskFence(Action):
    """Where the fence of the run became final on old, and nobody was left to say so here, the stack is to serve here.

    Nothing where it did not, and where the key is gone: what is here stays a copy, the same command finishes it.

    :raises CommandFailed: old does not answer (6).
    """

    stack: Mapping[str, Any]
    run_id: RunId
    ask: Mapping[str, Any]
    kind: ClassVar[str] = "ask_fence"

    def run(self, machine: Machine) -> Deed:
        name = Stack.from_json(self.stack).project
        yield Progress()
        mark = copy_marker.read(machine, name)
        key = key_path(machine, self.run_id)
        if mark is None or mark["run"] != self.run_id or machine.stat(key) is None:
            return {}
        try:
            yield from Fetch(**self.ask).run(machine)
        except VerificationFailed:  # it answers, and the fence is not final
            return {}
        copy_marker.write(machine, name, {**mark, "state": "serving"})
        return {}


@dataclass(frozen=True)
class StopCopy(Action):
    """Stop the copy of a run that does not go on, so that nothing of it comes up again; it stays for inspection.

    Where its mark says that the stack serves here all of it is started. Nothing where the mark is of another run.
    """

    stack: Mapping[str, Any]
    run_id: RunId
    kind: ClassVar[str] = "stop_copy"

    def run(self, machine: Machine) -> Deed:
        stack = Stack.from_json(self.stack)
        yield Progress()
        mark = copy_marker.read(machine, stack.project)
        if mark is None or mark["run"] != self.run_id:
            return {}
        if mark["state"] == "copying":
            restore_record.clear(machine, self.run_id)
            copy_marker.hold_back(machine, stack)
            yield from Orchestrator(machine, stack).stop()
        else:
            containers.wait_for_docker(machine)
            copy_marker.let_go(machine, stack.project)
            yield from ComposeUp(self.stack).run(machine)
        return {}

    def leaves(self, machine: Machine) -> str:
        mark = copy_marker.read(machine, Stack.from_json(self.stack).project)
        if mark is not None and mark["state"] == "serving":
            return ComposeUp(self.stack).leaves(machine)
        return f"the unfinished copy of run {self.run_id}: {copy_marker.command(mark, '--abort')} removes it"


@dataclass(frozen=True)
class CleanTarget(Action):
    """Remove what an interrupted run put here: only while its mark says that this host never served.

    :param proven: services that a migration starts before it lets anybody in; others are started by somebody else.
    :raises Refused: there is no such mark, or the stack serves here (3).
    """

    stack: Mapping[str, Any]
    run_id: RunId
    proven: Sequence[str] = ()
    kind: ClassVar[str] = "clean_target"

    def run(self, machine: Machine) -> Deed:
        stack = Stack.from_json(self.stack)
        removed = []
        found = containers.containers(machine, stack.project)
        self._own(machine, stack)
        self._unused(found)
        mounts.refuse_around(machine, stack.directory)
        restore_record.clear(machine, self.run_id)
        for container in found:
            yield Progress(note=f"removing the container {container.name}")
            machine.run(["docker", "rm", "--force", "--volumes", container.name])
            removed.append(container.name)
        there = docker.all_of(machine, "volume") if machine.which("docker") else {}
        for path in self._filled(machine, stack, there):
            self._own(machine, stack)
            yield Progress(note=f"removing the copy in {path}")
            self._empty(machine, path)
            removed.append(path)
        for name in containers.volumes(machine, stack.project) if there else ():
            self._own(machine, stack)  # looked at again right before each deletion
            yield Progress(note=f"removing the copy in {name}")
            machine.run(["docker", "volume", "rm", name])
            removed.append(name)
        self._own(machine, stack)
        machine.remove(stack.directory)
        # a kill in the middle of unpacking the config leaves these: secrets in clear, and the key to them
        machine.remove(sibling(stack.directory, AFTER, self.run_id))
        machine.remove(record_path(machine, stack.project))
        for name in machine.names(stack.store):
            if name.startswith((self.run_id, f"images-{self.run_id}")):
                machine.remove(f"{stack.store}/{name}")
        copy_marker.remove(machine, stack.project)
        return {"removed": removed}

    def _filled(self, machine: Machine, stack: Stack, there: Mapping[str, Any]) -> List[str]:
        """Directories outside of Docker's own, which are left when their volumes go: those the copy found empty.

        :raises Refused: the disk of one is gone (3).
        """
        paths = (copy_marker.read(machine, stack.project) or {}).get("paths", [])
        rows = [there[name] for each in stack.datasets if (name := stack.volume(each.volume)) in there]
        for row in rows:
            mounts.refuse_gone(machine, row)
        found = {machine.realpath(docker.content(row)) for row in rows}  # itself it may be away: a kill amid renaming
        found |= {machine.realpath(each.path) for each in stack.datasets if each.path.startswith("/")}
        return sorted(found & set(paths))

    def _empty(self, machine: Machine, path: str) -> None:
        """The directory itself stays, and was there before: it is of the volume, not of the copy."""
        before = sibling(path, BEFORE, self.run_id)
        if machine.stat(before) is not None:
            machine.remove(path)
            machine.rename(before, path)  # empty, with the owner and the mode it had
        for word in (AFTER, SCRATCH):
            machine.remove(sibling(path, word, self.run_id))
        for name in machine.names(path):
            machine.remove(f"{path}/{name}")

    def _unused(self, found: containers.Found) -> None:
        """:raises Refused: somebody started the stack as it is here, and what they wrote since would be lost (3)."""
        running = [each.name for each in found if each.running and each.service not in self.proven]
        if running:
            raise Refused(
                f"run {self.run_id} never finished, but its copy is in use: {', '.join(running)} run",
                hint=f"if you do not need its data: docker stop {' '.join(running)}, then run this command again",
            )

    def _own(self, machine: Machine, stack: Stack) -> None:
        mark = copy_marker.read(machine, stack.project)
        if mark is None or mark["run"] != self.run_id or mark["state"] != "copying":
            raise Refused(f"{stack.project} on this host is not the unfinished copy of run {self.run_id}")
