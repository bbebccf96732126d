"""The services of a stack, stopped and started: the one place that does it.

What stops returns what starts it again (:func:`restart`): which containers ran, and which of them were healthy.
"""

from __future__ import annotations

from typing import Any, Collection, Dict, Generator, List, Mapping

from mnemo_ops.agent.base.progress import Progress
from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.stack import containers
from mnemo_ops.agent.stack.containers import Found
from mnemo_ops.agent.stack.stack import Stack
from mnemo_ops.errors import StepFailed

PATIENCE = 180.0  # seconds until started containers must be as healthy as they were

Quieting = Generator[Progress, None, Dict[str, Any]]


def quiet(machine: Machine, stack: Stack, but: Collection[str]) -> Quieting:
    """Stop every service of the stack, what lets clients in first.

    :param but: services that go on running.
    """
    layers = containers.layers(containers.containers(machine, stack.project), stack.stores)
    for layer in layers:
        chosen = [each for each in layer if each.running and each.service not in but]
        if chosen:
            yield Progress(note="stopping " + ", ".join(each.service for each in chosen))
            containers.stop(machine, chosen, stack.grace)
    return {}


def policies(found: Found) -> Dict[str, Any]:
    """The deed that gives containers their restart policies again, which :func:`hold_down` takes away."""
    return {"kind": "set_restart", "args": {"policies": {each.name: each.restart for each in found}}}


def hold_down(machine: Machine, deed: Mapping[str, Any]) -> None:
    """Nothing comes up by itself: Docker, started again, would run everything on data that are half in place."""
    containers.set_restart(machine, "no", list(deed["args"]["policies"]))


def let_up(machine: Machine, policies: Mapping[str, str]) -> None:
    """Restart policies as they are named; of those that somebody removed meanwhile none."""
    names = containers.remaining(machine, policies)
    for policy in sorted({policies[name] for name in names}):
        containers.set_restart(machine, policy, [name for name in names if policies[name] == policy])


def restart(stack: Stack, found: Found) -> Dict[str, Any]:
    """The deed that brings back what runs now, as well as it is now."""
    names, well = [each.name for each in found if each.running], containers.healthy(found)
    args = {"names": names, "healthy": well, "stores": sorted(stack.stores), "project": stack.project}
    return {"kind": "start_containers", "args": args}


def bring_back(machine: Machine, deed: Mapping[str, Any], guarded: bool = False, hurry: bool = False) -> Dict[str, str]:
    """Do what :func:`restart` says, without those that somebody removed meanwhile.

    :param guarded: nobody is let in before what is behind is well. :param hurry: nobody waits for another.
    :returns: name -> what is wrong with it; empty when all run and are as well as they were.
    """
    args = deed["args"]
    names = containers.remaining(machine, args["names"])
    return containers.start(machine, names, args["healthy"], args["stores"], PATIENCE, guarded, hurry)


def start(machine: Machine, deed: Mapping[str, Any]) -> None:
    """As :func:`bring_back`, guarded. :raises StepFailed: one of them does not run, or is not as well as it was (6)."""
    wrong = bring_back(machine, deed, guarded=True)
    if wrong:
        raise StepFailed(f"not as it was before: {containers.described(wrong)}", hint=looking(list(wrong)))


def outage(**until: float) -> Dict[str, Any]:
    """What a report says of the time in which nobody could write.

    :param until: by the host's clock: ``began``, then each phase's name and when it ended.
    """
    ends = list(until.items())
    phases = {name.replace("_", " "): round(end - begin, 3) for (_, begin), (name, end) in zip(ends, ends[1:])}
    return {"write_outage_seconds": round(ends[-1][1] - ends[0][1], 3), "phases": phases}


def looking(names: List[str]) -> str:
    """The command that shows why a container does not do well."""
    return f"docker logs --tail 50 {names[0]}, on the host"
