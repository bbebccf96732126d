"""Restoring a set: into scratch, compare, swap by renaming, keep what was replaced so that it can be undone."""

from __future__ import annotations

import json
import posixpath
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, ClassVar, Dict, Iterator, List, Mapping, Sequence, Tuple

from mnemo_ops.agent.actions.backup import MARGIN, Making
from mnemo_ops.agent.actions.swap import forget_blank
from mnemo_ops.agent.base.progress import Deed, Progress, Report
from mnemo_ops.agent.base.record import dataclass, field
from mnemo_ops.agent.base.validators import PartName, RunId
from mnemo_ops.agent.engine.action import Action
from mnemo_ops.agent.files import listing as tree
from mnemo_ops.agent.files import mounts
from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.process import lease
from mnemo_ops.agent.stack import containers, copy_marker, exclusivity, orchestrator, restore_record, volume_options
from mnemo_ops.agent.stack.cluster import sealed
from mnemo_ops.agent.stack.datasets import kind_of
from mnemo_ops.agent.stack.datasets.kind import Key, Kind
from mnemo_ops.agent.stack.fence import refuse_fenced
from mnemo_ops.agent.stack.manifest import NAME, OTHER, SIGNATURE, Manifest, prove_bytes, read_manifest
from mnemo_ops.agent.stack.match import match
from mnemo_ops.agent.stack.orchestrator import Orchestrator
from mnemo_ops.agent.stack.restore_record import AFTER, ASIDE, FAILED, STARTING, SWAPPING, sibling
from mnemo_ops.agent.stack.stack import Stack, mountpoint
from mnemo_ops.agent.stack.volume_checks.volumes import refuse_filled
from mnemo_ops.agent.stack.written_files import written
from mnemo_ops.errors import Broken, MnemoError, Refused, VerificationFailed, reason


@dataclass(frozen=True)
class LoadSet(Action):
    """Put a set in place.

    ``fresh``: on a host without the stack: the config, the volumes and the data; only the stores run afterwards.
    Otherwise: replace the data of the stack that is here with what the set holds of them; what it does not hold stays,
    config too; everything runs again afterwards.

    :param run_id: of the restore, which its undo is told by; of the migration when ``fresh``.
    :param identity: age secret key of what is secret in the set.
    :param override: the text of its compose file of ours on this host, if another one than the set's; ``fresh`` only.
    :param headers: of its secret files, made again for ``identity``: the operator's key never comes here.
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
    headers: Mapping[str, str] = field(default_factory=dict)
    override: str = ""
    kind: ClassVar[str] = "load_set"

    def ready(self, machine: Machine) -> Report:
        """``untouched``: datasets of the stack that the set does not hold; ``replaces``: of the others, what is there
        ``now`` and what ``comes``.

        :raises Refused: it cannot be done (3).
        """
        manifest, report = self._look(machine)
        kinds = [] if self.fresh else self._kinds(machine, Stack.from_json(self.stack), manifest)
        both = {kind.dataset.name: {"now": _now(kind), "comes": facts} for kind, facts in kinds}
        return {**report, "replaces": both}

    def _look(self, machine: Machine) -> Tuple[Manifest, Report]:
        stack = Stack.from_json(self.stack)
        if not self.fresh:  # first of all: with whatever set, not here
            refuse_fenced(machine, stack.project, "backup.list")
            copy_marker.refuse_unfinished(machine, stack.project)
        directory = f"{stack.store}/{self.id}"
        manifest = read_manifest(machine, directory, self.manifest_sha256)
        if manifest.project != stack.project:
            raise Refused(
                f"the backup {self.id} is of the stack {manifest.project!r:.60}, not {stack.project}", hint=OTHER
            )
        both = match(stack, manifest, config=self.fresh)
        if not self.fresh:
            exclusivity.refuse_others(machine, stack)
            both.refuse_headless(self.id)
        else:
            both.refuse_partial(self.id)
        both.refuse_torn(manifest)
        only = "stays in the backup, for stack.datasets names no such dataset"
        lost = [f"{each.name} ({each.kind}) {only}" for each in both.homeless]
        if self.fresh:
            _missing(machine, stack, manifest)
        else:
            found = containers.containers(machine, stack.project)
            if not found:
                raise Refused(
                    f"no stack {stack.project} runs here to restore into", hint="deploy it first: invoke deploy"
                )
            for kind, facts in self._kinds(machine, stack, manifest):
                kind.compare(facts)
            places = self._places(machine, stack, manifest)
            _refuse_fixed(machine, stack, places)
            _refuse_full(machine, manifest, places)
            lost += [f"{each} {_STAYS}" for each in written(machine, stack, found)]
            lost += [f"the backup was made without {each}" for each in manifest.accepted_losses]
            lost += [_ONE.format(each.name) for each in manifest.datasets if each.earlier]
            _refuse_lost(self.id, lost, self.accept_loss)
        previous = restore_record.last(machine, stack.project)
        signed = {
            "signature": (machine.read_text(f"{directory}/{SIGNATURE}") or "")[:200],
            "manifest_sha256": machine.sha256(f"{directory}/{NAME}"),
        }
        aside = [each["stamp"] for each in restore_record.aside(machine, stack.project)]
        told = {
            "losses": lost,
            "untouched": [each.name for each in both.untouched],
            "sealed": _headers(machine, directory, manifest),
        }
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
            copy_marker.fills(machine, stack, self.id)
            Orchestrator(machine, stack).make(stack.keep)  # where they mount what tells where the data go
            copy_marker.hold_back(machine, stack)
            plan = self._plan(machine, stack, manifest)
            told.update((yield from self._extract(machine, stack, directory, manifest)))
            restore_record.place(machine, plan, AFTER)
            forget_blank(machine, plan)
            told["strays"] = restore_record.strays(machine, plan["paths"])
        else:
            told = yield from self._replace(machine, stack, directory, manifest, self._plan(machine, stack, manifest))
        both = match(stack, manifest, config=self.fresh)
        facts = {each.name: manifest.saved(each.name).facts for each in both.placed}
        if not both.homeless:
            proof = {"level": "restore", "at": machine.now(), "result": "equal"}
            machine.write(f"{directory}/verified.json", json.dumps(proof).encode(), 0o600)
        return {"id": self.id, "datasets": facts, "accepted_losses": found["losses"], **told}

    @property
    def _lease(self) -> str:
        return f"restore-{self.run_id}"

    def _kinds(self, machine: Machine, stack: Stack, manifest: Manifest) -> List[Tuple[Kind, Mapping[str, Any]]]:
        """What is put in place by renaming, with its facts."""
        found = containers.containers(machine, stack.project)
        chosen = match(stack, manifest, False).directories
        return [(kind_of(machine, stack, each, found), manifest.saved(each.name).facts) for each in chosen]

    def _places(self, machine: Machine, stack: Stack, manifest: Manifest) -> Dict[str, str]:
        """Dataset -> the directory that is exchanged."""
        return {each.dataset.name: each.place(facts) for each, facts in self._kinds(machine, stack, manifest)}

    def _plan(self, machine: Machine, stack: Stack, manifest: Manifest) -> restore_record.Plan:
        """What is renamed to what: enough to undo it at any point."""
        places = self._places(machine, stack, manifest)
        _refuse_fixed(machine, stack, places)
        return restore_record.plan(self.run_id, self.id, stack.project, list(places.values()), machine.now())

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
            loaded = yield from self._extract(machine, stack, directory, manifest)
            began = machine.monotonic()
            orchestrator.hold_down(machine, policies["args"]["policies"])
            yield from services.stop()
            stopped = machine.monotonic()
            yield Progress(note="swapping")
            with lease.guarded(machine, self._lease):  # should it have expired, it is being undone
                restore_record.begin(machine, {**plan, "state": SWAPPING})
                restore_record.place(machine, plan, AFTER)
                restore_record.begin(machine, {**plan, "state": STARTING})  # from here on somebody may write to it
            swapped = machine.monotonic()
            yield Progress(note="starting the stack")
            orchestrator.let_up(machine, policies["args"]["policies"])
            services.start(restart)
            for kind, _ in self._kinds(machine, stack, manifest):
                kind.answers()
            # where a server could not be asked before, its place was taken from the set: it may keep its data elsewhere
            if moved := [path for path in self._places(machine, stack, manifest).values() if path not in plan["paths"]]:
                raise Broken(f"what serves keeps its data in {', '.join(moved)}, and the backup was put elsewhere")
            told = orchestrator.outage(began=began, stop=stopped, swap=swapped, start=machine.monotonic())
            told.update(loaded)
            told["strays"] = restore_record.strays(machine, plan["paths"])
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
        restore_record.drop_superseded(machine, stack.project)
        with suppress(Broken):
            lease.release(machine, f"clear-{self.run_id}")
        return told

    def _state(self, machine: Machine, paths: List[str]) -> str:
        """What is true after a restore was taken back, or ended by the host. :param paths: of its plan."""
        if restore_record.settled(machine, Stack.from_json(self.stack).project, self.run_id):
            return f"but the backup {self.id} is in place, and serves"
        kept = restore_record.pending(machine, self.run_id)
        aside = [restore_record.where(kept, AFTER)] if kept is not None and kept["state"] == ASIDE else []
        said = "the data from before are in place again" if aside else "nothing was changed"
        aside += restore_record.strays(machine, paths)
        if not aside:
            return said
        kept_in = ", and in ".join(aside)
        return f"{said}; what was written meanwhile is kept in {kept_in} (invoke backup.prune --aside removes it)"

    def _config(self, machine: Machine, stack: Stack, directory: str, manifest: Manifest) -> Making:
        """Decrypt the config part beside its place, compare it, and put it in place."""
        held = stack.of_kind("config")
        if not held:
            if absent := [path for path in stack.own_files if machine.stat(path) is None]:
                raise Refused(f"the stack's files are not here: {', '.join(absent)}", hint="invoke deploy brings them")
            return {}
        dataset = held[0]
        if machine.names(stack.directory):
            raise Refused(f"{stack.directory} is not empty", hint="move it aside, or choose another host")
        kind, beside = kind_of(machine, stack, dataset, ()), sibling(stack.directory, AFTER, self.run_id)
        try:
            with self._key(machine) as key:
                yield from kind.load(manifest.saved(dataset.name), directory, self.run_id, key)
        except VerificationFailed:
            machine.remove(beside)
            raise
        machine.mkdir(posixpath.dirname(stack.directory))
        if machine.stat(stack.directory) is not None:
            machine.remove(stack.directory)  # empty: checked above
        machine.rename(beside, stack.directory)
        if self.override:
            machine.write(f"{stack.directory}/{stack.files[-1]}", self.override.encode(), 0o644)
        return {}

    def _extract(self, machine: Machine, stack: Stack, directory: str, manifest: Manifest) -> Making:
        """Everything beside its place, compared. ``kept_passwords``: roles that have those of today;
        ``unknown_settings``: those that another major of Postgres does not know."""
        kept: List[str] = []
        unknown: List[str] = []
        with self._key(machine) as key:
            every = [kind for kind, _ in self._kinds(machine, stack, manifest)]
            # what takes longest comes last
            for kind in sorted(every, key=lambda each: each.dataset.kind == "postgres"):
                done = yield from kind.load(manifest.saved(kind.dataset.name), directory, self.run_id, key)
                kept += done.get("kept", ())
                unknown += done.get("unknown", ())
        machine.sync_all()  # before it is renamed into place: a power cut would leave empty files there
        return {"kept_passwords": kept, "unknown_settings": unknown}

    @contextmanager
    def _key(self, machine: Machine) -> Iterator[Key]:
        """The file of the key, in memory and never an argument, as long as it is needed."""
        path = restore_record.identity_path(machine, self.run_id)
        try:
            machine.mkdir(machine.runtime_dir, 0o700)
            machine.write(path, self.identity.encode(), 0o600)
            yield Key(path, self.headers)
        finally:
            machine.remove(path)


def _now(kind: Kind) -> Mapping[str, Any]:
    """What is there, or ``why`` nobody can tell: a restore may be what mends it."""
    try:
        return kind.now()
    except (MnemoError, OSError) as error:
        return {"why": reason(error)}


_STAYS = "stays as it is: a restore leaves the files of the project's directory; mount a directory for data"
_ONE = (
    "of {0} only one database, all of it its user's: owners, rights, settings and other databases are not in the backup"
)


def _headers(machine: Machine, directory: str, manifest: Manifest) -> Mapping[str, str]:
    """Of the files that hold what is secret, besides the stack's own. :raises VerificationFailed: damaged (7)."""
    for part in manifest.parts:
        if part.name in manifest.sealed and machine.sha256(f"{directory}/{part.name}") != part.sha256:
            raise VerificationFailed(f"the backup {manifest.id} is damaged: {part.name}", hint=OTHER)
    return {name: sealed.header(machine, f"{directory}/{name}") for name in manifest.sealed}


def _refuse_lost(id: str, lost: Sequence[str], accept: bool) -> None:
    """:raises Refused: something would be lost and nobody said that it may (3)."""
    if lost and not accept:
        lines = "".join(f"\n  - {each}" for each in lost)
        raise Refused(
            f"a restore of the backup {id} would leave something out:{lines}",
            hint="the same command with --accept-loss continues without it",
        )


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
            where = machine.realpath(stack.path(dataset.path))
            if dataset.path.startswith("/"):
                refuse_filled(machine, dataset.name, where)
            machine.mkdir(where)


def _refuse_fixed(machine: Machine, stack: Stack, places: Mapping[str, str]) -> None:
    """:param places: dataset -> its directory. :raises Refused: what is to be renamed cannot be (3)."""
    keys = {each.name: each.volume or each.path for each in stack.datasets}
    for name, where in places.items():
        move = f"invoke volumes --volume {keys[name]} --to TYPE"
        remedy = f"declare another place in stack.volumes, then {move} moves it there"
        mounts.refuse_point(machine, where, remedy)
        tree.refuse_fixed(machine, where)


def _refuse_full(machine: Machine, manifest: Manifest, places: Mapping[str, str]) -> None:
    """:raises Refused: there is no room beside the data for what is to be put in place (3)."""
    sizes = {name: int(manifest.saved(name).facts["bytes"]) for name in places}
    for where in places.values():
        need, free = int(sum(sizes.values()) * MARGIN), machine.free_bytes(where)  # the rest may lie there, too
        if free < need:
            raise Refused(
                f"the restore needs {need} bytes in addition to the data; {where} has {free}",
                hint="free some space first",
            )
