"""Before anything is touched: both hosts are looked at, and every reason not to begin is said at once."""

from __future__ import annotations

from mnemo_ops.agent.actions.backup import MakeSet
from mnemo_ops.agent.actions.volumes import LookAtVolumes
from mnemo_ops.agent.base.finding import Finding
from mnemo_ops.agent.stack.stack import Stack
from mnemo_ops.checks import preflight as checks
from mnemo_ops.checks.findings import judge, of_host, refused
from mnemo_ops.checks.preflight import Side
from mnemo_ops.errors import Refused, Unreachable
from mnemo_ops.flows.backup import slow_stop
from mnemo_ops.flows.migrate import earlier, images, leftovers, look, transfer
from mnemo_ops.flows.migrate.context import Context
from mnemo_ops.flows.migrate.earlier import Earlier


def preflight(context: Context, act: bool = True) -> Earlier:
    """Look at both hosts; clean up after an interrupted run; refuse with every reason at once.

    :param act: false: what an interrupted run left speaks against beginning, and stays.
    :returns: how far an earlier run of this pair came. :raises Refused: every reason (3).
    """
    try:
        old, new = look.both(context)
    except Unreachable as error:
        return earlier.resume_without_old(context, error)
    if context.without_old:
        raise Refused(f"{context.old.name} answers, so --without-old is refused", hint=context.again)
    found = checks.same_machine(old, new)
    if not found:
        if earlier.is_final(old, new):
            return earlier.resume(context, old, new)
        if act and leftovers.clean_up(context, old, new):
            old, new = look.both(context)
        found = checks.problems(old, new, context.settings, context.accept_loss)
        found += [] if new.holds and new.runs else misplaced(context, new)  # what serves is in nobody's way
        found += unmade(context, old, new)
        context.other = images.other(context.flow, context.old, context.new, context.means, old, context.stack)
        found += images.older(context.flow, context.new, context.other, old, new) if context.other else []
    for warning in judge(found, context.flow.report.extra, "nothing was touched"):
        context.say(f"WARNING: {warning}")
    make = MakeSet(context.stack, context.run, (), accept_loss=context.accept_loss)
    slow_stop(context.flow, context.flow.ready(context.old, make)["longest_stop"])
    context.flow.ready(context.new, transfer.fetch(context, (), ""))
    return Earlier.NONE


def misplaced(context: Context, new: Side) -> list[Finding]:
    """What speaks against new's disks and directories as places of its volumes."""
    if new.survey["troubles"]:
        return []
    bare = not new.survey.get("tools", {}).get("docker", True)
    return _misnamed(context) if bare else placed(context)  # a bare one is looked at once it is provisioned


def placed(context: Context) -> list[Finding]:
    """As :func:`misplaced`, of a new that has Docker."""
    filled = [row["volume"] for row in context.stack["datasets"] if row["volume"]]
    look_at = LookAtVolumes(context.settings.project, context.rows, (), filled=filled)
    return _misnamed(context) + of_host(context.new.name, context.flow.ready(context.new, look_at)["findings"])


def _misnamed(context: Context) -> list[Finding]:
    """The compose file is taken along: a volume that has another name on new would not be the one that is used."""
    there = {row["key"]: row["name"] for row in context.rows}
    found: list[Finding] = []
    old, new = context.names
    stack = Stack.from_json(context.stack)
    for row in stack.datasets:
        was = stack.volume(row.volume) if row.volume else ""
        will = there.get(row.volume or row.path, "" if row.path else was)
        if was != will:
            one, other = was or "the stack's directory", will or "the stack's directory"
            evidence = f"{old} has it in {one}, here it would be in {other}"
            remedy = "declare it in stack.volumes as it is there, and move it afterwards (invoke volumes --to)"
            found.append(refused("volume.other-name", f"{new}: {row.volume or row.path}", evidence, remedy))
    return found


def unmade(context: Context, old: Side, new: Side) -> list[Finding]:
    """Volumes that the inventory does not make on new, and that a set may not ask for."""
    there = {*new.survey.get("all_volumes", ()), *(row["name"] for row in context.rows)}
    there |= {*old.survey.get("volumes", ())} - {*old.survey.get("odd_volumes", ())}  # the restore makes them
    named = context.stack["names"]  # not ours to name, nor to make
    alien = [named[row["volume"]] for row in context.stack["datasets"] if row["volume"] in named]
    remedy = "docker volume create {0} there by hand: mnemo_ops uses it as it is"
    missing = [
        refused(
            "volume.unmade", new.name, f"the volume {name} does not exist, and nobody declares it", remedy.format(name)
        )
        for name in dict.fromkeys(alien)
        if name not in there and name not in old.survey.get("odd_volumes", ())
    ]
    return missing + [
        refused(
            *(
                "volume.unmade",
                old.name,
                f"the volume {name} {what}, and a restore creates no such volume on {new.name}",
            ),
            remedy=f"if it is meant, {remedy.format(name)}",
        )
        for name, what in old.survey.get("odd_volumes", {}).items()
        if name not in there
    ]
