"""Going back: what failed before the point of no return is undone, old first; then what is true now is said."""

from __future__ import annotations

from contextlib import suppress
from typing import NoReturn

from mnemo_ops.agent.actions.journal import Forget
from mnemo_ops.agent.actions.survey import Survey
from mnemo_ops.agent.process.lease import TRYING
from mnemo_ops.core.model import Host
from mnemo_ops.errors import Interrupted, MnemoError, Refused, RollbackFailed, StepFailed
from mnemo_ops.flows.engine import Steps
from mnemo_ops.flows.migrate import ends, gone, report
from mnemo_ops.flows.migrate.context import Context, Stage


def give_up(context: Context, steps: Steps, error: BaseException) -> NoReturn:
    """Undo in reverse order, old first; then raise what happened, with the state of both hosts.

    :raises StepFailed: new serves, or will (6). :raises RollbackFailed: old does not serve (8).
    :raises Interrupted: old serves (130).
    """
    answering = [host for host in (context.old, context.new) if _forgotten(context, host)]
    try:
        _take_back(context, steps, error)
    except MnemoError as end:
        ends.failed(context, steps.at, end, answering)
        raise


def _forgotten(context: Context, host: Host) -> bool:
    """End the run's jobs: they must not go on. What cannot be reached is left to its leases."""
    with suppress(MnemoError, KeyboardInterrupt):
        context.flow.act(host, Forget(context.run))
        return True
    return False


def _take_back(context: Context, steps: Steps, error: BaseException) -> NoReturn:
    why = str(error) or "interrupted"
    if context.stage == Stage.SETTLING and _is_settled(context, why, error):
        context.stage = Stage.PROMOTED
        context.write_down("promote", "settled")  # who finishes it need not ask old
    if context.stage >= Stage.PROMOTED:
        raise StepFailed(
            f"{why}; {report.old_now(context)}, {_new_now(context)}", hint=f"run it again to finish: {context.again}"
        ) from error
    if steps.can_undo:
        context.say(f"FAILED: {why}")
    try:
        failed = steps.take_back()
    except KeyboardInterrupt:
        raise Interrupted(
            f"interrupted while undoing; {context.old.name} finishes that by itself and serves within two minutes",
            hint=f"then: {context.again}",
        ) from None
    failures = "; ".join(f"{undo.sentence}: {failure}" for undo, failure in failed)
    if any(undo.first for undo, _ in failed):
        raise RollbackFailed(
            f"{why}; and these could not be undone: {failures}",
            hint=f"{context.old.name} undoes them by itself within two minutes of its return: invoke lock.status "
            f"--limit {context.old.name} says free then, and {context.again} begins anew{_else_without(context)}",
        ) from error
    _raise(context, error, failures)


def _raise(context: Context, error: BaseException, failures: str) -> NoReturn:
    """What happened, now that old serves: with what is left, and the commands for it."""
    old, left = context.old.name, _left(context)
    if isinstance(error, KeyboardInterrupt):
        also = f"; {left}" if context.stage >= Stage.PREPARED else ""
        raise Interrupted(f"interrupted; {old} serves, nothing was moved{also}", hint=context.again) from None
    assert isinstance(error, MnemoError)
    if failures:
        error.message += f"; left to the hosts' own leases: {failures}"
    stopped = context.stage >= Stage.FENCED
    if stopped:
        error.message += f"; {old} serves again; {left}"
    elif context.stage >= Stage.PREPARED:
        error.message += f"; {old} was not stopped; {left}"
    error.hint = error.hint or context.again
    if stopped and isinstance(error, Refused):  # refused means that nothing was touched, and old was stopped
        raise StepFailed(error.message, where=error.where, hint=error.hint) from error
    raise error


def _new_now(context: Context) -> str:
    if context.stage == Stage.SERVING:
        return f"{context.new.name} serves"
    marked = context.stage >= Stage.MARKED
    tries = f"; {context.new.name} retries the start for {TRYING / 60:.0f} minutes" if marked else ""
    return f"all data is on {context.new.name}, where not every service runs yet{tries}"


def _left(context: Context) -> str:
    """What a run that failed leaves, and the commands for it."""
    old, new = context.names
    abort = f"invoke migrate --abort --from {old} --to {new}"
    what = "a stopped copy, for inspection" if context.stage >= Stage.RESTORING else "what was prepared"
    left = f"{new} keeps {what} ({abort} removes it)"
    if context.manifest:
        size = sum(int(part["bytes"]) for part in context.manifest["parts"])
        prune = f"invoke backup.prune --limit {old}"
        mb = f"{size / 1e6:.1f} MB"
        left += f"; the backup {context.run} stays on {old} ({mb}; {prune} removes it, from two minutes on)"
    return left


def _is_settled(context: Context, why: str, error: BaseException) -> bool:
    """Whether old's fence is final, asked of old itself. :raises RollbackFailed: it cannot be asked (8).
    :raises Interrupted: nobody waits for the answer (130).
    """
    old, new = context.names
    try:
        fence = context.flow.ready(context.old, Survey(context.stack))["fence"]
    except MnemoError as silence:
        raise RollbackFailed(
            f"{why}; and {old} cannot be asked whether its fence is final: {silence}; {new} "
            "holds the complete copy, compared, which is stopped meanwhile",
            hint=f"once {old} answers, the same command finds out and goes on: {context.again}{_else_without(context)}",
        ) from error
    except KeyboardInterrupt:
        raise Interrupted(
            f"interrupted while asking {old} whether its fence is final; either {old} serves again within two "
            f"minutes, or {new} does",
            hint=f"then: {context.again}",
        ) from None
    return bool(fence and fence["run"] == context.run and fence["state"] == "final")


def _else_without(context: Context) -> str:
    """The way out when old never comes back: only with a copy that was proven."""
    proven = context.stage >= Stage.PROVEN
    return f"; only if {context.old.name} never comes back: {gone.without(context.names)}" if proven else ""
