"""The services of a stack, stopped and started by Compose: the one place that does it.

What stops returns what starts it again (:meth:`Orchestrator.restart`): which containers ran, and which of them were
healthy. What leases hold names containers and no stack: functions do that half.
"""

from __future__ import annotations

import re
from typing import Any, Collection, Dict, Iterable, List, Mapping, Optional, Sequence

from mnemo_ops.agent.base.lines import each_line
from mnemo_ops.agent.base.progress import Deed, Progress
from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.stack import containers
from mnemo_ops.agent.stack.awaited import awaited
from mnemo_ops.agent.stack.containers import Container, Found
from mnemo_ops.agent.stack.stack import Stack
from mnemo_ops.errors import CommandFailed, NotStarted, StepFailed

PATIENCE = 180.0  # seconds until started containers must be as healthy as they were
WITHOUT = 20.0  # seconds others are waited for when what keeps their data does not start
RELAUNCHES = 3  # times a container that does not stay up is started again
ENDING = (0.2, 0.5, 1.0, 2.0, 4.0)  # seconds between tries: a container that is just ending cannot be updated
AS_IS = ("--no-build", "--pull", "never")  # images are put there by others, and looked at before

# what compose tells of each container on its way; why one did not come there stands below
_moves = re.compile(r"(Container|Network|Volume) \S+ +[A-Z][a-z]+").fullmatch


class Orchestrator:
    """What stops and starts the services of one stack on one host."""

    def __init__(self, machine: Machine, stack: Stack) -> None:
        self._machine, self._stack = machine, stack

    def found(self) -> List[Container]:
        return containers.containers(self._machine, self._stack.project)

    def stop(self, but: Collection[str] = (), only: Optional[Collection[str]] = None) -> Deed:
        """Stop every service, what lets clients in first. :param but: those that go on running. :param only: of these.

        :raises CommandFailed: one could not be stopped (6).
        """
        for layer in containers.layers(self.found(), self._stack.stores):
            chosen = [each for each in layer if each.running and each.service not in but]
            chosen = [each for each in chosen if only is None or each.service in only]
            if chosen:
                yield Progress(note="stopping " + ", ".join(each.service for each in chosen))
                _stop(self._machine, chosen, self._stack.grace)
        return {}

    def longest_stop(self, found: Found, but: Collection[str] = ()) -> int:
        """Seconds until the last of these is killed, if each uses all of its time; who stops at once does not count."""
        layers = containers.layers(found, self._stack.stores)
        chosen = [[each for each in layer if each.running and each.service not in but] for layer in layers]
        return sum(max((max(self._stack.grace, each.grace) for each in layer), default=0) for layer in chosen)

    def restart(self, found: Found) -> Dict[str, Any]:
        """The deed that brings back what of these runs now, as well as it is now."""
        names, well = [each.name for each in found if each.running], containers.healthy(found)
        args = {"names": names, "healthy": well, "stores": sorted(self._stack.stores), "project": self._stack.project}
        return {"kind": "start_containers", "args": args}

    def bring_back(self, deed: Mapping[str, Any], guarded: bool = False, hurry: bool = False) -> Dict[str, str]:
        """Do what :meth:`restart` says, without those that somebody removed meanwhile; as :func:`start`."""
        args = deed["args"]
        return start(self._machine, args["names"], args["healthy"], args["stores"], guarded, hurry)

    def start(self, deed: Mapping[str, Any]) -> None:
        """As :meth:`bring_back`, guarded. :raises StepFailed: one does not run, or is not as well as it was (6)."""
        wrong = self.bring_back(deed, guarded=True)
        if wrong:
            raise StepFailed(
                f"some containers are not as before: {containers.described(wrong)}", hint=looking(list(wrong))
            )

    def up(self, services: Sequence[str] = ()) -> Deed:
        """Make, start and wait for services (all, when none is named).

        :raises NotStarted: one does not start, or is not well in time (6).
        """
        yield Progress(note="starting " + (", ".join(services) or "every service"))
        wait = ("--wait", "--wait-timeout", str(int(PATIENCE)))

        def mine() -> List[Container]:
            return [each for each in self.found() if not services or each.service in services]

        try:
            with awaited(self._machine, mine):
                self._machine.run(self._stack.compose("up", "-d", *wait, *AS_IS, *services))
        except CommandFailed as error:
            said = [line.strip() for line in each_line(error.message.partition(": ")[2])]
            why = " ".join(line for line in said if not _moves(line)) or error.message
            hint = "`docker compose ps -a` on the host lists them"
            raise NotStarted(f"some containers do not start: {why}", hint=hint) from None
        return {}

    def make(self, services: Sequence[str]) -> None:
        """Containers of these services, without starting them. :raises CommandFailed: it failed (6)."""
        if services:
            self._machine.run(self._stack.compose("up", "--no-start", "--no-deps", *AS_IS, *services))


# -- by the names of containers ------------------------------------------------------------------------------------


def policies(found: Found) -> Dict[str, Any]:
    """The deed that gives containers their restart policies again, which :func:`hold_down` takes away."""
    return {"kind": "set_restart", "args": {"policies": {each.name: each.restart for each in found}}}


def hold_down(machine: Machine, names: Iterable[str]) -> None:
    """Nothing comes up by itself: Docker, started again, would run everything on data that are half in place."""
    _set_restart(machine, "no", list(names))


def let_up(machine: Machine, policies: Mapping[str, str]) -> None:
    """Restart policies as they are named; of those that somebody removed meanwhile none."""
    names = containers.remaining(machine, policies)
    for policy in sorted({policies[name] for name in names}):
        _set_restart(machine, policy, [name for name in names if policies[name] == policy])


def start(
    machine: Machine,
    names: Sequence[str],
    well: Collection[str],
    stores: Collection[str],
    guarded: bool = False,
    hurry: bool = False,
) -> Dict[str, str]:
    """Start containers, what stores first, and wait for those that were well.

    :param well: names of those that were healthy when they were stopped: only they are waited for.
    :param stores: services that keep data: others start once they are well.
    :param guarded: who depends on others starts once they are well, too: nobody is let in before.
    :param hurry: nobody waits for another, once it was started: the database went on running.
    :returns: name -> what is wrong with it; empty when all run and are as well as they were.
    """
    end = machine.monotonic() + PATIENCE
    wrong: Dict[str, str] = {}
    ordered = containers.layers(containers.named(machine, names), stores)[::-1]
    for number, layer in enumerate(ordered):
        machine.note = "starting " + ", ".join(each.name for each in layer)
        wrong.update(_launch(machine, [each.name for each in layer if each.state != "running"]))
        if number + 1 < len(ordered) and not hurry:
            first = [each.name for each in layer if guarded or each.service in stores]
            _wait(machine, [name for name in first if name in well and name not in wrong], well, end)
            if any(each.service in stores and each.name in wrong for each in layer):
                end = min(end, machine.monotonic() + WITHOUT)  # nobody gets well without what it needs
    started = [name for name in names if name not in wrong]
    return {**wrong, **_wait(machine, started, well, end)}


def restart(machine: Machine, found: Found, stores: Collection[str], grace: int) -> Dict[str, str]:
    """Stop and start these containers, and wait until they are as well as they were; as :func:`start`."""
    names, well = [each.name for each in found], containers.healthy(found)
    machine.note = "restarting " + ", ".join(names)
    for each in found:  # one command: Docker itself starts what it stopped, whoever is killed meanwhile
        time = max(grace, each.grace)
        machine.run(["docker", "restart", "--time", str(time), each.name], timeout=time + 60.0)
    return start(machine, names, well, stores)


def _stop(machine: Machine, running: Sequence[Container], grace: int) -> None:
    """Side by side. :param grace: seconds between SIGTERM and SIGKILL, where a container's owner asked for no more."""
    machine.note = "stopping " + ", ".join(container.name for container in running)
    times: Dict[int, List[str]] = {}
    for container in running:
        times.setdefault(max(grace, container.grace), []).append(container.name)
    argvs = [["docker", "stop", "--time", str(time), *names] for time, names in times.items()]
    machine.run_each(argvs, timeout=max(times) + 60.0)


def _set_restart(machine: Machine, policy: str, names: Sequence[str]) -> None:
    """:raises CommandFailed: Docker does not take it (6)."""
    update = ["docker", "update", "--restart", policy, *names]
    for pause in ENDING:
        if machine.run(update, check=False).rc == 0:
            return
        machine.sleep(pause)
    machine.run(update)


def _launch(machine: Machine, names: Sequence[str]) -> Dict[str, str]:
    """:returns: name -> why Docker did not start it."""
    done = machine.run_each([["docker", "start", name] for name in names], check=False)
    failed = {name: one for name, one in zip(names, done) if one.rc != 0}
    return {name: one.err.strip() or f"docker start ended with {one.rc}" for name, one in failed.items()}


def _wait(machine: Machine, names: Sequence[str], well: Collection[str], end: float) -> Dict[str, str]:
    """Until they run and those in ``well`` are healthy; what they are instead when the time is over.

    :param end: by the host's monotonic clock.
    """
    with awaited(machine, lambda: containers.named(machine, [name for name in names if name in well])):
        return _waited(machine, names, well, end)


def _waited(machine: Machine, names: Sequence[str], well: Collection[str], end: float) -> Dict[str, str]:
    tries: Dict[str, int] = {}
    while True:
        found = containers.named(machine, names)
        down = [each for each in found if not each.running]
        # a stop that was cut short in its command still ends in the engine, after our start
        again = [each.name for each in down if tries.get(each.name, 0) < (1 if each.ended else RELAUNCHES)]
        gone = [each for each in down if each.name not in again and not each.ended]
        ill = [each for each in found if each.running and each.name in well and each.health not in ("", "healthy")]
        over = machine.monotonic() > end
        if over or not (again or ill):
            wrong = {each.name: f"ended with exit code {each.exit_code}" for each in gone}
            return {**wrong, **{each.name: f"is {each.health}" for each in ill}}
        _launch(machine, again)
        tries.update({name: tries.get(name, 0) + 1 for name in again})
        machine.sleep(0.25)


# -- what is told of it --------------------------------------------------------------------------------------------


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
