"""What every flow stands on: hosts by name, deeds with progress, a home for journals and keys."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from mnemo_ops.agent.actions.journal import Forget
from mnemo_ops.agent.actions.transfer import Release
from mnemo_ops.agent.base.progress import Report as Answer
from mnemo_ops.agent.base.protocol import Event
from mnemo_ops.agent.base.record import dataclass
from mnemo_ops.agent.engine.action import Action
from mnemo_ops.core.model import Host
from mnemo_ops.errors import STRANGERS, ChannelLost, Interrupted, JobLost, MnemoError
from mnemo_ops.execution.report import Report
from mnemo_ops.execution.session_pool import Fleet
from mnemo_ops.stack.definition import Settings, settings, stack_of, wire

TITLES = {"forget": "cleaning up", "release": "taking back", "write_journal": "noting it"}


@dataclass
class Flow:
    """One run of a flow.

    :param home: directory on this machine for journals and keys (0700), beside the inventory.
    """

    fleet: Fleet
    report: Report
    home: Path

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
                self.report.step(f"interrupted: taking back on {host.name} what is half done, up to a minute")
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

    def stack(self, host: Host) -> dict[str, Any]:
        """The host's stack, as an argument of actions."""
        return wire(stack_of(settings(host)))
