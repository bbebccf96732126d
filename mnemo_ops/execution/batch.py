"""Outbox: what waits to be sent to a host, and what became of it; a batch is one request."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from typing import Any, Optional, Protocol, TypeVar

from mnemo_ops.agent.base.protocol import Event
from mnemo_ops.agent.base.record import dataclass, replace
from mnemo_ops.agent.engine.check_taint import leaves
from mnemo_ops.agent.engine.resource import resource_class
from mnemo_ops.core.model import Batch, Entry, Handlers, Task
from mnemo_ops.core.options import Options
from mnemo_ops.execution.fact_names import told
from mnemo_ops.execution.host_state import Failure, HostState, Unsent
from mnemo_ops.execution.results import Pending, Step, Work, result
from mnemo_ops.execution.task_renderer import Renderer, User
from mnemo_ops.playbook.modules import KINDS
from mnemo_ops.playbook.names import BARE_FACTS

Outcome = tuple[Task, Event]
Outcomes = Iterator[Outcome]
T = TypeVar("T")


class Channel(Protocol):
    """What a play needs of a session; ``bare``: there is no agent yet, only ``raw`` tasks can be done."""

    facts: Mapping[str, Any]
    login: str
    pending_handlers: Sequence[str]
    bare: bool

    def converge(self, batch: Batch) -> Iterator[Event]: ...


@dataclass
class Sent:
    """A batch on its way.

    :param works: what it is made of. :param queue: their steps that are not shown yet, with the number of their entry.
    :param held: steps that are judged before they are shown, by id. :param tasks: everything that was sent, by id.
    :param numbers: of entries, by the id of a task.
    """

    batch: Batch
    works: Sequence[Work]
    queue: deque[tuple[int, Step]]
    held: Mapping[str, Step]
    tasks: Mapping[str, Task]
    numbers: Mapping[str, int]


class Outbox:
    """The tasks of one play on one host between being rendered and being done.

    :attr:`rescuers`: of the blocks around the entry at hand that will rescue a failure, the number they began after.
    """

    def __init__(self, session: Channel, state: HostState, renderer: Renderer, options: Options) -> None:
        self.rescuers: list[int] = []
        self.notified: list[str] = []  # by tasks whose change only the controller could tell
        self.may_notify = False  # since handlers had their turn
        self.perhaps: dict[str, str] = {}  # handlers a check cannot tell of, and what they wait for
        self._state, self._renderer, self._options = state, renderer, options
        self.meet(session)

    def meet(self, session: Channel) -> None:
        """The host was reached: what it said of itself."""
        self.session = session
        self._state.learn(told(session.facts))
        self._renderer.user = User(str(session.facts.get("user_id", "root")), session.login)

    def put_handlers(self, handlers: Handlers) -> None:
        """Notified handlers have their turn here."""
        self._state.put(handlers)
        self.may_notify = False

    def put(self, work: Work) -> None:
        """A work that waits for its turn; what it registers can be read once it was sent."""
        self._state.put(work)
        self.may_notify = self.may_notify or (work.sends and bool(work.entry.notify))
        for step in work.steps:
            if step.event is not None and step.event.status == "unknown":
                self.doubt(step.task.notify or work.entry.notify, step.task.name)
        name = work.entry.register
        if name and (work.sends or name in self._state.waiting):
            self._state.promise(name)
        elif name:
            self.register(work)
        if work.sends and _tells_facts(work.entry):
            self._state.promise("ansible_facts", self._state.facts)
            name = BARE_FACTS.get(work.entry.kind, f"getent_{work.entry.args.get('database')}")
            self._state.promise(name)  # a fact that is a variable, too

    def register(self, work: Work) -> None:
        """Keep what became of a work, under its name and as facts."""
        entry, state = work.entry, self._state
        failed = state.failure is not None and any(step.task.id == state.failure.task.id for step in work.steps)
        wanted = entry.register or _tells_facts(entry)
        found = result(work, self._options.check) if wanted or failed else None
        if failed:
            state.explain(found)
        if not wanted:
            return
        if state.undone:
            state.doubt({entry.register} if entry.register else {"ansible_facts", *_facts_of(found)})
        if entry.register:
            state.set_variables({entry.register: found})
        if _tells_facts(entry) and isinstance(found, Mapping) and isinstance(found.get("ansible_facts"), Mapping):
            state.learn(told(found["ansible_facts"], entry.kind))

    def doubt(self, names: Sequence[str], task: str) -> None:
        """A task of a check may notify these handlers."""
        for name in names:
            self.perhaps.setdefault(name, f"after {task}")

    def fail(self, task: Task, event: Event) -> Outcomes:
        """The end of the tasks, unless a block rescues them."""
        yield self._failed(Failure(self._state.number, task, event))

    def _failed(self, failure: Failure) -> Outcome:
        """A failure that a block will rescue is not the end."""
        self._state.fail(failure)
        saved = any(failure.number > first for first in self.rescuers)
        return failure.task, replace(failure.event, status="rescued") if saved else failure.event

    def asked(self, ask: Callable[[], T]) -> Generator[Outcome, None, Optional[T]]:
        """The answer; when it needs what the unsent batch registers, the batch is sent first.

        ``None`` when what was sent failed.
        """
        try:
            return ask()
        except Pending:
            yield from self.send()
            return ask() if self._state.failure is None else None

    # -- sending -------------------------------------------------------------------------------------------------

    def send(self, held: Optional[Work] = None, session: Optional[Channel] = None) -> Outcomes:
        """Send the batch, yield what becomes of it in order, keep what it registers.

        :param held: a work that is sent last; its events are kept in its steps, to be judged.
        :param session: where the held work is done, when not on the host.
        """
        sent = self._collect(self._state.take(), held, "" if session else self._state.undone)
        yield from self._local(sent)
        if self._state.failure is None and (sent.batch.steps or sent.batch.notified):
            events = (session or self.session).converge(sent.batch)
            if session is None:
                self.notified = []
            for event in events:
                yield from self._answer(event, sent)
        for work in sent.works:
            if all(step.event for step in work.steps):  # what failed has a result, too
                self.register(work)

    def _collect(self, taken: Unsent, held: Optional[Work], undone: str) -> Sent:
        works = [one for _, one in taken if isinstance(one, Work)]
        queue = deque((number, step) for number, one in taken if isinstance(one, Work) for step in one.steps)
        steps: list[Any] = []
        for _, one in taken:
            if isinstance(one, Handlers):
                steps.append(one)
            else:
                steps.extend([*one.perhaps, *(self._as_sent(step.task) for step in one.steps if step.event is None)])
        mine = {step.task.id: step for step in held.steps if step.event is None} if held else {}
        steps.extend(self._as_held(step.task, held.entry) for step in mine.values() if held)
        batch = Batch(tuple(steps), self._options.check, tuple(self.notified), undone)
        tasks = {task.id: task for task in batch.tasks()}
        self._state.sent(tasks.values())
        return Sent(batch, works, queue, mine, tasks, {step.task.id: number for number, step in queue})

    def _answer(self, event: Event, sent: Sent) -> Outcomes:
        """What became of one task, or how far it is."""
        if event.status == "progress":
            if shown := sent.tasks.get(event.id) or next(iter(sent.tasks.values()), None):
                yield shown, event
            return
        task = sent.tasks[event.id]
        if self._options.check and leaves(event, task.resource, task.changed):  # the real run would do it, or might
            self._state.leave_undone(task.name)
        if event.status == "unknown":  # the host names the task it waits for by its id
            event = replace(event, why=_by_name(event.why, self._state.names))
        if event.id in sent.held:
            sent.held[event.id].event = event
            return
        if sent.queue and sent.queue[0][1].task.id == event.id:
            sent.queue.popleft()[1].event = event
        if event.status == "unknown" and counts(task):
            self.doubt(task.notify, task.name)
        if event.status == "failed" and not task.ignore_errors:
            yield self._failed(Failure(sent.numbers.get(event.id, self._state.number), task, event))
        else:
            yield task, event
            if self._state.failure is None:
                yield from self._local(sent)

    def _as_sent(self, task: Task) -> Task:
        """A rescue may look at all of what failed (``ansible_failed_result``)."""
        return replace(task, register=task.register or "rescued") if self.rescuers else task

    def _as_held(self, task: Task, entry: Entry) -> Task:
        """The task as it is sent to be judged: it ends nothing, and notifies only what its kind decides."""
        notify = () if entry.changed_when or entry.delegate_to or self._options.check else task.notify
        return replace(task, ignore_errors=True, notify=notify, register=task.register or "judged")

    def _local(self, sent: Sent) -> Outcomes:
        """Steps that ended on the controller and are next in order."""
        while sent.queue and sent.queue[0][1].event is not None:
            _, step = sent.queue.popleft()
            assert step.event is not None
            yield step.task, step.event


def counts(task: Task, changed_when: Sequence[str] = ()) -> bool:
    """Whether what the task does may count as a change."""
    return task.changed is not False and bool(task.changed or changed_when or getattr(task.resource, "changes", True))


def _by_name(why: str, names: Mapping[str, str]) -> str:
    """``after ID: reason`` with the task's name."""
    id, colon, reason = why.removeprefix("after ").partition(": ")
    return f"after {names[id]}{colon}{reason}" if id in names else why


def _facts_of(found: Any) -> Iterator[str]:
    facts = found.get("ansible_facts") if isinstance(found, Mapping) else None
    return iter(facts if isinstance(facts, Mapping) else ())


def _tells_facts(entry: Entry) -> bool:
    return entry.kind in KINDS and resource_class(entry.kind).tells_facts
