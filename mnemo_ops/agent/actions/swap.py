"""What a restore renames, and how it is taken back: at any point of a half-done swap, and again."""

from __future__ import annotations

from typing import Any, ClassVar, Mapping

from mnemo_ops.agent.base.progress import Deed, Progress, Report
from mnemo_ops.agent.base.record import dataclass
from mnemo_ops.agent.docker import cli as docker
from mnemo_ops.agent.engine.action import Action
from mnemo_ops.agent.files import listing as tree
from mnemo_ops.agent.files import mounts
from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.process import lease
from mnemo_ops.agent.stack import containers, exclusivity, orchestrator, restore_record
from mnemo_ops.agent.stack.datasets import kind_of
from mnemo_ops.agent.stack.fence import refuse_fenced
from mnemo_ops.agent.stack.orchestrator import Orchestrator
from mnemo_ops.agent.stack.restore_record import AFTER, ASIDE, BEFORE, FAILED, LOADING, SCRATCH, STARTING, SWAPPING
from mnemo_ops.agent.stack.stack import Stack
from mnemo_ops.errors import Broken, Refused


@dataclass(frozen=True)
class UndoSwap(Action):
    """End a restore that did not come to its end: this one and no other; nothing when there is no such.

    Once all of it is in place it is finished: somebody may have written to it. Before, and where it does not start, it
    is taken back; what somebody may have written to what it brought is kept aside.
    """

    stack: Mapping[str, Any]
    stamp: str
    kind: ClassVar[str] = "undo_swap"

    def run(self, machine: Machine) -> Deed:
        stack = Stack.from_json(self.stack)
        plan = restore_record.pending(machine, self.stamp)
        if plan is None or plan["state"] in (LOADING, ASIDE):
            return {}
        if restore_record.settled(machine, stack.project, self.stamp):  # killed between the two writes of its end
            restore_record.forget(machine, self.stamp)
            return {}
        if plan["state"] == STARTING:
            restore_record.keep(machine, plan, AFTER)
            return {}
        found = containers.containers(machine, stack.project)
        if plan["state"] == SWAPPING and any(each.running for each in found):
            plan = {**plan, "state": FAILED}  # somebody started it, half in place as it was: it may have taken writes
            restore_record.begin(machine, plan)  # known to the next try, too, which finds it stopped
        yield from _ready_to_place(machine, stack)
        yield Progress(note="putting back what was there before")
        restore_record.place(machine, plan, BEFORE)
        restore_record.begin(machine, {**plan, "state": ASIDE if plan["state"] == FAILED else LOADING})
        return {}

    def leaves(self, machine: Machine) -> str:
        plan = restore_record.pending(machine, self.stamp)
        if plan is None or plan["state"] in (LOADING, ASIDE):
            return ""
        return f"a restore that is half in place; what was there before is in {restore_record.where(plan, BEFORE)}"


@dataclass(frozen=True)
class DropScratch(Action):
    """Remove what a restore unpacked and never put in place."""

    stack: Mapping[str, Any]
    stamp: str
    kind: ClassVar[str] = "drop_scratch"

    def run(self, machine: Machine) -> Deed:
        yield Progress()
        plan = restore_record.pending(machine, self.stamp)
        if plan is not None and plan["state"] == LOADING:
            restore_record.drop(machine, plan, AFTER)
            restore_record.forget(machine, self.stamp)
        return {}

    def leaves(self, machine: Machine) -> str:
        plan = restore_record.pending(machine, self.stamp)
        if plan is None:
            return ""
        sides = " and ".join(restore_record.where(plan, side) for side in (AFTER, SCRATCH))
        return f"what a restore unpacked: {sides}, and the container {restore_record.container(self.stamp)}"


@dataclass(frozen=True)
class PlaceRestore(Action):
    """Put one side of the last restore in place; nothing when another restore is the last by now."""

    stack: Mapping[str, Any]
    stamp: str
    side: str
    kind: ClassVar[str] = "place_restore"

    def run(self, machine: Machine) -> Deed:
        stack = Stack.from_json(self.stack)
        plan = restore_record.last(machine, stack.project)
        if plan is None or plan["stamp"] != self.stamp:
            return {}
        yield from _ready_to_place(machine, stack)
        yield Progress(note=f"putting in place what was there {self.side} the restore")
        restore_record.place(machine, plan, self.side)
        restore_record.keep(machine, plan, self.side)
        return {}

    def leaves(self, machine: Machine) -> str:
        plan = restore_record.last(machine, Stack.from_json(self.stack).project)
        if plan is None or plan["stamp"] != self.stamp:
            return ""
        sides = " or in ".join(restore_record.where(plan, side) for side in (BEFORE, AFTER))
        return f"a restore that is half undone; what is not in place is in {sides}"


@dataclass(frozen=True)
class UndoRestore(Action):
    """Exchange what the last restore replaced and what it brought: nothing is lost, and again brings it back."""

    stack: Mapping[str, Any]
    run_id: str = ""
    kind: ClassVar[str] = "undo_restore"

    def ready(self, machine: Machine) -> Report:
        """The plan of the last restore; ``live``: the side that is in place now."""
        stack = Stack.from_json(self.stack)
        plan = restore_record.last(machine, stack.project)
        if plan is None:
            raise Refused(
                f"there is no restore of {stack.project} to undo on this host",
                hint="`invoke backup.list` lists the backups",
            )
        refuse_fenced(machine, stack.project, "backup.list")
        if plan.get("dropping"):
            raise Refused(
                f"another run is removing the previous data of the restore of {plan['id']}",
                hint="`invoke backup.prune --aside` finishes that",
            )
        exclusivity.refuse_others(machine, stack)
        there = docker.all_of(machine, "volume")
        for name in {stack.volume(dataset.volume) for dataset in stack.datasets if dataset.volume} & there.keys():
            mounts.refuse_gone(machine, there[name])  # what was replaced is there, too
        for path in plan.get("paths", ()):
            tree.refuse_fixed(machine, path)
        if "database" in plan:
            raise Refused(
                f"an earlier version restored {plan['id']}: what it replaced is the database {plan.get(BEFORE)}",
                hint="undo it with that version, or rename the two databases with psql while the stack is stopped",
            )
        if gone := restore_record.missing(machine, plan):
            raise Refused(
                f"cannot undo the restore: {', '.join(gone)} does not exist any more",
                hint="`invoke backup.list` lists the backups",
            )
        _refuse_other_major(machine, stack, plan)
        return plan

    def run(self, machine: Machine) -> Deed:
        stack = Stack.from_json(self.stack)
        plan = self.ready(machine)
        side = BEFORE if plan["live"] == AFTER else AFTER
        services = Orchestrator(machine, stack)
        found = services.found()
        restart, policies = services.restart(found), orchestrator.policies(found)
        about = {"stack": dict(self.stack), "stamp": plan["stamp"], "side": side}
        # from here on it is finished by this process or, should that be killed, by the host
        undo = [{"kind": "place_restore", "args": about}, policies, restart]
        lease.hold(machine, f"undo-{plan['stamp']}", self.run_id, undo)
        began = machine.monotonic()
        orchestrator.hold_down(machine, policies["args"]["policies"])
        yield from services.stop()
        stopped = machine.monotonic()
        yield Progress(note="putting back what was there before, starting the stack")
        lease.undo(machine, f"undo-{plan['stamp']}")
        running = {each.service for each in found if each.running}
        for each in (each for each in stack.datasets if each.service in running):
            try:
                kind_of(machine, stack, each, found).answers()
            except Broken as error:
                error.message = f"the undo is done (again would change it back), but {error.message}"
                raise
        told = orchestrator.outage(began=began, stop=stopped, swap_and_start=machine.monotonic())
        now = restore_record.last(machine, stack.project)
        if now is None or (now["stamp"], now["live"]) != (plan["stamp"], side):
            raise Broken(
                "another run stopped the undo",
                hint="wait until `invoke lock.status` says free, then run the same command again",
            )
        told["strays"] = restore_record.strays(machine, plan["paths"])
        return {"undone": plan["id"], "live": side, "kept": restore_record.where(plan, plan["live"]), **told}


def _refuse_other_major(machine: Machine, stack: Stack, plan: restore_record.Plan) -> None:
    """:raises Refused: what would be put in place is of another Postgres than the image, and would not start (3)."""
    services = {each.service for each in stack.datasets if each.kind == "postgres"}
    found = [each for each in containers.containers(machine, stack.project) if each.service in services]
    has = {each.env.get("PG_MAJOR", "") for each in found} or {""}  # images made as the official one is say it
    side = BEFORE if plan["live"] == AFTER else AFTER
    for path in plan.get("paths", ()) if all(has) else ():
        beside = restore_record.sibling(path, side, plan["stamp"])
        was = (machine.read_text(f"{beside}/PG_VERSION") or "").strip()
        if was and was not in has:
            raise Refused(
                f"the undo would put in place data of Postgres {was}, and the image of {found[0].name} has "
                f"{' or '.join(sorted(has))}",
                hint=f"name an image of Postgres {was} in stack.images and deploy it; its start fails until the undo",
            )


def _ready_to_place(machine: Machine, stack: Stack) -> Deed:
    """Nothing runs: a reboot may have started everything in mid-swap."""
    containers.wait_for_docker(machine)
    yield from Orchestrator(machine, stack).stop()
    return {}


def forget_blank(machine: Machine, plan: restore_record.Plan) -> None:
    """On a fresh host what was "before" is blank: remove it, after looking once more that it is."""
    for path in plan["paths"]:
        before = restore_record.sibling(path, BEFORE, plan["stamp"])
        if machine.stat(before) is not None and not machine.names(before):
            machine.remove(before)
    restore_record.forget(machine, plan["stamp"])
