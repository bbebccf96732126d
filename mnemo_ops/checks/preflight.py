"""Everything that speaks against a migration, found by reading alone: one complete report, nothing touched."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any

from mnemo_ops.agent.actions.backup import MARGIN
from mnemo_ops.agent.base.finding import REFUSES, WARNS, Finding
from mnemo_ops.agent.base.record import dataclass
from mnemo_ops.agent.stack.room import STORE
from mnemo_ops.agent.stack.stack import waiver
from mnemo_ops.checks.findings import refused
from mnemo_ops.stack.settings import Settings

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


def same_machine(old: Side, new: Side) -> list[Finding]:
    """By identity, not by name."""
    if old.survey["machine_id"] and old.survey["machine_id"] == new.survey["machine_id"]:
        evidence = f"it is the same machine as {old.name} (machine-id {old.survey['machine_id'][:12]})"
        return [refused("host.same-machine", new.name, evidence, "name two machines with --from and --to")]
    return []


def problems(old: Side, new: Side, chosen: Settings, accept_loss: bool = False) -> list[Finding]:
    """Everything that speaks against it; the migration may begin when nothing of it refuses."""
    found = [refused("host.trouble", side.name, text) for side in (old, new) for text in side.survey["troubles"]]
    found += _direction(old, new)
    if not old.runs:
        return found
    found += _old(old, new)
    if not accept_loss:
        found += _lost(old)
    found += _obstacles(old)
    found += _room(old, new, chosen)
    found += _clashes(old, new, chosen)
    if new.survey["mounted"]:
        evidence = f"{chosen.directory} is itself a mount point, and is put in place by renaming"
        remedy = "umount it, and give the disk to a volume (stack.volumes, type: block)"
        found.append(refused("directory.mount-point", new.name, evidence, remedy))
    if old.architecture != new.architecture:
        evidence = f"it is {new.architecture}, {old.name} is {old.architecture}: images of one do not run on the other"
        found.append(refused("host.architecture", new.name, evidence))
    return found + _clocks(old, new)


def _clocks(old: Side, new: Side) -> list[Finding]:
    skew = abs(new.offset - old.offset)
    if skew <= SKEW_WARN:
        return []
    evidence = f"its clock and that of {old.name} differ by {skew:.1f} s"
    severity = REFUSES if skew > SKEW_REFUSE else WARNS
    return [Finding("host.clock", severity, new.name, evidence, "timedatectl set-ntp true synchronizes them")]


def _direction(old: Side, new: Side) -> list[Finding]:
    found = []
    if not old.runs:
        found.append(refused("stack.not-running", old.name, *_why_stopped(old)))
    fence = new.survey["fence"]
    back = fence is not None and fence["state"] == "final" and fence["target"] == old.survey["machine_id"]
    if back and new.holds:
        evidence = f"run {fence['run']} moved the stack from here to {old.name}: what is here is the older copy"
        found.append(refused("direction.back", new.name, f"this is the other direction: {evidence}"))
    if new.holds:
        few = ", ".join(new.holds[:4]) + (f" and {len(new.holds) - 4} more" if len(new.holds) > 4 else "")
        found.append(
            refused("stack.already-there", new.name, f"it already holds a stack ({few}): nothing is copied over it")
        )
    for path, names in new.survey.get("occupied", {}).items():
        evidence = f"{path} holds {names}: nothing is copied over it"
        found.append(refused("directory.occupied", new.name, evidence, "move it away first"))
    if found and not old.runs and new.runs:
        evidence = f"it serves, and {old.name} does not"
        found.append(refused("direction.swapped", new.name, evidence, "did you swap --from and --to?"))
    elif new.holds and old.runs and new.runs:
        found.append(
            refused("stack.both-serve", f"{old.name}, {new.name}", f"both serve: {_weight(old)}; {_weight(new)}")
        )
    return found


def _why_stopped(old: Side) -> tuple[str, str]:
    """And what to do about it; who was moved away from is not to be started."""
    fence, stopped = old.survey["fence"], " ".join(old.survey.get("container_names", []))
    if fence is not None and fence["state"] == "final":
        there = (fence.get("hosts") or ["", f"the machine {fence['target'][:12]}"])[1]
        told = f"it runs no stack: run {fence['run']} moved it to {there}"
        return told, "name the host that serves with --from"
    if stopped:
        return "it runs no stack: its containers are stopped", f"docker start {stopped}, as root there"
    return "it runs no stack", ""


def _weight(side: Side) -> str:
    return f"{side.name} has databases of {_database_bytes(side) / 1e6:.1f} MB"


def _database_bytes(side: Side) -> int:
    return sum(int(each["bytes"]) for each in _clusters(side))


def _clusters(side: Side) -> list[Facts]:
    """What is known of each of its clusters that answers."""
    return [each for each in (side.survey.get("postgres") or {}).values() if each is not None]


def _old(old: Side, new: Side) -> list[Finding]:
    found = []
    for name, each in (old.survey.get("postgres") or {}).items():
        if each is None:
            found.append(refused("database.silent", old.name, f"its database {name} does not answer"))
    if absent := old.survey.get("absent"):
        evidence = (
            f"{', '.join(absent)} not in the stack's directory, and {new.name} would need it: the stack was not "
            "deployed from this inventory"
        )
        remedy = f"invoke deploy --limit {old.name}, or correct stack.directory"
        found.append(refused("directory.incomplete", old.name, evidence, remedy))
    if emptied := old.survey.get("emptied"):
        evidence = f"started with values that its files do not give, and empty on {new.name}: {', '.join(emptied)}"
        found.append(refused("variable.empty", old.name, evidence, "write them into the env file, then deploy"))
    if unnamed := old.survey.get("unnamed"):
        evidence = f"{', '.join(unnamed)} runs, and would not on {new.name}: no start of the project's files starts it"
        remedy = "name its profile in the env file (COMPOSE_PROFILES=NAME), or stop it"
        found.append(refused("service.unnamed", old.name, evidence, remedy))
    named: dict[str, set[str]] = {}
    for row in old.survey["containers"].values():
        named.setdefault(row["image"], set()).add(row["content"])
    if several := sorted(name for name, contents in named.items() if len(contents) > 1):
        evidence = f"services run different images by one name, which means one on {new.name}: {', '.join(several)}"
        found.append(refused("image.ambiguous", old.name, evidence, f"invoke deploy --limit {old.name}"))
    for service, row in old.survey["containers"].items():
        if not row["content"]:
            evidence = f"its engine has no more what {service} runs ({row['image']}), and {new.name} would need it"
            found.append(refused("image.gone", old.name, evidence, f"invoke deploy --limit {old.name}"))
    for mount in old.survey.get("forgotten", []):
        remedy = f"a line in stack.datasets keeps what has a name; else {waiver([mount])}"
        found.append(refused("mount.forgotten", old.name, f"{mount} is neither a dataset nor waived", remedy))
    absent = [name for name, there in old.survey["tools"].items() if not there]
    if absent:
        remedy = f"invoke bootstrap --limit {old.name}"
        found.append(refused("host.tools", old.name, f"it lacks {', '.join(absent)}", remedy))
    return found


def _lost(old: Side) -> list[Finding]:
    losses = [each for one in _clusters(old) for each in one.get("losses", [])]
    remedy = "--accept-loss continues without it"
    return [refused("database.loss", old.name, f"not in a backup, and lost: {each}", remedy) for each in losses]


def _obstacles(old: Side) -> list[Finding]:
    """What keeps the database server from being dumped at all."""
    found = [each for one in _clusters(old) for each in one.get("obstacles", [])]
    remedy = "remove or end it first"
    return [refused("database.obstacle", old.name, f"no backup can hold {each}", remedy) for each in found]


def _room(old: Side, new: Side, chosen: Settings) -> list[Finding]:
    """Each disk by itself: a data directory of Docker, a volume, the store may have one of their own."""
    sizes = dict(old.survey.get("sizes", {}))
    sizes.update({name: one["bytes"] for name, one in (old.survey.get("postgres") or {}).items() if one})
    needs = {STORE: sum(sizes.values()), **{"=" + name: size for name, size in sizes.items()}}
    found = []
    for side, disk in [(each, disk) for each in (old, new) for disk in each.survey["disks"]]:
        comes = [name for name in disk["holds"] if name == STORE or side is new]
        need = int(sum(needs.get(name, 0) for name in comes) * MARGIN)
        what = " and ".join("a backup" if name == STORE else name[1:] for name in comes)
        if disk["free"] < need:
            evidence = f"{disk['free']} bytes free in {disk['path']}; {what} needs {need}"
            remedy = "free some space there, or choose another disk: stack.store, stack.volumes"
            found.append(refused("host.space", side.name, evidence, remedy))
        if comes and disk["inodes"] is not None and disk["inodes"] < 1000:
            found.append(refused("host.inodes", side.name, f"only {disk['inodes']} inodes left in {disk['path']}"))
    return found


def _clashes(old: Side, new: Side, chosen: Settings) -> list[Finding]:
    found = []
    taken = sorted(set(old.survey.get("container_names", [])) & set(new.survey.get("names", [])))
    if taken:
        found.append(refused("container.name", new.name, f"it has other containers named {', '.join(taken)}"))
    wanted = dict.fromkeys([*(f"{port}/tcp" for port in chosen.ports), *old.survey["published"]])
    ports = [port for port in wanted if port in new.survey["listening"]]
    if ports and not new.runs:
        evidence = f"something already has port {', '.join(ports)}, which the stack publishes"
        found.append(refused("port.taken", new.name, evidence))
    there = new.survey.get("networks", ())
    for name in (each for each in old.survey.get("outer_networks", ()) if each not in there):
        evidence = f"the network {name}, which is external, does not exist"
        remedy = (
            f"docker network create {name} there (invoke bootstrap --limit {new.name} before, if Docker is missing)"
        )
        found.append(refused("network.missing", new.name, evidence, remedy))
    ours = [ipaddress.ip_network(each) for each in old.survey.get("own_subnets", [])]
    for name, subnets in (new.survey.get("subnets") or {}).items():
        for text in subnets:
            other = ipaddress.ip_network(text)
            if any(other.version == mine.version and other.overlaps(mine) for mine in ours):
                evidence = f"the network {name} ({text}) overlaps the stack's own"
                found.append(refused("network.overlap", new.name, evidence))
    return found
