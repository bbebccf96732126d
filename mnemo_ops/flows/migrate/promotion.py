"""The point of no return, and what lies behind it: old's fence is final before new lets anybody in."""

from __future__ import annotations

import time

from mnemo_ops.agent.actions.copy_target import MarkTarget
from mnemo_ops.agent.actions.journal import Forget
from mnemo_ops.agent.actions.services import ComposeUp, DropLease, SettleFence, StopAll
from mnemo_ops.flows import signing
from mnemo_ops.flows.journal import new_id
from mnemo_ops.flows.migrate import transfer
from mnemo_ops.flows.migrate.context import Context, Stage


def promote(context: Context) -> None:
    """Make old's fence final, then start everything on new."""
    context.note("promote", "intent")
    if context.silent is None:
        _settle(context)
    flow, run = context.flow, context.run
    flow.act(context.new, MarkTarget(context.stack, run, "serving", context.names))
    context.stage = Stage.MARKED
    flow.act(context.new, ComposeUp(context.stack), job=f"{run}-up-{_once()}")
    flow.act(context.new, DropLease(f"target-{run}"))
    context.stage = Stage.SERVING
    if context.fenced_at is not None:
        context.outage = time.monotonic() - context.fenced_at


def _settle(context: Context) -> None:
    """:raises Broken: old serves again (6)."""
    flow, run = context.flow, context.run
    if context.host_keys:  # should we be killed between the two, new asks old itself
        question = transfer.question(context)
        flow.act(context.new, MarkTarget(context.stack, run, "settling", context.names, question))
    context.stage = max(context.stage, Stage.SETTLING)
    flow.act(context.old, SettleFence(context.stack, run), job=f"{run}-settle-{_once()}")
    context.stage = Stage.PROMOTED
    context.write_down("promote", "settled")  # who finishes it need not ask old


def finish(context: Context) -> None:
    """Old stays stopped and intact; nothing of the run stays but its journals and its set."""
    flow, run = context.flow, context.run
    with context.perhaps_gone():
        flow.act(context.old, StopAll(context.stack), job=f"{run}-stop-{_once()}")
    transfer.drop_keys(context)
    for host in context.there:
        with context.perhaps_gone(host):
            if context.manifest:  # none, when an earlier run was finished
                signing.sign(flow, host, context.settings.store, run, context.manifest["manifest_sha256"])
            flow.act(host, Forget(run))
            flow.report.host(host.name).add("changed")


def _once() -> str:
    """Of a job's name: another run of the same id is not to take its end for its own."""
    return new_id()[-4:]
