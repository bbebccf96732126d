"""Stopping, starting and fencing a stack. Stop returns its own restart; a fence holds after a reboot, too."""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar, Mapping, Sequence

from mnemo_ops.agent.base.progress import Deed, Progress, Report
from mnemo_ops.agent.base.record import dataclass, field
from mnemo_ops.agent.base.validators import LeaseName, MachineId, RunId
from mnemo_ops.agent.engine.action import Action
from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.process import lease
from mnemo_ops.agent.stack import containers as project
from mnemo_ops.agent.stack import copy_marker as target
from mnemo_ops.agent.stack import exclusivity, orchestrator
from mnemo_ops.agent.stack.fence import fence_path, read_fence, refuse_fenced, write_fence
from mnemo_ops.agent.stack.orchestrator import Orchestrator
from mnemo_ops.agent.stack.stack import Stack
from mnemo_ops.errors import Broken, NotStarted


def _policies_off(policies: Mapping[str, str]) -> str:
    """Compose takes a container whose policy was changed for the one that it made: a deploy would not notice."""
    each = {
        policy: [name for name in policies if policies[name] == policy] for policy in set(policies.values()) - {"no"}
    }
    commands = [f"docker update --restart {policy} {' '.join(names)}" for policy, names in sorted(each.items())]
    return f"restart policies are off: {'; '.join(commands)}" if commands else ""


@dataclass(frozen=True)
class StartContainers(Action):
    """Start containers, those that store first, and wait for the health they had; who was removed meanwhile is not.

    :param healthy: names of those that were well by their own check: a container that was ill before may be so again.
    :param stores: services that keep the data of others. :param project: nothing starts where it has moved away.
    :raises NotStarted: one does not run (6). One that runs and is ill is told, under ``ill``.
    """

    names: Sequence[str]
    healthy: Sequence[str] = ()
    stores: Sequence[str] = ()
    project: str = ""
    kind: ClassVar[str] = "start_containers"

    def run(self, machine: Machine) -> Deed:
        fence = read_fence(machine, self.project) if self.project else None
        if fence is not None and fence["state"] == "final":  # settled just before a kill: the other host serves
            return {"started": [], "ill": {}}
        yield Progress(note="starting " + ", ".join(self.names))
        project.wait_for_docker(machine)
        names = project.remaining(machine, self.names)
        wrong = orchestrator.start(machine, names, self.healthy, self.stores)
        running = project.running(machine, names)
        down = {name: why for name, why in wrong.items() if name not in running}
        if down:
            raise NotStarted(f"not started: {project.described(down)}", hint=orchestrator.looking(list(down)))
        return {"started": names, "ill": wrong}

    def leaves(self, machine: Machine) -> str:
        running = project.running(machine, self.names)
        down = [name for name in project.remaining(machine, self.names) if name not in running]
        return f"not running: docker start {' '.join(down)}" if down else ""


@dataclass(frozen=True)
class SetRestart(Action):
    """Restart policies as they were; of those that somebody removed meanwhile none.

    :param policies: name of a container -> its policy.
    """

    policies: Mapping[str, str]
    kind: ClassVar[str] = "set_restart"

    def run(self, machine: Machine) -> Deed:
        yield Progress()
        project.wait_for_docker(machine)
        orchestrator.let_up(machine, self.policies)
        return {}

    def leaves(self, machine: Machine) -> str:
        return _policies_off(self.policies)


@dataclass(frozen=True)
class Fence(Action):
    """Stop everything that writes, and keep it stopped: restart policies off, remembered, covered by a lease.

    Services in ``stack.keep`` (the database) go on running for the dump. Unless it is settled the fence ends by itself
    when nobody renews its lease, and the stack serves again.

    :param target: machine id of the host the stack moves to.
    :param hosts: from which to which, by the names of who moves it: for what is said, later, here.
    """

    stack: Mapping[str, Any]
    run_id: RunId
    target: MachineId = ""
    hosts: Sequence[str] = ()
    kind: ClassVar[str] = "fence"

    def run(self, machine: Machine) -> Deed:
        stack = Stack.from_json(self.stack)
        fence = read_fence(machine, stack.project)
        if fence is not None and fence["run"] != self.run_id:
            refuse_fenced(machine, stack.project)
        services = Orchestrator(machine, stack)
        found = services.found()
        if fence is None:
            was = {each.name: {"restart": each.restart, "started": each.started} for each in found}
            start = services.restart(found)
            fence = {"run": self.run_id, "state": "held", "target": self.target, "containers": was, "start": start}
            fence["hosts"] = list(self.hosts)
        # lease first: what it undoes is of this run alone, and nothing while there is no fence of it
        about = {"project": stack.project, "run_id": self.run_id}
        undo = [{"kind": "unfence", "args": about}, fence["start"], {"kind": "drop_fence", "args": about}]
        lease.hold(machine, f"fence-{self.run_id}", self.run_id, undo)
        write_fence(machine, stack.project, fence)
        orchestrator.hold_down(machine, [each.name for each in found])
        began = machine.now()
        yield from services.stop(but=stack.keep)
        return {"stopped_at": began, "seconds": machine.now() - began}


@dataclass(frozen=True)
class Unfence(Action):
    """The first half of undoing a held fence of this run: restart policies are what they were.

    Nothing when there is none, and nothing when it is final.
    """

    project: str
    run_id: RunId
    kind: ClassVar[str] = "unfence"

    def run(self, machine: Machine) -> Deed:
        fence = read_fence(machine, self.project)
        if fence is None or fence["run"] != self.run_id or fence["state"] == "final":
            return {"unfenced": False}
        # said first, so that a set that is still being made does not call itself quiesced
        write_fence(machine, self.project, {**fence, "state": "undoing"})
        yield Progress(note="starting the stack again")
        project.wait_for_docker(machine)
        orchestrator.let_up(machine, {name: was["restart"] for name, was in fence["containers"].items()})
        return {"unfenced": True}

    def leaves(self, machine: Machine) -> str:
        fence = read_fence(machine, self.project)
        held = fence is not None and fence["run"] == self.run_id and fence["state"] != "final"
        return (
            _policies_off({name: was["restart"] for name, was in fence["containers"].items()}) if held and fence else ""
        )


@dataclass(frozen=True)
class DropFence(Action):
    """The second half: once what ran runs again there is no fence. A final one stays."""

    project: str
    run_id: RunId
    kind: ClassVar[str] = "drop_fence"
    last: ClassVar[bool] = True

    def run(self, machine: Machine) -> Deed:
        yield Progress()
        fence = read_fence(machine, self.project)
        if fence is not None and fence["run"] == self.run_id and fence["state"] != "final":
            machine.remove(fence_path(machine, self.project))
        return {}


@dataclass(frozen=True)
class SettleFence(Action):
    """Make a held fence final: from now on only a person takes it away. The stores stop, too.

    :raises Broken: the fence was undone meanwhile: old serves again, new must not be started (6).
    """

    stack: Mapping[str, Any]
    run_id: RunId
    kind: ClassVar[str] = "settle_fence"

    def run(self, machine: Machine) -> Deed:
        stack = Stack.from_json(self.stack)
        fence = read_fence(machine, stack.project)
        if fence is None or fence["run"] != self.run_id:
            raise Broken(
                f"the fence of run {self.run_id} here expired before the run renewed it: {stack.project} serves "
                "here again, or is about to",
                hint=lease.AGAIN,
            )
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
        was, found = fence["containers"], project.containers(machine, stack.project)
        again = [each.name for each in found if each.running or each.started != was.get(each.name, {}).get("started")]
        writers = [*again, *exclusivity.strangers(machine, stack)]
        if writers or fence["state"] != "held":
            raise Broken(
                f"{', '.join(writers) or stack.project} was started again on this host after the final backup was made",
                hint=lease.AGAIN,
            )


@dataclass(frozen=True)
class StopAll(Action):
    """Stop every container of the project, stores last."""

    stack: Mapping[str, Any]
    kind: ClassVar[str] = "stop_all"

    def run(self, machine: Machine) -> Deed:
        services = Orchestrator(machine, Stack.from_json(self.stack))
        found = services.found()
        yield from services.stop()
        return {"stopped": [each.name for each in found if each.running]}


@dataclass(frozen=True)
class ComposeUp(Action):
    """``docker compose up -d --wait`` for the named services (all, when none is named)."""

    stack: Mapping[str, Any]
    services: Sequence[str] = field(default_factory=tuple)
    kind: ClassVar[str] = "compose_up"

    def ready(self, machine: Machine) -> Report:
        name = Stack.from_json(self.stack).project
        refuse_fenced(machine, name, "deploy")
        if not self.services:  # a migration itself starts some for the proof, and all when its mark says serving
            target.refuse_unfinished(machine, name)
        return {}

    def run(self, machine: Machine) -> Deed:
        self.ready(machine)
        stack = Stack.from_json(self.stack)
        yield from Orchestrator(machine, stack).up(self.services)
        target.hold_back(machine, stack)
        return {"up_at": machine.now()}

    def leaves(self, machine: Machine) -> str:
        return "a stack of which not all is started: invoke deploy starts it"


@dataclass(frozen=True)
class FinishDeploy(Action):
    """From here on the host itself starts everything, should the deploy be killed: half of it is of no use."""

    stack: Mapping[str, Any]
    run_id: RunId
    kind: ClassVar[str] = "finish_deploy"

    def ready(self, machine: Machine) -> Report:
        """:raises Refused: somebody else is at work with the stack (3)."""
        exclusivity.refuse_leases(machine, self.run_id)
        return {}

    def run(self, machine: Machine) -> Deed:
        yield Progress()
        self.ready(machine)
        up = {"kind": "compose_up", "args": {"stack": dict(self.stack)}}
        lease.hold(machine, f"deploy-{self.run_id}", self.run_id, [up])
        return {}


@dataclass(frozen=True)
class DropLease(Action):
    """End a lease without undoing anything: what it covers has come to its end; nothing when there is none."""

    lease: LeaseName
    kind: ClassVar[str] = "drop_lease"

    def run(self, machine: Machine) -> Deed:
        yield Progress()
        if self.lease in lease.names(machine):
            lease.release(machine, self.lease)
            lease.tidy(machine)
        return {}
