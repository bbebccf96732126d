"""Runner: one play on one host. The controller renders and decides, the host does everything else in one batch."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from dataclasses import replace
from typing import Any, Optional, Protocol

from mnemo_ops import schema
from mnemo_ops.agent.resource import Resource
from mnemo_ops.agent.wire import Event
from mnemo_ops.controller_files import prepared
from mnemo_ops.errors import MnemoError, PlaybookError, TemplateError
from mnemo_ops.filters import flatten
from mnemo_ops.model import Batch, Entry, Host, Play, Task
from mnemo_ops.results import Pending, Round, Step, Unknown, Work, result
from mnemo_ops.selection import EVERYTHING, Options
from mnemo_ops.template import Scope, Unready, condition, render, without_omitted
from mnemo_ops.template_uses import variables_of
from mnemo_ops.yaml_lines import Table

__all__ = ["Options", "run_play"]

NOTHING = Resource()  # stands in a task that is not sent
Outcome = tuple[Task, Event]


class Channel(Protocol):
    """What a play needs of a session."""

    facts: Mapping[str, Any]
    pending_handlers: Sequence[str]

    def converge(self, batch: Batch) -> Iterator[Event]: ...


def run_play(
    play: Play,
    host: Host,
    session: Channel,
    extra_vars: Optional[Mapping[str, Any]] = None,
    options: Options = EVERYTHING,
    registered: Optional[MutableMapping[str, Any]] = None,
) -> Iterator[Outcome]:
    """Run a play on a host; yields each task with its events, in order, progress included.

    It ends after the first failed task that does not say ``ignore_errors``. What fails before it is sent (a template
    that cannot be rendered) is such a failure, too; nothing of its batch is sent then.

    :param extra_vars: of ``--vars``: they win over everything.
    :param registered: results of earlier plays on this host; those of this one are added.
    :raises MnemoError: the channel or the agent failed (4, 1).
    """
    results = registered if registered is not None else {}
    return PlayRun(play, host, session, extra_vars or {}, options, results).run()


class PlayRun:
    """The state of one play on one host. Use :func:`run_play`."""

    def __init__(
        self,
        play: Play,
        host: Host,
        session: Channel,
        extra_vars: Mapping[str, Any],
        options: Options,
        registered: MutableMapping[str, Any],
    ) -> None:
        self._play, self._host, self._session, self._options = play, host, session, options
        self._extra = extra_vars
        self._results = registered
        self._waiting: dict[str, Pending] = {}  # names the unsent batch registers
        self._batch: list[Work] = []
        self._failed = False
        self._started = not options.start_at
        facts = {f"ansible_{name}": value for name, value in session.facts.items()}
        self._facts = {**facts, "ansible_facts": session.facts, "ansible_check_mode": options.check}

    def run(self) -> Iterator[Outcome]:
        for number, entry in enumerate(self._play.tasks):
            yield from self._take(f"t{number}", entry)
            if self._failed:
                return
        yield from self._finish()

    def _take(self, id: str, entry: Entry) -> Iterator[Outcome]:
        """Add an entry to the batch; send the batch first when the entry reads what it registers."""
        try:
            work = self._work(id, entry)
        except Pending:
            yield from self._send()
            if self._failed:
                return
            work = self._work(id, entry)
        if not entry.ignore_errors and any(step.event and step.event.status == "failed" for step in work.steps):
            self._failed = True
            yield from ((step.task, step.event) for step in work.steps if step.event)
            return
        self._batch.append(work)
        if not entry.register:
            return
        if work.sends or entry.register in self._waiting:
            self._waiting[entry.register] = Pending(entry.register)
        else:
            self._results[entry.register] = result(work, self._options.check)

    # -- rendering -----------------------------------------------------------------------------------------------

    def _scope(self, entry: Entry) -> Scope:
        """Role defaults < inventory < facts < play < role and task vars, results < ``--vars``."""
        scope = Scope(entry.files, entry.templates).plus({"ansible_managed": "Ansible managed"}).plus(entry.defaults)
        scope = scope.plus(self._host.vars).plus(self._facts, final=True).plus(self._play.vars).plus(entry.vars)
        return scope.plus({**self._results, **self._waiting}, final=True).plus(self._extra)

    def _work(self, id: str, entry: Entry) -> Work:
        """Everything an entry asks for on this host. :raises Pending: it reads what the unsent batch registers."""
        self._started = self._started or entry.name == self._options.start_at
        step = Step(_unsent(id, entry))
        if not self._started or not self._options.wants(entry.tags):
            return Work(entry, [Round([step.end("skipped", "tags" if self._started else "before --start-at")])])
        scope = self._scope(entry)
        step.task = replace(step.task, name=_title(entry, scope))
        try:
            return self._rendered(entry, scope, step)
        except Pending:
            raise
        except Unknown as problem:
            return Work(entry, [Round([step.end("unknown", str(problem))])])
        except MnemoError as problem:
            if entry.no_log and isinstance(problem, PlaybookError):  # it quotes the value that does not fit
                problem = PlaybookError(f"an argument of {entry.kind} does not fit (no_log)", where=problem.where)
            step.event = Event.failure(id, problem)
            return Work(entry, [Round([step])])

    def _rendered(self, entry: Entry, scope: Scope, step: Step) -> Work:
        if entry.loop is None:
            return Work(entry, [self._round(entry, scope, step, entry.when)])
        early = [text for text in entry.when if entry.loop_var not in variables_of("{{ " + text + " }}")]
        if not all(condition(text, scope, entry.where) for text in early):
            return Work(entry, [Round([step.end("skipped", "when")])])
        items = _items(entry, scope)
        if not items:
            return Work(entry, [Round([step.end("skipped", "no items")])])
        late = [text for text in entry.when if text not in early]
        rounds = []
        for number, item in enumerate(items):
            inner = scope.plus({entry.loop_var: item}, final=True)
            name = step.task.name if entry.no_log else _title(entry, inner)
            label = f" => ({entry.loop_var}={_short(item)})" if name == step.task.name and not entry.no_log else ""
            one = Step(replace(step.task, id=f"{step.task.id}.{number}", name=name + label))
            rounds.append(replace(self._round(entry, inner, one, late), item=item))
        return Work(entry, rounds, looped=True)

    def _round(self, entry: Entry, scope: Scope, step: Step, when: Sequence[str]) -> Round:
        if not all(condition(text, scope, entry.where) for text in when):
            return Round([step.end("skipped", "when")])
        args = {}
        for name, value in entry.args.items():
            where = entry.args.where(name) if isinstance(entry.args, Table) else entry.where
            args[name] = render(value, scope, where)
        steps = []
        for number, one in enumerate(prepared(entry.kind, without_omitted(args), scope, entry.where)):
            resource = schema.build(one.kind, one.args, entry.where)
            task = replace(
                step.task,
                id=f"{step.task.id}/{number}" if one.label else step.task.id,
                name=f"{step.task.name}: {one.label}" if one.label else step.task.name,
                resource=resource,
                notify=entry.notify,
                register=entry.register,
                files=one.files,
            )
            steps.append(Step(task))
        return Round(steps)

    # -- sending -------------------------------------------------------------------------------------------------

    def _send(self, handlers: Sequence[tuple[str, Task]] = (), idle: Sequence[str] = ()) -> Iterator[Outcome]:
        """Send the batch (and the handlers), yield what becomes of it in order, keep what it registers."""
        works, self._batch, self._waiting = self._batch, [], {}
        queue = deque(step for work in works for step in work.steps)
        tasks = tuple(step.task for step in queue if step.event is None)
        known = {task.id: task for task in (*tasks, *(task for _, task in handlers))}
        yield from _local(queue)
        batch = Batch(tasks, tuple(handlers), tuple(idle), self._options.check)
        for event in self._session.converge(batch) if known or idle else ():
            if event.status == "progress":
                yield known.get(event.id, next(iter(known.values()))), event
                continue
            if queue and queue[0].task.id == event.id:
                queue.popleft().event = event
            task = known[event.id]
            if event.status == "unknown":  # the host names the task it waits for by its id
                event = replace(event, why=_by_name(event.why, known))
            yield task, event
            if event.status == "failed" and not task.ignore_errors:
                self._failed = True
            else:
                yield from _local(queue)
        for work in works if not self._failed else ():
            if work.entry.register:
                self._results[work.entry.register] = result(work, self._options.check)

    def _finish(self) -> Iterator[Outcome]:
        """The last batch together with the handlers, or before them when they read what it registers."""
        try:
            rendered = [(one.name, self._handler(number)) for number, one in enumerate(self._play.handlers)]
        except (Unready, MnemoError):
            yield from self._send()
            if not self._failed:
                yield from self._handlers_apart()
            return
        handlers = [(name, task) for name, tasks in rendered for task in tasks]
        idle = [name for name, tasks in rendered if not tasks]
        sends = any(work.sends for work in self._batch)
        due = sends or any(name in self._session.pending_handlers for name, _ in rendered)
        yield from self._send(handlers, idle) if due else self._send()

    def _handlers_apart(self) -> Iterator[Outcome]:
        """Handlers that are due, in a request of their own; only now a bad one is a failure."""
        handlers: list[tuple[str, Task]] = []
        idle: list[str] = []
        for number, one in enumerate(self._play.handlers):
            if one.name not in self._session.pending_handlers:
                continue
            title = _unsent(f"h{number}", one)
            try:
                tasks = self._handler(number)
                handlers += [(one.name, task) for task in tasks]
                idle += [] if tasks else [one.name]
            except Unready as problem:
                yield title, Event(title.id, "unknown", why=str(problem))
            except MnemoError as problem:
                self._failed = True
                yield title, Event.failure(title.id, problem)
                return
        yield from self._send(handlers, idle)

    def _handler(self, number: int) -> list[Task]:
        """The task of a handler; none when its condition is false: it comes off the host's list without being run."""
        entry = self._play.handlers[number]
        step = Step(
            Task(f"h{number}", entry.name, NOTHING, entry.where, no_log=entry.no_log, ignore_errors=entry.ignore_errors)
        )
        found = self._round(entry, self._scope(entry), step, entry.when)
        tasks = [one.task for one in found.steps if one.event is None]
        if len(tasks) > 1:
            raise PlaybookError("a directory in a handler is not supported yet", where=entry.where)
        return tasks


def _unsent(id: str, entry: Entry) -> Task:
    """An entry before it is rendered."""
    return Task(id, entry.name, NOTHING, entry.where, no_log=entry.no_log, ignore_errors=entry.ignore_errors)


def _by_name(why: str, known: Mapping[str, Task]) -> str:
    """``after ID: reason`` with the task's name."""
    id, colon, reason = why.removeprefix("after ").partition(": ")
    return f"after {known[id].name}{colon}{reason}" if id in known else why


def _local(queue: deque[Step]) -> Iterator[Outcome]:
    """Steps that ended on the controller and are next in order."""
    while queue and queue[0].event is not None:
        step = queue.popleft()
        assert step.event is not None
        yield step.task, step.event


def _title(entry: Entry, scope: Scope) -> str:
    """The task's name, rendered when it can be: no name is worth a failure, or a round trip."""
    try:
        return str(render(entry.name, scope))
    except (Unready, TemplateError):
        return entry.name


def _items(entry: Entry, scope: Scope) -> list[Any]:
    items = render(entry.loop, scope, entry.where)
    if entry.flatten:
        items = flatten(items if isinstance(items, list) else [items], levels=1)
    if not isinstance(items, list):
        hint = "use the filter dict2items" if isinstance(items, dict) else ""
        raise TemplateError(f"'loop' needs a list, not {_short(items)}", where=entry.where, hint=hint)
    return items


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "..."
