"""Pruning a store: what never became a set, and what failed migrations left; nothing that somebody is at work with."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from typing import Any, ClassVar, Dict, List, Mapping, Sequence, Tuple

from mnemo_ops.agent.actions.catalogue import ID, Row, rows
from mnemo_ops.agent.base.lines import each_line
from mnemo_ops.agent.base.progress import Deed, Progress, Report
from mnemo_ops.agent.base.record import dataclass
from mnemo_ops.agent.engine.action import Action
from mnemo_ops.agent.files import listing as tree
from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.process import job, lease
from mnemo_ops.agent.stack import containers, copy_marker, exclusivity, restore_record
from mnemo_ops.agent.stack.datasets import kind_of
from mnemo_ops.agent.stack.fence import read_fence
from mnemo_ops.agent.stack.restore_record import AFTER, BEFORE
from mnemo_ops.agent.stack.stack import Stack
from mnemo_ops.errors import MnemoError

ASIDE = "restore-"  # names of what a restore kept aside; its stamp follows
SETTLED = 120.0  # seconds: who wrote a moment ago may still be at it, whatever the leases say
_OURS = re.compile(rf"({ID.pattern})(\.partial)?")
_IMAGES = re.compile(rf"images-({ID.pattern})\.tar\.zst(\.raw|\.partial)?")


@dataclass(frozen=True)
class PruneSets(Action):
    """Remove what ``ready`` named, as far as that still holds when it is looked at again.

    :param keep_last: complete sets that stay at least. :param names: what may be removed, of the plan's.
    :param aside: also what restores keep beside what serves: somebody's data, which are nowhere else.
    """

    stack: Mapping[str, Any]
    keep_last: int = 1
    aside: bool = False
    names: Sequence[str] = ()
    kind: ClassVar[str] = "prune_sets"

    def ready(self, machine: Machine) -> Report:
        """``remove`` and ``keep``: rows of ``name``, ``bytes`` and ``why``."""
        stack = Stack.from_json(self.stack)
        if self.aside:
            exclusivity.refuse_leases(machine)  # an undo that is at work needs it
        plan = _plan(machine, stack.store, stack.project, self.keep_last)
        for each, side, what in _kept(machine, stack.project):
            kept = [restore_record.sibling(path, side, each["stamp"]) for path in each["paths"]]
            why = what + ("" if self.aside else ": --aside removes it")
            size = sum(tree.size(machine, path) for path in kept if machine.stat(path) is not None)
            if "database" in each:
                why = f"an earlier version restored it: prune it with that version, or drop {each.get(side)} with psql"
                plan["keep"].append({"name": f"{ASIDE}{each['stamp']}-{side}", "bytes": size, "why": why})
                continue
            row = {"name": f"{ASIDE}{each['stamp']}-{side}", "bytes": size, "why": why}
            plan["remove" if self.aside else "keep"].append(row)
        for name, size in self._strays(machine, stack):
            why = "it stood where a restore had to put something" + ("" if self.aside else ": --aside removes it")
            plan["remove" if self.aside else "keep"].append({"name": name, "bytes": size, "why": why})
        return plan

    def _strays(self, machine: Machine, stack: Stack) -> List[Tuple[str, int]]:
        """What no record knows: paths, and bytes; where Docker cannot be asked, none."""
        paths: List[str] = []
        with suppress(MnemoError):
            found = containers.containers(machine, stack.project)
            for each in (each for each in stack.datasets if each.kind != "config"):
                with suppress(MnemoError):  # it is not here yet, and hides nothing of the others
                    paths.append(kind_of(machine, stack, each, found).place({}))
        return [(path, tree.size(machine, path)) for path in restore_record.strays(machine, paths)]

    def run(self, machine: Machine) -> Deed:
        yield Progress()
        plan = self.ready(machine)
        chosen = [row for row in plan["remove"] if row["name"] in self.names]
        total, done = sum(row["bytes"] for row in chosen), 0
        for row in chosen:
            yield Progress(done, total, f"removing {row['name']}")
            if row["name"].startswith(ASIDE):
                self._drop(machine, row["name"][len(ASIDE) :])
            elif row["name"].startswith("/"):
                machine.remove(row["name"])
            else:
                self._remove(machine, Stack.from_json(self.stack).store, row["name"])
            done += row["bytes"]
        gone = {row["name"] for row in chosen}
        return {"removed": chosen, "keep": plan["keep"], "left": [name for name in self.names if name not in gone]}

    def _drop(self, machine: Machine, stamp: str) -> None:
        stack = Stack.from_json(self.stack)
        for plan, side, _ in _kept(machine, stack.project):
            if f"{plan['stamp']}-{side}" != stamp:  # the other side may be in place by now
                continue
            last = restore_record.settled(machine, stack.project, plan["stamp"])
            if last:  # first of all: nobody is promised an undo of what is half removed
                restore_record.give_up(machine, stack.project)
                restore_record.drop_superseded(machine, stack.project)
            restore_record.drop(machine, plan, side)
            restore_record.forget(machine, plan["stamp"])
            if last:
                machine.remove(restore_record.record_path(machine, stack.project))

    def _remove(self, machine: Machine, store: str, name: str) -> None:
        path = f"{store}/{name}"
        if ID.fullmatch(name):  # should this be cut, what is left must not look like a damaged set
            machine.remove(f"{path}.partial")
            machine.rename(path, f"{path}.partial")
            path += ".partial"
        machine.remove(path)


def _kept(machine: Machine, project: str) -> List[Tuple[restore_record.Plan, str, str]]:
    """What restores keep beside what serves: plan, side, and what it is for people."""
    found = [
        (each, AFTER, "what was written to a restore that was taken back")
        for each in restore_record.aside(machine, project)
    ]
    last = restore_record.last(machine, project)
    if last is None:
        return found
    other = BEFORE if last["live"] == AFTER else AFTER
    return [*found, (last, other, "what `restore --undo` brings back")]


def _plan(machine: Machine, store: str, project: str, keep_last: int) -> Dict[str, List[Row]]:
    remove: List[Row] = []
    keep: List[Row] = []
    sets = rows(machine, store)
    complete = [row for row in sets if row["state"] == "complete"]
    verified = next((row["id"] for row in complete if row["verified"]), "")
    spare = max(0, len(complete) - keep_last)
    for row in reversed(sets):  # the oldest goes first
        known = _OURS.fullmatch(str(row["id"]))
        if known is None:  # whatever it is, it is not of our making
            continue
        name, run = known.group(), known.group(1)
        why = _why(machine, row, run)
        if not why:
            continue
        hold = _at_work(machine, project, run) or _fresh(machine, f"{store}/{name}")
        if not hold and row["state"] == "complete":
            hold = "it is the newest backup that was restored and compared" if name == verified else ""
            hold = hold or ("" if spare else f"--keep-last {keep_last}: no more complete backups are here")
            spare -= 0 if hold else 1
        (keep if hold else remove).append({"name": name, "bytes": row["bytes"], "why": hold or why})
    for name in machine.names(store):
        images = _IMAGES.fullmatch(name)
        found = machine.stat(f"{store}/{name}") if images else None
        if images and found is not None and found.kind == "file":
            hold = _at_work(machine, project, images.group(1)) or _fresh(machine, f"{store}/{name}")
            why = hold or "images of a migration that has ended"
            (keep if hold else remove).append({"name": name, "bytes": found.size, "why": why})
    return {"remove": remove, "keep": keep}


def _why(machine: Machine, row: Row, run: str) -> str:
    """Why a set may go; empty: it may not."""
    if row["state"] == "incomplete":
        return "never finished: it has no manifest"
    if row["state"] == "complete" and row["migration"] == run and _failed(machine, run):
        return "left by a migration that failed"
    return ""


def _failed(machine: Machine, run: str) -> bool:
    """Whether a migration certainly did: its journal is here, and it never came to the point of no return."""
    text = machine.read_text(f"{machine.state_dir}/runs/{run}.jsonl")
    phases: List[Any] = []
    for line in each_line(text or ""):
        try:
            phases.append(json.loads(line).get("phase"))
        except (ValueError, AttributeError):  # its last line may be half written
            return False
    return bool(phases) and "promote" not in phases


def _at_work(machine: Machine, project: str, run: str) -> str:
    """Who may still need what a run made; empty: nobody."""
    leases = [name for name, one in lease.names(machine).items() if name.endswith(run) or one.get("run") == run]
    if leases:
        return f"run {run} is at work, or about to be undone ({', '.join(leases)})"
    jobs = [name for name in machine.names(f"{machine.state_dir}/jobs") if name.startswith(run)]
    alive = [name for name in jobs if job.is_alive(machine, name)]
    if alive:
        return f"run {run} is at work ({', '.join(alive)})"
    fence, mark = read_fence(machine, project), copy_marker.read(machine, project)
    if fence is not None and fence["run"] == run:
        return f"the stack is fenced here by run {run}"
    if mark is not None and mark["run"] == run:
        return f"the copy of the stack on this host is of run {run}"
    return ""


def _fresh(machine: Machine, path: str) -> str:
    """Whether something was written a moment ago; a clock that was set back does not make it so for ever."""
    paths = [path, *(f"{path}/{name}" for name in machine.names(path))]
    times = [found.mtime_ns / 1e9 for each in paths if (found := machine.stat(each)) is not None]
    return "it was written to a moment ago" if any(0 <= machine.now() - at < SETTLED for at in times) else ""
