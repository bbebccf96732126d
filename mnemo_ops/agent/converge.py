"""The one loop: desired, observe, compare, apply, observe again."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Callable, Iterator, Mapping, Protocol, Sequence, Tuple

from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.resource import Resource, build
from mnemo_ops.agent.state import Change, State
from mnemo_ops.agent.wire import Event
from mnemo_ops.errors import MnemoError, NotYet


@dataclass(frozen=True)
class Task:
    """A task as the host sees it.

    :param id: unique within a play.
    :param notify: names of handlers to write down before the change that notifies them.
    :param register: the whole observed state travels back, not only what differs.
    :param ignore_errors: a failure does not end the batch.
    """

    id: str
    kind: str
    args: Mapping[str, Any]
    notify: Tuple[str, ...] = ()
    register: bool = False
    ignore_errors: bool = False

    def resource(self) -> Resource:
        return build(self.kind, self.args)


class Notified(Protocol):
    """Where notified handlers are written down."""

    def add(self, names: Sequence[str]) -> None: ...


def converge(
    tasks: Sequence[Task], machine: Machine, check: bool, notified: Notified, began: Callable[[Task], None]
) -> Iterator[Event]:
    """Bring each task's resource to its desired state, in order; ends after the first failure.

    With ``check`` the loop runs without its one line that writes. ``began`` is told each task before it is looked at.
    """
    pending = ""  # the first task a check left undone: what later tasks may not be able to know
    for task in tasks:
        began(task)
        started = time.monotonic()
        try:
            event = _one(task, machine, check, notified)
        except NotYet as error:
            if pending:
                event = Event(task.id, "unknown", why=f"after {pending}: {error}")
            else:
                event = Event.failure(task.id, error)
        except MnemoError as error:
            event = Event.failure(task.id, error)
        except OSError as error:
            event = Event.failure(task.id, MnemoError(f"{error.strerror}: {error.filename or ''}".rstrip(": ")))
        yield event.timed(time.monotonic() - started)
        if check and event.status == "changed" and not pending:
            pending = task.id
        if event.status == "failed" and not task.ignore_errors:
            return


def _one(task: Task, machine: Machine, check: bool, notified: Notified) -> Event:
    resource = task.resource()
    observed = resource.observe(machine)
    desired = resource.target(observed)
    change = Change.between(observed, desired)
    if not change:
        return Event(task.id, "ok", after=observed if task.register else None)
    if check and not resource.changes:
        return Event(task.id, "unknown", why="a check does not do it")
    if resource.changes:
        notified.add(task.notify)
    after: State = desired
    if not check:
        record = resource.apply(machine, change)
        after = record if record is not None else resource.observe(machine)
        left = Change.between(after, resource.target(after))
        if left:
            reduced = left.reduced()
            seen = after if task.register else reduced.before
            return Event(task.id, "failed", seen, reduced.after, why=_still_wrong(reduced, after))
    if not resource.changes:
        return Event(task.id, "ok", after=after if task.register else None)
    shown = change.reduced()
    return Event(task.id, "changed", shown.before, after if task.register else shown.after)


def _still_wrong(left: Change, after: State) -> str:
    """One sentence on what a change did not reach; a program's own last words when it left any."""
    if left.after is None:
        return "still wrong: it still exists"
    if left.before is None:
        return "still wrong: it still does not exist"
    if left.keys == ("rc",):
        said = _last_words(after)
        return f"ended with {left.before['rc']}" + (f": {said}" if said else "")
    parts = ", ".join(f"{key} is {left.before.get(key)!r}, not {left.after[key]!r}" for key in left.keys)
    said = _last_words(after)
    return f"still wrong: {parts}" + (f": {said}" if said else "")


def _last_words(after: State) -> str:
    return str((after or {}).get("stderr") or (after or {}).get("stdout") or "").strip()[-1500:]
