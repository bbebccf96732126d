"""The run that was last on a host: what is told by the records that runs leave for other ends."""

from __future__ import annotations

import calendar
import json
import re
import time
from contextlib import suppress
from typing import Any, Dict, Iterator, Optional, Tuple

from mnemo_ops.agent.base.run_id import RUN_ID
from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.process import host_lock
from mnemo_ops.agent.stack.restore_record import AFTER, ASIDE

Ended = Tuple[float, str, str, str]  # when, of which run, of which command, and how
_RUN = re.compile(RUN_ID, re.ASCII).fullmatch
_FORM = "%Y-%m-%dT%H:%M:%SZ"
INTERRUPTED = "it did not come to its end"


def of(machine: Machine, store: str) -> Optional[Dict[str, Any]]:
    """``run``, ``command``, ``owner``, ``began``, ``ended`` and ``how``; what is not known is empty. ``None``: no run.

    Who is at work now is not the last.
    """
    card = host_lock.card(machine)
    busy = machine.is_locked(machine.state_dir + "/lock")
    since = _seconds(card.get("since"))
    found = [each for each in _ends(machine, store) if _RUN(each[1]) and not (busy and each[0] >= since)]
    at, run, command, how = max(found, default=(0.0, "", "", ""))
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


def records(machine: Machine, directory: str) -> Iterator[Tuple[Dict[str, Any], float]]:
    """What the JSON files of a directory hold (the last line of each), and when each was written."""
    for name in machine.names(directory):
        with suppress(ValueError, TypeError):  # damaged, or of a newer version
            line = (machine.read_text(f"{directory}/{name}") or "").strip().rpartition("\n")[2]
            found = machine.stat(f"{directory}/{name}")
            yield dict(json.loads(line)), found.mtime_ns / 1e9 if found else 0.0


def _ends(machine: Machine, store: str) -> Iterator[Ended]:
    for step, at in records(machine, machine.state_dir + "/runs"):
        done = (step.get("phase"), step.get("status")) == ("finish", "done")
        how = "finished" if done else f"it ended in the phase {step.get('phase')}"
        yield at, str(step.get("run")), "migrate", how
    for plan, at in records(machine, machine.state_dir + "/restores"):
        yield at, str(plan.get("stamp")), *_restored(plan)
    for move, at in records(machine, machine.state_dir + "/moves"):
        how = f"{move.get('key')} is moved" if move.get("state") == "moved" else INTERRUPTED
        yield at, str(move.get("id")), "volumes", how
    made = [name for name in machine.names(store) if re.fullmatch(rf"{RUN_ID}(\.partial)?", name)] if store else []
    for name in made[-1:]:
        whole = machine.stat(f"{store}/{name}/manifest.json")
        found = whole or machine.stat(f"{store}/{name}")
        how = "the set is complete" if whole else "the set was never finished"
        yield found.mtime_ns / 1e9 if found else 0.0, name.partition(".")[0], "backup", how


def _restored(plan: Dict[str, Any]) -> Tuple[str, str]:
    """The command, and how it ended."""
    if "live" in plan or "state" not in plan:  # the last; of an earlier version
        if plan.get("live", AFTER) == AFTER:
            return "restore", f"the set {plan.get('id')} is in place"
        return "restore --undo", f"the set {plan.get('id')} is taken back"
    if plan["state"] == ASIDE:
        return "restore", f"the set {plan.get('id')} was taken back; what was written to it meanwhile is kept"
    return "restore", INTERRUPTED


def _seconds(text: Any) -> float:
    with suppress(ValueError, TypeError):
        return float(calendar.timegm(time.strptime(text, _FORM)))
    return 0.0
