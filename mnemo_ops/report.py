"""Report: events in; lines, bars, one JSON document and the exit code out."""

from __future__ import annotations

import difflib
import json
import sys
import threading
import time
from typing import Any, Optional, TextIO

from mnemo_ops.advice import Advice
from mnemo_ops.agent.record import dataclass
from mnemo_ops.agent.wire import Event
from mnemo_ops.errors import DriftFound, MnemoError
from mnemo_ops.model import Task
from mnemo_ops.secret import Mask

QUIET = 5.0  # seconds after which a line says what is going on, where there is no terminal for a bar
STATUSES = ("ok", "changed", "failed", "skipped", "unknown", "rescued")
TOLD = ("changed", "failed", "unknown", "rescued")  # what a reader wants to know of; and what has something to say


@dataclass
class Tally:
    """What became of the tasks of one host."""

    ok: int = 0
    changed: int = 0
    failed: int = 0
    skipped: int = 0
    unknown: int = 0
    rescued: int = 0

    def add(self, status: str) -> None:
        setattr(self, status, getattr(self, status) + 1)

    def to_json(self) -> dict[str, int]:
        """The counts of cli.md; ``rescued`` only where there was one."""
        return {name: count for name, count in vars(self).items() if count or name != "rescued"}

    def line(self) -> str:
        shown = [name for name in STATUSES if getattr(self, name) or name in ("ok", "changed", "failed")]
        return " ".join(f"{name}={getattr(self, name)}" for name in shown)


@dataclass
class Style:
    """How to print. ``json``: one document on stdout, everything else on stderr."""

    json: bool = False
    verbose: bool = False
    diff: bool = False
    check: bool = False
    exit_drift: bool = False


class Report:
    """Thread-safe; one per command. ``extra`` is merged into the JSON document."""

    def __init__(self, command: str, style: Style, out: Optional[TextIO] = None, err: Optional[TextIO] = None) -> None:
        self.command = command
        self.style = style
        self.mask = Mask()
        self.advice = Advice()
        self.extra: dict[str, Any] = {}
        self.summary: list[str] = []
        self.error: Optional[MnemoError] = None
        self._out, self._err = out or sys.stdout, err or sys.stderr  # as they are now, not when this was imported
        self._hosts: dict[str, Tally] = {}
        self._tasks: list[dict[str, Any]] = []
        self._lock = threading.RLock()
        self._started = time.time()
        self._spoke: dict[str, float] = {}
        self._bars: dict[str, tuple[str, Any]] = {}  # by host: the job, and its line on the terminal
        self._live: Any = None
        self._doing: dict[tuple[str, str], tuple[int, int, str]] = {}  # by host and job: done, total, note

    # -- what happens --------------------------------------------------------------------------------------------

    def say(self, text: str) -> None:
        """One line of ours."""
        self.show(self.advice.spoken(text))

    def show(self, text: str) -> None:
        """What is somebody else's: the content of a file, what differs in it."""
        with self._lock:
            stream = self._err if self.style.json else self._out
            if self._live is not None and stream.isatty():  # into a file or a pipe it goes past the bar
                console = self._live.console
                console.print(self.mask.hide(text), markup=False, emoji=False, highlight=False, soft_wrap=True)
            else:
                self._print(stream, text)

    def _print(self, stream: TextIO, text: str) -> None:
        shown = self.mask.hide(text)
        encoding = stream.encoding or "utf-8"  # a file name may hold bytes no encoding knows
        print(shown.encode(encoding, "backslashreplace").decode(encoding), file=stream, flush=True)

    def step(self, text: str) -> None:
        """The next sentence of a flow's runbook."""
        seconds = time.time() - self._started
        with self._lock:  # what the step before showed is over
            self._doing.clear()
            for host in list(self._bars):
                self._clear(host)
        self.say(f"[{seconds:6.1f} s] {text}")

    def host(self, name: str) -> Tally:
        with self._lock:
            return self._hosts.setdefault(name, Tally())

    def task(self, host: str, task: Task, event: Event) -> None:
        """A task came to its end on a host."""
        with self._lock:
            self._clear(host)
            self._spoke[host] = time.monotonic()
            status = "ok" if event.status == "failed" and task.ignore_errors else event.status
            self.host(host).add(status)
            told = event.status in TOLD or (event.status == "ok" and bool(event.why))
            if told or self.style.verbose:
                self._print_task(host, task, event)
            if told:
                why = "hidden by no_log" if task.no_log and event.why else self.advice.spoken(event.why)
                row = {"host": host, "task": task.name, "where": task.where, "status": event.status, "why": why}
                shown = {} if task.no_log else {"before": event.before, "after": event.after}
                ignored = {"ignored": True} if event.status == "failed" and task.ignore_errors else {}
                self._tasks.append({**row, **ignored, **shown, "seconds": event.seconds})

    def _print_task(self, host: str, task: Task, event: Event) -> None:
        took = f"  {event.seconds:.1f} s" if event.seconds >= 1 else ""
        why = f": {_indented(event.why)}" if event.why and not task.no_log else ""
        status = "ignored" if event.status == "failed" and task.ignore_errors else event.status
        self.say(f"  {status:8} {host:12} {task.name}{why}  ({task.where}){took}")
        if self.style.diff and not task.no_log and event.status == "changed":
            for line in _diff(self.mask.hide_all(event.before), self.mask.hide_all(event.after)):
                self.show("      " + line)

    def progress(self, host: str, event: Event, title: str = "") -> None:
        """How far something is: a bar on a terminal, a line every few seconds elsewhere."""
        after, job = event.after or {}, title or event.id
        done, total, note = int(after.get("done", 0)), int(after.get("total", 0)), str(after.get("note", "") or "")
        with self._lock:
            if not (done or total or note):  # a beat: alive, and where it was
                done, total, note = self._doing.get((host, job), (0, 0, ""))
            begins = (host, job) not in self._doing
            self._doing[host, job] = done, total, note
            if self._terminal():
                self._bar(host, job, done, total, note or job)
                return
            now = time.monotonic()
            if now - self._spoke.setdefault(host, now) < QUIET or begins:  # most jobs are over at once
                return
            self._spoke[host] = now
            amount = f" {_size(done)}" + (f" of {_size(total)}" if total else "") if done else ""
            elapsed = f" {after['elapsed']:.0f} s" if "elapsed" in after else ""
            self.say(f"  ...      {host:12} {job}{elapsed} {note}{amount}".rstrip())

    def _terminal(self) -> bool:
        import os

        return self._err.isatty() and "NO_COLOR" not in os.environ

    def _bar(self, host: str, job: str, done: int, total: int, text: str) -> None:
        from rich.console import Console
        from rich.progress import Progress

        if self._live is None:
            self._live = Progress(*_columns(), console=Console(file=self._err), transient=True, redirect_stdout=False)
            self._live.start()
        shown = self.mask.hide(text)[:48]
        if host in self._bars and self._bars[host][0] != job:  # another job: its own time, its own bytes
            self._live.remove_task(self._bars.pop(host)[1])
        if host not in self._bars:
            self._bars[host] = job, self._live.add_task(shown, host=host, total=None)
        self._live.update(self._bars[host][1], description=shown, completed=done, total=total or None)

    def _clear(self, host: str) -> None:
        if self._live is not None and host in self._bars:
            self._live.remove_task(self._bars.pop(host)[1])
            if not self._bars:
                self._live.stop()
                self._live = None

    # -- how it ends ---------------------------------------------------------------------------------------------

    def finish(self, error: Optional[MnemoError] = None) -> int:
        """Print the recap (or the document) and return the exit code."""
        if self._live is not None:
            self._live.stop()
            self._live = None
        if (
            error is None
            and self.style.exit_drift
            and self.style.check
            and any(t.changed for t in self._hosts.values())
        ):
            error = DriftFound("the hosts differ from what is declared", hint="run it without --check")
        self.error = error
        if self.style.json:
            print(json.dumps(self.mask.hide_all(self.document()), indent=2), file=self._out, flush=True)
        else:
            self._recap()
        if error is not None:
            self._complain(error)
        return error.exit_code if error is not None else 0

    def _recap(self) -> None:
        for line in self.summary:
            self.say(line)
        if self._hosts:
            self.say("   ".join(f"{name} : {tally.line()}" for name, tally in self._hosts.items()))

    def _complain(self, error: MnemoError) -> None:
        self._print(self._err, self.advice.spoken(f"ERROR {error}"))
        if error.hint:
            self._print(self._err, self.advice.spoken(f"  -> {error.hint}"))

    def document(self) -> dict[str, Any]:
        """The ``--json`` document of cli.md."""
        code = self.error.exit_code if self.error else 0
        changed = any(tally.changed for tally in self._hosts.values()) or bool(self.extra.get("changed"))
        outcome = "refused" if code in (2, 3, 5) else "failed" if code else "changed" if changed else "ok"
        document: dict[str, Any] = {
            "command": self.command,
            "outcome": outcome,
            "exit_code": code,
            "check": self.style.check,
            "started_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self._started)),
            "seconds": round(time.time() - self._started, 3),
            "hosts": {name: tally.to_json() for name, tally in self._hosts.items()},
            "tasks": self._tasks,
            **{key: value for key, value in self.extra.items() if key != "changed"},
        }
        if self.error is not None:
            document["error"] = {key: self.advice.spoken(text) for key, text in self.error.to_json().items()}
        return document


def _columns() -> list[Any]:
    """Of the live bar; bytes, rate and the time left only where bytes are counted."""
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )
    from rich.progress import Task as Row
    from rich.text import Text

    class Bytes(DownloadColumn):
        def render(self, task: Row) -> Text:
            return super().render(task) if task.total else Text(_size(task.completed) if task.completed else "")

    class Rate(TransferSpeedColumn):
        def render(self, task: Row) -> Text:
            return super().render(task) if task.speed else Text("")

    class Left(TimeRemainingColumn):
        def render(self, task: Row) -> Text:
            return Text("left ").append(super().render(task)) if task.time_remaining else Text("")

    host = TextColumn("  {task.fields[host]:12} {task.description:32}", markup=False)
    return [host, BarColumn(bar_width=24), TimeElapsedColumn(), Bytes(), Rate(), Left()]


def _diff(before: Any, after: Any) -> list[str]:
    """Unified for texts, ``key: old -> new`` for the rest."""
    if after is None:
        return ["- exists"]
    if before is None:
        texts = {key: value for key, value in after.items() if isinstance(value, str) and "\n" in value}
        rest = {key: value for key, value in after.items() if key not in texts}
        return [f"+ {_short(rest)}", *(f"+ {line}" for text in texts.values() for line in text.splitlines())]
    lines: list[str] = []
    for key in after:
        old, new = before.get(key), after[key]
        if isinstance(old, str) and isinstance(new, str) and ("\n" in old or "\n" in new):
            rows = difflib.unified_diff(
                old.splitlines(), new.splitlines(), f"before {key}", f"after {key}", lineterm=""
            )
            lines.extend(rows)
        elif old != new:
            lines.append(f"{key}: {_short(old)} -> {_short(new)}")
    return lines


def _indented(text: str) -> str:
    return text.rstrip().replace("\n", "\n      ")


def _short(value: Any) -> str:
    text = json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= 200 else text[:197] + "..."


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
