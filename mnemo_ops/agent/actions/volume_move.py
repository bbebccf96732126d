"""Moving a volume's data to where the inventory wants them: most while the stack writes, the rest in a short stop.

Until the new volume has the old one's name everything goes back, whoever was killed; from then on everything goes on.
"""

from __future__ import annotations

from typing import Any, ClassVar, List, Mapping, Optional

from mnemo_ops.agent.base.progress import Deed, Progress, Report
from mnemo_ops.agent.base.record import dataclass
from mnemo_ops.agent.base.validators import RunId
from mnemo_ops.agent.docker import cli as docker
from mnemo_ops.agent.engine.action import Action
from mnemo_ops.agent.files import mounts
from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.process import job, lease
from mnemo_ops.agent.stack import containers, orchestrator
from mnemo_ops.agent.stack.orchestrator import Orchestrator
from mnemo_ops.agent.stack.stack import Stack
from mnemo_ops.agent.stack.volume_move import moving
from mnemo_ops.agent.stack.volume_move.move_plan import (
    made,
    refuse_emptied,
    refuse_full,
    refuse_occupied,
    refuse_owners,
    refuse_used,
)
from mnemo_ops.agent.stack.volume_move.moving import Plan
from mnemo_ops.agent.stack.volume_move.sync import UNREADY, VANISHED, Twin, copy, squashed, unequal
from mnemo_ops.errors import (
    Broken,
    MnemoError,
    NotStarted,
    Refused,
    RollbackFailed,
    StepFailed,
    VerificationFailed,
    reason,
)

AGAIN = "the host tries it every few seconds; invoke volumes with the same words tries it now"


@dataclass(frozen=True)
class MoveVolume(Action):
    """Move a volume's data.

    :param target: name, driver, options, labels, external, directory (where it will be, as far as that is known).
    :param staged: Docker's name of the volume that is there already, and gets the name of the target at the end.
    :param seeded: it is the kept volume of an earlier move: what it holds is brought up to date, never removed; while
        ``staged`` is empty, which one is being asked.
    :raises Refused: it cannot be done; nothing was stopped (3).
    :raises VerificationFailed: the copy differs; the stack uses the old one as before (7).
    """

    stack: Mapping[str, Any]
    key: str
    run_id: RunId
    target: Mapping[str, Any]
    staged: str
    seeded: bool = False
    kind: ClassVar[str] = "move_volume"

    def ready(self, machine: Machine) -> Report:
        """``plan``: what will be done, ``None`` when it is done already. ``last``: the move before, ``alive`` when it
        is still at work; else, with a ``state`` other than moved, it was interrupted. ``stale``: a run that was
        interrupted before it began to move anything had prepared another place."""
        stack = Stack.from_json(self.stack)
        last = moving.read(machine, stack.project, self.key)
        if last is not None and last["state"] != "moved":
            alive = job.is_alive(machine, moving.job_of(last["id"]))
            return {"plan": last, "last": last, "alive": alive, "stale": False}
        stale = moving.is_stale(machine, self.staged, self.key, self.target)
        return {"plan": self._plan(machine, stack), "last": last, "alive": False, "stale": stale}

    def run(self, machine: Machine) -> Deed:
        stack = Stack.from_json(self.stack)
        yield Progress(note=f"looking where {self.key} lies")
        try:
            found = self._plan(machine, stack)
        except Refused:
            last = moving.read(machine, stack.project, self.key)
            if last is None or last["state"] == "moved":  # else another run is at work with it
                _drop(machine, stack, self.key)
            raise
        if found is None:
            return {"moved": False}
        plan = {**found, "previous": moving.read(machine, stack.project, self.key)}
        undo = {"kind": "return_volume", "args": {"stack": dict(self.stack), "key": self.key}}
        lease.hold(machine, f"move-{self.run_id}", self.run_id, [undo])
        try:
            moving.write(machine, plan)
            return (yield from self._move(machine, stack, plan))
        except BaseException as problem:
            try:
                lease.undo(machine, f"move-{self.run_id}")
            except MnemoError as another:
                lease.leave(machine, f"move-{self.run_id}")  # the host tries on
                raise RollbackFailed(
                    f"{reason(problem)}; rollback did not finish; the host keeps retrying: {another}", hint=AGAIN
                ) from problem
            raise

    def _plan(self, machine: Machine, stack: Stack) -> Optional[Plan]:
        asked = {"id": self.run_id, "key": self.key, "target": self.target, "staged": self.staged}
        return made(machine, stack, {**asked, "seeded": self.seeded})

    # -- the move ------------------------------------------------------------------------------------------------

    def _move(self, machine: Machine, stack: Stack, plan: Plan) -> Deed:
        yield Progress(note="looking at both ends")
        source, target = self._twins(machine, plan)
        size, entries = source.size()
        if self.seeded:
            refuse_emptied(source, target)
        else:
            refuse_occupied(target, self.key)
            refuse_full(machine, target.path, size, entries)
            plan["blank"] = True  # what is there from now on is ours to remove
            moving.write(machine, plan)
        refuse_owners(source, target)
        for number, fine in ((1, UNREADY), (2, VANISHED)):
            yield from copy(source, target, size, f"copying {self.key} while it is used ({number} of 2)", fine)
            yield from source.hash(size, f"hashing {self.key}")
            yield from target.hash(size, f"hashing the copy of {self.key}")
        began = machine.now()
        yield from Orchestrator(machine, stack).stop(only=plan["services"])
        yield from _settled(source, target, size)
        rows = source.rows()
        files = sum(row["kind"] == "file" for row in rows)
        moving.leave(machine, self.key)
        yield from _switch(machine, stack, plan)
        try:
            yield from _go_on(machine, stack, plan)
        except MnemoError as problem:
            yield from self._come_back(machine, stack, plan, problem)
        outage = round(machine.now() - began, 3) if plan["services"] else 0.0
        lease.release(machine, f"move-{self.run_id}")
        about = {"kept": plan["kept"], "services": plan["services"], "write_outage_seconds": outage}
        return {"moved": True, "bytes": size, "files": files, **about}

    def _twins(self, machine: Machine, plan: Plan) -> Any:
        def twin(name: str, end: str) -> Twin:
            row = moving.find(machine, name)
            if row is None:
                raise Refused(f"the volume {name} does not exist", hint="run the same command again")
            mounts.refuse_gone(machine, row)
            path = moving.reach(machine, row, moving.mount_point(self.key, end))
            return Twin(machine, path, squashed(machine, path) if moving.is_mounted_by_docker(row) else None)

        return twin(plan["source"]["name"], "source"), twin(plan["staged"], "target")

    def _come_back(self, machine: Machine, stack: Stack, plan: Plan, problem: MnemoError) -> Deed:
        """What was written since the start is copied back first. Always raises."""
        try:
            yield Progress(note="it does not start there: moving back, with everything written meanwhile")
            yield from Orchestrator(machine, stack).stop(only=plan["services"])
            back = {**plan, "source": {"name": plan["target"]["name"]}}
            source, target = self._twins(machine, {**back, "staged": plan["kept"] or plan["source"]["name"]})
            refuse_emptied(source, target)  # it may be the disk that failed
            yield from _settled(source, target, source.size()[0])
            moving.leave(machine, self.key)
            _remove_containers(machine, plan, force=False)
            moving.write(machine, {**plan, "state": "renaming"})
            lease.undo(machine, f"move-{self.run_id}")
        except MnemoError as another:
            raise RollbackFailed(
                f"{problem}; rollback did not finish; the host keeps retrying: {another}", hint=AGAIN
            ) from problem
        raise StepFailed(f"{problem}; {self.key} is in its old place again, with everything written since") from problem


@dataclass(frozen=True)
class ReturnVolume(Action):
    """End a move that was interrupted: back, or on when the new volume is in place. Safe at any point, and again.

    :param prepared: only take away what was prepared for a move that never began.
    """

    stack: Mapping[str, Any]
    key: str
    prepared: bool = False
    kind: ClassVar[str] = "return_volume"

    def run(self, machine: Machine) -> Deed:
        stack = Stack.from_json(self.stack)
        plan = moving.read(machine, stack.project, self.key)
        if plan is None or plan["state"] == "moved":
            _drop(machine, stack, self.key)
            return {}
        if self.prepared:
            return {}
        containers.wait_for_docker(machine)
        if plan["state"] == "switched":
            yield from _go_on(machine, stack, plan)
            return {}
        if plan["state"] == "renaming":
            yield Progress(note=f"{self.key} is put back")
            _remove_containers(machine, plan)
            moving.unswitch(machine, plan)
            moving.swap_file(machine, f"{stack.directory}/{stack.files[-1]}", forth=False)
            yield from _up(machine, stack, plan)
        else:
            _start(machine, plan)
        _remove_copy(machine, plan)
        moving.leave(machine, self.key)
        moving.swap_file(machine, f"{stack.directory}/{stack.files[-1]}", forth=False)
        moving.forget(machine, plan)
        return {}


# -- the steps -----------------------------------------------------------------------------------------------------


def _settled(source: Twin, target: Twin, size: int) -> Deed:
    """The last look, with nobody writing. :raises VerificationFailed: they are no twins (7)."""
    lines: List[str] = []
    for options in ((), ("--checksum",)):  # what changed within the clock's grain has another content, no other time
        yield from copy(source, target, size, "copying the rest", (0,), *options)
        yield from source.hash(size, "hashing the rest")
        yield from target.hash(size, "hashing the rest of the copy")
        lines = unequal(source, target)
        if not lines:
            return {}
    raise VerificationFailed("the copy differs from the original: " + "; ".join(lines))


def _switch(machine: Machine, stack: Stack, plan: Plan) -> Deed:
    yield Progress(note="switching")
    rows = {
        end: moving.find(machine, plan[end] if end == "staged" else plan[end]["name"]) for end in ("source", "staged")
    }
    inodes = {end: moving.identity(machine, row) if row else 0 for end, row in rows.items()}
    plan.update(state="renaming", source_inode=inodes["source"], target_inode=inodes["staged"])
    moving.write(machine, plan)
    _remove_containers(machine, plan, force=False)  # Docker removes no volume that a container names
    refuse_used(machine, plan["source"]["name"], ())
    moving.switch(machine, plan)
    if plan["source"]["name"] != plan["target"]["name"]:
        moving.swap_file(machine, f"{stack.directory}/{stack.files[-1]}", forth=True)
    plan["state"] = "switched"
    moving.write(machine, plan)
    return {}


def _go_on(machine: Machine, stack: Stack, plan: Plan) -> Deed:
    yield from _up(machine, stack, plan)
    machine.remove(f"{stack.directory}/{stack.files[-1]}.before")
    done = {**plan, "state": "moved", "previous": None}
    if plan["seeded"]:
        moving.forget(machine, done)  # it was the undoing of another
    else:
        moving.write(machine, done)
    return {}


def _up(machine: Machine, stack: Stack, plan: Plan) -> Deed:
    """What ran runs, what was only there is there."""
    services = Orchestrator(machine, stack)
    services.make(plan["idle"])
    if plan["services"]:
        try:
            yield from services.up(plan["services"])
        except NotStarted as error:  # the host gives that up after a while, and a move that is half done never
            raise Broken(error.message, hint=error.hint) from None
    return {}


def _start(machine: Machine, plan: Plan) -> None:
    found = [each for each in containers.containers(machine, plan["project"]) if each.service in plan["services"]]
    names = [each.name for each in found]
    wrong = orchestrator.start(machine, names, names, ())  # none that was ill would have been moved
    if wrong:
        raise Broken(
            f"some containers are not as before: {containers.described(wrong)}", hint=orchestrator.looking(list(wrong))
        )


def _remove_containers(machine: Machine, plan: Plan, force: bool = True) -> None:
    """:raises Broken: one runs, without ``force``: whoever started it, it may have written (6)."""
    found = containers.containers(machine, plan["project"])
    for service in (*reversed(plan["services"]), *plan["idle"]):
        for container in (each for each in found if each.service == service):
            if container.running and not force:
                raise Broken(f"{container.name} started again during the move", hint="run the same command again")
            machine.run(["docker", "rm", *(["--force"] if force else []), container.name])


def _remove_copy(machine: Machine, plan: Plan) -> None:
    """What was copied to a place that was empty, and the volume that was to be; the data themselves are elsewhere."""
    row = moving.find(machine, plan["staged"])
    if plan["seeded"] or row is None:
        return
    if plan.get("blank"):
        where = moving.reach(machine, row, moving.mount_point(plan["key"], "target"))
        twin = Twin(machine, where, squashed(machine, where) if moving.is_mounted_by_docker(row) else None)
        with twin.acting():
            for name in twin.names():
                machine.remove(f"{where}/{name}")
    moving.leave(machine, plan["key"])
    if not plan["target"]["external"]:
        docker.run(machine, "volume", "rm", plan["staged"])


def _drop(machine: Machine, stack: Stack, key: str) -> None:
    """What was prepared for a move that never began: nothing is in it yet."""
    staged = moving.staged(stack.project, key)
    row = moving.find(machine, staged)
    ours = row is not None and (row["Labels"] or {}).get(moving.STAGED) == key
    if ours and row is not None and not ("device" not in (row["Options"] or {}) and machine.names(row["Mountpoint"])):
        docker.run(machine, "volume", "rm", staged)
    moving.swap_file(machine, f"{stack.directory}/{stack.files[-1]}", forth=False)
