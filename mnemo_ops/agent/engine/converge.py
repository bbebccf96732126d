"""The one loop: desired, observe, compare, apply, observe again."""

from __future__ import annotations

import importlib
import time
from typing import Any, Callable, Dict, Iterator, Mapping, Optional, Protocol, Sequence, Tuple

from mnemo_ops.agent.base.protocol import Event
from mnemo_ops.agent.base.record import dataclass, field, replace
from mnemo_ops.agent.base.state import Change, State
from mnemo_ops.agent.engine.check_taint import Undone, leaves
from mnemo_ops.agent.engine.os_errors import trouble
from mnemo_ops.agent.engine.resource import Resource, build
from mnemo_ops.agent.machine import Machine
from mnemo_ops.errors import MnemoError, NotYet, StepFailed


@dataclass(frozen=True)
class Task:
    """A task as the host sees it.

    :param id: unique within a play.
    :param notify: names of handlers to write down before the change that notifies them.
    :param register: the whole observed state travels back, not only what differs.
    :param ignore_errors: a failure does not end the batch.
    :param user: do it as this user; empty: as the agent itself.
    :param environment: variables for the programs it runs.
    :param changed: ``changed_when`` where it is a constant. :param failed: ``failed_when: false``.
    :param check: ``check_mode``: look only, or act even in a check.
    :param perhaps: a check cannot know whether it is done: only what comes after it hears of it.
    """

    id: str
    kind: str
    args: Mapping[str, Any]
    notify: Tuple[str, ...] = ()
    register: bool = False
    ignore_errors: bool = False
    user: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    changed: Optional[bool] = None
    failed: Optional[bool] = None
    check: Optional[bool] = None
    perhaps: bool = False

    @property
    def entry(self) -> str:
        """What it shares with the other items of its loop."""
        return self.id.partition(".")[0]

    def resource(self) -> Resource:
        return build(self.kind, self.args)


class Notified(Protocol):
    """Where notified handlers are written down."""

    def add(self, names: Sequence[str]) -> None: ...


def converge(
    tasks: Sequence[Task],
    machine: Machine,
    check: bool,
    notified: Notified,
    began: Callable[[Task], None],
    undone: Optional[Undone] = None,
) -> Iterator[Event]:
    """Bring each task's resource to its desired state, in order; ends after the first failure (and its loop's rest).

    With ``check`` the loop runs without its one line that writes. ``began`` is told each task before it is looked at.

    :param undone: what the checks of earlier requests have left undone.
    """
    undone = undone or Undone()
    machine.batch = [(task.kind, task.args) for task in tasks]
    failed = ""  # the entry that failed: the other items of its loop still have their turn, as in Ansible
    for task in tasks:
        if failed and task.entry != failed:
            return
        if task.perhaps:
            if leaves(Event(task.id, "unknown"), task.resource(), task.changed):
                undone.add(task.id, task.resource())
            continue
        began(task)
        started = time.monotonic()
        looks = check if task.check is None else task.check
        event = _judged(task, _outcome(task, machine.looking(looks), looks, notified, undone))
        if looks and event.status in ("ok", "changed"):
            event = undone.seen_by(task.resource(), event, machine)
        elif check and not looks and event.status == "failed" and undone.first and not task.ignore_errors:
            event = Event(task.id, "unknown", why=f"after {undone.first}: {event.why}")  # it acted too early
        yield event.timed(time.monotonic() - started)
        if looks and leaves(event, task.resource(), task.changed):
            undone.add(task.id, task.resource())
        if event.status == "failed" and not task.ignore_errors:
            failed = task.entry


def _judged(task: Task, event: Event) -> Event:
    """The event as ``failed_when: false`` and a constant ``changed_when`` want it."""
    if event.status == "failed" and task.failed is False:
        # an error tells that it could not even begin
        acted = "ok" if event.error or not task.resource().changes else "changed"
        event = replace(event, status=acted, after=event.before or {"msg": event.why}, why="", error=None)
    if task.changed is not None and event.status in ("ok", "changed"):
        event = replace(event, status="changed" if task.changed else "ok")
    return event


def _outcome(task: Task, machine: Machine, check: bool, notified: Notified, undone: Undone) -> Event:
    machine.variables = dict(task.environment)
    try:
        if task.user and task.user != machine.user_name:
            return _as_user(task, machine, check, notified)
        return _one(task, machine, check, notified)
    except NotYet as error:
        if pending := undone.cause(task.resource(), task.user):
            return Event(task.id, "unknown", why=f"after {pending}: {error}")
        return Event.failure(task.id, error)
    except MnemoError as error:
        return Event.failure(task.id, error)
    except OSError as error:
        return Event.failure(task.id, trouble(error, "" if machine.is_root else machine.user_name))
    finally:
        machine.variables = {}


def _as_user(task: Task, machine: Machine, check: bool, notified: Notified) -> Event:
    """The task in a process of its user; what it notifies is written down here, where the list is."""
    task.resource()  # its module is imported from a file that is root's alone
    for late in ("glob", "hashlib", "shlex"):  # and so may be all of Python
        importlib.import_module(late)

    def there(ask: Callable[[Mapping[str, Any]], Mapping[str, Any]]) -> Dict[str, Any]:
        class Remote:
            def add(self, names: Sequence[str]) -> None:
                ask({"notify": list(names)})

        try:
            return {"event": _one(task, machine, check, Remote()).to_json()}
        except OSError as error:
            raise trouble(error, task.user) from None

    def answer(question: Mapping[str, Any]) -> None:
        notified.add(question["notify"])

    return Event.from_json(machine.as_user(task.user, there, answer)["event"])


def _one(task: Task, machine: Machine, check: bool, notified: Notified) -> Event:
    try:
        return _converged(task, machine, check, notified)
    except ValueError as error:
        if "embedded null" not in str(error):
            raise
        raise StepFailed("a path or an argument of a program holds a NUL character; none can") from None


def _converged(task: Task, machine: Machine, check: bool, notified: Notified) -> Event:
    resource = task.resource()
    observed = resource.observe(machine)
    desired = resource.target(observed)
    change = Change.between(observed, desired)
    if not change:
        if task.changed:
            notified.add(task.notify)
        return Event(task.id, "ok", after=observed if task.register else None)
    if check and not resource.changes:
        return Event(task.id, "unknown", why="a check does not run it")
    if resource.changes and task.changed is not False:
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
    if check and shown.keys == ("rc",):  # what a program will end with nobody knows
        return Event(task.id, "changed", {}, {}, foreseen=True)
    return Event(task.id, "changed", shown.before, after if task.register else shown.after, foreseen=check or None)


def _still_wrong(left: Change, after: State) -> str:
    """One sentence on what a change did not reach; a program's own last words when it left any."""
    if left.after is None:
        return "no effect: it still exists"
    if left.before is None:
        return "no effect: it still does not exist"
    if left.keys == ("rc",):
        said = _last_words(after)
        return f"ended with {left.before['rc']}" + (f": {said}" if said else "")
    parts = ", ".join(f"{key} is {left.before.get(key)!r}, not {left.after[key]!r}" for key in left.keys)
    said = _last_words(after)
    return f"no effect: {parts}" + (f": {said}" if said else "")


def _last_words(after: State) -> str:
    said = after or {}
    return str(said.get("stderr") or said.get("stdout") or said.get("msg") or "").strip()[-1500:]
