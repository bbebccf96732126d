"""Runner: one play on one host. The controller renders and decides, the host does everything else in few batches.

A batch is sent only where the controller must know what became of it: a later task reads a result, a condition decides
whether a task changed or failed, a block may have to be rescued, a task is done elsewhere, the play ends.
"""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Optional, Protocol, TypeVar

from mnemo_ops import controller_tasks
from mnemo_ops.agent.resource import Resource, resource_class
from mnemo_ops.agent.wire import Event
from mnemo_ops.errors import ChannelLost, MnemoError, StepFailed, TemplateError, from_json
from mnemo_ops.model import Batch, Block, Entry, Flush, Handlers, Host, Include, Node, Play, Task
from mnemo_ops.rendering import HostState, Renderer, User, constant, items, loop_variables, unsent
from mnemo_ops.results import Pending, Round, Step, Work, outcome, result
from mnemo_ops.selection import EVERYTHING, Options
from mnemo_ops.template import Unready, condition, render

__all__ = ["HostState", "Options", "PlayRun", "Together"]

Outcome = tuple[Task, Event]
Outcomes = Iterator[Outcome]
T = TypeVar("T")


class Channel(Protocol):
    """What a play needs of a session."""

    facts: Mapping[str, Any]
    login: str
    pending_handlers: Sequence[str]

    def converge(self, batch: Batch) -> Iterator[Event]: ...


class Reach(Protocol):
    """The ways to where tasks are done."""

    def session(self) -> Channel:
        """The host's; opened when first asked for."""
        ...

    def here(self) -> Channel:
        """This machine's, for ``delegate_to: localhost``."""
        ...

    def again(self, timeout: float) -> Channel:
        """The host's after it went away: waits until it answers. :raises Unreachable: it does not (4)."""
        ...

    def hang_up(self) -> None: ...


class Together(Protocol):
    """What the hosts of a play share."""

    def magic(self) -> Mapping[str, Any]:
        """Variables about the play: ``hostvars``, ``ansible_play_hosts``, ..."""
        ...

    def once(self, key: str, host: Host) -> bool:
        """Whether this host is the one to do a ``run_once`` task; waits until another has done it when it is not."""
        ...

    def done_once(self, key: str, state: HostState, names: Mapping[str, Any], failed: bool) -> None: ...

    def results_of(self, key: str) -> tuple[Mapping[str, Any], bool]:
        """What a ``run_once`` task set, and whether it failed."""
        ...

    def over(self) -> bool:
        """Whether the whole play was ended (``end_play``, ``any_errors_fatal``)."""
        ...

    def end(self, host: str, word: str) -> None: ...


@dataclass(frozen=True)
class Failure:
    """What ended the tasks, and the number of its entry in the order they were taken."""

    number: int
    task: Task
    event: Event

    def error(self, host: Host) -> MnemoError:
        cause = from_json(self.event.error) if self.event.error else StepFailed(self.event.why)
        cause.message = f"{self.task.name}: {'failed (no_log)' if self.task.no_log else cause.message}"
        cause.where = f"{host.name}, {self.task.where}"
        return cause


class PlayRun:
    """One play on one host.

    :param extra: of ``--vars``: they win over everything.
    """

    def __init__(
        self,
        play: Play,
        state: HostState,
        reach: Reach,
        together: Together,
        extra: Mapping[str, Any],
        options: Options = EVERYTHING,
    ) -> None:
        self._play, self._state, self._reach, self._options, self._together = play, state, reach, options, together
        self._renderer = Renderer(play, state, extra, options, together.magic())
        self._session: Channel = reach.session()
        self._batch: list[tuple[int, Any]] = []  # works and places of handlers, with their number
        self._number = 0
        self._rescuers: list[int] = []  # of blocks around us that will rescue a failure: the number they began after
        self._blocks = 0
        self._failure: Optional[Failure] = None
        self._ended = False
        self._notified: list[str] = []  # by tasks whose change only the controller could tell
        self._may_notify = False
        self._introduce()

    def _introduce(self) -> None:
        """What the host said of itself when it was reached."""
        self._state.facts.update(self._session.facts)
        self._renderer.user = User(str(self._session.facts.get("user_id", "root")), self._session.login)
        self._renderer.changed()

    def run(self) -> Generator[Outcome, None, None]:
        """Yields each task with its events, in order, progress included.

        It ends after the first failure that is neither ignored nor rescued. What fails before it is sent (a template
        that cannot be rendered) is such a failure, too; nothing of its batch is sent then.

        :raises MnemoError: a task failed (its own code); the channel or the agent did (4, 1).
        """
        self._renderer.read_vars_files()
        yield from self._nodes(self._play.tasks)
        if self._failure is None:
            yield from self._send()
        if self._failure is not None and self._play.force_handlers:
            failure, self._failure = self._failure, None
            yield from self._flush()
            yield from self._send()
            self._failure = failure
        if self._failure is not None:
            raise self._failure.error(self._state.host)

    # -- the order of things -------------------------------------------------------------------------------------

    def _nodes(self, nodes: Sequence[Node]) -> Outcomes:
        for node in nodes:
            if self._failure is not None or self._ended:
                return
            if self._together.over():
                self._ended = True
            elif isinstance(node, Entry):
                yield from self._entry(node)
            elif isinstance(node, Block):
                yield from self._block(node)
            elif isinstance(node, Include):
                yield from self._include(node)
            elif (yield from self._asked(lambda node=node: self._wanted(node))):  # type: ignore[misc]
                yield from self._flush()

    def _wanted(self, flush: Flush) -> bool:
        scope = self._renderer.plain()
        return all(condition(text, scope, flush.where) for text in flush.when)

    def _block(self, block: Block) -> Outcomes:
        first = self._number
        self._blocks += 1
        self._rescuers += [first] if block.rescue else []
        yield from self._nodes(block.tasks)
        if self._failure is None:
            yield from self._send()
        del self._rescuers[len(self._rescuers) - bool(block.rescue) :]
        if self._failure is not None and self._failure.number <= first:  # it was never reached
            self._blocks -= 1
            return
        if self._failure is not None and block.rescue:
            self._remember_failure(self._failure)
            self._failure = None
            yield from self._nodes(block.rescue)
            if self._failure is None:
                yield from self._send()
        if block.always:
            failure, ended = self._failure, self._ended
            self._failure, self._ended = None, False
            yield from self._nodes(block.always)
            if self._failure is None:
                yield from self._send()
            self._failure, self._ended = self._failure or failure, self._ended or ended
        self._blocks -= 1

    def _remember_failure(self, failure: Failure) -> None:
        self._batch.clear()
        found = outcome([failure.event])
        self._state.results["ansible_failed_result"] = found
        action = getattr(failure.task.resource, "kind", "")  # nothing, when it could not be rendered
        name = "" if failure.task.name == action else failure.task.name
        self._state.results["ansible_failed_task"] = {"name": name, "action": action}
        self._renderer.changed()

    def _include(self, node: Include) -> Outcomes:
        entry = node.entry
        if not self._options.wants(entry.tags):
            return
        try:
            chosen = yield from self._asked(lambda: self._chosen(node))
        except Unready as problem:
            self._skip(entry, "unknown", str(problem))
            return
        except MnemoError as problem:
            yield from self._send()
            task = self._unsent(entry)
            if self._failure is None:
                yield from self._fail(task, Event.failure(task.id, problem))
            return
        if self._failure is not None:
            return
        if not chosen:
            self._skip(entry, "skipped", "when")
        for inner, overlay in chosen:
            self._renderer.overlays.append(overlay)
            self._renderer.changed()
            yield from self._nodes(inner)
            if self._failure is None and overlay:
                yield from self._send()  # what is not sent yet may be rendered again, and needs these variables
            self._renderer.overlays.remove(overlay)
            self._renderer.changed()

    def _skip(self, entry: Entry, status: str, why: str) -> None:
        """Its turn to be shown comes with the batch."""
        step = Step(self._unsent(entry)).end(status, why)
        self._batch.append((self._number, Work(entry, [Round([step])])))

    def _chosen(self, node: Include) -> list[tuple[Sequence[Node], Mapping[str, Any]]]:
        """Contents to run, each with the variables of its item."""
        entry, scope = node.entry, self._renderer.scope(node.entry)
        if entry.loop is None:
            holds = all(condition(text, scope, entry.where) for text in entry.when)
            return [(self._choice(node, scope), {})] if holds else []
        found = items(entry.loop, scope, entry.where)
        rows = [loop_variables(entry.loop, found, number) for number in range(len(found))]
        chosen: list[tuple[Sequence[Node], Mapping[str, Any]]] = []
        for row in rows:
            inner = scope.plus(row, final=True)
            if all(condition(text, inner, entry.where) for text in entry.when):
                chosen.append((self._choice(node, inner), row))
        return chosen

    def _choice(self, node: Include, scope: Any) -> Sequence[Node]:
        name = str(render(node.entry.args["file"], scope, node.entry.where))
        for known in (name, name.removeprefix("./")):
            if known in node.choices:
                return node.choices[known]
        hint = f"read before the run: {', '.join(sorted(node.choices))}"
        raise TemplateError(f"no file of tasks '{name}'", where=node.entry.where, hint=hint)

    def _asked(self, ask: Callable[[], T]) -> Any:
        """The answer; when it needs what the unsent batch registers, the batch is sent first."""
        try:
            return ask()
        except Pending:
            yield from self._send()
            return ask() if self._failure is None else None

    # -- one entry -----------------------------------------------------------------------------------------------

    def _id(self) -> str:
        return f"t{self._number}"

    def _unsent(self, entry: Entry) -> Task:
        self._number += 1
        return unsent(self._id(), entry)

    def _entry(self, entry: Entry) -> Outcomes:
        if entry.run_once:
            yield from self._once(entry)
        else:
            yield from self._take(entry)

    def _once(self, entry: Entry) -> Outcomes:
        """A task for one host of all; the others wait for it, and know what it set."""
        yield from self._send()
        if self._failure is not None:
            return
        key = f"{entry.where} {entry.name}"
        if self._together.once(key, self._state.host):
            before = dict(self._state.results)
            yield from self._take(entry)
            if self._failure is None:
                yield from self._send()
            new = {name: value for name, value in self._state.results.items() if before.get(name) is not value}
            self._together.done_once(key, self._state, new, self._failure is not None)
            return
        names, failed = self._together.results_of(key)
        self._state.results.update(names)
        self._renderer.changed()
        if failed:
            task = self._unsent(entry)
            yield from self._fail(task, Event(task.id, "failed", why="run_once: it failed on another host"))

    def _take(self, entry: Entry) -> Outcomes:
        """Add an entry to the batch; send the batch first when the entry reads what it registers."""
        self._number += 1
        work = yield from self._asked(lambda: self._renderer.work(self._id(), entry))
        if work is None or self._failure is not None:
            return
        failed = next((step for step in work.steps if step.event and step.event.status == "failed"), None)
        if failed is not None and not failed.task.ignore_errors:
            if self._blocks:  # somebody is going to clean up: what comes before happens first
                yield from self._send()
            if self._failure is None:
                assert failed.event is not None
                yield from self._fail(failed.task, failed.event)
            return
        if resource_class(entry.kind).on_controller:
            yield from self._here(work)
            return
        if not work.sends:
            self._queue(work)
        elif entry.delegate_to:
            yield from self._elsewhere(work)
        elif _judged(entry):
            yield from self._send(held=work)
            yield from self._judge(work)
        elif entry.loop is not None and entry.loop.pause:
            yield from self._slowly(work, entry.loop.pause)
        else:
            self._may_notify = self._may_notify or bool(entry.notify)
            self._queue(work)

    def _queue(self, work: Work) -> None:
        self._batch.append((self._number, work))
        name = work.entry.register
        if name and (work.sends or name in self._renderer.waiting):
            self._renderer.waiting[name] = Pending(name)
            self._renderer.changed()
        elif name:
            self._register(work)
        if work.sends and work.entry.kind in controller_tasks.FACTS:
            self._renderer.waiting["ansible_facts"] = Pending("ansible_facts", self._state.facts)
            self._renderer.changed()

    def _register(self, work: Work) -> None:
        entry = work.entry
        if not entry.register and entry.kind not in controller_tasks.FACTS:
            return
        found = result(work, self._options.check)
        if entry.register:
            self._state.results[entry.register] = found
        if isinstance(found, Mapping) and isinstance(found.get("ansible_facts"), Mapping):
            self._state.facts.update(found["ansible_facts"])
        self._renderer.changed()

    def _fail(self, task: Task, event: Event) -> Outcomes:
        """The end of the tasks, unless a block rescues them."""
        self._failure = Failure(self._number, task, event)
        yield task, self._shown(self._failure)

    def _shown(self, failure: Failure) -> Event:
        """A failure that a block will rescue is not the end."""
        saved = any(failure.number > first for first in self._rescuers)
        return replace(failure.event, status="rescued") if saved else failure.event

    def _slowly(self, work: Work, pause: float) -> Outcomes:
        """A loop that waits between two items."""
        for number, one in enumerate(work.rounds):
            if number and any(step.event is None for step in one.steps):
                yield from self._wait(one.steps[0].task, pause, "pause")
            self._batch.append((self._number, Work(replace(work.entry, register=""), [one])))
            yield from self._send()
            if self._failure is not None:
                return
        self._register(work)

    def _wait(self, task: Task, seconds: float, note: str) -> Outcomes:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0 and not self._together.over():
            yield task, Event(task.id, "progress", after={"note": f"{note}: {left:.0f} s"})
            time.sleep(min(left, 1.0))

    # -- what the controller decides -----------------------------------------------------------------------------

    def _here(self, work: Work) -> Outcomes:
        """A kind that no host is asked for (debug, set_fact, ...)."""
        entry = work.entry
        if entry.kind in controller_tasks.AFTER_ALL or self._blocks:
            yield from self._send()
            if self._failure is not None:
                return
        failed: Optional[Step] = None
        mine = [(step, each) for each in work.rounds for step in each.steps if step.event is None]
        for step, one in mine:
            try:
                step.event = yield from controller_tasks.perform(self, step.task, one, entry)
            except Unready as problem:
                step.event = Event(step.task.id, "unknown", why=str(problem))
            except MnemoError as problem:
                step.event = Event.failure(step.task.id, problem)
            step.event = self._verdict(step, work)
            if step.event.status == "failed" and not step.task.ignore_errors:
                failed = failed or step
        if failed is None:
            self._queue(work)
            return
        for step in work.steps:
            if step is failed:
                assert failed.event is not None
                yield from self._fail(failed.task, failed.event)
            elif step.event is not None:
                yield step.task, step.event

    def _judge(self, work: Work) -> Outcomes:
        """``until``, ``failed_when``, ``changed_when``: what was held back is shown as they see it."""
        if self._failure is not None:
            return
        for step in work.steps:
            if step.event is not None and step.event.status not in ("skipped", "unknown"):
                yield from self._repeat(step, work)
                step.event = self._verdict(step, work)
            if step.event is None:
                continue
            if step.event.status == "failed" and not step.task.ignore_errors:
                yield from self._fail(step.task, step.event)
            else:
                yield step.task, step.event
                if step.event.status == "changed" and work.entry.changed_when:
                    self._notified.extend(step.task.notify)
                    self._may_notify = True
        self._register(work)

    def _repeat(self, step: Step, work: Work) -> Outcomes:
        """Once more, until it is as ``until`` wants it."""
        retry, entry = work.entry.retry, work.entry
        if retry is None or self._options.check:
            return
        step.attempts = 1
        scope = self._renderer.scope(entry)
        retries, delay = int(render(retry.retries, scope)), float(render(retry.delay, scope))
        for attempt in range(1, retries + 1):
            if self._holds(retry.until, step, work) if retry.until else step.event and step.event.status != "failed":
                return
            yield from self._wait(step.task, delay, f"try {attempt} of {retries} was not enough")
            if self._together.over():
                return
            again = Step(step.task)
            for _ in self._send(held=Work(entry, [replace(work.rounds[0], steps=[again])])):
                pass
            step.event = again.event or step.event
            step.attempts = attempt + 1
        step.attempts = retries
        if retry.until and not self._holds(retry.until, step, work) and step.event is not None:
            why = step.event.why or f"not so after {retries} tries: {' and '.join(retry.until)}"
            step.event = replace(step.event, status="failed", why=why, before=step.event.after or step.event.before)

    def _holds(self, expressions: Sequence[str], step: Step, work: Work) -> bool:
        """Whether expressions hold of what has just become of a task."""
        assert step.event is not None
        one = next(one for one in work.rounds if step in one.steps)
        scope = one.scope or self._renderer.scope(work.entry)
        if work.entry.register:
            scope = scope.plus({work.entry.register: outcome([step.event])}, final=True)
        return all(condition(text, scope, work.entry.where) for text in expressions)

    def _verdict(self, step: Step, work: Work) -> Event:
        """The event as ``failed_when`` and ``changed_when`` see it."""
        entry, event = work.entry, step.event
        assert event is not None
        if self._options.check and event.status == "changed" and step.task.check is not False:
            if (entry.changed_when or entry.failed_when) and constant(entry.changed_when) is None:
                return replace(event, status="unknown", why="what it says decides, and a check does not ask it")
            return event
        try:
            if entry.failed_when and event.status in ("ok", "changed", "failed"):
                bad = step.bad = self._holds(entry.failed_when, step, work)
                if bad and event.status != "failed":
                    why = f"failed_when: {' and '.join(entry.failed_when)}"
                    event = replace(event, status="failed", why=why, before=event.after or event.before)
                elif not bad and event.status == "failed":
                    event = replace(event, status="changed", why="", error=None, after=event.before)
            if entry.changed_when and event.status in ("ok", "changed"):
                step.event = event
                yes = self._holds(entry.changed_when, step, work)
                event = replace(event, status="changed" if yes else "ok")
        except MnemoError as problem:
            return Event.failure(event.id, problem)
        return event

    # -- sending -------------------------------------------------------------------------------------------------

    def _elsewhere(self, work: Work) -> Outcomes:
        """A task for this machine instead."""
        yield from self._send()
        if self._failure is None:
            yield from self._send(held=work, session=self._reach.here())
            yield from self._judge(work)
            changed = any(step.event and step.event.status == "changed" for step in work.steps)
            if changed and not work.entry.changed_when:
                self._notified.extend(name for step in work.steps[:1] for name in step.task.notify)
                self._may_notify = self._may_notify or bool(work.entry.notify)

    def _send(self, held: Optional[Work] = None, session: Optional[Channel] = None) -> Outcomes:
        """Send the batch, yield what becomes of it in order, keep what it registers.

        :param held: a work that is sent last; its events are kept in its steps, for :meth:`_judge`.
        :param session: where the held work is done, when not on the host.
        """
        taken, self._batch = self._batch, []
        self._renderer.waiting.clear()
        self._renderer.changed()
        queue: deque[tuple[int, Step]] = deque()
        steps: list[Any] = []
        for number, one in taken:
            if isinstance(one, Handlers):
                steps.append(one)
                continue
            queue.extend((number, step) for step in one.steps)
            steps.extend(step.task for step in one.steps if step.event is None)
        mine = {step.task.id: step for step in held.steps if step.event is None} if held else {}
        steps.extend(_as_held(step.task, held.entry) for step in mine.values() if held)
        batch = Batch(tuple(steps), self._options.check, tuple(self._notified))
        numbers = {step.task.id: number for number, step in queue}
        known = {task.id: task for task in batch.tasks()}
        yield from self._local(queue)
        if self._failure is None and (batch.steps or batch.notified):
            events = (session or self._session).converge(batch)
            if session is None:
                self._notified = []
            for event in events:
                if event.id in mine and event.status != "progress":
                    mine[event.id].event = event
                    continue
                yield from self._happened(event, queue, known, numbers)
        for _, one in taken:
            if isinstance(one, Work) and all(step.event for step in one.steps):  # what failed has a result, too
                self._register(one)

    def _happened(
        self, event: Event, queue: deque[tuple[int, Step]], known: Mapping[str, Task], numbers: Mapping[str, int]
    ) -> Outcomes:
        if event.status == "progress":
            yield known.get(event.id, next(iter(known.values()))), event
            return
        if queue and queue[0][1].task.id == event.id:
            queue.popleft()[1].event = event
        task = known[event.id]
        if event.status == "unknown":  # the host names the task it waits for by its id
            event = replace(event, why=_by_name(event.why, known))
        if event.status == "failed" and not task.ignore_errors:
            failure = Failure(numbers.get(event.id, self._number), task, event)
            self._failure = self._failure or failure
            yield task, self._shown(failure)
        else:
            yield task, event
            if self._failure is None:
                yield from self._local(queue)

    def _local(self, queue: deque[tuple[int, Step]]) -> Outcomes:
        """Steps that ended on the controller and are next in order."""
        while queue and queue[0][1].event is not None:
            _, step = queue.popleft()
            assert step.event is not None
            yield step.task, step.event

    # -- handlers ------------------------------------------------------------------------------------------------

    def _flush(self) -> Outcomes:
        """Handlers that are due by now: as a part of the batch, or apart when the controller has a say in them."""
        if not self._play.handlers or not (self._may_notify or self._session.pending_handlers or self._notified):
            return
        works: list[tuple[str, Work]] = []
        try:
            for entry in self._play.handlers:
                if _judged(entry) or resource_class(entry.kind).on_controller:
                    raise Pending(entry.name)
                self._number += 1
                works.append((entry.name, self._renderer.work(f"h{self._number}", entry)))
        except Unready:
            yield from self._handlers_apart()
            return
        if any(step.event and step.event.status in ("failed", "unknown") for _, work in works for step in work.steps):
            yield from self._handlers_apart()
            return
        tasks = {name: tuple(step.task for step in work.steps if step.event is None) for name, work in works}
        ready = tuple((name, found) for name, found in tasks.items() if found)
        idle = tuple(name for name, found in tasks.items() if not found)
        self._batch.append((self._number, Handlers(ready, idle)))

    def _handlers_apart(self) -> Outcomes:
        """One after the other, as tasks; only now a bad one is a failure."""
        yield from self._send()
        for entry in self._play.handlers if self._failure is None else ():
            if self._failure is not None or entry.name not in self._session.pending_handlers:
                continue
            yield from self._take(entry)
            if self._failure is None:
                self._batch.append((self._number, Handlers(idle=(entry.name,))))  # it was run: off the list
                yield from self._send()

    # -- for controller_tasks ------------------------------------------------------------------------------------

    @property
    def state(self) -> HostState:
        return self._state

    @property
    def session(self) -> Channel:
        return self._session

    @property
    def checks(self) -> bool:
        return self._options.check

    @property
    def options(self) -> Options:
        return self._options

    def clock(self) -> float:
        """Seconds, for durations."""
        return time.monotonic()

    def set_variables(self, values: Mapping[str, Any], templates: bool = False) -> None:
        """From here on this host has these variables; ``templates``: their values may hold Jinja."""
        (self._state.included if templates else self._state.results).update(values)
        self._renderer.changed()

    def wait(self, task: Task, seconds: float, note: str) -> Outcomes:
        """Time that passes; shows how much is left."""
        return self._wait(task, seconds, note)

    def end_here(self, word: str) -> None:
        """``end_host``, ``end_batch``, ``end_play``."""
        self._ended = True
        self._together.end(self._state.host.name, word)

    def last_word(self, batch: Batch) -> None:
        """Send what ends the connection."""
        with contextlib.suppress(ChannelLost):
            for _ in self._session.converge(batch):
                pass
        self._reach.hang_up()

    def reconnect(self, timeout: float) -> None:
        """Wait until the host answers again. :raises Unreachable: it does not, for ``timeout`` seconds (4)."""
        self._session = self._reach.again(timeout)
        self._introduce()

    def until_it_works(self, task: Task, resource: Resource, seconds: float) -> Outcomes:
        """Ask the host again and again. :raises StepFailed: it was not so for that long (6)."""
        end = time.monotonic() + seconds
        while True:
            asked = Task(task.id, task.name, resource, task.where, ignore_errors=True)
            events = [event for event in self._session.converge(Batch((asked,))) if event.status != "progress"]
            if events and events[-1].status != "failed":
                return
            if time.monotonic() > end:
                raise StepFailed(f"the host is back and not well: {events[-1].why if events else 'no answer'}")
            yield from self._wait(task, 1.0, "not well yet")


def _judged(entry: Entry) -> bool:
    """Whether what a task did must be judged by the controller."""
    changed = bool(entry.changed_when) and constant(entry.changed_when) is None
    failed = bool(entry.failed_when) and constant(entry.failed_when) is not False
    return entry.retry is not None or changed or failed


def _as_held(task: Task, entry: Entry) -> Task:
    """The task as it is sent to be judged: it ends nothing, and notifies only what its kind decides."""
    notify = () if entry.changed_when or entry.delegate_to else task.notify
    return replace(task, ignore_errors=True, notify=notify, register=task.register or "judged")


def _by_name(why: str, known: Mapping[str, Task]) -> str:
    """``after ID: reason`` with the task's name."""
    id, colon, reason = why.removeprefix("after ").partition(": ")
    return f"after {known[id].name}{colon}{reason}" if id in known else why
