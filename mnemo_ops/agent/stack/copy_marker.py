"""The mark on a host that a stack moves to: which run copies there, and which directories it fills."""

from __future__ import annotations

import json
import shlex
from typing import Any, Dict, Mapping, Optional

from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.stack import containers, orchestrator
from mnemo_ops.agent.stack.stack import Stack, root
from mnemo_ops.errors import Refused

Mark = Dict[str, Any]


def _path(machine: Machine, name: str) -> str:
    return f"{machine.state_dir}/targets/{name}.json"


def read(machine: Machine, name: str) -> Optional[Mark]:
    """Of a project: its ``run``, ``state`` (copying or serving), ``paths``, which it found empty, ``restart``, the
    policies its containers are to have, and ``hosts``, from which to which; ``None``: no such mark."""
    text = machine.read_text(_path(machine, name))
    return None if text is None else dict(json.loads(text))


def write(machine: Machine, name: str, mark: Mapping[str, Any]) -> None:
    machine.mkdir(machine.state_dir, 0o700)
    machine.mkdir(machine.state_dir + "/targets", 0o700)
    machine.write(_path(machine, name), json.dumps(dict(mark)).encode(), 0o600)


def remove(machine: Machine, name: str) -> None:
    machine.remove(_path(machine, name))


def command(mark: Optional[Mark], *options: str) -> str:
    """The migration of a mark, as it is typed."""
    old, new = map(shlex.quote, (mark or {}).get("hosts") or ("OLD", "NEW"))  # none: of an earlier version
    return " ".join(["invoke migrate", *options, f"--from {old} --to {new}"])


def refuse_unfinished(machine: Machine, name: str) -> None:
    """Whoever used it would lose what they wrote: the next migration removes it.

    :raises Refused: what is here of the stack is an unfinished copy (3).
    """
    mark = read(machine, name)
    if mark is not None and mark["state"] == "copying":
        raise Refused(
            f"this host holds the unfinished copy of {name} of run {mark['run']}; the next migration removes it",
            hint=f"{command(mark)} finishes it; {command(mark, '--abort')} removes it",
        )


def hold_back(machine: Machine, stack: Stack) -> None:
    """While it is only a copy nothing of it comes up by itself, after a reboot say; what each had is noted."""
    mark = read(machine, stack.project)
    if mark is None or mark["state"] != "copying":
        return
    found = {each.name: each.restart for each in containers.containers(machine, stack.project) if each.restart != "no"}
    if found:
        write(machine, stack.project, {**mark, "restart": {**mark.get("restart", {}), **found}})
        orchestrator.hold_down(machine, sorted(found))


def let_go(machine: Machine, name: str) -> None:
    """It serves: its containers come up by themselves as their owner said."""
    mark = read(machine, name)
    if mark is None or not mark.get("restart"):
        return
    orchestrator.let_up(machine, mark["restart"])
    write(machine, name, {**mark, "restart": {}})


def fills(machine: Machine, stack: Stack, run: str) -> None:
    """Note where the copy of ``run`` goes, now that all of it was seen to be empty: what is there later is the copy."""
    mark = read(machine, stack.project)
    if mark is not None and mark["run"] == run and mark["state"] == "copying":
        paths = [root(machine, stack, each) for each in stack.datasets if each.volume or each.path.startswith("/")]
        write(machine, stack.project, {**mark, "paths": paths})
