"""A playbook on a fleet: play after play, the hosts of a play side by side."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Optional

from mnemo_ops.agent.base.record import dataclass, field, replace
from mnemo_ops.core.model import Entry, Host, Play, entries
from mnemo_ops.core.options import Options
from mnemo_ops.core.suggest import suggest
from mnemo_ops.documents.yaml_lines import Placed
from mnemo_ops.errors import STRANGERS, MnemoError, PlaybookError, PythonMissing, Unreachable, UsageError, named
from mnemo_ops.execution.batch import Channel
from mnemo_ops.execution.host_run import PlayRun
from mnemo_ops.execution.host_state import HostState
from mnemo_ops.execution.play_sync import Crew, End, batches
from mnemo_ops.execution.report import Report
from mnemo_ops.execution.session_pool import Fleet
from mnemo_ops.inventory.load import Inventory
from mnemo_ops.playbook.load import check_variables, load
from mnemo_ops.playbook.variable_check import ANY, Reading, names_set
from mnemo_ops.templates.render import Scope, Unready, is_template, render
from mnemo_ops.transport.raw_shell import PAUSE, BareHost, wait_until_up

Words = Callable[[Host], Mapping[str, Any]]

_INSTALLED = Path(__file__).parents[1] / "playbooks"
_CHECKOUT = Path(__file__).parents[2] / "playbooks"


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

        A host that failed takes no part in the plays that follow; the others go on, unless a batch of hosts failed
        altogether, or more of it than the play allows: nothing follows then, as in Ansible.

        :raises UsageError: the playbook or a variable is wrong; nothing was opened (2).
        :raises StepFailed: a task failed on a host (6). :raises Unreachable: (4). :raises Locked: (5).
        """
        playbook = load(path)
        every = [entry for play in playbook.plays for entry in entries(play.tasks)]
        self._check_start([entry.name for entry in every], path)
        self._check_tags([*every, *(entry for play in playbook.plays for entry in play.handlers)])
        chosen = [(play, self._hosts(play)) for play in playbook.plays]
        self._check_variables(chosen, words)
        states = {host.name: HostState(host) for host in self.inventory.hosts.values()}
        failures: dict[str, Exception] = {}
        for play, hosts in chosen:
            if not self._play(play, [host for host in hosts if host.name not in failures], words, states, failures):
                break
        if failures:
            raise self._first(failures)

    # -- before anything is opened -------------------------------------------------------------------------------

    def _check_start(self, names: list[str], path: Path) -> None:
        start = self.options.start_at
        if start and start not in names:
            raise UsageError(f"--start-at: no task of {path} is called '{start}'", hint=suggest(start, names))

    def _check_tags(self, every: Sequence[Entry]) -> None:
        known = {tag for entry in every for tag in entry.tags} | {"all", "tagged", "untagged", "always", "never"}
        for tag in sorted(self.options.tags - known):
            raise UsageError(f"--tags: no task has the tag '{tag}'", hint=suggest(tag, known, few=20))

    def _hosts(self, play: Play) -> list[Host]:
        pattern: str = play.hosts
        where = play.hosts.where if isinstance(play.hosts, Placed) else play.where
        if is_template(pattern):
            scope = Scope().plus(play.vars).plus(self.extra_vars)
            try:
                found = render(pattern, scope, where)
            except Unready as problem:
                raise PlaybookError(f"'hosts' of a play must be known before the run: {problem}", where=where) from None
            pattern = ",".join(str(one) for one in found) if isinstance(found, list) else str(found)
        hosts = self.inventory.select(pattern, self.limit, where)
        hosts = [replace(host, local=True) for host in hosts] if play.local else hosts
        return [replace(host, user=host.user or play.user or None) for host in hosts]

    def _check_variables(self, chosen: Sequence[tuple[Play, list[Host]]], words: Words) -> None:
        known: set[str] = set()
        for play, hosts in chosen:
            looks: list[tuple[Reading, object]] = []
            for host in hosts:
                given = {**host.vars, **words(host), **self.extra_vars}
                if not any(reading.of(given) == found for reading, found in looks):
                    reading = check_variables(play, given, known)
                    looks.append((reading, reading.of(given)))
            set_here = names_set(play)
            known |= {ANY} if set_here is None else set_here

    # -- one play ------------------------------------------------------------------------------------------------

    def _play(
        self,
        play: Play,
        hosts: Sequence[Host],
        words: Words,
        states: dict[str, HostState],
        failures: dict[str, Exception],
    ) -> bool:
        """Whether other plays may follow."""
        for host in hosts:
            states.setdefault(host.name, HostState(host)).host = host
        for batch in batches(hosts, play.serial):
            crew = Crew(play, batch, hosts, states, self.options, lambda: self.fleet.interrupted, self.fleet.aside)

            def work(host: Host, crew: Crew = crew) -> None:
                try:
                    self._one(play, host, crew, {**words(host), **self.extra_vars}, states[host.name])
                except Exception as error:  # a bug, too, is one host's: the others go on
                    failures[host.name] = error
                    crew.failed(host.name)
                finally:
                    crew.end_host(host.name)
                    self.report.idle(host.name)

            self.fleet.each(batch, work)
            bad = sum(host.name in failures for host in batch)
            share = 100 * bad / len(batch)
            limit = play.max_fail_percentage
            too_many = bad == len(batch) or End.FAILED in crew.ends or (limit is not None and share > limit)
            if too_many:
                return False
            if End.PLAY in crew.ends:
                break
        return True

    def _one(self, play: Play, host: Host, crew: Crew, extra: Mapping[str, Any], state: HostState) -> None:
        self.report.host(host.name)
        reach = HostReach(self.fleet, host, play)
        run = PlayRun(play, state, reach, crew, extra, self.options)
        with contextlib.closing(run.run()) as outcomes:
            for task, event in outcomes:
                if event.status == "progress":
                    self.report.progress(host.name, event, task.name)
                else:
                    self.report.task(host.name, task, event)
                if End.FAILED in crew.ends and event.status != "failed":  # any_errors_fatal: another host failed
                    return

    def _first(self, failures: Mapping[str, Exception]) -> Exception:
        """The failure to end with: a bug of ours, then one of a host that works before one of a host that is away."""
        names = [*(name for name in self.inventory.hosts if name in failures), *failures]
        ordered = {name: failures[name] for name in names}
        for name, error in ordered.items():
            if isinstance(error, MnemoError) and name not in str(error):  # of an agent on this machine
                error.where = error.where or name
            if isinstance(error, Unreachable):
                self.report.host(name).add("failed")
                self.report.say(f"  unreachable  {error}")
            elif not isinstance(error, MnemoError):
                self.report.host(name).add("failed")
                self.report.say(f"  failed   {name:12} {named(error)}")
        return min(ordered.values(), key=_weight)


def _weight(error: Exception) -> int:
    return 0 if not isinstance(error, MnemoError) else 2 if isinstance(error, Unreachable) else 1


class HostReach:
    """:class:`~mnemo_ops.execution.host_run.Reach` of one host of a play."""

    def __init__(self, fleet: Fleet, host: Host, play: Play) -> None:
        self._fleet, self._host, self._play = fleet, host, play
        self._elevated = play.elevated if host.become is None else host.become
        self._tried = False

    def session(self) -> Channel:
        try:
            return self._fleet.session(self._host, self._elevated)
        except PythonMissing:
            if self._tried or not _begins_raw(self._play):
                raise
            self._tried = True  # once: what installs python3 has had its chance
            return BareHost(self._host, self._elevated)

    def here(self) -> Channel:
        elevated = any(entry.become for entry in entries(self._play.tasks) if entry.delegate_to)
        return self._fleet.here(elevated)

    def hang_up(self) -> None:
        self._fleet.hang_up(self._host)

    def again(self, timeout: float, connect_timeout: Optional[float] = None, pause: float = PAUSE) -> Channel:
        """It let us in before: a login that is refused while it starts (pam_nologin(8)) is waited for, too."""
        end, look = time.monotonic() + timeout, connect_timeout or 5.0

        def stopped() -> bool:
            return self._fleet.interrupted

        while True:
            self.hang_up()
            left = end - time.monotonic()
            wait_until_up(self._host, left, connect_timeout=look, pause=pause, final=_NOT_AGAIN, stopped=stopped)
            try:
                return self.session()
            except Unreachable as error:  # it went down after that look
                if isinstance(error, _NOT_AGAIN) or self._host.local or stopped() or time.monotonic() + pause > end:
                    raise
            time.sleep(pause)


_NOT_AGAIN = (*STRANGERS, PythonMissing)  # waiting mends nothing of a host that was up before


def _begins_raw(play: Play) -> bool:
    first = next(iter(entries(play.tasks)), None)
    return first is not None and first.kind == "raw"
