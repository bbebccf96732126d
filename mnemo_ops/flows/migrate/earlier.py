"""An earlier run of the same two hosts: whether it can be gone on with, with old or without it."""

from __future__ import annotations

from enum import Enum
from typing import Optional

from mnemo_ops.checks.preflight import Side
from mnemo_ops.errors import STRANGERS, MnemoError, Unreachable
from mnemo_ops.flows.journal import Journal
from mnemo_ops.flows.migrate import gone, look
from mnemo_ops.flows.migrate.context import Context, Stage


class Earlier(Enum):
    """How far an earlier run came."""

    NONE = "none that counts"
    PROMOTED = "past its point of no return"
    SERVING = "complete"


def is_final(old: Side, new: Side) -> bool:
    """Whether old is fenced for good, for this very new."""
    fence = old.survey["fence"]
    return bool(fence and fence["state"] == "final" and fence["target"] == new.survey["machine_id"])


def resume(context: Context, old: Side, new: Side) -> Earlier:
    """The run that came past the point of no return: go on, or say that it is done."""
    _go_on_with(context, old.survey["fence"]["run"])
    return Earlier.SERVING if _is_done(new) and not old.runs else Earlier.PROMOTED


def resume_without_old(context: Context, error: Unreachable) -> Earlier:
    """As :func:`resume`, from what new and the journals know. :raises Unreachable: old is waited for (4)."""
    copy, new = look_at_copy(context, error)
    may = copy is not None and (copy.settled or (context.without_old and copy.proven))
    if copy is None or not may or isinstance(error, STRANGERS):
        raise gone.waiting(error, copy, context.names, context.again) from None
    context.silent, context.unsure = error, not copy.settled
    _go_on_with(context, copy.run)
    return Earlier.SERVING if _is_done(new) else Earlier.PROMOTED


def look_at_copy(context: Context, error: Unreachable) -> tuple[Optional[gone.Copy], Side]:
    """What new holds, old does not answer. :raises Unreachable: it is new that does not, or it, too (4)."""
    try:
        new = look.one(context, context.new)
    except MnemoError:
        raise error from None
    mark = new.survey["target"]
    here = Journal(context.flow.home, mark["run"]).steps() if mark is not None else []
    return gone.copy_on(new, context.names, here), new


def _go_on_with(context: Context, run: str) -> None:
    context.run, context.stage = run, Stage.PROMOTED


def _is_done(new: Side) -> bool:
    healthy = new.runs and all(each["state"] == "running" for each in new.survey["containers"].values())
    mark = new.survey["target"]
    # not while policies are not yet as their owner said
    return bool(healthy and mark is not None and mark["state"] == "serving" and not mark.get("restart"))
