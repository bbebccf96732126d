"""Sets: making one, listing them, proving their bytes. Parts first, ``manifest.json`` last: no manifest, no backup."""

from __future__ import annotations

import hashlib
import json
from contextlib import ExitStack
from typing import Any, ClassVar, Dict, Generator, Mapping, Sequence, Tuple

from mnemo_ops.agent.base.progress import Deed, Progress, Report
from mnemo_ops.agent.base.record import asdict, dataclass, field
from mnemo_ops.agent.base.validators import RunId
from mnemo_ops.agent.engine.action import Action
from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.process import handout, lease
from mnemo_ops.agent.stack import bind_sources, containers, copy_marker, exclusivity, orchestrator, recipients
from mnemo_ops.agent.stack.datasets import kind_of
from mnemo_ops.agent.stack.datasets.kind import Kind
from mnemo_ops.agent.stack.fence import read_fence, refuse_fenced
from mnemo_ops.agent.stack.manifest import NAME, SIGNATURE, Manifest, Part, Saved, read_manifest
from mnemo_ops.agent.stack.orchestrator import Orchestrator
from mnemo_ops.agent.stack.stack import Stack, forgotten, waiver
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
        with ExitStack() as held:
            return self._look(machine, held)[0]

    def _look(self, machine: Machine, held: ExitStack) -> Tuple[Report, Sequence[Kind]]:
        """And the datasets, held: what was found out while the stack ran need not be asked once nobody is served."""
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
        lost = forgotten(stack, found)
        if lost:
            raise Refused(
                "these mounts are neither a dataset nor waived: " + "; ".join(lost),
                hint="name what must survive in the compose file and in stack.datasets; waive the rest: "
                + waiver(lost),
            )
        bind_sources.refuse_gone(machine, found)
        kinds = [kind_of(machine, stack, each, found) for each in stack.datasets]
        for each in kinds:
            held.enter_context(each.held())
        lost = [text for each in kinds for text in each.losses(self.accept_loss)]
        sizes = {each.dataset.name: each.size() for each in kinds}
        need, free = int(sum(sizes.values()) * MARGIN), machine.free_bytes(stack.store)
        if need > free:
            raise Refused(
                f"{stack.store} has {free} bytes free; a backup may need {need}", hint="free some space first"
            )
        longest = Orchestrator(machine, stack).longest_stop(found, stack.keep)
        return {"sizes": sizes, "free": free, "losses": lost, "longest_stop": longest}, kinds

    def run(self, machine: Machine) -> Deed:
        with ExitStack() as held:
            report, kinds = self._look(machine, held)
            return (yield from self._make(machine, kinds, report["losses"]))

    def _make(self, machine: Machine, kinds: Sequence[Kind], lost: Sequence[str]) -> Making:
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
            datasets = yield from self._all(machine, stack, kinds, workdir)
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
            if not self.fenced:
                yield from self._seal(kinds, datasets, workdir)
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
            now = "no backup was made" if self.fenced else "no backup was made, and the stack is as it was"
            lease.undo_because(machine, self._lease, problem, lambda: now)
            raise
        try:
            lease.undo(machine, self._lease)
        except NotStarted as error:
            lease.leave(machine, self._lease)
            raise StepFailed(
                f"the backup {self.id} is complete; but {error}; the host retries for 15 minutes", hint=error.hint
            ) from error
        if ill:
            raise StepFailed(
                f"the backup {self.id} is complete; but {containers.described(ill)}",
                hint=orchestrator.looking(list(ill)),
            )
        seconds = {name: round(value, 3) for name, value in phases.items()}
        told = {"write_outage_seconds": round(outage, 3), "phases": seconds}
        return {**manifest, **told, "manifest_sha256": hashlib.sha256(written).hexdigest()}

    def _all(self, machine: Machine, stack: Stack, kinds: Sequence[Kind], workdir: str) -> Making:
        """Every dataset. What is moving away takes no write from its dump on: it stops before anybody can."""
        if not self.fenced:
            datasets = yield from self._parts(kinds, workdir)
            self._still_quiet(machine, stack)
            return datasets
        with ExitStack() as shut:
            held = [shut.enter_context(each.shut()) for each in kinds]
            datasets = yield from self._parts(kinds, workdir)
            yield from self._seal(kinds, datasets, workdir)
            self._still_quiet(machine, stack)
            for still in held:
                still()
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
        return f"backup-{self.id}"

    def _parts(self, kinds: Sequence[Kind], workdir: str) -> Making:
        datasets: Dict[str, Any] = {}
        keys = recipients.parsed(self.recipients)
        for each in sorted(kinds, key=lambda each: each.dataset.kind != "postgres"):  # database first
            datasets[each.dataset.name] = yield from each.save(workdir, keys)
        return datasets

    def _seal(self, kinds: Sequence[Kind], datasets: Mapping[str, Any], workdir: str) -> Deed:
        for each in kinds:
            yield from each.seal(datasets[each.dataset.name], workdir, recipients.parsed(self.recipients))
        return {}


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


def _volumes(machine: Machine, stack: Stack) -> Dict[str, Any]:
    """Compose key -> driver, options and labels of every volume of the project, waived ones included."""
    return {
        containers.key_of(row, stack.project): {
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
