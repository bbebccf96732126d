"""Outbox: what waits to be sent to a host, and what became of it; a batch is one request."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Optional, Protocol, Union

from mnemo_ops.agent.base.protocol import Event
from mnemo_ops.agent.base.record import dataclass, replace
from mnemo_ops.agent.engine.check_taint import leaves
from mnemo_ops.agent.engine.resource import resource_class
from mnemo_ops.core.model import Batch, Entry, Handlers, Host, Task
from mnemo_ops.core.options import Options
from mnemo_ops.errors import MnemoError, StepFailed, from_json
from mnemo_ops.execution.fact_names import told
from mnemo_ops.execution.results import Pending, Step, Work, result
from mnemo_ops.execution.task_renderer import HostState, Renderer, User
from mnemo_ops.playbook.modules import KINDS
from mnemo_ops.playbook.names import BARE_FACTS

Outcome = tuple[Task, Event]
Outcomes = Iterator[Outcome]


class Channel(Protocol):
    """What a play needs of a session; ``bare``: there is no agent yet, only ``raw`` tasks can be done."""

    facts: Mapping[str, Any]
    login: str
    pending_handlers: Sequence[str]
    bare: bool

    def converge(self, batch: Batch) -> Iterator[Event]: ...


@dataclass(frozen=True)
class Failure:
    """What ended the tasks, and the number of its entry in the order they were taken.

    :param found: what the whole of its entry came to, as ``register`` would name it.
    """

    number: int
    task: Task
    event: Event
    found: Any = None

    def error(self, host: Host) -> MnemoError:
        cause = from_json(self.event.error) if self.event.error else StepFailed(self.event.why)
        cause.message = f"{self.task.name}: {'failed (no_log)' if self.task.no_log else cause.message}"
        cause.where = f"{host.name}, {self.task.where}"
        return cause


class Outbox:
    """The tasks of one play on one host between being rendered and being done.

    :attr:`failure`: what ended the tasks. :attr:`number`: of the entry at hand, in the order entries are taken.
    :attr:`rescuers`: of the blocks around it that will rescue a failure, the number they began after.
    """

    def __init__(self, session: Channel, state: HostState, renderer: Renderer, options: Options) -> None:
        self.failure: Optional[Failure] = None
        self.number = state.number
        self.rescuers: list[int] = []
        self.notified: list[str] = []  # by tasks whose change only the controller could tell
        self.may_notify = False  # since handlers had their turn
        self.perhaps: dict[str, str] = {}  # handlers a check cannot tell of, and what they wait for
        self._state, self._renderer, self._options = state, renderer, options
        self._waiting: list[tuple[int, Union[Work, Handlers]]] = []
        self.meet(session)

    def meet(self, session: Channel) -> None:
        """The host was reached: what it said of itself."""
        self.session = session
        self._state.facts.update(told(session.facts))
        self._renderer.user = User(str(session.facts.get("user_id", "root")), session.login)
        self._renderer.changed()

    @property
    def waits(self) -> bool:
        """Whether something was taken that is not sent."""
        return bool(self._waiting)

    def drop(self) -> None:
        """What waits is not sent."""
        self._waiting.clear()

    def put_handlers(self, handlers: Handlers) -> None:
        """Notified handlers have their turn here."""
        self._waiting.append((self.number, handlers))
        self.may_notify = False

    def put(self, work: Work) -> None:
        """A work that waits for its turn; what it registers can be read once it was sent."""
        self._waiting.append((self.number, work))
        self.may_notify = self.may_notify or (work.sends and bool(work.entry.notify))
        for step in work.steps:
            if step.event is not None and step.event.status == "unknown":
                self.doubt(step.task.notify or work.entry.notify, step.task.name)
        name = work.entry.register
        if name and (work.sends or name in self._renderer.waiting):
            self._renderer.waiting[name] = Pending(name)
            self._renderer.changed()
        elif name:
            self.register(work)
        if work.sends and _tells_facts(work.entry):
            self._renderer.waiting["ansible_facts"] = Pending("ansible_facts", self._state.facts)
            name = BARE_FACTS.get(work.entry.kind, f"getent_{work.entry.args.get('database')}")
            self._renderer.waiting[name] = Pending(name)  # a fact that is a variable, too
            self._renderer.changed()

    def register(self, work: Work) -> None:
        """Keep what became of a work, under its name and as facts."""
        entry, failure = work.entry, self.failure
        ended = failure is not None and any(step.task.id == failure.task.id for step in work.steps)
        wanted = entry.register or _tells_facts(entry)
        found = result(work, self._options.check) if wanted or ended else None
        if failure is not None and ended:
            self.failure = replace(failure, found=found)
        if not wanted:
            return
        if self._state.undone:
            self._state.doubtful |= {entry.register} if entry.register else {"ansible_facts", *_facts_of(found)}
        if entry.register:
            self._state.results[entry.register] = found
        if _tells_facts(entry) and isinstance(found, Mapping) and isinstance(found.get("ansible_facts"), Mapping):
            self._state.facts.update(told(found["ansible_facts"], entry.kind))
        self._renderer.changed()

    def doubt(self, names: Sequence[str], task: str) -> None:
        """A task of a check may notify these handlers."""
        for name in names:
            self.perhaps.setdefault(name, f"after {task}")

    def left_undone(self, task: Task, event: Event) -> None:
        """Remember the first task of a check that the real run would have done, or might have."""
        if leaves(event, task.resource, task.changed):
            self._state.undone = self._state.undone or task.name

    def fail(self, task: Task, event: Event) -> Outcomes:
        """The end of the tasks, unless a block rescues them."""
        self.failure = Failure(self.number, task, event)
        yield task, self._shown(self.failure)

    def _shown(self, failure: Failure) -> Event:
        """A failure that a block will rescue is not the end."""
        saved = any(failure.number > first for first in self.rescuers)
        return replace(failure.event, status="rescued") if saved else failure.event

    def send(self, held: Optional[Work] = None, session: Optional[Channel] = None) -> Outcomes:
        """Send the batch, yield what becomes of it in order, keep what it registers.

        :param held: a work that is sent last; its events are kept in its steps, to be judged.
        :param session: where the held work is done, when not on the host.
        """
        taken, self._waiting = self._waiting, []
        self._renderer.waiting.clear()
        self._renderer.changed()
        queue: deque[tuple[int, Step]] = deque()
        steps: list[Any] = []
        for number, one in taken:
            if isinstance(one, Handlers):
                steps.append(one)
                continue
            queue.extend((number, step) for step in one.steps)
            steps.extend([*one.perhaps, *(self._as_sent(step.task) for step in one.steps if step.event is None)])
        mine = {step.task.id: step for step in held.steps if step.event is None} if held else {}
        steps.extend(self._as_held(step.task, held.entry) for step in mine.values() if held)
        undone = "" if session else self._state.undone
        batch = Batch(tuple(steps), self._options.check, tuple(self.notified), undone)
        numbers = {step.task.id: number for number, step in queue}
        known = {task.id: task for task in batch.tasks()}
        self._state.number = self.number
        self._state.names.update({id: task.name for id, task in known.items()})
        yield from self._local(queue)
        if self.failure is None and (batch.steps or batch.notified):
            events = (session or self.session).converge(batch)
            if session is None:
                self.notified = []
            for event in events:
                if self._options.check and event.status != "progress":
                    self.left_undone(known[event.id], event)
                if event.status == "unknown":  # the host names the task it waits for by its id
                    event = replace(event, why=_by_name(event.why, self._state.names))
                if event.id in mine and event.status != "progress":
                    mine[event.id].event = event
                    continue
                yield from self._happened(event, queue, known, numbers)
        for _, one in taken:
            if isinstance(one, Work) and all(step.event for step in one.steps):  # what failed has a result, too
                self.register(one)

    def _happened(
        self, event: Event, queue: deque[tuple[int, Step]], known: Mapping[str, Task], numbers: Mapping[str, int]
    ) -> Outcomes:
        if event.status == "progress":
            if shown := known.get(event.id) or next(iter(known.values()), None):
                yield shown, event
            return
        if queue and queue[0][1].task.id == event.id:
            queue.popleft()[1].event = event
        task = known[event.id]
        if event.status == "unknown" and counts(task):
            self.doubt(task.notify, task.name)
        if event.status == "failed" and not task.ignore_errors:
            failure = Failure(numbers.get(event.id, self.number), task, event)
            self.failure = self.failure or failure
            yield task, self._shown(failure)
        else:
            yield task, event
            if self.failure is None:
                yield from self._local(queue)

    def _as_sent(self, task: Task) -> Task:
        """A rescue may look at all of what failed (``ansible_failed_result``)."""
        return replace(task, register=task.register or "rescued") if self.rescuers else task

    def _as_held(self, task: Task, entry: Entry) -> Task:
        """The task as it is sent to be judged: it ends nothing, and notifies only what its kind decides."""
        notify = () if entry.changed_when or entry.delegate_to or self._options.check else task.notify
        return replace(task, ignore_errors=True, notify=notify, register=task.register or "judged")

    def _local(self, queue: deque[tuple[int, Step]]) -> Outcomes:
        """Steps that ended on the controller and are next in order."""
        while queue and queue[0][1].event is not None:
            _, step = queue.popleft()
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
