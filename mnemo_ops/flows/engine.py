"""What every flow stands on: hosts by name, deeds with progress, steps and what takes them back, a home for keys."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Optional

from mnemo_ops.agent.actions.journal import Forget
from mnemo_ops.agent.actions.project import ShowStack
from mnemo_ops.agent.actions.transfer import Release
from mnemo_ops.agent.base.progress import Report as Answer
from mnemo_ops.agent.base.protocol import Event
from mnemo_ops.agent.base.record import dataclass
from mnemo_ops.agent.engine.action import Action
from mnemo_ops.agent.stack.project.rows import derived
from mnemo_ops.agent.stack.stack import Stack
from mnemo_ops.core.model import Host
from mnemo_ops.errors import STRANGERS, ChannelLost, CommandFailed, Interrupted, JobLost, MnemoError, Refused
from mnemo_ops.execution.report import Report
from mnemo_ops.execution.session_pool import Fleet
from mnemo_ops.stack.definition import stack_of, wire
from mnemo_ops.stack.settings import Settings, settings

TITLES = {
    **{"forget": "cleaning up", "release": "taking back", "write_journal": "noting it"},
    **{"list_sets": "list backups", "load_set": "restore", "make_set": "backup", "prune_sets": "prune"},
    **{"set_files": "list files", "show_set": "show backup", "sign_set": "sign backup"},
}  # what is told of an action whose own name says it in our words, not the operator's


@dataclass
class Flow:
    """One run of a flow.

    :param home: directory on this machine for journals and keys (0700), beside the inventory.
    :param private: files of this machine that no host may get: those with a vault password.
    """

    fleet: Fleet
    report: Report
    home: Path
    private: Sequence[Path] = ()

    def act(self, host: Host, action: Action, job: str = "") -> Answer:
        """Do a deed on a host as root, its progress shown; with ``job`` it outlives the connection."""
        title = TITLES.get(action.kind, action.kind.replace("_", " "))

        def watch(event: Event) -> None:
            self.report.progress(host.name, event, title)

        try:
            return self.fleet.session(host).act(action, job=job, watch=watch)
        finally:
            self.report.idle(host.name)

    def ready(self, host: Host, action: Action) -> Answer:
        """A deed's read-only preflight on a host."""
        return self.fleet.session(host).ready(action)

    @contextmanager
    def forgetting(
        self, host: Host, id: str, lease: str, state: Callable[[], str], hint: str = "the same command begins anew"
    ) -> Iterator[None]:
        """Leave no traces of a run's jobs on a host, however it ends, and say what is true then.

        :param lease: what undoes the job's half of it. :param state: looks at the host once that is done.
        :param hint: for who interrupted it.
        """
        try:
            yield
        except (ChannelLost, *STRANGERS) as error:  # the job goes on without us; its lease cares for it
            error.message += f"; {host.name} finishes it by itself, or takes it back"
            if not isinstance(error, STRANGERS):
                error.hint = f"invoke lock.status --limit {host.name} says what came of it"
            raise
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                self.report.step(f"interrupted: undoing unfinished work on {host.name} takes up to a minute")
            undone, told = self._take_back(host, id, lease, state)
            if isinstance(error, KeyboardInterrupt):
                raise Interrupted(f"interrupted; {told}", hint=hint) from None
            if isinstance(error, JobLost) or (isinstance(error, MnemoError) and undone):  # else its job has said so
                error.message += f"; {told}"
            raise
        with suppress(KeyboardInterrupt):  # it is done: whoever interrupts now hears that it is
            self.forget(host, id)

    def _take_back(self, host: Host, id: str, lease: str, state: Callable[[], str]) -> tuple[bool, str]:
        """End a run's jobs, undo what they left; whether there was something, and what is true now."""
        try:
            self.forget(host, id)
            undone = bool(self.act(host, Release(lease))["undone"])
            return undone, state()
        except (MnemoError, KeyboardInterrupt):
            return True, (
                f"{host.name} takes back by itself what is half done, within two minutes "
                f"(invoke lock.status --limit {host.name} says free when it has)"
            )

    def forget(self, host: Host, id: str) -> None:
        """Remove the traces of a run's jobs from a host."""
        self.act(host, Forget(id))

    def settings(self, host: Host) -> Settings:
        return settings(host)

    def declared(self, host: Host) -> Stack:
        """The host's stack as its owner declares it: without datasets where the owner says nothing of them."""
        return stack_of(settings(host))

    def stack(self, host: Host) -> dict[str, Any]:
        """The host's stack, as an argument of actions; what must survive follows from the project on the host, where
        its owner says nothing of that."""
        stack = self.declared(host)
        if stack.datasets:
            return wire(stack)
        told = self.ready(host, ShowStack(wire(stack)))
        if told["directory"] != stack.directory:
            raise Refused(
                f"{host.name}: the project {stack.project} lies in {told['directory']}, and stack.directory is "
                f"{stack.directory}",
                hint=f"write stack.directory: {told['directory']} into the inventory",
            )
        found = derived(stack, told)
        for row in (each for each in told["rows"] if each["topic"] == "no backup holds"):
            if not any(f'"{key}"' in row["overrule"] for key in stack.waived):
                self._warn(f"{host.name}: no backup holds what is in {row['what']} ({row['value']}): {row['reason']}")
        return wire(found)

    def _warn(self, text: str) -> None:
        """Once."""
        known = self.report.extra.setdefault("warnings", [])
        if text not in known:
            known.append(text)
            self.report.say(f"  WARNING  {text}")

    def stack_as_known(self, host: Host) -> dict[str, Any]:
        """As :meth:`stack`, for what goes by records alone: as declared where the project cannot be read."""
        try:
            return self.stack(host)
        except (Refused, CommandFailed):
            return wire(self.declared(host))


@dataclass(frozen=True)
class Undo:
    """What takes a step back; does nothing where the step did nothing.

    :param first: it gives service back: done before all others, which only clean up.
    """

    sentence: str
    do: Callable[[], object]
    first: bool = False


@dataclass(frozen=True)
class Step:
    """One sentence of a runbook. :param commits: once it is done, nothing that came before is taken back."""

    name: str
    sentence: str
    do: Callable[[], object]
    undo: Optional[Undo] = None
    commits: bool = False


class Steps:
    """A runbook at work: steps in their order, timed, and taken back in reverse.

    :param say: tells the sentence of a step. :param note: writes down its name, and ``began`` or ``done``.
    """

    def __init__(self, say: Callable[[str], object], note: Callable[[str, str], object]) -> None:
        self._say, self._note = say, note
        self._undo: list[Undo] = []
        self.at = ""  # the step that was begun last
        self.phases: list[dict[str, Any]] = []

    @property
    def can_undo(self) -> bool:
        return bool(self._undo)

    def run(self, steps: Sequence[Step]) -> None:
        """Do them. What raises stays undoable, half done as it is: :meth:`take_back`."""
        for step in steps:
            self.at = step.name
            with self.timed(step.name, step.sentence):
                self._note(step.name, "began")
                if step.undo is not None:
                    self._undo.append(step.undo)
                step.do()
            self._note(step.name, "done")
            if step.commits:
                self._undo.clear()

    @contextmanager
    def timed(self, name: str, sentence: str) -> Iterator[None]:
        """A phase of the report that is not written down: it changes nothing."""
        self._say(sentence)
        began = time.monotonic()
        yield
        self.phases.append({"name": name, "seconds": round(time.monotonic() - began, 3)})

    def take_back(self) -> list[tuple[Undo, MnemoError]]:
        """Undo what was done, the last first. :returns: what could not be undone, and why."""
        failed = []
        for undo in sorted(reversed(self._undo), key=lambda each: not each.first):
            self._say(f"undo: {undo.sentence}")
            try:
                undo.do()
            except MnemoError as error:
                failed.append((undo, error))
        self._undo.clear()
        return failed
