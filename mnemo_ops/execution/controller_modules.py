"""Kinds no host is asked for: what is said, asserted, set and waited for on the way."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from mnemo_ops.agent.base.protocol import Event
from mnemo_ops.agent.resources.command import Command
from mnemo_ops.agent.resources.reboot import Reboot
from mnemo_ops.agent.resources.wait_for_connection import WaitForConnection
from mnemo_ops.core.model import Batch, Entry, Task
from mnemo_ops.errors import PlaybookError, StepFailed, Unreachable
from mnemo_ops.execution.host_control import Control
from mnemo_ops.execution.results import Round
from mnemo_ops.inventory.load import load_variables
from mnemo_ops.playbook.context import located
from mnemo_ops.templates.render import Scope, condition, copied, render

SETS = ("set_fact", "include_vars")  # kinds that set variables
AFTER_ALL = ("assert", "fail", "pause", "reboot", "wait_for_connection")  # what comes before them happens first

Steps = Iterator[tuple[Task, Event]]


def perform(run: Control, task: Task, one: Round, entry: Entry) -> Any:
    """Do a task of a kind that is ``on_controller``; a generator of progress whose value is its event."""
    assert one.scope is not None
    if entry.kind in _WAITING:
        return (yield from _WAITING[entry.kind](run, task, one.args))
    return _AT_ONCE[entry.kind](run, task, one.args, one.scope, entry)


def _debug(run: Control, task: Task, args: Mapping[str, Any], scope: Scope, entry: Entry) -> Event:
    if int(args.get("verbosity", 0)) > run.options.verbosity:
        return Event(task.id, "skipped", why="verbosity")
    if "var" in args:
        value = copied(render("{{ " + args["var"] + " }}", scope, entry.where), lenient=True)
        return Event(task.id, "ok", after={args["var"]: value}, why=f"{args['var']}: {_text(value)}")
    message = copied(args.get("msg", "Hello world!"), lenient=True)
    return Event(task.id, "ok", after={"msg": message}, why=_text(message))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, indent=2, default=str, ensure_ascii=False)


def _assert(run: Control, task: Task, args: Mapping[str, Any], scope: Scope, entry: Entry) -> Event:
    that = args["that"]
    for text in that if isinstance(that, list) else [that]:
        if not condition(str(text), scope, entry.where):
            said = _text(args.get("fail_msg", "Assertion failed"))
            state = {"msg": args.get("fail_msg", "Assertion failed"), "assertion": str(text), "evaluated_to": False}
            return Event(task.id, "failed", before=state, why=f"{said} (not true: {text})")
    said = _text(args.get("success_msg", "All assertions passed"))
    return Event(task.id, "ok", after={"msg": said})


def _fail(run: Control, task: Task, args: Mapping[str, Any], scope: Scope, entry: Entry) -> Event:
    return Event.failure(task.id, StepFailed(args.get("msg", "Failed as requested from task")))


def _set_fact(run: Control, task: Task, args: Mapping[str, Any], scope: Scope, entry: Entry) -> Event:
    values = {name: value for name, value in args.items() if name != "cacheable"}
    run.state.set_variables(values)
    if args.get("cacheable"):
        run.state.learn(values)
    return Event(task.id, "ok", after={"ansible_facts": values})


def _include_vars(run: Control, task: Task, args: Mapping[str, Any], scope: Scope, entry: Entry) -> Event:
    found: dict[str, Any] = {}
    for path in vars_files(args, entry):
        found.update(load_variables(path, PlaybookError, entry.where))
    values = {str(args["name"]): found} if "name" in args else found
    run.state.set_variables(values, templates=True)
    return Event(task.id, "ok", after={"ansible_facts": {}})


def vars_files(args: Mapping[str, Any], entry: Entry) -> list[Path]:
    """The files an ``include_vars`` reads. :raises PlaybookError: there is none (2)."""
    if "file" in args:
        return [located(str(args["file"]), entry.variables, entry.where)]
    directory = located(str(args["dir"]), entry.variables, entry.where)
    depth = int(args.get("depth", 0))
    fits = re.compile(args.get("files_matching") or "")
    extensions = {f".{one.lstrip('.')}" for one in args.get("extensions", ["yaml", "yml", "json"])}
    found = []
    for path in sorted(directory.rglob("*")):
        below = len(path.relative_to(directory).parts)
        if not path.is_file() or (depth and below > depth) or path.name in args.get("ignore_files", ()):
            continue
        if not fits.search(path.name) or (path.suffix not in extensions and args.get("ignore_unknown_extensions")):
            continue
        if path.suffix not in extensions:
            raise PlaybookError(
                f"include_vars: {path.name} has an extension that include_vars does not read", where=entry.where
            )
        found.append(path)
    return found


def _meta(run: Control, task: Task, args: Mapping[str, Any], scope: Scope, entry: Entry) -> Event:
    if str(args["action"]).startswith("end_"):
        run.end_here(str(args["action"]))
    return Event(task.id, "ok")


def _pause(run: Control, task: Task, args: Mapping[str, Any]) -> Any:
    seconds = float(args.get("seconds") or 0) + 60 * float(args.get("minutes") or 0)
    if not run.options.check:
        yield from run.wait(task, seconds, "pause")
    return Event(task.id, "ok", after={"delta": seconds})


def _reboot(run: Control, task: Task, args: Mapping[str, Any]) -> Any:
    """Reboot, and wait until the host answers after another start: that alone tells that it happened."""
    words = task.resource
    assert isinstance(words, Reboot)
    if run.options.check:
        return Event(task.id, "changed", after={"rebooted": True}, foreseen=True)
    before, began = _boot(run, task, words), run.clock()
    yield from run.wait(task, words.pre_reboot_delay, "before the reboot")
    down = Command(cmd=words.reboot_command) if words.reboot_command else Command(argv=[*SHUTDOWN, words.msg])
    path = {"PATH": ":".join(words.search_paths)} if words.search_paths else {}
    run.last_word(Batch((Task(task.id, task.name, down, task.where, ignore_errors=True, environment=path),)))
    yield from run.wait(task, words.post_reboot_delay, "after the reboot")
    while True:
        left = words.reboot_timeout - (run.clock() - began)
        run.reconnect(left, words.connect_timeout)
        with contextlib.suppress(Unreachable):  # it goes down while it is asked
            if _boot(run, task, words) != before:
                break
        if left <= 0:
            raise StepFailed(f"the host did not reboot within {words.reboot_timeout} s")
        yield from run.wait(task, 1.0, "waiting for the reboot")
    yield from run.until_it_works(task, Command(cmd=words.test_command), words.reboot_timeout)
    return Event(task.id, "changed", after={"rebooted": True, "elapsed": int(run.clock() - began)})


SHUTDOWN = ("shutdown", "-r", "now")


def _boot(run: Control, task: Task, words: Reboot) -> tuple[Any, str]:
    """What differs after each start of the host."""
    said = run.ask(task, Command(cmd=words.boot_time_command))
    return run.session.facts.get("init_started"), str((said.after or {}).get("stdout", ""))


def _wait_for_connection(run: Control, task: Task, args: Mapping[str, Any]) -> Any:
    words, began = task.resource, run.clock()
    assert isinstance(words, WaitForConnection)
    if not run.options.check:
        yield from run.wait(task, words.delay, "before the first try")
        run.reconnect(words.timeout, words.connect_timeout, words.sleep)
    return Event(task.id, "ok", after={"elapsed": int(run.clock() - began)})


_AT_ONCE: dict[str, Callable[..., Event]] = {
    "debug": _debug,
    "assert": _assert,
    "fail": _fail,
    "set_fact": _set_fact,
    "include_vars": _include_vars,
    "meta": _meta,
}
_WAITING: dict[str, Callable[..., Any]] = {
    "pause": _pause,
    "reboot": _reboot,
    "wait_for_connection": _wait_for_connection,
}
