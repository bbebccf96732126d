"""Judging: what a task did as ``until``, ``failed_when`` and ``changed_when`` see it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Optional

from mnemo_ops.agent.base.protocol import Event
from mnemo_ops.agent.base.record import replace
from mnemo_ops.core.model import Entry, Retry
from mnemo_ops.errors import MnemoError
from mnemo_ops.execution.batch import Channel, Outbox, Outcomes
from mnemo_ops.execution.host_control import Control
from mnemo_ops.execution.results import Step, Work, acts, outcome
from mnemo_ops.execution.task_renderer import Renderer, constant
from mnemo_ops.templates.render import Unready, condition, render


def is_judged(entry: Entry) -> bool:
    """Whether what a task did must be judged by the controller."""
    changed = bool(entry.changed_when) and constant(entry.changed_when) is None
    failed = bool(entry.failed_when) and constant(entry.failed_when) is not False
    return entry.retry is not None or changed or failed


class Judge:
    """What tasks of one play on one host came to."""

    def __init__(self, outbox: Outbox, renderer: Renderer, control: Control) -> None:
        self._outbox, self._renderer, self._control, self._options = outbox, renderer, control, control.options

    def decide(self, step: Step, work: Work, session: Optional[Channel]) -> Outcomes:
        """What became of a task; where it may try again, once more where it was done before, until it is as wanted.

        :param session: as :meth:`Outbox.send`.
        """
        retry, entry = work.entry.retry, work.entry
        step.event = self.verdict(step, work)
        if retry is None:
            return
        if self._options.check:
            looked = step.event.status in ("ok", "changed") and not step.event.foreseen
            if looked and not self._enough(retry, step, work) and step.event.status != "failed":
                step.event = Event(step.event.id, "unknown", why=f"not true yet: {' and '.join(retry.until)}")
            return
        step.attempts = 1
        scope = self._renderer.scope(entry)
        retries, delay = int(render(retry.retries, scope)), float(render(retry.delay, scope))
        for attempt in range(1, retries + 1):
            if self._enough(retry, step, work):
                return
            yield from self._control.wait(step.task, delay, f"try {attempt} of {retries} was not enough")
            if self._control.ended:
                return
            again = Step(step.task)
            for _ in self._outbox.send(Work(entry, [replace(work.rounds[0], steps=[again])]), session):
                pass
            if again.event is not None:
                step.event = again.event
                step.event = self.verdict(step, work)
            step.attempts = attempt + 1
        step.attempts = retries
        if not self._enough(retry, step, work) and step.event.status != "failed":
            why = f"not true after {retries} tries: {' and '.join(retry.until)}"
            step.event = replace(step.event, status="failed", why=why, before=step.event.after or step.event.before)

    def _enough(self, retry: Retry, step: Step, work: Work) -> bool:
        """Whether no other try is needed, or would help: ``until`` cannot be asked."""
        assert step.event is not None
        try:
            return self._holds(retry.until, step, work) if retry.until else step.event.status != "failed"
        except MnemoError as problem:
            step.event = Event.failure(step.event.id, problem)
            return True

    def _holds(self, expressions: Sequence[str], step: Step, work: Work) -> bool:
        """Whether expressions hold of what has just become of a task."""
        assert step.event is not None
        one = next(one for one in work.rounds if step in one.steps)
        scope = self._renderer.scope(work.entry).plus(one.row, final=True)  # made anew: the batch was sent since
        if work.entry.register:
            scope = scope.plus({work.entry.register: outcome([step.event], acts(step.task), step.changed)}, final=True)
        return all(condition(text, scope, work.entry.where) for text in expressions)

    def verdict(self, step: Step, work: Work) -> Event:
        """The event as ``failed_when`` and ``changed_when`` see it."""
        entry, event = work.entry, step.event
        assert event is not None
        if self._options.check and event.foreseen:
            asks = [one for one in (entry.failed_when, entry.changed_when) if one and constant(one) is None]
            if asks or constant(entry.failed_when):
                return replace(event, status="unknown", why="what it says decides, and a check does not ask it")
            return event
        if event.status not in ("ok", "changed", "failed"):
            return event
        try:
            step.changed = None
            changed = bool(outcome([event], acts(step.task))["changed"])
            step.changed = self._holds(entry.changed_when, step, work) if entry.changed_when else changed
            if event.status != "failed":
                event = step.event = replace(event, status="changed" if step.changed else "ok")
            if entry.failed_when:
                bad = step.bad = self._holds(entry.failed_when, step, work)
                if bad and event.status != "failed":
                    why = f"failed_when: {' and '.join(entry.failed_when)}"
                    event = replace(event, status="failed", why=why, before=event.after or event.before)
                elif not bad and event.status == "failed":
                    status = "changed" if step.changed else "ok"
                    event = replace(event, status=status, why="", error=None, after=event.before)
        except Unready as problem:
            return Event(event.id, "unknown", why=str(problem))
        except MnemoError as problem:
            return event if event.status == "failed" else Event.failure(event.id, problem)
        return event
