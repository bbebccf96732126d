"""Handling: handlers that are due, sent as a part of the batch where that can be, else as tasks of their own."""

from __future__ import annotations

from mnemo_ops.agent.base.protocol import Event
from mnemo_ops.agent.engine.resource import resource_class
from mnemo_ops.core.model import Entry, Handlers, Play
from mnemo_ops.core.options import Options
from mnemo_ops.execution.batch import Outbox, Outcomes
from mnemo_ops.execution.conditions import is_judged
from mnemo_ops.execution.entry_run import EntryRun
from mnemo_ops.execution.host_state import HostState
from mnemo_ops.execution.results import Pending, Work
from mnemo_ops.execution.task_renderer import Renderer
from mnemo_ops.templates.render import NoValue


class Handling:
    """The handlers of a play on one host, taken as its tasks are."""

    def __init__(
        self, play: Play, state: HostState, outbox: Outbox, renderer: Renderer, options: Options, entries: EntryRun
    ) -> None:
        self._handlers, self._state, self._out, self._renderer = play.handlers, state, outbox, renderer
        self._options, self._entries = options, entries

    def flush(self) -> Outcomes:
        """Those that are due by now: as a part of the batch, or apart when the controller has a say in them."""
        if self._options.check:
            yield from self._doubtful()
        due = self._out.may_notify or self._out.session.pending_handlers or self._out.notified
        if not self._handlers or not due:
            return
        works: list[tuple[str, Work]] = []
        try:
            for entry in self._handlers:
                if is_judged(entry) or entry.delegate_to or resource_class(entry.kind).on_controller:
                    raise Pending(entry.name)
                works.append((entry.name, self._work("h", entry)))
        except NoValue:
            yield from self._apart()
            return
        if any(step.event and step.event.status in ("failed", "unknown") for _, work in works for step in work.steps):
            yield from self._apart()
            return
        tasks = {name: tuple(step.task for step in work.steps if step.event is None) for name, work in works}
        ready = tuple((name, found) for name, found in tasks.items() if found)
        idle = tuple(name for name, found in tasks.items() if not found)
        self._out.put_handlers(Handlers(ready, idle))

    def _work(self, letter: str, entry: Entry) -> Work:
        return self._renderer.work(f"{letter}{self._state.count()}", entry)

    def _doubtful(self) -> Outcomes:
        """Those that are notified only when a task changes something of which a check cannot know that it does."""
        if self._out.may_notify:
            yield from self._out.send()
        for entry in self._handlers if self._state.failure is None else ():
            why = self._out.perhaps.pop(entry.name, "")
            if why and entry.name not in (*self._out.session.pending_handlers, *self._out.notified):
                work = yield from self._out.asked(lambda entry=entry: self._work("t", entry))  # type: ignore[misc]
                if work is None:
                    return
                for step in work.steps:
                    if step.event is None or step.event.status == "failed":
                        step.event = Event(step.task.id, "unknown", why=why)
                self._out.put(work)

    def _apart(self) -> Outcomes:
        """One after the other, as tasks; only now a bad one is a failure."""
        yield from self._out.send()
        for entry in self._handlers if self._state.failure is None else ():
            if self._state.failure is not None or entry.name not in self._out.session.pending_handlers:
                continue
            yield from self._entries.take(entry)
            if self._state.failure is None:
                self._out.put_handlers(Handlers(idle=(entry.name,)))  # it was run: off the list
                yield from self._out.send()
