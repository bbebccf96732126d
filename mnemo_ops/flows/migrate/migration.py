"""Migration by dump: old to new, proven equal before anything is let in, back by itself if not.

The phases are those of the runbook; each is one function that reads like its paragraph. Until :meth:`Migration.promote`
everything is undone in reverse order when something fails; what a killed controller leaves is undone by the hosts'
leases. From the promotion on the direction is forward only.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from hashlib import sha256
from typing import Any, Optional

from mnemo_ops import __version__
from mnemo_ops.agent.actions.backup import MakeSet, SetFiles
from mnemo_ops.agent.actions.copy_target import CleanTarget, MarkTarget
from mnemo_ops.agent.actions.images import LoadImages, SaveImages
from mnemo_ops.agent.actions.journal import AdoptLease, Forget, RemoveFile, WriteJournal
from mnemo_ops.agent.actions.load import LoadSet
from mnemo_ops.agent.actions.prove import ProveStack
from mnemo_ops.agent.actions.services import ComposeUp, DropLease, Fence, SettleFence, StopAll
from mnemo_ops.agent.actions.survey import Survey
from mnemo_ops.agent.actions.transfer import Fetch, GrantKey, HostKeys, MakeKey, Release
from mnemo_ops.agent.actions.volumes import LookAtVolumes
from mnemo_ops.agent.base import validators
from mnemo_ops.agent.base.record import asdict
from mnemo_ops.agent.process import handout
from mnemo_ops.agent.process.lease import TRYING
from mnemo_ops.checks import preflight
from mnemo_ops.checks.preflight import Side
from mnemo_ops.core.model import Host
from mnemo_ops.errors import (
    STRANGERS,
    Interrupted,
    Locked,
    MnemoError,
    Refused,
    RollbackFailed,
    StepFailed,
    Unreachable,
)
from mnemo_ops.flows import keys, signing
from mnemo_ops.flows.backup import accepted, strayed
from mnemo_ops.flows.engine import Flow
from mnemo_ops.flows.journal import Journal, new_id
from mnemo_ops.flows.migrate import gone
from mnemo_ops.stack import definition
from mnemo_ops.stack.addresses import addresses, peer_name
from mnemo_ops.transport.session import connect

Provision = Callable[[Host], None]
Rows = Sequence[Mapping[str, Any]]
LEASES = ("fence-", "key-", "images-", "target-")  # a migration's alone; the id of the run behind


class Migration:
    """One run.

    :param provision: brings a bare host to what the stack needs (the bootstrap playbook).
    :param place: makes the volumes of a host, as its inventory says, on disks of its own where it names some;
    :param rows: new's, of ``layout.volumes``.
    :param without_old: old is gone: new serves from the copy that was proven, whether or not old is fenced for good.
    """

    def __init__(
        self,
        flow: Flow,
        old: Host,
        new: Host,
        provision: Provision,
        place: Provision,
        rows: Rows,
        run_id: str,
        accept_loss: bool = False,
        without_old: bool = False,
    ) -> None:
        self.flow, self.old, self.new, self.id = flow, old, new, run_id
        self.provision, self.place, self.rows = provision, place, rows
        self.accept_loss = accept_loss
        self.without_old = without_old
        self.silent: Optional[Unreachable] = None  # why old is done without, since new may serve
        self.unsure = False  # whether old is fenced for good
        self.names = (old.name, new.name)
        self.again = f"invoke migrate --from {old.name} --to {new.name}"
        self.say = flow.report.step
        self.settings = flow.settings(old)
        self.stack = flow.stack(old)
        self.journal = Journal(flow.home, run_id)
        self.phases: list[dict[str, Any]] = []
        self.undo: list[tuple[str, Callable[[], Any]]] = []
        self.settling = self.promoted = self.marked = self.serving = self.prepared = self.restoring = False
        self.fenced_at = 0.0
        self.bytes_copied = 0
        self.bytes_in_outage = 0
        self.manifest: dict[str, Any] = {}
        self.strays: list[str] = []
        self.host_keys: Sequence[str] = ()  # of old, once new has a key for it
        self.sides: tuple[Side, Side]

    # -- the runbook ---------------------------------------------------------------------------------------------

    def run(self) -> None:
        """:raises Refused: preflight (3). :raises StepFailed: a step failed, old serves (6).
        :raises VerificationFailed: new differs, old serves (7). :raises RollbackFailed: old does not serve (8).
        """
        unfinished = self.preflight()
        if unfinished == "serving":
            return self.already_done()
        try:
            if unfinished != "promoted":
                self.provision_new()
                self.copy_images()
                self.open_the_way()
                self.fence_old()
                self.final_set()
                self.restore_on_new()
                self.prove()
            self.promote()
            self.finish()
        except (MnemoError, KeyboardInterrupt) as error:
            self.give_up(error)
        except Exception as error:  # a bug of ours must not leave old fenced either
            self.give_up(MnemoError(f"a bug: {type(error).__name__}: {error}"))

    def check(self) -> None:
        """The preflight alone: says whether a migration may begin, and changes nothing.

        :raises Refused: every reason why not (3).
        """
        unfinished = self.preflight(act=False)
        if unfinished == "serving":
            self.already_done()
        elif self.unsure:
            self.say(f"{self.old.name} does not answer; {self.new.name} would serve from the copy of run {self.id}")
        elif unfinished:
            self.say(f"run {self.id} is past its point of no return: {self.again} finishes it")
        else:
            self.say(f"nothing speaks against moving {self.old.name} to {self.new.name}; nothing was changed")

    def abort(self) -> None:
        """Undo what a migration left that was interrupted or failed, on both hosts; old serves afterwards.

        :raises Refused: it is past the point of no return, and can only be finished (3).
        """
        with self.phase("preflight", f"look at {self.old.name} and {self.new.name}"):
            try:
                old, new = self.look()
            except Unreachable as error:
                raise gone.waiting(error, self.copy(error)[0], self.names, self.again) from None
        fence = old.survey["fence"]
        if fence is not None and fence["state"] == "final" and fence["target"] == new.survey["machine_id"]:
            mark = new.survey["target"]
            if mark is not None and mark["state"] == "serving" and new.runs and not old.runs:
                raise Refused(f"run {fence['run']} is complete: {self.new.name} serves; there is nothing to abort")
            raise Refused(
                f"run {fence['run']} is past its point of no return: {self.old.name} is fenced for good, and clients "
                f"may have written to {self.new.name}",
                hint=f"{self.again} finishes it",
            )
        if not self.clean_up(old, new):
            self.say(f"nothing to abort: no migration left anything on {self.old.name} or {self.new.name}")
            return
        for host in (self.old, self.new):
            self.flow.forget(host, self.id)
            self.flow.report.host(host.name).add("changed")
        serves = "serves" if self.look()[0].runs else "does not serve"
        self.say(f"undone: {self.old.name} {serves}, {self.new.name} holds nothing of it")

    def preflight(self, act: bool = True) -> str:
        """Look at both hosts; clean up after an interrupted run; refuse with every reason at once.

        :param act: false: what an interrupted run left speaks against beginning, and stays.
        :returns: how far an earlier run of this pair came: "", "promoted" or "serving".
        """
        with self.phase("preflight", f"look at {self.old.name} and {self.new.name}"):
            try:
                old, new = self.look()
            except Unreachable as error:
                return self.resume_without_old(error)
            if self.without_old:
                raise Refused(f"{self.old.name} answers: nothing is done without it", hint=self.again)
            found = preflight.same_machine(old, new)
            if not found:
                fence = old.survey["fence"]
                if fence is not None and fence["state"] == "final" and fence["target"] == new.survey["machine_id"]:
                    return self.resume_from(fence, old, new)
                if act and self.clean_up(old, new):
                    old, new = self.look()
                found = preflight.problems(old, new, self.settings, self.accept_loss)
                found += [] if new.holds and new.runs else self.misplaced(new)  # what serves is in nobody's way
                found += self.unmade(old, new)
            if found:
                lines = "".join(f"\n  - {each}" for each in found)
                raise Refused(
                    f"{len(found)} reason{'s' * (len(found) > 1)} not to begin; nothing was touched:{lines}",
                    hint="mend these and run the same command again",
                )
            if abs(preflight.skew_of(old, new)) > preflight.SKEW_WARN:
                self.say(f"WARNING: the clocks differ by {preflight.skew_of(old, new):.1f} s")
            self.flow.ready(self.old, MakeSet(self.stack, self.id, (), accept_loss=self.accept_loss))
            self.flow.ready(self.new, self.fetch((), (), ""))
        return ""

    def misplaced(self, new: Side) -> list[str]:
        """What speaks against new's disks and directories as places of its volumes."""
        if new.survey["troubles"]:
            return []
        bare = not new.survey.get("tools", {}).get("docker", True)
        if bare:  # it is looked at again once it is provisioned
            return self.misnamed()
        filled = [row["volume"] for row in self.stack["datasets"] if row["volume"]]
        look = LookAtVolumes(self.settings.project, self.rows, (), filled=filled)
        found = self.flow.ready(self.new, look)["findings"]
        return [*self.misnamed(), *(f"{new.name}: {one['volume']}: {one['what']}: {one['remedy']}" for one in found)]

    def misnamed(self) -> list[str]:
        """The compose file is taken along: a volume that has another name on new would not be the one that is used."""
        there, found = {row["key"]: row["name"] for row in self.rows}, []
        stack = definition.stack_of(self.settings)
        for row in stack.datasets:
            was = stack.volume(row.volume) if row.volume else ""
            will = there.get(row.volume or row.path, "" if row.path else was)
            if was != will:
                one, other = was or "the stack's directory", will or "the stack's directory"
                found.append(
                    f"{self.new.name}: {row.volume or row.path}: {self.old.name} has it in {one}, here it would be in "
                    f"{other}: declare it in stack.volumes as it is there, and move it afterwards (invoke volumes --to)"
                )
        return found

    def unmade(self, old: Side, new: Side) -> list[str]:
        """Volumes that the inventory does not make on new, and that a set may not ask for."""
        there = {*new.survey.get("all_volumes", ()), *(row["name"] for row in self.rows)}
        return [
            f"{old.name}: the volume {name} {what}, and no set may ask {new.name} for such: if it is meant, docker "
            "volume create it there by hand; it is used as it is"
            for name, what in old.survey.get("odd_volumes", {}).items()
            if name not in there
        ]

    def side(self, host: Host) -> Side:
        session = self.flow.fleet.session(host)
        asked = time.time()
        found = session.ready(Survey(self.stack, definition.PORTS))
        return Side(host.name, session.facts, understood(host.name, found), asked)

    def look(self) -> tuple[Side, Side]:
        """Survey both hosts in parallel."""
        try:
            sides = self.flow.fleet.each([self.old, self.new], self.side)
        except Locked as error:
            self.refuse_one_machine()
            raise error
        self.sides = (sides[self.old.name], sides[self.new.name])
        return self.sides

    def refuse_one_machine(self) -> None:
        """One machine under two names locks itself out. :raises Refused: that is why it is locked (3)."""
        facts = {}
        for host in (self.old, self.new):
            with connect(host, become=True) as session:
                facts[host.name] = str(session.facts.get("machine_id", host.name))
        if len(set(facts.values())) == 1:
            raise Refused(
                f"{self.old.name} and {self.new.name} are the same machine (machine-id {facts[self.old.name][:12]})",
                hint="name another host with --to",
            )

    def clean_up(self, old: Side, new: Side) -> bool:
        """Undo what an interrupted migration left; its leases would do the same a little later.

        What others hold, who may be at work without their controller, is not touched: it speaks against beginning.
        """
        left = {run for side in (old, new) for run in runs_of(side)}
        target = new.survey["target"]
        unfinished = target is not None and target["state"] == "copying"
        runs = {*left, target["run"]} if unfinished else left
        for host, side in ((self.old, old), (self.new, new)):
            for run in sorted(runs):
                self.flow.act(host, Forget(run))  # its jobs may still be at work
            for name in side.survey["leases"]:
                if _run(name) in runs:  # that of its set, too
                    self.say(f"undo what the interrupted run {_run(name)} left on {host.name}: {name}")
                    self.flow.act(host, Release(name))
        cleaned = bool(left)
        if unfinished:
            self.say(f"remove the unfinished copy of run {target['run']} from {self.new.name}")
            self.flow.act(self.new, CleanTarget(self.stack, target["run"], definition.PROVEN), job=f"{self.id}-clean")
            cleaned = True
        return cleaned

    def resume_from(self, fence: dict[str, Any], old: Side, new: Side) -> str:
        """An earlier run came past the point of no return: go on, or say that it is done."""
        self.go_on_with(fence["run"])
        return "serving" if self.is_done(new) and not old.runs else "promoted"

    def go_on_with(self, run: str) -> None:
        self.id, self.journal, self.promoted = run, Journal(self.flow.home, run), True

    def is_done(self, new: Side) -> bool:
        healthy = new.runs and all(each["state"] == "running" for each in new.survey["containers"].values())
        target = new.survey["target"]
        # not while policies are not yet as their owner said
        return bool(healthy and target is not None and target["state"] == "serving" and not target.get("restart"))

    def copy(self, error: Unreachable) -> tuple[Optional[gone.Copy], Side]:
        """What new holds, old does not answer. :raises Unreachable: it is new that does not, or it, too (4)."""
        try:
            new = self.side(self.new)
        except MnemoError:
            raise error from None
        mark = new.survey["target"]
        here = Journal(self.flow.home, mark["run"]).steps() if mark is not None else []
        return gone.copy_on(new, self.names, here), new

    def resume_without_old(self, error: Unreachable) -> str:
        """As :meth:`resume_from`, from what new and the journals know. :raises Unreachable: old is waited for (4)."""
        copy, new = self.copy(error)
        may = copy is not None and (copy.settled or (self.without_old and copy.proven))
        if copy is None or not may or isinstance(error, STRANGERS):
            raise gone.waiting(error, copy, self.names, self.again) from None
        self.silent, self.unsure = error, not copy.settled
        self.go_on_with(copy.run)
        return "serving" if self.is_done(new) else "promoted"

    def already_done(self) -> None:
        self.say(f"nothing to do: run {self.id} moved the stack from {self.old.name} to {self.new.name}, which serves")
        self.warn()
        self.flow.report.extra.update(run=self.id, method="dump", **self.states())

    def provision_new(self) -> None:
        with self.phase("provision", f"provision {self.new.name}"):
            self.provision(self.new)
            self.undo.append((f"stop the copy on {self.new.name}", self.stop_new))
            self.prepared = True
            self.flow.act(self.new, MarkTarget(self.stack, self.id, "copying", self.names))
            self.place(self.new)
            # what disks and file systems of others hold is seen once they are mounted: while old still serves
            if found := self.misplaced(self.sides[1]):
                raise Refused("; ".join(found), hint="mend that and run the same command again")

    def copy_images(self) -> None:
        """The very images, by id, while old serves."""
        with self.phase("images", "copy the images by identity"):
            self.key()
            used = self.sides[0].survey["containers"].values()
            here = set(self.flow.ready(self.new, Survey(self.stack)).get("images", []))
            wanted = {each["image_id"]: each["image"] for each in used if each["image_id"] not in here}
            if not wanted:
                return
            path = f"{self.settings.store}/images-{self.id}.tar.zst"
            self.undo.append((f"remove the saved images on {self.old.name}", self.drop_images))
            save = SaveImages(sorted(set(wanted.values())), path, self.id)
            saved = self.flow.act(self.old, save, job=f"{self.id}-save-images")
            self.flow.act(self.old, AdoptLease(self.id))
            file = {"name": path.rpartition("/")[2], "size": saved["bytes"], "sha256": saved["sha256"]}
            self.pull("fetch-images", self.settings.store, [file])
            self.flow.act(self.new, LoadImages(path, sorted(wanted)), job=f"{self.id}-load-images")
            self.flow.act(self.new, RemoveFile(path))
            self.drop_images()

    def open_the_way(self) -> None:
        """A fresh age key for this run, made here: its secret half stays in memory, here and with new."""
        with self.phase("keys", "make this run's encryption key"):
            self.age = keys.Identity.new()
            # and the operator's own key, so that the set stays a usable backup
            self.recipients = (self.age.recipient, *keys.recipients(self.flow, self.old))

    def fence_old(self) -> None:
        with self.phase("quiesce", f"stop what writes on {self.old.name} and fence it"):
            self.fenced_at = time.monotonic()
            self.undo.append((f"start the stack on {self.old.name} again", self.unfence))
            fence = Fence(self.stack, self.id, self.sides[1].survey["machine_id"], self.names)
            self.flow.act(self.old, fence, job=f"{self.id}-fence")
            self.flow.act(self.old, AdoptLease(self.id))

    def final_set(self) -> None:
        with self.phase("set", f"make the final set on {self.old.name}"):
            about = {"host": self.old.name, "tool": __version__, "migration": self.id}
            make = MakeSet(self.stack, self.id, self.recipients, True, self.accept_loss, about)
            self.manifest = self.flow.act(self.old, make, job=f"{self.id}-set")
        with self.phase("copy", f"copy the set from {self.old.name} to {self.new.name}"):
            directory = f"{self.settings.store}/{self.id}"
            listings = self.flow.act(self.old, SetFiles(directory, self.id))["files"]
            self.bytes_in_outage = self.pull("fetch-set", directory, listings)

    def restore_on_new(self) -> None:
        with self.phase("restore", f"restore on {self.new.name}: checksums, then every row and file"):
            self.restoring = True
            sums = self.manifest["manifest_sha256"]  # what old made, not what lies there by now
            load = LoadSet(self.stack, self.id, True, self.id, self.age.secret, manifest_sha256=sums)
            self.strays = self.flow.act(self.new, load, job=f"{self.id}-restore")["strays"]

    def prove(self) -> None:
        with self.phase("verify", f"start and prove the stack on {self.new.name}; nobody is let in yet"):
            self.flow.act(self.new, ComposeUp(self.stack, definition.PROVEN), job=f"{self.id}-up-proven")
            name = next(name for name, facts in self.manifest["datasets"].items() if facts["kind"] == "postgres")
            proof = ProveStack(self.stack, self.manifest["datasets"][name], definition.DOCUMENTS, definition.HEALTH)
            self.proof = self.flow.act(self.new, proof, job=f"{self.id}-prove")

    def promote(self) -> None:
        """The point of no return: old's fence becomes final before new lets anybody in."""
        with self.phase("promote", f"make the fence final, start everything on {self.new.name}"):
            self.note("promote", "intent")
            if self.silent is None:
                if self.host_keys:  # should we be killed between the two, new asks old itself
                    mark = MarkTarget(self.stack, self.id, "settling", self.names, self.question())
                    self.flow.act(self.new, mark)
                self.settling = True  # an answer that is lost does not say whether it was done
                self.flow.act(self.old, SettleFence(self.stack, self.id), job=f"{self.id}-settle-{new_id()[-4:]}")
                self.promoted = True
                self.write_down("promote", "settled")  # who finishes it need not ask old
            self.flow.act(self.new, MarkTarget(self.stack, self.id, "serving", self.names))
            self.marked = True  # from here on new itself starts everything, should we be killed
            self.flow.act(self.new, ComposeUp(self.stack), job=f"{self.id}-up-{new_id()[-4:]}")
            self.flow.act(self.new, DropLease(f"target-{self.id}"))
            self.serving = True
            self.outage = time.monotonic() - self.fenced_at if self.fenced_at else None

    def finish(self) -> None:
        with self.phase("finish", f"{self.old.name} stays stopped and intact; remove this run's keys"):
            with self.perhaps_gone():
                self.flow.act(self.old, StopAll(self.stack), job=f"{self.id}-stop-{new_id()[-4:]}")
            self.drop_keys()
            for host in self.there:
                with self.perhaps_gone(host):
                    if self.manifest:  # none, when an earlier run was finished
                        signing.sign(self.flow, host, self.settings.store, self.id, self.manifest["manifest_sha256"])
                    self.flow.act(host, Forget(self.id))
                    self.flow.report.host(host.name).add("changed")
        self.tell()

    # -- the pieces ----------------------------------------------------------------------------------------------

    def key(self) -> None:
        """An ephemeral key: new may fetch this run's files from old, from its own addresses only, until it ends."""
        self.undo.append(("remove the ephemeral key", self.drop_keys))
        made = self.flow.act(self.new, MakeKey(self.id))
        known = sorted({*addresses(self.new.address), *self.fact_addresses(self.new)})
        self.flow.act(self.old, GrantKey(self.id, self.login(self.old), made["public_key"], known))
        self.host_keys = self.flow.act(self.old, HostKeys())["keys"]

    def drop_keys(self) -> None:
        for host in self.there:
            with self.perhaps_gone(host):
                self.flow.act(host, Release(f"key-{self.id}"))

    def pull(self, step: str, target: str, files: list[dict[str, Any]]) -> int:
        """Files that old hands out to new; bytes."""
        fetch = self.fetch(files, self.host_keys, target)
        report = self.flow.act(self.new, fetch, job=f"{self.id}-{step}")
        self.bytes_copied += int(report["bytes"])
        return int(report["bytes"])

    def question(self) -> dict[str, Any]:
        """How new asks old, with the key of this run, whether its fence is final."""
        answer = {
            "name": handout.fence(self.id),
            "size": len(handout.FINAL),
            "sha256": sha256(handout.FINAL).hexdigest(),
        }
        return asdict(self.fetch([answer], self.host_keys, ""))

    def fetch(self, files: Any, host_keys: Any, target: str) -> Fetch:
        address = peer_name(self.old)
        port = int(self.old.vars.get("mnemo_peer_port") or self.old.port or 22)
        return Fetch(self.id, self.login(self.old), address, port, host_keys, target, files)

    def login(self, host: Host) -> str:
        facts = self.flow.fleet.session(host, become=False).facts
        with validators.by(host.name):
            return host.user or str(validators.user_name(facts.get("user_id")))

    def fact_addresses(self, host: Host) -> set[str]:
        told = self.flow.fleet.session(host).facts.get("default_ipv4") or {}
        with validators.by(host.name):
            found = validators.row(address=validators.perhaps(validators.address, ""))(told)["address"]
            return {found} - {""}

    def drop_images(self) -> None:
        self.flow.act(self.old, Release(f"images-{self.id}"))

    def unfence(self) -> None:
        self.flow.act(self.old, Release(f"fence-{self.id}"))

    def stop_new(self) -> None:
        self.flow.act(self.new, Release(f"target-{self.id}"))

    def note(self, phase: str, status: str) -> None:
        """One line in the journal of the controller and of both hosts."""
        entry = self.write_down(phase, status)
        for host in self.there:
            with self.perhaps_gone(host):
                self.flow.act(host, WriteJournal(self.id, entry))

    def write_down(self, phase: str, status: str) -> dict[str, Any]:
        """The line of :meth:`note`, on the controller alone."""
        entry = {"run": self.id, "phase": phase, "status": status, "at": time.time()}
        self.journal.write({**entry, "from": self.old.name, "to": self.new.name})
        return entry

    @property
    def there(self) -> tuple[Host, ...]:
        """The hosts that answer."""
        return (self.new,) if self.silent else (self.old, self.new)

    @contextmanager
    def perhaps_gone(self, host: Optional[Host] = None) -> Iterator[None]:
        """Once new may serve, an old that does not answer keeps nobody from it. :param host: whose deed it is."""
        try:
            yield
        except Unreachable as error:
            if not self.promoted or host is self.new:
                raise
            self.silent = error

    @contextmanager
    def phase(self, name: str, sentence: str) -> Iterator[None]:
        self.say(sentence)
        began = time.monotonic()
        if name != "preflight":  # a preflight touches nothing, not even a journal on a host
            self.note(name, "began")
        yield
        self.phases.append({"name": name, "seconds": round(time.monotonic() - began, 3)})
        if name != "preflight":
            self.note(name, "done")

    # -- ends ----------------------------------------------------------------------------------------------------

    def give_up(self, error: BaseException) -> None:
        """Undo in reverse order, old first; then raise what happened, with the state of both hosts."""
        again = self.again
        for host in (self.old, self.new):
            with suppress(
                MnemoError, KeyboardInterrupt
            ):  # its jobs must not go on; what cannot be reached is left to its leases
                self.flow.act(host, Forget(self.id))
        if self.settling and not self.promoted:
            self.promoted = self.is_settled(error, again)
        if self.promoted:
            tries = f"; {self.new.name} goes on starting it for {TRYING / 60:.0f} minutes" if self.marked else ""
            raise StepFailed(
                f"{str(error) or 'interrupted'}; {self.old_now()}, {self.new.name} "
                + ("serves" if self.serving else f"holds everything, not all of it runs{tries}"),
                hint=f"run it again to finish: {again}",
            ) from error
        if self.undo:
            self.say(f"FAILED: {str(error) or 'interrupted'}")
        failures, fenced = [], False
        # old first: the sooner it serves again the better
        for sentence, step in sorted(self.undo, key=lambda each: each[1] != self.unfence):
            self.say(f"undo: {sentence}")
            try:
                step()
            except MnemoError as failure:
                failures.append(f"{sentence}: {failure}")
                fenced = fenced or step == self.unfence
            except KeyboardInterrupt:
                raise Interrupted(
                    f"interrupted while undoing; {self.old.name} finishes that by itself and serves within two minutes",
                    hint=f"then: {again}",
                ) from None
        if fenced:
            raise RollbackFailed(
                f"{str(error) or 'interrupted'}; and these could not be undone: {'; '.join(failures)}",
                hint=f"{self.old.name} undoes them by itself within two minutes of its return: invoke lock.status "
                f"--limit {self.old.name} says free then, and {again} begins anew{self.else_without()}",
            ) from error
        if isinstance(error, KeyboardInterrupt):
            left = f"; {self.left()}" if self.prepared else ""
            raise Interrupted(f"interrupted; {self.old.name} serves, nothing was moved{left}", hint=again) from None
        assert isinstance(error, MnemoError)
        if failures:
            error.message += f"; left to the hosts' own leases: {'; '.join(failures)}"
        if self.fenced_at:
            error.message += f"; {self.old.name} serves again; {self.left()}"
        elif self.prepared:
            error.message += f"; {self.old.name} was not stopped; {self.left()}"
        error.hint = error.hint or again
        if self.fenced_at and isinstance(error, Refused):  # refused means that nothing was touched, and old was stopped
            raise StepFailed(error.message, where=error.where, hint=error.hint) from error
        raise error

    def left(self) -> str:
        """What a run that failed after the stop leaves, and the commands for it."""
        abort = f"invoke migrate --abort --from {self.old.name} --to {self.new.name}"
        what = "a stopped copy, for inspection" if self.restoring else "what was prepared"
        left = f"{self.new.name} keeps {what} ({abort} removes it)"
        if self.manifest:
            size = sum(int(part["bytes"]) for part in self.manifest["parts"])
            prune = f"invoke backup.prune --limit {self.old.name}"
            mb = f"{size / 1e6:.1f} MB"
            left += f"; the set {self.id} stays on {self.old.name} ({mb}; {prune} removes it, from two minutes on)"
        return left

    def is_settled(self, error: BaseException, again: str) -> bool:
        """Whether old's fence is final, asked of old itself. :raises RollbackFailed: it cannot be asked (8)."""
        try:
            fence = self.flow.ready(self.old, Survey(self.stack))["fence"]
        except MnemoError as silence:
            raise RollbackFailed(
                f"{error}; and {self.old.name} cannot be asked whether its fence is final: {silence}; {self.new.name} "
                "holds the complete copy, compared, which is stopped meanwhile",
                hint=f"once {self.old.name} answers, the same command finds out and goes on: {again}"
                f"{self.else_without()}",
            ) from error
        return bool(fence and fence["run"] == self.id and fence["state"] == "final")

    def else_without(self) -> str:
        """The way out when old never comes back: only with a copy that was proven."""
        proven = any(phase["name"] == "verify" for phase in self.phases)
        return f"; only if {self.old.name} never comes back: {gone.without(self.names)}" if proven else ""

    def old_now(self) -> str:
        fenced = "may not be fenced for good" if self.unsure else "is fenced for good"
        return f"{self.old.name} {fenced}" + (" and does not answer" if self.silent else "")

    def warn(self) -> None:
        """What is not as it should be, now that new serves without old."""
        if self.silent is None:
            return
        text = f"{self.old_now()} ({self.silent})"
        if self.unsure:
            text += f": started again it may serve beside {self.new.name}; do not let it, or stop its containers there"
        else:
            text += ": it does not serve when it is back"
        self.flow.report.summary.append(f"WARNING: {text}")
        self.flow.report.extra.setdefault("warnings", []).append(text)

    def states(self) -> dict[str, Any]:
        return {
            "old": {"host": self.old.name, "state": self.old_now() if self.silent else "fenced, stopped, intact"},
            "new": {"host": self.new.name, "state": "serving"},
        }

    def tell(self) -> None:
        """The report: what moved, how long nobody could write, what was compared."""
        report = self.flow.report
        outage: Optional[float] = getattr(self, "outage", None)
        report.extra.update(
            run=self.id,
            method="dump",
            phases=self.phases,
            write_outage_seconds=outage and round(outage, 3),
            user_outage_seconds=outage and round(outage, 3),
            bytes_copied=self.bytes_copied,
            bytes_in_outage=self.bytes_in_outage,
            verified={**self.manifest.get("datasets", {}), **getattr(self, "proof", {})},
            **self.states(),
        )
        accepted(self.flow, self.manifest.get("accepted_losses", []))
        strayed(self.flow, self.new, self.strays)
        if outage is not None:
            moved = f"{self.bytes_in_outage / 1e6:.1f} MB moved inside it"
            report.summary.append(f"write outage {outage:.1f} s ({moved})")
        self.warn()
        old = self.old_now() if self.silent else f"{self.old.name} is fenced, stopped and intact"
        report.summary.append(f"{self.new.name} serves, point clients at it; {old} (docs/migrate.md)")


def _run(lease: str) -> str:
    """The run a lease is of."""
    return lease.partition("-")[2]


def runs_of(side: Side) -> set[str]:
    """Migrations that left a lease on a host. :raises Refused: one is named as no run names it (3)."""
    names = [name for name in side.survey["leases"] if name.startswith(LEASES)]
    with validators.by(f"a lease on {side.name}", f"invoke lock.release --limit {side.name} ends it"):
        return {_run(validators.lease_name(name)) for name in names}


def _two_names(given: Any) -> Any:
    return given and validators.each(validators.text, 2)(given)  # none: of an earlier version


def understood(name: str, survey: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a host says of itself, as far as the other is told of it. :raises Refused: it is not of its form (3)."""
    with validators.by(name):
        validators.machine_id(survey.get("machine_id"))
        validators.each(validators.text)(survey.get("steps", ()))
        for mark in (survey.get("fence"), survey.get("target")):
            if mark is not None:
                validators.row(run=validators.run_id, hosts=_two_names)(mark)
    return survey
