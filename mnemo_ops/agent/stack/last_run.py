"""The runs of a host, and the last of them: what is told by the records that runs leave for other ends."""

from __future__ import annotations

import calendar
import json
import re
import time
from contextlib import suppress
from typing import Any, Dict, Iterator, List, Mapping, NamedTuple, Optional, Tuple

from mnemo_ops.agent.base.run_id import RUN_ID
from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.process import host_lock
from mnemo_ops.agent.stack.restore_record import AFTER, ASIDE

OK, FAILED, ABORTED, OPEN = "ended ok", "failed", "aborted", "never ended"  # states
LATEST = 500  # runs that are told of a host
_RUN = re.compile(RUN_ID, re.ASCII).fullmatch
_FORM = "%Y-%m-%dT%H:%M:%SZ"
INTERRUPTED = "it did not finish"


class Ended(NamedTuple):
    """What a record says of a run. :param at: when it was written. :param code: the exit code, where it is known."""

    at: float
    run: str
    command: str
    how: str
    state: str
    code: int = 0
    hosts: Tuple[str, ...] = ()  # of a migration: from which to which


def of(machine: Machine, store: str) -> Optional[Dict[str, Any]]:
    """``run``, ``command``, ``owner``, ``began``, ``ended`` and ``how``; what is not known is empty. ``None``: no run.

    Who is at work now is not the last.
    """
    card = host_lock.card(machine)
    busy = machine.is_locked(machine.state_dir + "/lock")
    since = _seconds(card.get("since"))
    found = [each for each in _ends(machine, store, 1) if _RUN(each.run) and not (busy and each.at >= since)]
    at, run, command, how = max(found, default=Ended(0.0, "", "", "", ""))[:4]
    of_card = {name: str(card.get(name) or "") for name in ("run", "command", "owner")}
    of_card["began"] = str(card.get("since") or "")
    nothing = {**dict.fromkeys(of_card, ""), "ended": "", "how": ""}
    if card and not busy and at < since:
        return {**nothing, **of_card}
    if not run:
        return None
    same = not busy and of_card["command"].partition(".")[0] == command.partition(" ")[0] and at >= since
    told = {"run": run, "command": command, "ended": time.strftime(_FORM, time.gmtime(at)), "how": how}
    return {**nothing, **(of_card if same else {}), **told}


def every(machine: Machine, store: str) -> List[Ended]:
    """The newest runs of which something is recorded, each once, newest first."""
    found: Dict[str, Ended] = {}
    for each in _ends(machine, store, LATEST):
        if _RUN(each.run):
            found.setdefault(each.run, each)  # the set of a migration is no run of its own
    return [found[run] for run in sorted(found, reverse=True)[:LATEST]]


def migrated(step: Mapping[str, Any]) -> Tuple[str, str, int]:
    """By the last line of a migration's journal: how it ended, its state and its exit code."""
    phase, status, code = step.get("phase"), step.get("status"), step.get("exit_code")
    if (phase, status) == ("finish", "done"):
        return "finished", OK, 0
    if phase == "abort":
        return "aborted: what it left was removed", ABORTED, 0
    if status == "failed":
        return f"it failed in the phase {phase}", FAILED, code if isinstance(code, int) else 1
    return f"it ended in the phase {phase}", OPEN, 0


def records(machine: Machine, directory: str) -> Iterator[Tuple[Dict[str, Any], float]]:
    """What the JSON files of a directory hold (the last whole line of each), and when each was written."""
    for name in machine.names(directory):
        for line in reversed((machine.read_text(f"{directory}/{name}") or "").split("\n")):
            with suppress(ValueError, TypeError):  # damaged, or of a newer version
                row = dict(json.loads(line))
                found = machine.stat(f"{directory}/{name}")
                yield row, found.mtime_ns / 1e9 if found else 0.0
                break


def _ends(machine: Machine, store: str, sets: int) -> Iterator[Ended]:
    """:param sets: of the store, at most."""
    for step, at in records(machine, machine.state_dir + "/runs"):
        how, state, code = migrated(step)
        hosts = tuple(str(step[side]) for side in ("from", "to") if side in step)
        yield Ended(at, str(step.get("run")), "migrate", how, state, code, hosts)
    for plan, at in records(machine, machine.state_dir + "/restores"):
        yield Ended(at, str(plan.get("stamp")), *_restored(plan))
    for move, at in records(machine, machine.state_dir + "/moves"):
        moved = move.get("state") == "moved"
        how = f"{move.get('key')} is moved" if moved else INTERRUPTED
        yield Ended(at, str(move.get("id")), "volumes", how, OK if moved else OPEN)
    made = [name for name in machine.names(store) if re.fullmatch(rf"{RUN_ID}(\.partial)?", name)] if store else []
    for name in made[-sets:]:
        whole = machine.stat(f"{store}/{name}/manifest.json")
        found = whole or machine.stat(f"{store}/{name}")
        how = "the backup is complete" if whole else "the backup was never finished"
        at = found.mtime_ns / 1e9 if found else 0.0
        yield Ended(at, name.partition(".")[0], "backup", how, OK if whole else OPEN)


def _restored(plan: Dict[str, Any]) -> Tuple[str, str, str]:
    """The command, how it ended, and its state."""
    if "live" in plan or "state" not in plan:  # the last; of an earlier version
        if plan.get("live", AFTER) == AFTER:
            return "restore", f"the backup {plan.get('id')} is in place", OK
        return "restore --undo", f"the backup {plan.get('id')} is taken back", OK
    if plan["state"] == ASIDE:
        kept = "what was written to it meanwhile is kept"
        return "restore", f"the backup {plan.get('id')} was taken back; {kept}", ABORTED
    return "restore", INTERRUPTED, OPEN


def _seconds(text: Any) -> float:
    with suppress(ValueError, TypeError):
        return float(calendar.timegm(time.strptime(text, _FORM)))
    return 0.0
