"""Stopping, starting and fencing a stack. Stop returns its own restart; a fence holds after a reboot, too."""

from __future__ import annotations

import json
from functools import partial
from typing import Any, ClassVar, Dict, Mapping, Optional, Sequence

from mnemo_ops.agent import alone, lease, project, target
from mnemo_ops.agent.action import Action, Deed, Progress, Report
from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.record import dataclass, field
from mnemo_ops.agent.stack import Stack
from mnemo_ops.errors import Broken, Refused

PATIENCE = 180.0  # seconds until started containers must be healthy


def fence_path(machine: Machine, name: str) -> str:
    return f"{machine.state_dir}/fences/{name}.json"


def read_fence(machine: Machine, name: str) -> Optional[Dict[str, Any]]:
    """The fence of a project: run, state (held or final), target, containers as they were; ``None``: no fence."""
    text = machine.read_text(fence_path(machine, name))
    return None if text is None else dict(json.loads(text))


def write_fence(machine: Machine, name: str, fence: Mapping[str, Any]) -> None:
    machine.mkdir(machine.state_dir, 0o700)
    machine.mkdir(machine.state_dir + "/fences", 0o700)
    machine.write(fence_path(machine, name), json.dumps(fence).encode(), 0o600)


@dataclass(frozen=True)
class StartContainers(Action):
    """Start containers by name, in order, and wait for their health; those that somebody removed meanwhile are not."""

    names: Sequence[str]
    kind: ClassVar[str] = "start_containers"

    def run(self, machine: Machine) -> Deed:
        yield Progress(note="starting " + ", ".join(self.names))
        names = project.remaining(machine, self.names)
        project.start(machine, names, PATIENCE)
        return {"started": names}


@dataclass(frozen=True)
class Fence(Action):
    """Stop everything that writes, and keep it stopped: restart policies off, remembered, covered by a lease.

    Services in ``stack.keep`` (the database) go on running for the dump. Unless it is settled the fence ends by itself
    when nobody renews its lease, and the stack serves again.

    :param target: machine id of the host the stack moves to.
    """

    stack: Mapping[str, Any]
    run_id: str
    target: str = ""
    kind: ClassVar[str] = "fence"

    def run(self, machine: Machine) -> Deed:
        stack = Stack.from_json(self.stack)
        fence = read_fence(machine, stack.project)
        if fence is not None and fence["run"] != self.run_id:
            raise Refused(f"{stack.project} is already fenced by run {fence['run']}")
        found = project.containers(machine, stack.project)
        if fence is None:
            was = {each.name: {"restart": each.restart, "running": each.running} for each in found.values()}
            order = [each.name for each in project.ordered(found, stack.start_order)]
            fence = {"run": self.run_id, "state": "held", "target": self.target, "containers": was, "order": order}
        # lease first: from here on a kill at any point is undone by the host
        undo = [{"kind": "unfence", "args": {"project": stack.project, "run_id": self.run_id}}]
        lease.hold(machine, f"fence-{self.run_id}", self.run_id, undo)
        write_fence(machine, stack.project, fence)
        names = [each.name for each in found.values()]
        project.set_restart(machine, "no", names)
        began = machine.now()
        for container in project.ordered(found, stack.stop_order):
            if container.service in stack.keep:
                continue
            yield Progress(note=f"stopping {container.service}")
            project.stop(machine, [container], stack.grace)
        return {"stopped_at": began, "seconds": machine.now() - began}


@dataclass(frozen=True)
class Unfence(Action):
    """Undo a held fence of this run: restart policies back, and what ran runs again. Nothing when there is none."""

    project: str
    run_id: str
    kind: ClassVar[str] = "unfence"

    def run(self, machine: Machine) -> Deed:
        fence = read_fence(machine, self.project)
        if fence is None or fence["run"] != self.run_id:
            return {"unfenced": False}
        if fence["state"] == "final":  # settled just before a kill: the other host serves, and the lease may go
            return {"unfenced": False}
        # said first, so that a set that is still being made does not call itself quiesced
        write_fence(machine, self.project, {**fence, "state": "undoing"})
        yield Progress(note="starting the stack again")
        project.wait_for_docker(machine)
        was = fence["containers"]
        for name in project.remaining(machine, was):
            project.set_restart(machine, was[name]["restart"], [name])
        names = project.remaining(machine, (name for name in fence["order"] if was[name]["running"]))
        project.start(machine, names, PATIENCE)
        machine.remove(fence_path(machine, self.project))
        return {"unfenced": True, "started": names}


@dataclass(frozen=True)
class SettleFence(Action):
    """Make a held fence final: from now on only a person takes it away. The stores stop, too.

    :raises Broken: the fence was undone meanwhile: old serves again, new must not be started (6).
    """

    stack: Mapping[str, Any]
    run_id: str
    kind: ClassVar[str] = "settle_fence"

    def run(self, machine: Machine) -> Deed:
        stack = Stack.from_json(self.stack)
        fence = read_fence(machine, stack.project)
        if fence is None or fence["run"] != self.run_id:
            raise Broken(f"{stack.project} is no longer fenced by run {self.run_id}: it may be serving again")
        if fence["state"] != "final":
            self._still_stopped(machine, stack, fence)
            final = {**fence, "state": "final", "settled_at": machine.now()}
            # in one: a kill in between must leave neither a fence that ends by itself nor one that nobody owns
            settle = partial(write_fence, machine, stack.project, final)
            lease.release(machine, f"fence-{self.run_id}", settle)
        yield Progress(note="the fence is final")
        return {"state": "final"}

    def _still_stopped(self, machine: Machine, stack: Stack, fence: Mapping[str, Any]) -> None:
        """Nothing may have written since the final set, whoever started it: a half-done undo, or a person."""
        running = [each.service for each in project.containers(machine, stack.project).values() if each.running]
        writers = sorted(set(running) - set(stack.keep)) + alone.strangers(machine, stack)
        if writers or fence["state"] != "held":
            raise Broken(f"{', '.join(writers) or stack.project} was started again here after the final set was made")


@dataclass(frozen=True)
class StopAll(Action):
    """Stop every container of the project, stores last."""

    stack: Mapping[str, Any]
    kind: ClassVar[str] = "stop_all"

    def run(self, machine: Machine) -> Deed:
        stack = Stack.from_json(self.stack)
        found = project.containers(machine, stack.project)
        for container in project.ordered(found, stack.stop_order):
            yield Progress(note=f"stopping {container.service}")
            project.stop(machine, [container], stack.grace)
        return {"stopped": [each.name for each in found.values() if each.running]}


@dataclass(frozen=True)
class ComposeUp(Action):
    """``docker compose up -d --wait`` for the named services (all, when none is named)."""

    stack: Mapping[str, Any]
    services: Sequence[str] = field(default_factory=tuple)
    kind: ClassVar[str] = "compose_up"

    def ready(self, machine: Machine) -> Report:
        name = Stack.from_json(self.stack).project
        fence = read_fence(machine, name)
        if fence is not None:
            raise Refused(
                f"the stack is fenced here by run {fence['run']}: it moved to another host",
                hint="deploy on the new host, or use another one",
            )
        if not self.services:  # a migration itself starts some for the proof, and all when its mark says serving
            target.refuse_unfinished(machine, name)
        return {}

    def run(self, machine: Machine) -> Deed:
        self.ready(machine)
        stack = Stack.from_json(self.stack)
        yield Progress(note="starting " + (", ".join(self.services) or "every service"))
        up = ["up", "-d", "--wait", "--wait-timeout", str(int(PATIENCE)), "--no-build", "--pull", "never"]
        machine.run(stack.compose(*up, *self.services))
        return {"up_at": machine.now()}
