"""Everything that speaks against a migration, found by reading alone: one complete report, nothing touched."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any

from mnemo_ops.agent.actions.backup import MARGIN
from mnemo_ops.agent.base.record import dataclass
from mnemo_ops.agent.stack.stack import waiver
from mnemo_ops.stack.definition import PORTS, Settings

SKEW_WARN, SKEW_REFUSE = 2.0, 60.0  # seconds between the hosts' clocks

Facts = Mapping[str, Any]


@dataclass(frozen=True)
class Side:
    """One host as the preflight saw it: its name, facts and survey.

    :param asked: when it was asked, by the controller's clock (seconds since the epoch).
    """

    name: str
    facts: Facts
    survey: Facts
    asked: float = 0.0

    @property
    def offset(self) -> float:
        """Seconds by which its clock is ahead of the controller's; the way there counts as an error."""
        return float(self.survey["clock"]) - self.asked

    @property
    def architecture(self) -> str:
        return str(self.facts.get("architecture", "of no known architecture"))

    @property
    def runs(self) -> bool:
        return any(each["state"] == "running" for each in self.survey["containers"].values())

    @property
    def holds(self) -> list[str]:
        """What of the stack is on this host: containers, volumes, files."""
        found = [f"container {name}" for name in self.survey.get("container_names", [])]
        found += [f"volume {name}" for name in self.survey.get("volumes", [])]
        return found + (["files in the stack's directory"] if self.survey["directory"] else [])


def same_machine(old: Side, new: Side) -> list[str]:
    """By identity, not by name."""
    if old.survey["machine_id"] and old.survey["machine_id"] == new.survey["machine_id"]:
        return [f"{old.name} and {new.name} are the same machine (machine-id {old.survey['machine_id'][:12]})"]
    return []


def problems(old: Side, new: Side, chosen: Settings, accept_loss: bool = False) -> list[str]:
    """Each a sentence with its remedy; empty when the migration may begin."""
    found = [f"{side.name}: {trouble}" for side in (old, new) for trouble in side.survey["troubles"]]
    found += _direction(old, new)
    if not old.runs:
        return found
    found += _old(old, new)
    if not accept_loss:
        found += _lost(old)
    found += _room(old, new, chosen)
    found += _clashes(old, new)
    if new.survey["mounted"]:
        found.append(
            f"{new.name}: {chosen.directory} is itself a mount point, and is put in place by renaming: umount it, "
            "and give the disk to a volume (stack.volumes, type: block)"
        )
    if old.architecture != new.architecture:
        found.append(
            f"{old.name} is {old.architecture} and {new.name} is {new.architecture}: "
            "the images of one do not run on the other"
        )
    skew = abs(skew_of(old, new))
    if skew > SKEW_REFUSE:
        found.append(f"the clocks differ by {skew:.0f} s: set them (timedatectl set-ntp true) and try again")
    return found


def skew_of(old: Side, new: Side) -> float:
    """Seconds by which new's clock is ahead of old's."""
    return new.offset - old.offset


def _direction(old: Side, new: Side) -> list[str]:
    found = []
    if not old.runs:
        found.append(f"{old.name} runs no stack{_why_stopped(old)}")
    fence = new.survey["fence"]
    back = fence is not None and fence["state"] == "final" and fence["target"] == old.survey["machine_id"]
    if back and new.holds:
        found.append(
            f"run {fence['run']} moved the stack from {new.name} to {old.name}: this is the other direction, "
            f"and what is on {new.name} is the older copy"
        )
    if new.holds:
        few = ", ".join(new.holds[:4]) + (f" and {len(new.holds) - 4} more" if len(new.holds) > 4 else "")
        found.append(f"{new.name} already holds a stack ({few}); nothing is ever copied over it")
    if found and not old.runs and new.runs:
        found.append(f"did you swap --from and --to? {new.name} serves, {old.name} does not")
    elif new.holds and old.runs and new.runs:
        found.append(f"both serve: {_weight(old)}; {_weight(new)}")
    return found


def _why_stopped(old: Side) -> str:
    """With what to do about it; who was moved away from is not to be started."""
    fence, stopped = old.survey["fence"], " ".join(old.survey.get("container_names", []))
    if fence is not None and fence["state"] == "final":
        there = (fence.get("hosts") or ["", f"the machine {fence['target'][:12]}"])[1]
        return f": run {fence['run']} moved it to {there}; name the host that serves with --from"
    return f": it is stopped; docker start {stopped}, as root there" if stopped else ""


def _weight(side: Side) -> str:
    database = side.survey.get("postgres") or {}
    return f"{side.name} has a database of {database.get('bytes', 0) / 1e6:.1f} MB"


def _old(old: Side, new: Side) -> list[str]:
    found = []
    if old.survey.get("postgres") is None:
        found.append(f"the database on {old.name} does not answer")
    if absent := old.survey.get("absent"):
        found.append(
            f"{old.name}: {', '.join(absent)} not in the stack's directory, and {new.name} would need it: the stack "
            f"was not deployed from this inventory. invoke deploy --limit {old.name}, or correct stack.directory"
        )
    for mount in old.survey.get("forgotten", []):
        remedy = f"a line in stack.datasets keeps what has a name; else {waiver([mount])}"
        found.append(f"{old.name}: {mount} is neither a dataset nor waived: {remedy}")
    absent = [name for name, there in old.survey["tools"].items() if not there]
    if absent:
        found.append(f"{old.name} lacks {', '.join(absent)}: invoke bootstrap --limit {old.name}")
    return found


def _lost(old: Side) -> list[str]:
    losses = (old.survey.get("postgres") or {}).get("losses", [])
    return [f"{old.name}: not in a set, and lost: {each} (--accept-loss goes on without)" for each in losses]


def _room(old: Side, new: Side, chosen: Settings) -> list[str]:
    database = int((old.survey.get("postgres") or {}).get("bytes", 0))
    data = database + sum(old.survey.get("sizes", {}).values())
    found = []
    for side, factor, what in ((old, 1, "a set"), (new, 2, "a set and the data")):
        free, need = int(side.survey["free"][chosen.store]), int(data * factor * MARGIN)
        if free < need:
            found.append(f"{side.name} has {free} bytes free in {chosen.store}; {what} needs {need}")
        inodes = side.survey["inodes"][chosen.store]
        if inodes is not None and inodes < 1000:
            found.append(f"{side.name} has only {inodes} inodes left in {chosen.store}")
    free, need = int(new.survey["free"]["/var/lib/docker"]), int(data * 2 * MARGIN)
    if free < need:  # the data, and once more while it is compared before it is put in place
        found.append(f"{new.name} has {free} bytes free in /var/lib/docker; the stack's data needs {need}")
    return found


def _clashes(old: Side, new: Side) -> list[str]:
    found = []
    taken = sorted(set(old.survey.get("container_names", [])) & set(new.survey.get("names", [])))
    if taken:
        found.append(f"{new.name} has other containers named {', '.join(taken)}")
    ports = [port for port in PORTS if port in new.survey["listening"]]
    if ports and not new.runs:
        found.append(f"something on {new.name} already listens on port {', '.join(map(str, ports))}")
    ours = [ipaddress.ip_network(each) for each in old.survey.get("own_subnets", [])]
    for name, subnets in (new.survey.get("subnets") or {}).items():
        for text in subnets:
            other = ipaddress.ip_network(text)
            if any(other.version == mine.version and other.overlaps(mine) for mine in ours):
                found.append(f"the network {name} ({text}) on {new.name} overlaps the stack's own")
    return found
