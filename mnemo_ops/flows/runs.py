"""The runs of hosts and of this controller: each once, how it ended, and the next command where one is needed."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Union

from mnemo_ops.agent.actions.leases import ListRuns
from mnemo_ops.agent.base.record import asdict, dataclass
from mnemo_ops.agent.stack.last_run import ABORTED, FAILED, OK, migrated
from mnemo_ops.core.model import Host
from mnemo_ops.errors import MnemoError
from mnemo_ops.flows.engine import Flow
from mnemo_ops.flows.journal import journals
from mnemo_ops.flows.migrate import gone

HERE = "controller"  # where a journal lies, beside the names of hosts
AT_WORK = "at work"
ENDED = (OK, FAILED, ABORTED)


@dataclass(frozen=True)
class Record:
    """What one place knows of a run.

    :param at: when it was written there. :param how: a sentence. :param exit_code: of one that failed.
    :param hosts: of a migration: from which to which; empty: of an earlier version.
    :param forward: whether it is past its point of no return.
    """

    run: str
    command: str
    at: float
    state: str
    how: str
    exit_code: int
    hosts: tuple[str, ...]
    place: str
    forward: bool = False


@dataclass(frozen=True)
class Row:
    """One run. :param began: UTC. :param places: which know of it. :param next: the command that is due, or empty."""

    run: str
    command: str
    began: str
    state: str
    how: str
    exit_code: int
    hosts: Sequence[str]
    places: Sequence[str]
    next: str

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def rows(flow: Flow, hosts: Sequence[Host]) -> tuple[list[Row], list[MnemoError]]:
    """Newest first; and why a host said nothing. What others know of its runs is told all the same.

    :param hosts: of the runs that are meant: of those recorded here, too.
    """
    names = {host.name for host in hosts}
    told = flow.fleet.each(hosts, lambda host: _of_host(flow, host))
    silent = [answer for answer in told.values() if isinstance(answer, MnemoError)]
    records = [record for answer in told.values() if not isinstance(answer, MnemoError) for record in answer]
    records += [record for record in _here(flow.home) if not record.hosts or names & set(record.hosts)]
    runs: dict[str, list[Record]] = {}
    for record in records:
        runs.setdefault(record.run, []).append(record)
    return [_row(runs[run]) for run in sorted(runs, reverse=True)], silent


def _of_host(flow: Flow, host: Host) -> Union[list[Record], MnemoError]:
    try:
        found = flow.ready(host, ListRuns(flow.settings(host).store))["runs"]
    except MnemoError as error:
        error.where = error.where or host.name
        return error
    return [Record(**{**row, "hosts": tuple(row["hosts"])}, place=host.name) for row in found]


def _here(home: Path) -> Iterator[Record]:
    for run, journal in journals(home):
        if lines := journal.lines():
            how, state, code = migrated(lines[-1])
            names = tuple(str(lines[-1][side]) for side in ("from", "to") if side in lines[-1])
            forward = gone.SETTLED in journal.steps()
            yield Record(run, "migrate", _number(lines[-1].get("at")), state, how, code, names, HERE, forward)


def _number(given: Any) -> float:
    return float(given) if isinstance(given, (int, float)) else 0.0


def _row(records: Sequence[Record]) -> Row:
    """One run of what several places know: who sees it at work is right, then who saw its end, then who saw it last."""
    best = max(records, key=lambda record: (record.state == AT_WORK, record.state in ENDED, record.at))
    known = sorted(records, key=lambda record: record.place != HERE)  # a host may say anything of a run that was ours
    hosts = next((record.hosts for record in known if len(record.hosts) == 2), ())
    places = [record.place for record in records]
    forward = any(record.forward for record in records)
    due = _next(best, hosts, forward)
    return Row(best.run, best.command, _began(best.run), best.state, best.how, best.exit_code, hosts, places, due)


def _began(run: str) -> str:
    """As its id says; empty: no time is such."""
    with suppress(ValueError):
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.strptime(run[:16], "%Y%m%dT%H%M%SZ"))
    return ""


def _next(record: Record, hosts: Sequence[str], forward: bool) -> str:
    if record.state in (OK, ABORTED):
        return ""
    if record.state == AT_WORK:
        return f"invoke lock.status --limit {record.place}"
    if record.command == "migrate" and hosts:
        old, new = map(shlex.quote, hosts)  # a host may have said so
        return f"invoke migrate{'' if forward else ' --abort'} --from {old} --to {new}"
    if record.command == "backup":
        return f"invoke backup.prune --limit {record.place}"
    return f"invoke lock.status --limit {record.place}" if record.place != HERE else "invoke lock.status"


def shown(row: Row) -> str:
    """A run in one line."""
    what = f"{row.command} {' -> '.join(row.hosts)}".strip()
    state = f"{row.state} {row.exit_code}" if row.state == FAILED else row.state
    return f"{row.run}  {row.began}  {state:11}  {what:24}  {row.how} ({', '.join(row.places)})"


def latest(found: Sequence[Row], most: int) -> list[Row]:
    """The newest, and of the older ones those for which something is due."""
    return [row for number, row in enumerate(found) if number < most or row.next]
