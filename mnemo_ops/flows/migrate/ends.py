"""Journals that are read: which runs of two hosts have not ended; and the line by which one has."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from mnemo_ops.agent.actions.journal import WriteJournal
from mnemo_ops.agent.stack import last_run
from mnemo_ops.core.model import Host
from mnemo_ops.errors import MnemoError
from mnemo_ops.flows.journal import Journal, journals
from mnemo_ops.flows.migrate import gone
from mnemo_ops.flows.migrate.context import Context


def unfinished(context: Context) -> set[str]:
    """Runs of these two hosts that this machine began, and that neither came to their end nor were aborted.

    One that is past the point of no return is none of them: it can only be finished.
    """
    found = set()
    for run, journal in journals(context.flow.home):
        lines = journal.lines()
        if _names(journal) != context.names or run == context.run:
            continue
        settled = gone.SETTLED in journal.steps()
        if not settled and last_run.migrated(lines[-1])[1] in (last_run.OPEN, last_run.FAILED):
            found.add(run)
    return found


def failed(context: Context, phase: str, error: MnemoError, hosts: Iterable[Host]) -> None:
    """A run was given up. :param hosts: those that answer: no other is waited for."""
    how = {"exit_code": error.exit_code, "code": error.code}
    _write(context, context.run, hosts, phase=phase, status="failed", **how)


def aborted(context: Context, runs: Iterable[str]) -> None:
    """What they left is removed; not of those to another host, which may hold a copy still."""
    for run in sorted(run for run in runs if _names(Journal(context.flow.home, run)) in (context.names, ())):
        _write(context, run, (context.old, context.new), phase="abort", status="done")


def _write(context: Context, run: str, hosts: Iterable[Host], **line: Any) -> None:
    entry = context.entry(run, **line)
    with suppress(OSError):  # what happened is to be said, not that the disk here is full
        Journal(context.flow.home, run).write(entry)
    for host in hosts:
        with suppress(MnemoError, KeyboardInterrupt):
            context.flow.act(host, WriteJournal(run, entry))


def _names(journal: Journal) -> tuple[Any, ...]:
    """Of old and new; empty: it does not say so."""
    return tuple(line[side] for line in journal.lines()[-1:] for side in ("from", "to") if side in line)
