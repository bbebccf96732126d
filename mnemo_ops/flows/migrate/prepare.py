"""While old still serves: new gets what the stack needs, a key to fetch with, and the very images."""

from __future__ import annotations

from mnemo_ops.agent.actions.cluster import TryImage
from mnemo_ops.agent.actions.copy_target import MarkTarget
from mnemo_ops.agent.actions.images import LoadImages, PullImages, SaveImages
from mnemo_ops.agent.actions.journal import AdoptLease, RemoveFile
from mnemo_ops.agent.actions.transfer import Release
from mnemo_ops.checks.findings import judge
from mnemo_ops.flows import keys
from mnemo_ops.flows.migrate import preflight, transfer
from mnemo_ops.flows.migrate.context import Context, Stage


def provision(context: Context) -> None:
    context.provision(context.new)


def place(context: Context) -> None:
    """Mark new as the unfinished copy of this run, and make its volumes.

    :raises Refused: one of them holds something (3).
    """
    context.stage = Stage.PREPARED
    context.flow.act(context.new, MarkTarget(context.stack, context.run, "copying", context.names))
    context.place(context.new)
    # what disks and file systems of others hold is seen once they are mounted: while old still serves
    judge(preflight.placed(context), context.flow.report.extra)


def stop_copy(context: Context) -> None:
    context.flow.act(context.new, Release(f"target-{context.run}"))


def make_keys(context: Context) -> None:
    """An ssh key for the way, and an age key for the set."""
    transfer.grant_key(context)
    make_age_key(context)


def make_age_key(context: Context) -> None:
    """A fresh one for this run, made here: its secret half stays in memory, here and with new."""
    context.age = keys.Identity.new()
    # and the operator's own key, so that the set stays a usable backup
    context.recipients = (context.age.recipient, *keys.recipients(context.flow, context.old))


def copy_images(context: Context) -> None:
    """The very images, by what is in them; and those that new is to have instead.

    :raises Refused: the database of new could not hold that of old (3).
    """
    flow, run, other = context.flow, context.run, context.other
    if other is not None and context.means is not None:
        for service, image in other.images.items():
            context.say(f"{service} runs {image} on {context.new.name}, as its stack.images says")
        context.means.fetch(context.new, other.images)
        for number, (name, (image, declared)) in enumerate(other.databases.items()):
            cluster = context.seen[0].survey["postgres"][name]["cluster"]
            flow.act(context.new, TryImage(image, cluster, declared), job=f"{run}-try-image-{number}")
    there = other.images if other else ()
    used = [each for name, each in context.seen[0].survey["containers"].items() if name not in there]
    wanted = {each["image"]: each["content"] for each in used}
    missing = flow.ready(context.new, LoadImages("", wanted))
    unnamed = [name for name in wanted if name in missing["unnamed"]]
    if unnamed:
        flow.act(context.new, PullImages(unnamed), job=f"{run}-pull-images")
        missing = flow.ready(context.new, LoadImages("", wanted))
    absent = {name: content for name, content in wanted.items() if name in missing["absent"]}
    if not absent:
        flow.act(context.new, LoadImages("", wanted), job=f"{run}-name-images")
        return
    store = context.settings.store
    path = f"{store}/images-{run}.tar.zst"
    saved = flow.act(context.old, SaveImages(absent, path, run), job=f"{run}-save-images")
    flow.act(context.old, AdoptLease(run))
    file = {"name": path.rpartition("/")[2], "size": saved["bytes"], "sha256": saved["sha256"]}
    transfer.pull(context, "fetch-images", store, [file])
    flow.act(context.new, LoadImages(path, wanted), job=f"{run}-load-images")
    flow.act(context.new, RemoveFile(path))
    drop_images(context)


def drop_images(context: Context) -> None:
    context.flow.act(context.old, Release(f"images-{context.run}"))
