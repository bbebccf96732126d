"""What an interrupted migration left on both hosts, and taking it away."""

from __future__ import annotations

from mnemo_ops.agent.actions.copy_target import CleanTarget
from mnemo_ops.agent.actions.journal import Forget
from mnemo_ops.agent.actions.transfer import Release
from mnemo_ops.agent.base import validators
from mnemo_ops.checks.preflight import Side
from mnemo_ops.flows.migrate import ends
from mnemo_ops.flows.migrate.context import Context
from mnemo_ops.stack import definition

LEASES = ("fence-", "key-", "images-", "target-")  # a migration's alone; the id of the run behind


def clean_up(context: Context, old: Side, new: Side) -> set[str]:
    """Undo what an interrupted migration left; its leases would do the same a little later.

    What others hold, who may be at work without their controller, is not touched: it speaks against beginning.

    :returns: the runs of which something was undone.
    """
    runs = {run for side in (old, new) for run in _runs_of(side)}
    mark = new.survey["target"]
    unfinished = mark["run"] if mark is not None and mark["state"] == "copying" else ""
    runs |= ({unfinished} - {""}) | ends.unfinished(context)  # of those a kill may have left nothing but jobs
    if mark is not None and not unfinished:
        runs.discard(mark["run"])  # it serves, without old perhaps, which is back: nobody takes that back
    flow = context.flow
    for host, side in ((context.old, old), (context.new, new)):
        for run in sorted(runs):
            flow.act(host, Forget(run))  # its jobs may still be at work
        for name in side.survey["leases"]:
            if _run(name) in runs:  # that of its set, too
                context.say(f"undo what the interrupted run {_run(name)} left on {host.name}: {name}")
                flow.act(host, Release(name))
    if unfinished:
        context.say(f"remove the unfinished copy of run {unfinished} from {context.new.name}")
        clean = CleanTarget(context.stack, unfinished, definition.proven(context.settings, context.stack))
        flow.act(context.new, clean, job=f"{context.run}-clean")
    ends.aborted(context, runs)
    return runs


def _run(lease: str) -> str:
    """The run a lease is of."""
    return lease.partition("-")[2]


def _runs_of(side: Side) -> set[str]:
    """Migrations that left a lease on a host. :raises Refused: one is named as no run names it (3)."""
    names = [name for name in side.survey["leases"] if name.startswith(LEASES)]
    with validators.by(f"a lease on {side.name}", f"invoke lock.release --limit {side.name} ends it"):
        return {_run(validators.lease_name(name)) for name in names}
