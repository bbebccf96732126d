"""Old does not answer any more: what new and the journals know of its migration, and whether new may serve alone."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Optional

from mnemo_ops.agent.base.record import dataclass
from mnemo_ops.checks.preflight import Side
from mnemo_ops.errors import STRANGERS, MnemoError, Unreachable

PROVEN, SETTLED = "verify done", "promote settled"  # steps of a journal


@dataclass(frozen=True)
class Copy:
    """What new holds of a migration.

    :param proven: it is complete, and was compared. :param settled: old is fenced for good, it said so itself.
    """

    run: str
    proven: bool
    settled: bool


def copy_on(new: Side, names: Sequence[str], here: Collection[str]) -> Optional[Copy]:
    """:param names: of old and new. :param here: steps of that run in this machine's journal. ``None``: not of them."""
    mark = new.survey["target"]
    if mark is None or list(mark.get("hosts") or ()) != list(names):
        return None
    steps = {*here, *new.survey.get("steps", ())}
    serving = mark["state"] == "serving"
    return Copy(mark["run"], serving or PROVEN in steps, serving or SETTLED in steps)


def without(names: Sequence[str]) -> str:
    """The command by which new serves although nobody knows whether old is fenced for good."""
    return f"invoke migrate --without-old --from {names[0]} --to {names[1]}"


def waiting(error: Unreachable, copy: Optional[Copy], names: Sequence[str], again: str) -> MnemoError:
    """Why old is waited for: the error that it does not answer, with what new holds and the next command."""
    old, new = names
    if copy is None or isinstance(error, STRANGERS):
        return error
    if not copy.proven:
        error.message += f"; {new} holds an unfinished copy of run {copy.run}; {old} serves again when it is back"
        error.hint = f"once {old} answers: {again}"
        return error
    error.message += (
        f"; {new} holds the complete copy of run {copy.run}, compared, and does not serve: {old} may not be fenced for "
        "good, and would then serve again when it is back"
    )
    error.hint = f"once {old} answers: {again}; only if it never will again: {without(names)}"
    return error
