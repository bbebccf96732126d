"""The fence of a project: the file that says its stack has moved, or is about to, and must not start here."""

from __future__ import annotations

import json
import shlex
from typing import Any, Dict, Mapping, Optional

from mnemo_ops.agent.machine import Machine
from mnemo_ops.errors import Refused


def fence_path(machine: Machine, name: str) -> str:
    return f"{machine.state_dir}/fences/{name}.json"


def read_fence(machine: Machine, name: str) -> Optional[Dict[str, Any]]:
    """The fence of a project: run, state (held or final), target, containers as they were; ``None``: no fence."""
    text = machine.read_text(fence_path(machine, name))
    return None if text is None else dict(json.loads(text))


def refuse_fenced(machine: Machine, name: str, task: str = "") -> None:
    """:param task: of ours, which does the same where the project serves.

    :raises Refused: the project moves, or has moved, to another host: names it, and what to type (3).
    """
    fence = read_fence(machine, name)
    if fence is None:
        return
    old, new = map(shlex.quote, fence.get("hosts") or ("OLD", "NEW"))  # none: of an earlier version
    run, there = fence["run"], new if fence.get("hosts") else f"the machine {fence['target'][:12]}"
    if fence["state"] == "final":
        instead = f"invoke {task} --limit {new}" if task else f"{there} serves"
        raise Refused(
            f"run {run} moved {name} from this host to {there}: here it is fenced and stopped, with the older copy of "
            "the data",
            hint=f"{instead}; what frees this host for {name} again: docs/migrate.md",
        )
    raise Refused(
        f"{name} is fenced on this host by run {run}, which is moving it to {there} or rolling back",
        hint="wait until `invoke lock.status` says free, or abort it now: "
        f"invoke migrate --abort --from {old} --to {new}",
    )


def write_fence(machine: Machine, name: str, fence: Mapping[str, Any]) -> None:
    machine.mkdir(machine.state_dir, 0o700)
    machine.mkdir(machine.state_dir + "/fences", 0o700)
    machine.write(fence_path(machine, name), json.dumps(fence).encode(), 0o600)
