"""Results: what later tasks may read of earlier ones (``register``), and what cannot be known yet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Optional

from mnemo_ops.agent.base.protocol import Event
from mnemo_ops.agent.base.record import dataclass, field, replace
from mnemo_ops.core.model import Entry, Task
from mnemo_ops.core.secret_text import typed
from mnemo_ops.templates.render import NoValue, Scope, Unready


class Pending(NoValue):
    """Registered by a task of the batch that is not sent yet: send it, then render again. Nothing is unknown here."""


class Unknown(Unready):
    """Nobody can know before an earlier task was applied, and a check applies nothing."""


@dataclass
class Step:
    """A task on its way.

    :param event: how it ended, known at once when nothing is sent (skipped, unknown).
    :param attempts: how often it was tried, where ``until`` may try again. :param bad: what ``failed_when`` came to.
    :param changed: what ``changed_when`` came to, also of one that failed.
    """

    task: Task
    event: Optional[Event] = None
    attempts: int = 0
    bad: Optional[bool] = None
    changed: Optional[bool] = None

    def end(self, status: str, why: str) -> Step:
        """The same step, which ends here."""
        return replace(self, event=Event(self.task.id, status, why=why))


@dataclass
class Round:
    """One item of a loop, or all of a task that does not loop.

    :param scope: what it was rendered with; of that, the item is ``row``.
    :param args: rendered arguments of a kind the controller does itself.
    """

    steps: Sequence[Step]
    item: Any = None
    scope: Optional[Scope] = None
    row: Mapping[str, Any] = field(default_factory=dict)
    args: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class Work:
    """What became of one entry of the play.

    :param perhaps: what it would do, where a check cannot know whether it is done.
    :param passed: items of a loop that was skipped as a whole, or had none.
    """

    entry: Entry
    rounds: Sequence[Round]
    looped: bool = False
    perhaps: Sequence[Task] = ()
    passed: Optional[Sequence[Any]] = None

    @property
    def steps(self) -> list[Step]:
        return [step for one in self.rounds for step in one.steps]

    @property
    def sends(self) -> bool:
        return any(step.event is None for step in self.steps)


def result(work: Work, check: bool) -> Any:
    """What ``register`` names afterwards, with Ansible's keys; an :class:`Unready` when a check cannot know."""
    outcomes = [_outcome(one, check) for one in work.rounds]
    unready = [outcome for outcome in outcomes if isinstance(outcome, Unready)]
    if unready or work.entry.loop is None or not (work.looped or work.passed is not None):
        return min(unready, key=lambda one: len(one.known)) if unready else outcomes[0]
    names = {"ansible_loop_var": work.entry.loop.var}
    if work.passed is not None:
        rows = [{**outcomes[0], work.entry.loop.var: item, **names} for item in work.passed]
        said = {"msg": "All items skipped"} if rows else {"skipped_reason": "No items in the list"}
        return {"results": rows, "changed": False, "failed": False, "skipped": True, **said}
    rows = [{**one, work.entry.loop.var: row.item, **names} for one, row in zip(outcomes, work.rounds)]
    failed, skipped = any(one["failed"] for one in outcomes), all(one.get("skipped") for one in outcomes)
    words = "One or more items failed" if failed else "All items skipped" if skipped else "All items completed"
    changed = any(one["changed"] for one in outcomes)
    return {"results": rows, "changed": changed, "failed": failed, "skipped": skipped, "msg": words}


def _outcome(one: Round, check: bool) -> Any:
    events = [step.event for step in one.steps if step.event is not None]
    statuses = {event.status for event in events}
    if "unknown" in statuses:
        return Unknown(next(event.why for event in events if event.status == "unknown"))
    if check and any(event.foreseen for event in events):
        known = {"changed": "changed" in statuses, "skipped": False}
        if not one.steps[0].task.ignore_errors:  # else it may well fail
            known["failed"] = False
        return Unknown(f"after {one.steps[0].task.name}", known)
    tried = max((step.attempts for step in one.steps), default=0)
    judged = [step.bad for step in one.steps if step.bad is not None]
    said = [step.task.changed if step.changed is None else step.changed for step in one.steps]
    return {
        **typed(
            outcome(events, all(acts(step.task) for step in one.steps), None if None in said else any(said)),
            frozenset().union(*(step.task.secrets for step in one.steps)),
        ),
        **({"attempts": tried} if tried else {}),
        **({"failed_when_result": any(judged)} if judged else {}),
    }


def acts(task: Task) -> bool:
    """Whether it may change something, unlike a look or a request."""
    return bool(getattr(task.resource, "changes", True))  # nothing, when it could not be rendered


def outcome(events: Sequence[Event], acts: bool, changed: Optional[bool] = None) -> dict[str, Any]:
    """What became of a task, with Ansible's keys.

    :param acts: it may have changed something. :param changed: what ``changed_when`` says of it, if it failed.
    """
    statuses = {event.status for event in events}
    failed = next((event for event in events if event.status in ("failed", "rescued")), None)
    known: dict[str, Any] = {}
    if len(events) == 1:  # a failure carries what is in ``before`` and what should be in ``after``
        known = dict((events[0].before if failed else events[0].after) or {})
    for name in ("stdout", "stderr"):
        if isinstance(known.get(name), str):
            known.setdefault(f"{name}_lines", known[name].splitlines())
    skipped = statuses == {"skipped"} or not statuses
    if failed is not None and changed is None:
        changed = acts and failed.error is None  # a failure without an error of ours is a deed that was done
    return {
        **({"msg": failed.why} if failed else {}),
        **known,
        **({"skipped": True, "skip_reason": "Conditional result was False"} if skipped else {}),
        "changed": "changed" in statuses or (failed is not None and bool(changed)),
        "failed": failed is not None,
    }
