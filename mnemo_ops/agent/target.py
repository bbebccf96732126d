"""The mark on a host that a stack moves to: which run copies there, and which directories it fills."""

from __future__ import annotations

import json
from typing import Any, Dict, Mapping, Optional

from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.stack import Stack, root
from mnemo_ops.errors import Refused

Mark = Dict[str, Any]


def _path(machine: Machine, project: str) -> str:
    return f"{machine.state_dir}/targets/{project}.json"


def read(machine: Machine, project: str) -> Optional[Mark]:
    """Its ``run``, ``state`` (copying or serving) and ``paths``, which it found empty; ``None``: no such mark."""
    text = machine.read_text(_path(machine, project))
    return None if text is None else dict(json.loads(text))


def write(machine: Machine, project: str, mark: Mapping[str, Any]) -> None:
    machine.mkdir(machine.state_dir, 0o700)
    machine.mkdir(machine.state_dir + "/targets", 0o700)
    machine.write(_path(machine, project), json.dumps(dict(mark)).encode(), 0o600)


def remove(machine: Machine, project: str) -> None:
    machine.remove(_path(machine, project))


def refuse_unfinished(machine: Machine, project: str) -> None:
    """Whoever used it would lose what they wrote: the next migration removes it.

    :raises Refused: what is here of the stack is an unfinished copy (3).
    """
    mark = read(machine, project)
    if mark is not None and mark["state"] == "copying":
        raise Refused(
            f"what is here of {project} is the unfinished copy of run {mark['run']}, which the next migration removes",
            hint="run that invoke migrate again; or, to use what is here as it is from now on: "
            f"rm {_path(machine, project)}",
        )


def fills(machine: Machine, stack: Stack, run: str) -> None:
    """Note where the copy of ``run`` goes, now that all of it was seen to be empty: what is there later is the copy."""
    mark = read(machine, stack.project)
    if mark is not None and mark["run"] == run and mark["state"] == "copying":
        paths = [root(machine, stack, each) for each in stack.datasets if each.volume]
        write(machine, stack.project, {**mark, "paths": paths})
