"""Nobody is served: old is fenced, its final set comes to new, and new is proven equal before anything is let in."""

from __future__ import annotations

import time

from mnemo_ops import __version__
from mnemo_ops.agent.actions.backup import MakeSet, SetFiles
from mnemo_ops.agent.actions.journal import AdoptLease
from mnemo_ops.agent.actions.load import LoadSet
from mnemo_ops.agent.actions.prove import ProveStack
from mnemo_ops.agent.actions.services import ComposeUp, Fence
from mnemo_ops.agent.actions.transfer import Release
from mnemo_ops.flows.migrate import transfer
from mnemo_ops.flows.migrate.context import Context, Stage
from mnemo_ops.stack import definition


def fence_old(context: Context) -> None:
    context.stage, context.fenced_at = Stage.FENCED, time.monotonic()
    fence = Fence(context.stack, context.run, context.seen[1].survey["machine_id"], context.names)
    context.flow.act(context.old, fence, job=f"{context.run}-fence")
    context.flow.act(context.old, AdoptLease(context.run))


def unfence_old(context: Context) -> None:
    """Old serves again."""
    context.flow.act(context.old, Release(f"fence-{context.run}"))


def make_set(context: Context) -> None:
    about = {"host": context.old.name, "tool": __version__, "migration": context.run}
    make = MakeSet(context.stack, context.run, context.recipients, True, context.accept_loss, about)
    context.manifest = context.flow.act(context.old, make, job=f"{context.run}-backup")


def copy_set(context: Context) -> None:
    directory = f"{context.settings.store}/{context.run}"
    files = context.flow.act(context.old, SetFiles(directory, context.run))["files"]
    context.bytes_in_outage = transfer.pull(context, "fetch-backup", directory, files)


def restore(context: Context) -> None:
    assert context.age is not None, "there is no backup without its key"
    context.stage, run = Stage.RESTORING, context.run
    sums = context.manifest["manifest_sha256"]  # what old made, not what lies there by now
    override = context.other.override if context.other else ""
    load = LoadSet(context.stack, run, True, run, context.age.secret, manifest_sha256=sums, override=override)
    done = context.flow.act(context.new, load, job=f"{run}-restore")
    context.strays, context.unknown_settings = done["strays"], done["unknown_settings"]


def prove(context: Context) -> None:
    """:raises VerificationFailed: new differs (7)."""
    flow, datasets, checks = context.flow, context.manifest["datasets"], context.settings.checks
    services = definition.proven(context.settings, context.stack)
    if services:
        flow.act(context.new, ComposeUp(context.stack, services), job=f"{context.run}-up-proven")
    clusters = {name: facts for name, facts in datasets.items() if facts["kind"] == "postgres"}
    proof = ProveStack(context.stack, clusters, checks.get("documents", {}), checks.get("health", {}))
    context.proof = flow.act(context.new, proof, job=f"{context.run}-prove")
    context.stage = Stage.PROVEN
