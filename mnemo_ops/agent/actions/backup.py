"""Sets: making one, listing them, proving their bytes. Parts first, ``manifest.json`` last: no manifest, no backup."""

from __future__ import annotations

import hashlib
import json
from typing import Any, ClassVar, Dict, Generator, Mapping, Sequence, Tuple

from mnemo_ops.agent.base.progress import Deed, Progress, Report
from mnemo_ops.agent.base.record import asdict, dataclass, field
from mnemo_ops.agent.base.validators import RunId
from mnemo_ops.agent.engine.action import Action
from mnemo_ops.agent.files import listing as tree
from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.process import handout, lease
from mnemo_ops.agent.stack import (
    containers,
    copy_marker,
    exclusivity,
    losses,
    orchestrator,
    postgres_digest,
    recipients,
)
from mnemo_ops.agent.stack.fence import read_fence, refuse_fenced
from mnemo_ops.agent.stack.manifest import NAME, SIGNATURE, Manifest, Part, Saved, file_of, listing_of, read_manifest
from mnemo_ops.agent.stack.orchestrator import Orchestrator
from mnemo_ops.agent.stack.packing import pack
from mnemo_ops.agent.stack.postgres import Postgres
from mnemo_ops.agent.stack.stack import Dataset, Stack, forgotten, root, waiver
from mnemo_ops.errors import Broken, NotStarted, Refused, StepFailed

MARGIN = 1.2  # free space wanted, as a multiple of the data
TOOLS = ("tar", "zstd", "age")

Making = Generator[Progress, None, Dict[str, Any]]


@dataclass(frozen=True)
class MakeSet(Action):
    """Write a set of the whole stack into its store.

    Services that write are stopped first and started again on every exit (a lease starts them should this process be
    killed); with ``fenced`` they are stopped already and stay so.

    :param id: UTC time and a random suffix; the set's directory.
    :param recipients: age public keys the config part (secrets, TLS keys) is encrypted to.
    :param accept_loss: make it also where something of the database would not be in it; the manifest names that.
    :param about: what the flow knows of this set (host name, tool version), kept in the manifest.
    """

    stack: Mapping[str, Any]
    id: RunId
    recipients: Sequence[str]
    fenced: bool = False
    accept_loss: bool = False
    about: Mapping[str, Any] = field(default_factory=dict)
    kind: ClassVar[str] = "make_set"

    def ready(self, machine: Machine) -> Report:
        """:raises Refused: a tool or space is missing, no database runs, or something would be forgotten (3)."""
        stack = Stack.from_json(self.stack)
        containers.refuse_bare(machine, TOOLS)
        recipients.parsed(self.recipients)
        found = containers.containers(machine, stack.project)
        if not found:
            raise Refused(f"no stack {stack.project} runs here", hint="`invoke deploy` starts it")
        if not self.fenced:
            refuse_fenced(machine, stack.project, "backup")
        copy_marker.refuse_unfinished(machine, stack.project)
        exclusivity.refuse_others(machine, stack, self.id)
        containers.refuse_stopped(found, stack.dataset("postgres").service)
        lost = forgotten(stack, found)
        if lost:
            raise Refused(
                "these mounts are neither a dataset nor waived: " + "; ".join(lost),
                hint="name what must survive in the compose file and in stack.datasets; waive the rest: "
                + waiver(lost),
            )
        sizes = {dataset.name: _size(machine, stack, dataset, found) for dataset in stack.datasets}
        need, free = int(sum(sizes.values()) * MARGIN), machine.free_bytes(stack.store)
        if need > free:
            raise Refused(f"{stack.store} has {free} bytes free; a set may need {need}", hint="free some space first")
        server = Postgres.of(machine, containers.one(found, stack.dataset("postgres").service))
        lost = losses.of_set(server)
        losses.refuse(lost, self.accept_loss, "a set would not hold all of the database server")
        return {"sizes": sizes, "free": free, "losses": lost}

    def run(self, machine: Machine) -> Deed:
        lost = self.ready(machine)["losses"]
        stack = Stack.from_json(self.stack)
        services = Orchestrator(machine, stack)
        found = services.found()
        workdir = f"{stack.store}/{self.id}.partial"
        restart = services.restart(found)
        drop = {"kind": "drop_partial", "args": {"store": stack.store, "id": self.id}}
        phases: Dict[str, float] = {}
        try:
            lease.hold(machine, self._lease, self.id, [*([] if self.fenced else [restart]), drop])
            machine.remove(workdir)
            machine.mkdir(stack.store, 0o700)
            machine.mkdir(workdir, 0o700)
            began = machine.monotonic()
            if not self.fenced:
                yield from services.stop(but=stack.keep)
                phases["stop"] = machine.monotonic() - began
            datasets = yield from self._all(machine, stack, found, workdir)
            phases["dump and archive"] = machine.monotonic() - began - phases.get("stop", 0.0)
            ill: Dict[str, str] = {}
            if not self.fenced:
                yield Progress(note="starting the stack")
                started = machine.monotonic()
                ill = services.bring_back(restart, hurry=True)
                if set(ill) <= set(containers.running(machine, list(ill))):  # what runs is not to be started again
                    lease.hold(machine, self._lease, self.id, [drop])
                phases["start"] = machine.monotonic() - started
            outage = machine.monotonic() - began
            more = {
                "recipients": list(self.recipients),
                "seconds": round(outage, 3),
                "images": {each.service: {"image": each.image, "id": each.image_id} for each in found},
                "stack": asdict(stack),
                **self.about,
            }
            manifest = Manifest(
                id=self.id,
                project=stack.project,
                created=machine.now(),
                consistency="quiesced",
                parts=(yield from _checksums(machine, workdir)),
                datasets=tuple(Saved(name, facts) for name, facts in datasets.items()),
                volumes=_volumes(machine, stack),
                accepted_losses=tuple(lost),
                host=more.pop("host", ""),
                migration=more.pop("migration", ""),
                more=more,
            ).to_json()
            written = json.dumps(manifest, indent=1).encode()
            _refuse_unreadable(manifest)
            machine.write(f"{workdir}/{NAME}", written, 0o600)
            machine.rename(workdir, f"{stack.store}/{self.id}")
        except BaseException as problem:  # starts what was stopped, removes a set that did not become one
            now = "no set was made" if self.fenced else "no set was made, and the stack is as it was"
            lease.undo_because(machine, self._lease, problem, lambda: now)
            raise
        try:
            lease.undo(machine, self._lease)
        except NotStarted as error:
            lease.leave(machine, self._lease)
            raise StepFailed(
                f"the set {self.id} is complete; but {error}; the host retries for 15 minutes", hint=error.hint
            ) from error
        if ill:
            raise StepFailed(
                f"the set {self.id} is complete; but {containers.described(ill)}", hint=orchestrator.looking(list(ill))
            )
        seconds = {name: round(value, 3) for name, value in phases.items()}
        told = {"write_outage_seconds": round(outage, 3), "phases": seconds}
        return {**manifest, **told, "manifest_sha256": hashlib.sha256(written).hexdigest()}

    def _all(self, machine: Machine, stack: Stack, found: containers.Found, workdir: str) -> Making:
        """Every dataset. What is moving away takes no write from its dump on: it stops before anybody can."""
        if not self.fenced:
            datasets = yield from self._parts(machine, stack, found, workdir)
            self._still_quiet(machine, stack)
            return datasets
        with Postgres.of(machine, containers.one(found, stack.dataset("postgres").service)).shut():
            datasets = yield from self._parts(machine, stack, found, workdir)
            self._still_quiet(machine, stack)
            yield from Orchestrator(machine, stack).stop()
        return datasets

    def _still_quiet(self, machine: Machine, stack: Stack) -> None:
        """:raises Broken: the stack was started again while its parts were made: they may not fit together (6)."""
        fence = read_fence(machine, stack.project)
        held = fence is not None and fence["state"] != "undoing" if self.fenced else self._lease in lease.names(machine)
        found = containers.containers(machine, stack.project)
        writers = [one.name for one in found if one.running and one.service not in stack.keep]
        writers += exclusivity.strangers(machine, stack)
        if not held or writers:
            who = ", ".join(writers) or "the stack"
            raise Broken(f"{who} started again during the backup", hint="run the same command again")

    @property
    def _lease(self) -> str:
        return f"set-{self.id}"

    def _parts(self, machine: Machine, stack: Stack, found: containers.Found, workdir: str) -> Making:
        datasets: Dict[str, Any] = {}
        for dataset in sorted(stack.datasets, key=lambda each: each.kind != "postgres"):  # database first
            if dataset.kind == "postgres":
                datasets[dataset.name] = yield from _dump(machine, found, dataset, workdir)
            else:
                datasets[dataset.name] = yield from self._archive(machine, stack, dataset, workdir)
        return datasets

    def _archive(self, machine: Machine, stack: Stack, dataset: Dataset, workdir: str) -> Making:
        where = root(machine, stack, dataset)
        exclude = stack.excluded() if dataset.kind == "config" else ()
        name = file_of(dataset.name, dataset.kind)
        encrypt = [part for key in recipients.parsed(self.recipients) for part in ("-r", key)]
        through = ["age", "-e", *encrypt] if dataset.kind == "config" else ["zstd", "-q", "-T0", "-3"]
        if dataset.kind == "config" and not self.recipients:
            raise Refused("the config part holds secrets, and there is no key to encrypt it with")
        total = tree.size(machine, where, exclude)
        rows = yield from pack(machine, where, exclude, through, f"{workdir}/{name}", total, dataset.name)
        listing = "".join(json.dumps(row, sort_keys=True) + "\n" for row in rows).encode()
        facts = {**tree.summary(rows), "kind": dataset.kind, "attributes": True}  # older sets were made without
        if dataset.kind != "config":  # a listing names every file; the config's stays inside the encrypted part
            machine.write(f"{workdir}/{listing_of(dataset.name)}", listing, 0o600)
        return facts


@dataclass(frozen=True)
class SignSet(Action):
    """Put the controller's signature beside the manifest of a set."""

    store: str
    id: RunId
    signature: str
    kind: ClassVar[str] = "sign_set"

    def run(self, machine: Machine) -> Deed:
        yield Progress()
        machine.write(f"{self.store}/{self.id}/{SIGNATURE}", self.signature.encode(), 0o600)
        return {}


@dataclass(frozen=True)
class DropPartial(Action):
    """Remove a set that was never finished; a finished one is not touched."""

    store: str
    id: RunId
    kind: ClassVar[str] = "drop_partial"

    def run(self, machine: Machine) -> Deed:
        yield Progress()
        machine.remove(f"{self.store}/{self.id}.partial")
        return {}


def _refuse_unreadable(manifest: Mapping[str, Any]) -> None:
    """What no restore would read is no backup. :raises Broken: a label of a volume, say, is too long (6)."""
    try:
        Manifest.from_json(manifest)
    except Refused as error:
        raise Broken(f"no restore could read the manifest of this backup: {error}", hint=error.hint) from error


def _checksums(machine: Machine, workdir: str) -> Generator[Progress, None, Tuple[Part, ...]]:
    parts = []
    for name in machine.names(workdir):
        yield Progress(note=f"checksum of {name}")
        machine.sync(f"{workdir}/{name}")
        found = machine.stat(f"{workdir}/{name}")
        parts.append(Part(name, found.size if found else 0, machine.sha256(f"{workdir}/{name}") or ""))
    return tuple(parts)


def _size(machine: Machine, stack: Stack, dataset: Dataset, found: containers.Found) -> int:
    if dataset.kind == "postgres":
        return int(Postgres.of(machine, containers.one(found, dataset.service)).facts()["bytes"])
    exclude = stack.excluded() if dataset.kind == "config" else ()
    return tree.size(machine, root(machine, stack, dataset), exclude)


def _dump(machine: Machine, found: containers.Found, dataset: Dataset, workdir: str) -> Making:
    """pg_dump and the digest, both of one exported snapshot."""
    server = Postgres.of(machine, containers.one(found, dataset.service))
    others = server.clients()
    if others:
        names = sorted({f"{each['user']} ({each['application'] or 'no name'})" for each in others})
        raise Broken(f"the database still has other clients: {', '.join(names)}", hint="stop them and try again")
    with server.snapshot() as talk:
        yield Progress(note="hashing the tables")
        snapshot = json.loads(talk.ask("SELECT to_json(pg_export_snapshot());"))
        digest = postgres_digest.digest(talk)
        yield Progress(note="pg_dump")
        with machine.replacing(f"{workdir}/{file_of(dataset.name, dataset.kind)}", 0o600) as file:
            server.dump(snapshot, file, lambda: None)
        facts = server.facts()
    return {"kind": "postgres", **facts, **digest}


def _volumes(machine: Machine, stack: Stack) -> Dict[str, Any]:
    """Compose key -> driver, options and labels of every volume of the project, waived ones included."""
    return {
        row["Name"][len(stack.project) + 1 :]: {
            "driver": row["Driver"],
            "options": row.get("Options") or {},
            "labels": row.get("Labels") or {},
        }
        for row in containers.volumes(machine, stack.project).values()
    }


@dataclass(frozen=True)
class SetFiles(Action):
    """Every file of a complete set with size and sha256, the manifest last: what a copy fetches, in that order.

    The run's key may fetch these from now on.
    """

    directory: str
    run_id: RunId
    kind: ClassVar[str] = "set_files"

    def run(self, machine: Machine) -> Deed:
        yield Progress()
        parts = read_manifest(machine, self.directory).parts
        files = [{"name": part.name, "size": part.bytes, "sha256": part.sha256} for part in parts]
        path = f"{self.directory}/{NAME}"
        found = machine.stat(path)
        last = {"name": NAME, "size": found.size if found else 0, "sha256": machine.sha256(path)}
        handout.allow(machine, self.run_id, self.directory, [*(part.name for part in parts), NAME])
        return {"files": [*files, last]}
