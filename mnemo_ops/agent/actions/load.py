"""Restoring a set: into scratch, compare, swap by renaming, keep what was replaced so that it can be undone."""

from __future__ import annotations

import json
import posixpath
from contextlib import suppress
from functools import partial
from typing import Any, ClassVar, List, Mapping, Sequence, Tuple

from mnemo_ops.agent.actions.backup import MARGIN, Making
from mnemo_ops.agent.actions.swap import database_of, forget_blank
from mnemo_ops.agent.base.progress import Deed, Progress, Report
from mnemo_ops.agent.base.record import dataclass
from mnemo_ops.agent.base.validators import PartName, RunId
from mnemo_ops.agent.engine.action import Action
from mnemo_ops.agent.files import listing as tree
from mnemo_ops.agent.files import mounts
from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.process import lease
from mnemo_ops.agent.stack import (
    containers,
    copy_marker,
    exclusivity,
    losses,
    orchestrator,
    restore_record,
    volume_options,
)
from mnemo_ops.agent.stack.fence import refuse_fenced
from mnemo_ops.agent.stack.manifest import NAME, OTHER, SIGNATURE, Manifest, file_of, prove_bytes, read_manifest
from mnemo_ops.agent.stack.match import match
from mnemo_ops.agent.stack.orchestrator import PATIENCE, Orchestrator
from mnemo_ops.agent.stack.packing import unpack
from mnemo_ops.agent.stack.postgres import APART, Postgres, creation
from mnemo_ops.agent.stack.restore_record import AFTER, ASIDE, FAILED, STARTING, SWAPPING, sibling
from mnemo_ops.agent.stack.stack import Dataset, Stack, mountpoint, root
from mnemo_ops.agent.stack.volume_checks.volumes import refuse_filled
from mnemo_ops.errors import Broken, Refused, VerificationFailed


def identity_path(machine: Machine, id: str) -> str:
    return f"{machine.runtime_dir}/{id}.key"


@dataclass(frozen=True)
class LoadSet(Action):
    """Put a set in place.

    ``fresh``: on a host without the stack: the config, the volumes and the data; only the stores run afterwards.
    Otherwise: replace the data of the stack that is here with what the set holds of them; what it does not hold stays,
    config too; everything runs again afterwards.

    :param run_id: of the restore, which its undo is told by; of the migration when ``fresh``.
    :param identity: age secret key of the config part; only ``fresh`` needs it.
    :param manifest_sha256: of the manifest that was looked at; empty: whatever is there.
    :param accept_loss: also where the database here has something that no set holds, or the set a dataset that the
        stack does not have; only without ``fresh``.
    :raises VerificationFailed: bytes, files or rows are not those of the manifest; what was there is untouched (7).
    """

    stack: Mapping[str, Any]
    id: PartName
    fresh: bool
    run_id: RunId
    identity: str = ""
    accept_loss: bool = False
    manifest_sha256: str = ""
    kind: ClassVar[str] = "load_set"

    def ready(self, machine: Machine) -> Report:
        """``untouched``: datasets of the stack that the set does not hold. :raises Refused: it cannot be done (3)."""
        return self._look(machine)[1]

    def _look(self, machine: Machine) -> Tuple[Manifest, Report]:
        stack = Stack.from_json(self.stack)
        if not self.fresh:  # first of all: with whatever set, not here
            refuse_fenced(machine, stack.project, "backup.list")
            copy_marker.refuse_unfinished(machine, stack.project)
        directory = f"{stack.store}/{self.id}"
        manifest = read_manifest(machine, directory, self.manifest_sha256)
        if manifest.project != stack.project:
            raise Refused(
                f"the set {self.id} is of the stack {manifest.project!r:.60}, not {stack.project}", hint=OTHER
            )
        both = match(stack, manifest, config=self.fresh)
        if not self.fresh:
            exclusivity.refuse_others(machine, stack)
            _refuse_mount_points(machine, stack, both.directories)
            both.refuse_headless(self.id)
        else:
            both.refuse_partial(self.id)
        both.refuse_torn(manifest)
        only = "stays in the set, for stack.datasets names no such dataset"
        lost = [f"{each.name} ({each.kind}) {only}" for each in both.homeless]
        if self.fresh:
            _missing(machine, stack, manifest)
        else:
            _refuse_full(machine, stack, manifest, both.placed)
            found = containers.containers(machine, stack.project)
            if not found:
                raise Refused(
                    f"no stack {stack.project} runs here to restore into", hint="deploy it first: invoke deploy"
                )
            containers.refuse_stopped(found, stack.dataset("postgres").service)
            server = Postgres.of(machine, containers.one(found, stack.dataset("postgres").service))
            _compatible(server, manifest)
            lost += [f"the set was made without {each}" for each in manifest.accepted_losses]
            lost += [f"gone until restore --undo: {each}" for each in losses.of_restore(server)]
            losses.refuse(lost, self.accept_loss, f"a restore of the set {self.id} would leave something out")
        previous = restore_record.last(machine, stack.project)
        signed = {
            "signature": (machine.read_text(f"{directory}/{SIGNATURE}") or "")[:200],
            "manifest_sha256": machine.sha256(f"{directory}/{NAME}"),
        }
        aside = [each["stamp"] for each in restore_record.aside(machine, stack.project)]
        told = {"losses": lost, "untouched": [each.name for each in both.untouched]}
        return manifest, {**told, "previous": previous, "aside": aside, **signed}

    def run(self, machine: Machine) -> Deed:
        stack = Stack.from_json(self.stack)
        directory = f"{stack.store}/{self.id}"
        manifest, found = self._look(machine)
        told: Report = {"write_outage_seconds": 0.0, "phases": {}}  # nobody is served yet
        if self.fresh:  # what a kill leaves on a fresh host goes with the next run (CleanTarget)
            yield from prove_bytes(machine, directory, manifest)
            yield from self._config(machine, stack, directory, manifest)
            _make_volumes(machine, stack, manifest)
            _refuse_mount_points(machine, stack, match(stack, manifest, False).directories)
            copy_marker.fills(machine, stack, self.id)
            plan = self._plan(machine, stack, manifest)
            yield from self._extract(machine, stack, directory, manifest, plan)
            yield from Orchestrator(machine, stack).up(stack.keep)
            copy_marker.hold_back(machine, stack)
            server = database_of(machine, stack)
            server.wait(PATIENCE)
            _compatible(server, manifest)
            plan["database"] = server.database
            yield from self._rows(server, directory, manifest, plan)
            restore_record.place(machine, server, plan, AFTER)
            forget_blank(machine, server, plan)
            told["strays"] = restore_record.strays(machine, server, plan["paths"])
        else:
            plan = {**self._plan(machine, stack, manifest), "database": database_of(machine, stack).database}
            told = yield from self._replace(machine, stack, directory, manifest, plan)
        both = match(stack, manifest, config=self.fresh)
        facts = {each.name: manifest.saved(each.name).facts for each in both.placed}
        if not both.homeless:
            proof = {"level": "restore", "at": machine.now(), "result": "equal"}
            machine.write(f"{directory}/verified.json", json.dumps(proof).encode(), 0o600)
        return {"id": self.id, "datasets": facts, "accepted_losses": found["losses"], **told}

    @property
    def _lease(self) -> str:
        return f"restore-{self.run_id}"

    def _plan(self, machine: Machine, stack: Stack, manifest: Manifest) -> restore_record.Plan:
        """What is renamed to what: enough to undo it at any point."""
        paths = [root(machine, stack, each) for each in match(stack, manifest, False).directories]
        return restore_record.plan(self.run_id, self.id, stack.project, paths, machine.now())

    def _replace(
        self, machine: Machine, stack: Stack, directory: str, manifest: Manifest, plan: restore_record.Plan
    ) -> Making:
        """Into the stack that is here; however it ends, the host undoes what is half done, and only that."""
        services = Orchestrator(machine, stack)
        found = services.found()
        restart, policies = services.restart(found), orchestrator.policies(found)
        about = {"stack": dict(self.stack), "stamp": plan["stamp"]}
        undo = [{"kind": "undo_swap", "args": about}, policies, restart, {"kind": "drop_scratch", "args": about}]
        restore_record.begin(machine, plan)
        try:
            lease.hold(machine, self._lease, self.run_id, undo)
        except BaseException:  # nothing would ever end it
            restore_record.forget(machine, plan["stamp"])
            raise
        try:
            yield from prove_bytes(machine, directory, manifest)
            yield from self._extract(machine, stack, directory, manifest, plan)
            server = database_of(machine, stack)
            yield from self._rows(server, directory, manifest, plan)
            began = machine.monotonic()
            orchestrator.hold_down(machine, policies["args"]["policies"])
            yield from services.stop(but=stack.keep)
            stopped = machine.monotonic()
            yield Progress(note="swapping")
            with lease.guarded(machine, self._lease):  # should it have expired, it is being undone
                restore_record.begin(machine, {**plan, "state": SWAPPING})
                restore_record.place(machine, server, plan, AFTER)
                restore_record.begin(machine, {**plan, "state": STARTING})  # from here on somebody may write to it
            swapped = machine.monotonic()
            yield Progress(note="starting the stack")
            orchestrator.let_up(machine, policies["args"]["policies"])
            services.start(restart)
            told = orchestrator.outage(began=began, stop=stopped, swap=swapped, start=machine.monotonic())
            told["strays"] = restore_record.strays(machine, server, plan["paths"])
            lease.hold(machine, f"clear-{self.run_id}", self.run_id, [])  # who is killed below leaves no traces
            # in one: a kill in between leaves a restore that is at its end, or one that is taken back
            lease.release(machine, self._lease, partial(restore_record.keep, machine, plan, AFTER))
        except BaseException as problem:
            with suppress(Broken):
                lease.release(machine, f"clear-{self.run_id}")
            started = restore_record.pending(machine, self.run_id)
            if started is not None and started["state"] == STARTING:
                restore_record.begin(machine, {**started, "state": FAILED})
            lease.undo_because(machine, self._lease, problem, partial(self._state, machine, plan["paths"]))
            raise
        yield Progress(note="removing what an earlier restore replaced")
        restore_record.drop_superseded(machine, server, stack.project)
        with suppress(Broken):
            lease.release(machine, f"clear-{self.run_id}")
        return told

    def _state(self, machine: Machine, paths: List[str]) -> str:
        """What is true after a restore was taken back, or ended by the host. :param paths: of its plan."""
        if restore_record.settled(machine, Stack.from_json(self.stack).project, self.run_id):
            return f"but the set {self.id} is in place, and serves"
        kept = restore_record.pending(machine, self.run_id)
        aside = [restore_record.where(kept, AFTER)] if kept is not None and kept["state"] == ASIDE else []
        said = "the data from before are in place again" if aside else "nothing was changed"
        with suppress(Exception):  # the database need not answer
            aside += restore_record.strays(machine, database_of(machine, Stack.from_json(self.stack)), paths)
        if not aside:
            return said
        kept_in = ", and in ".join(aside)
        return f"{said}; what was written meanwhile is kept in {kept_in} (invoke backup.prune --aside removes it)"

    def _config(self, machine: Machine, stack: Stack, directory: str, manifest: Manifest) -> Making:
        """Decrypt the config part beside its place, compare it, and put it in place."""
        dataset = stack.dataset("config")
        if machine.names(stack.directory):
            raise Refused(f"{stack.directory} is not empty", hint="move it aside, or choose another host")
        if not self.identity:
            raise Refused("the config part is encrypted, and no age identity was given")
        beside = sibling(stack.directory, AFTER, self.run_id)
        machine.remove(beside)
        machine.mkdir(beside, 0o755)
        key = identity_path(machine, self.id)
        try:
            machine.mkdir(machine.runtime_dir, 0o700)
            machine.write(key, self.identity.encode(), 0o600)  # a file in memory, never an argument
            decrypt = ["age", "-d", "-i", key, f"{directory}/{file_of(dataset.name, dataset.kind)}"]
            yield from unpack(machine, decrypt, beside, "decrypting config")
        finally:
            machine.remove(key)
        if manifest.saved(dataset.name).differences(machine, directory, beside):
            machine.remove(beside)
            raise VerificationFailed("the config part differs from the manifest; nothing was changed")
        machine.mkdir(posixpath.dirname(stack.directory))
        if machine.stat(stack.directory) is not None:
            machine.remove(stack.directory)  # empty: checked above
        machine.rename(beside, stack.directory)
        return {}

    def _extract(
        self, machine: Machine, stack: Stack, directory: str, manifest: Manifest, plan: restore_record.Plan
    ) -> Making:
        for dataset in match(stack, manifest, False).directories:
            where = root(machine, stack, dataset)
            beside = sibling(where, AFTER, plan["stamp"])
            machine.remove(beside)
            machine.mkdir(beside, 0o755)
            expand = ["zstd", "-q", "-d", "-c", f"{directory}/{file_of(dataset.name, dataset.kind)}"]
            yield from unpack(machine, expand, beside, f"unpacking {dataset.name}")
            yield Progress(note=f"comparing {dataset.name}")
            lines = manifest.saved(dataset.name).differences(machine, directory, beside)
            if lines:
                raise VerificationFailed(f"{dataset.name} differs from the manifest: " + "; ".join(lines))
        machine.sync_all()  # before it is renamed into place: a power cut would leave empty files there
        return {}

    def _rows(self, server: Postgres, directory: str, manifest: Manifest, plan: restore_record.Plan) -> Making:
        """Load the dump into a scratch database and compare every table with the manifest."""
        saved = manifest.saved(Stack.from_json(self.stack).dataset("postgres").name)
        facts = saved.facts
        database = plan[AFTER]
        restore_record.drop_database(server, database)
        server.sql(creation(database, facts), APART)
        yield Progress(note="pg_restore")
        server.make_roles(facts.get("needed_roles", ()))
        with server.machine.open(f"{directory}/{saved.file}") as file:
            server.restore(database, file, lambda: None)
        yield Progress(note="comparing the tables")
        lines = server.differences(facts, database)
        if lines:
            raise VerificationFailed("the database differs from the manifest: " + "; ".join(lines[:10]))
        server.sql("ANALYZE;", database)
        return {}


def _missing(machine: Machine, stack: Stack, manifest: Manifest) -> Mapping[str, Any]:
    """Volumes of the set that are not here. :raises Refused: one is none that a set may ask for (3)."""
    there = machine.ask(["docker", "volume", "ls", "-q"]).out.split()
    missing = {key: row for key, row in manifest.volumes.items() if stack.volume(key) not in there}
    volume_options.refuse(manifest.id, missing, {key: stack.volume(key) for key in missing})
    return missing


def _make_volumes(machine: Machine, stack: Stack, manifest: Manifest) -> None:
    """Those of the set that this host does not have yet.

    :raises Refused: where a volume's data is to go, there is something (3).
    """
    for key, volume in _missing(machine, stack, manifest).items():
        if "bind" in volume["options"].get("o", "").split(","):
            refuse_filled(machine, key, volume["options"]["device"])
            machine.mkdir(volume["options"]["device"])
        options = [part for name, value in volume["options"].items() for part in ("--opt", f"{name}={value}")]
        labels = [part for name, value in volume["labels"].items() for part in ("--label", f"{name}={value}")]
        create = ["docker", "volume", "create", "--driver", volume["driver"]]
        machine.run([*create, *options, *labels, stack.volume(key)])
    for key in (dataset.volume for dataset in stack.datasets if dataset.volume):
        refuse_filled(machine, key, mountpoint(machine, stack.volume(key)))
    for dataset in stack.datasets:
        if dataset.path not in ("", ".") and not dataset.volume:
            machine.mkdir(f"{stack.directory}/{dataset.path}")


def _refuse_mount_points(machine: Machine, stack: Stack, datasets: Sequence[Dataset]) -> None:
    """:raises Refused: what is to be swapped by renaming cannot be renamed (3)."""
    for dataset in datasets:
        key = dataset.volume or dataset.path
        remedy = f"declare another place in stack.volumes, then invoke volumes --volume {key} --to TYPE moves it there"
        where = root(machine, stack, dataset)
        mounts.refuse_point(machine, where, remedy)
        tree.refuse_fixed(machine, where)


def _refuse_full(machine: Machine, stack: Stack, manifest: Manifest, datasets: Sequence[Dataset]) -> None:
    """:raises Refused: there is no room beside the data for what is to be put in place (3)."""
    sizes = {each.name: int(manifest.saved(each.name).facts["bytes"]) for each in datasets}
    for dataset in datasets:
        try:
            where = root(machine, stack, dataset)
        except Refused:  # of a database, which may lie on NFS; others were looked at before
            continue
        size = sum(sizes.values()) if dataset.kind == "files" else sizes[dataset.name]  # the rest may lie there, too
        need, free = int(size * MARGIN), machine.free_bytes(where)
        if free < need:
            raise Refused(
                f"restoring needs {need} bytes beside the data; {where} has {free}", hint="free some space first"
            )


def _compatible(server: Postgres, manifest: Manifest) -> None:
    """:raises Refused: older server, or an extension of the set is missing or older here (3)."""
    facts = next((each.facts for each in manifest.datasets if each.kind == "postgres"), None)
    if facts is None:
        return
    here = server.facts()
    if here["major"] < facts["major"]:
        raise Refused(
            f"the set is of Postgres {facts['major']}, the server here is {here['major']}: it cannot be older"
        )
    missing = [name for name in facts["extensions"] if name not in (here["available"] or {}) and name != "plpgsql"]
    if missing:
        raise Refused(
            f"the Postgres server lacks extensions of the backup: {', '.join(missing)}",
            hint="use the stack's own image",
        )
