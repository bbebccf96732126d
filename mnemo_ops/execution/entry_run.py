"""EntryRun: one entry of a play on one host: rendered, put into the batch, or done and judged at once."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Optional

from mnemo_ops.agent.base.protocol import Event
from mnemo_ops.agent.base.record import replace
from mnemo_ops.agent.engine.check_taint import leaves
from mnemo_ops.agent.engine.resource import resource_class
from mnemo_ops.core.model import Entry, Task
from mnemo_ops.core.options import Options
from mnemo_ops.core.secret_text import parts_of
from mnemo_ops.errors import MnemoError
from mnemo_ops.execution import controller_modules
from mnemo_ops.execution.batch import Channel, Outbox, Outcomes, counts
from mnemo_ops.execution.conditions import Judge, is_judged
from mnemo_ops.execution.host_control import Control, Reach
from mnemo_ops.execution.host_state import HostState
from mnemo_ops.execution.results import Step, Unknown, Work
from mnemo_ops.execution.task_renderer import Renderer, constant, unsent
from mnemo_ops.templates.render import Unready


class EntryRun:
    """Takes entries one after the other; what became of each is in the state of the host."""

    def __init__(
        self,
        state: HostState,
        reach: Reach,
        outbox: Outbox,
        renderer: Renderer,
        options: Options,
        control: Control,
    ) -> None:
        self._state, self._reach, self._out, self._renderer, self._options = state, reach, outbox, renderer, options
        self._control, self._judge = control, Judge(outbox, renderer, control)

    def unsent(self, entry: Entry) -> Task:
        """It as a task that is not sent, with a number of its own."""
        return unsent(f"t{self._state.count()}", entry)

    def take(self, entry: Entry) -> Outcomes:
        """Add an entry to the batch; send the batch first when the entry reads what it registers."""
        if self._out.session.bare and entry.kind != "raw":
            yield from self._out.send()
            if self._state.failure is not None:
                return
            self._out.meet(self._reach.session())
        id = f"t{self._state.count()}"
        work = yield from self._out.asked(lambda: self._renderer.work(id, entry))
        if work is None or self._state.failure is not None:
            return
        yield from self._undecided(work)
        if self._state.failure is not None:
            return
        if self._state.doubtful:
            self._unsure(work.steps)
        failed = next((step for step in work.steps if step.event and step.event.status == "failed"), None)
        if failed is not None and not failed.task.ignore_errors:
            if self._state.blocks:  # somebody is going to clean up: what comes before happens first
                yield from self._out.send()
            if self._state.failure is None:
                assert failed.event is not None
                yield from self._out.fail(failed.task, failed.event)
            return
        if resource_class(entry.kind).on_controller:
            yield from self._here(work)
            return
        if not work.sends:
            self._out.put(work)
        elif entry.delegate_to:
            yield from self._elsewhere(work)
        elif is_judged(entry):
            yield from self._out.send(held=work)
            yield from self._judged(work)
        elif entry.loop is not None and entry.loop.pause:
            yield from self._slowly(work, entry.loop.pause)
        else:
            self._out.put(work)

    def _undecided(self, work: Work) -> Outcomes:
        """What a check cannot decide is left undone like what it would do: what comes later may not know."""
        entry, kind = work.entry, resource_class(work.entry.kind)
        unknown = next((step for step in work.steps if step.event and step.event.status == "unknown"), None)
        if unknown is None or unknown.event is None:
            return
        if entry.kind == "set_fact":
            self._state.set_variables({name: Unknown(unknown.event.why) for name in entry.args})
        elif entry.kind == "include_vars":  # nobody knows which variables it would set
            yield from self.came_to_nothing(unknown.task.name)
            self._state.doubt({entry.kind})
        elif not kind.on_controller and leaves(unknown.event, kind, constant(entry.changed_when)):
            yield from self.came_to_nothing(unknown.task.name)

    def came_to_nothing(self, name: str) -> Outcomes:
        if not self._state.undone:
            yield from self._out.send()  # what comes before it does not come after it
            self._state.leave_undone(name)

    def _unsure(self, steps: Sequence[Step]) -> None:
        """What fails in a check by a result that the real run may see otherwise is no failure yet."""
        for step in steps:
            if step.event is not None and step.event.status == "failed":
                why = f"after {self._state.undone}: {step.event.why}"
                step.event = Event(step.event.id, "unknown", why=why)

    def _slowly(self, work: Work, pause: float) -> Outcomes:
        """A loop that waits between two items."""
        for number, one in enumerate(work.rounds):
            if number and any(step.event is None for step in one.steps):
                yield from self._control.wait(one.steps[0].task, pause, "pause")
            self._out.put(Work(replace(work.entry, register=""), [one]))
            yield from self._out.send()
            if self._state.failure is not None:
                return
        self._out.register(work)

    # -- what the controller decides -----------------------------------------------------------------------------

    def _here(self, work: Work) -> Outcomes:
        """A kind that no host is asked for (debug, set_fact, ...)."""
        entry = work.entry
        if entry.kind in controller_modules.AFTER_ALL or self._state.blocks or is_judged(entry):
            yield from self._out.send()
            if self._state.failure is not None:
                return
        failed: Optional[Step] = None
        number = self._state.number
        for index, one in enumerate(work.rounds):
            if index and entry.kind in controller_modules.SETS:  # it may read what the item before has set
                again = self._renderer.work(f"t{number}", entry).rounds
                one = again[min(index, len(again) - 1)]  # a failure is one round
                work = replace(work, rounds=[*work.rounds[:index], one, *work.rounds[index + 1 :]])
            (step,) = one.steps
            if step.event is not None:
                continue
            try:
                step.event = event = yield from controller_modules.perform(self._control, step.task, one, entry)
                told = parts_of([event.before, event.after])
                step.task = replace(step.task, secrets=step.task.secrets | told)
            except Unready as problem:
                step.event = Event(step.task.id, "unknown", why=str(problem))
            except MnemoError as problem:
                step.event = Event.failure(step.task.id, problem)
            step.event = self._judge.verdict(step, work)
            if any(re.search(rf"\b{re.escape(name)}\b", f"{entry.args} {entry.when}") for name in self._state.doubtful):
                self._unsure([step])
            if step.event.status == "failed" and not step.task.ignore_errors:
                failed = failed or step
        if failed is None:
            self._out.put(work)
            return
        for step in work.steps:
            if step is failed:
                assert failed.event is not None
                yield from self._out.fail(failed.task, failed.event)
            elif step.event is not None:
                yield step.task, step.event
        self._out.register(work)

    def _judged(self, work: Work, session: Optional[Channel] = None) -> Outcomes:
        """``until``, ``failed_when``, ``changed_when``: what was held back is shown as they see it."""
        if self._state.failure is not None:
            return
        for step in work.steps:
            if step.event is not None and step.event.status not in ("skipped", "unknown"):
                yield from self._judge.decide(step, work, session)
            if step.event is None:
                continue
            if step.event.status == "failed" and not step.task.ignore_errors:
                yield from self._out.fail(step.task, step.event)
            else:
                yield step.task, step.event
                entry, unheard = work.entry, work.entry.changed_when or work.entry.delegate_to or self._options.check
                if step.event.status == "unknown" and counts(step.task, entry.changed_when):
                    self._out.doubt(step.task.notify, step.task.name)
                elif step.event.status == "changed" and unheard:
                    self._out.notified.extend(step.task.notify)
                    self._out.may_notify = True
        self._out.register(work)

    def _elsewhere(self, work: Work) -> Outcomes:
        """A task for this machine instead."""
        yield from self._out.send()
        if self._state.failure is None:
            here = self._reach.here()
            yield from self._out.send(held=work, session=here)
            yield from self._judged(work, here)
