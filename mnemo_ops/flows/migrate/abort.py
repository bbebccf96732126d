"""Taking back by command what a migration left that was interrupted or failed."""

from __future__ import annotations

from mnemo_ops.errors import Refused, Unreachable
from mnemo_ops.flows.migrate import earlier, gone, leftovers, look
from mnemo_ops.flows.migrate.context import Context


def abort(context: Context) -> None:
    """Undo what is left on both hosts; old serves afterwards.

    :raises Refused: it is past the point of no return, and can only be finished (3).
    """
    old_name, new_name = context.names
    context.say(f"look at {old_name} and {new_name}")
    try:
        old, new = look.both(context)
    except Unreachable as error:
        copy = earlier.look_at_copy(context, error)[0]
        raise gone.waiting(error, copy, context.names, context.again) from None
    if earlier.is_final(old, new):
        run, mark = old.survey["fence"]["run"], new.survey["target"]
        if mark is not None and mark["state"] == "serving" and new.runs and not old.runs:
            raise Refused(f"run {run} is complete: {new_name} serves; there is nothing to abort")
        raise Refused(
            f"run {run} is past its point of no return: {old_name} is fenced for good, and clients "
            f"may have written to {new_name}",
            hint=f"{context.again} finishes it",
        )
    if not leftovers.clean_up(context, old, new):
        context.say(f"nothing to abort: no migration left anything on {old_name} or {new_name}")
        return
    for host in (context.old, context.new):
        context.flow.forget(host, context.run)
        context.flow.report.host(host.name).add("changed")
    serves = "serves" if look.both(context)[0].runs else "does not serve"
    context.say(f"undone: {old_name} {serves}, {new_name} holds no copy")
