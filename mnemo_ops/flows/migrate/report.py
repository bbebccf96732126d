"""What is told at the end: what moved, how long nobody could write, what was compared, and what is not as it should."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mnemo_ops.flows.backup import accepted, left_out, strayed, unknown_settings
from mnemo_ops.flows.migrate.context import Context


def tell(context: Context, phases: Sequence[Any]) -> None:
    """The report of a run that came to its end."""
    report, outage = context.flow.report, context.outage
    report.extra.update(
        run=context.run,
        method="dump",
        phases=phases,
        write_outage_seconds=outage and round(outage, 3),
        user_outage_seconds=outage and round(outage, 3),
        bytes_copied=context.bytes_copied,
        bytes_in_outage=context.bytes_in_outage,
        verified={**context.manifest.get("datasets", {}), **context.proof},
        **_states(context),
    )
    accepted(context.flow, context.manifest.get("accepted_losses", []))
    left_out(context.flow, context.manifest.get("datasets", {}))
    strayed(context.flow, context.new, list(context.strays))
    unknown_settings(context.flow, context.new, list(context.unknown_settings))
    if outage is not None:
        moved = f"{context.bytes_in_outage / 1e6:.1f} MB moved inside it"
        report.summary.append(f"write outage {outage:.1f} s ({moved})")
    _warn(context)
    old = old_now(context) if context.silent else f"{context.old.name} is fenced, stopped and intact"
    report.summary.append(f"{context.new.name} serves, point clients at it; {old} (docs/migrate.md)")


def tell_done(context: Context) -> None:
    """An earlier run came to its end."""
    old, new = context.names
    context.say(f"nothing to do: run {context.run} moved the stack from {old} to {new}, which serves")
    _warn(context)
    context.flow.report.extra.update(run=context.run, method="dump", **_states(context))


def old_now(context: Context) -> str:
    fenced = "may not be fenced for good" if context.unsure else "is fenced for good"
    return f"{context.old.name} {fenced}" + (" and does not answer" if context.silent else "")


def _warn(context: Context) -> None:
    """What is not as it should be, now that new serves without old."""
    if context.silent is None:
        return
    text = f"{old_now(context)} ({context.silent})"
    if context.unsure:
        text += f": started again it may serve beside {context.new.name}; do not let it, or stop its containers there"
    else:
        text += ": it does not serve when it is back"
    context.flow.report.summary.append(f"WARNING: {text}")
    context.flow.report.extra.setdefault("warnings", []).append(text)


def _states(context: Context) -> dict[str, Any]:
    old, new = context.names
    return {
        "old": {"host": old, "state": old_now(context) if context.silent else "fenced, stopped, intact"},
        "new": {"host": new, "state": "serving"},
    }
