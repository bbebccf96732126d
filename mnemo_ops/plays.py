"""A playbook on a fleet: play after play, the hosts of a play side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mnemo_ops.errors import ChannelLost, MnemoError, StepFailed, UsageError, from_json
from mnemo_ops.fleet import Fleet
from mnemo_ops.inventory import Inventory
from mnemo_ops.model import Host, Play
from mnemo_ops.playbook import check_variables, load
from mnemo_ops.report import Report
from mnemo_ops.runner import Options, run_play
from mnemo_ops.spelling import suggest

Words = Callable[[Host], Mapping[str, Any]]

_INSTALLED = Path(__file__).parent / "playbooks"
_CHECKOUT = Path(__file__).parent.parent / "playbooks"


def shipped(name: str) -> Path:
    """A playbook that comes with the project: from the installed package, or from the checkout."""
    return (_INSTALLED if _INSTALLED.exists() else _CHECKOUT) / name


@dataclass
class Plays:
    """How playbooks are run in one command.

    :param limit: host pattern; empty for all. :param extra_vars: of ``--vars``: they win over everything.
    """

    fleet: Fleet
    report: Report
    inventory: Inventory
    limit: str = ""
    extra_vars: Mapping[str, Any] = field(default_factory=dict)
    options: Options = field(default_factory=Options)

    def run(self, path: Path, words: Words = lambda host: {}) -> None:
        """Converge a playbook on its hosts.

        :param words: more variables, by host; ``extra_vars`` win over them.

        A host that failed takes no part in the plays that follow; the others go on.

        :raises UsageError: the playbook or a variable is wrong; nothing was opened (2).
        :raises StepFailed: a task failed on a host (6). :raises Unreachable: (4). :raises Locked: (5).
        """
        playbook = load(path)
        self._check_start([entry.name for play in playbook.plays for entry in play.tasks], path)
        registered: dict[str, dict[str, Any]] = {}
        chosen = [(play, self.inventory.select(play.hosts, self.limit, play.where)) for play in playbook.plays]
        known: set[str] = set()
        for play, hosts in chosen:
            for host in hosts:
                check_variables(play, {**host.vars, **words(host), **self.extra_vars}, known)
            known |= {entry.register for entry in play.tasks if entry.register}
        failures: dict[str, MnemoError] = {}
        for play, hosts in chosen:

            def work(host: Host, play: Play = play) -> None:
                try:
                    extra = {**words(host), **self.extra_vars}
                    self._one(play, host, extra, registered.setdefault(host.name, {}))
                except MnemoError as error:
                    failures[host.name] = error

            self.fleet.each([host for host in hosts if host.name not in failures], work)
        if failures:
            raise self._first(failures)

    def _check_start(self, names: list[str], path: Path) -> None:
        start = self.options.start_at
        if start and start not in names:
            raise UsageError(f"--start-at: no task of {path} is called '{start}'", hint=suggest(start, names))

    def _one(self, play: Play, host: Host, extra: Mapping[str, Any], registered: dict[str, Any]) -> None:
        self.report.host(host.name)
        session = self.fleet.session(host, play.become)
        for task, event in run_play(play, host, session, extra, self.options, registered):
            if event.status == "progress":
                self.report.progress(host.name, event, task.name)
                continue
            self.report.task(host.name, task, event)
            if event.status == "failed" and not task.ignore_errors:
                cause = from_json(event.error) if event.error else StepFailed(event.why)
                cause.message = f"{task.name}: {'failed (no_log)' if task.no_log else cause.message}"
                cause.where = f"{host.name}, {task.where}"
                raise cause

    def _first(self, failures: Mapping[str, MnemoError]) -> MnemoError:
        """The failure to end with: one of a host that works before one of a host that is away."""
        ordered = [failures[name] for name in self.inventory.hosts if name in failures]
        ordered += [error for name, error in failures.items() if name not in self.inventory.hosts]
        for name, error in failures.items():
            if error.exit_code == 4:
                self.report.host(name).add("failed")
        for error in ordered:
            if isinstance(error, ChannelLost) or error.exit_code == 4:
                self.report.say(f"  unreachable  {error}")
        return next((error for error in ordered if error.exit_code != 4), ordered[0])
