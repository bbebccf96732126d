"""Report: events in; lines, bars, one JSON document and the exit code out."""

from __future__ import annotations

import contextlib
import difflib
import json
import os
import shutil
import sys
import threading
import time
from pathlib import Path
from typing import IO, Any, Optional, TextIO

from mnemo_ops.agent.base.protocol import Event
from mnemo_ops.agent.base.record import dataclass, replace
from mnemo_ops.core.model import Task
from mnemo_ops.core.next_command import Advice
from mnemo_ops.core.secret import Mask, of_result
from mnemo_ops.core.secret_text import hidden
from mnemo_ops.core.visible import folded, in_a_line, indented, visible
from mnemo_ops.errors import DriftFound, MnemoError, StepFailed, reason
from mnemo_ops.execution.progress_bars import Bars, Row, plain

QUIET = 5.0  # seconds after which a line says what is going on, where there is no terminal for a bar
AGAIN = 60.0  # seconds after which it may say so again while nothing else happens
HOME = Path(__file__).parents[2]  # our own playbooks lie below
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


def _put(stream: TextIO, text: str) -> str:
    """The one place that prints; why it could not. Work on a host goes on, and is taken back, all the same."""
    try:
        print(text, file=stream, flush=True)
    except BrokenPipeError:  # `| head`
        say_no_more(stream)
    except OSError as error:  # a full disk
        return reason(error)
    return ""


def say_no_more(stream: IO[Any]) -> None:
    """Nobody reads it any more: what is written to it from here on, and what it still holds, goes nowhere."""
    with contextlib.suppress(OSError, ValueError), Path(os.devnull).open("wb") as nowhere:  # no file, or closed
        os.dup2(nowhere.fileno(), stream.fileno())


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
        self._said: dict[str, tuple[str, str]] = {}  # by host: the job and note of its last line
        self._rows: dict[str, Row] = {}  # by host: what it is doing
        self._bars = Bars(self._err)
        self._lost = ""  # why something was not printed

    # -- what happens --------------------------------------------------------------------------------------------

    def say(self, text: str) -> None:
        """One line of ours."""
        self.show(indented(self.advice.spoken(text)))

    def show(self, text: str, exact: bool = False) -> None:
        """What is somebody else's: what differs in a file, a page. :param exact: where no terminal shows it."""
        with self._lock:
            self._print(self._err if self.style.json else self._out, text, exact)

    def trace(self, text: str) -> None:
        """A traceback, for who reports a bug."""
        self._print(self._err, text.rstrip())

    def _print(self, stream: TextIO, text: str, exact: bool = False) -> None:
        """Nothing secret, and nothing that does something to the terminal, whoever said it."""
        shown = self.mask.hide(text)
        if stream.isatty() or not exact:
            shown = visible(shown)
        encoding = stream.encoding or "utf-8"  # a file name may hold bytes no encoding knows
        shown = shown.encode(encoding, "backslashreplace").decode(encoding)
        if not self._bars.printed(shown, stream):
            self._lost = _put(stream, shown) or self._lost

    def step(self, text: str) -> None:
        """The next sentence of a flow's runbook."""
        seconds = time.time() - self._started
        with self._lock:  # what the step before showed is over
            self._rows.clear()
            self._bars.clear()
        self.say(f"[{seconds:6.1f} s] {text}")

    def host(self, name: str) -> Tally:
        with self._lock:
            return self._hosts.setdefault(name, Tally())

    def task(self, host: str, task: Task, event: Event) -> None:
        """A task came to its end on a host."""
        if task.no_log:  # what it registered may be shown by another
            self.mask.learn(of_result([event.before, event.after]))
        if task.secrets:
            said = {name: hidden(getattr(event, name), task.secrets) for name in ("before", "after", "why")}
            event = replace(event, **said)
        with self._lock:
            self.idle(host)
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
        why = f": {event.why.rstrip()}" if event.why and not task.no_log else ""
        status = "ignored" if event.status == "failed" and task.ignore_errors else event.status
        said = f"  {status:8} {host:12} {in_a_line(task.name)}{why}  ({near(task.where)}){took}"
        stream = self._err if self.style.json else self._out
        self.show(self._fitting(indented(self.advice.spoken(said)), stream))
        if self.style.diff and not task.no_log and event.status == "changed":
            for line in _diff(self.mask.hide_all(event.before), self.mask.hide_all(event.after)):
                self.show("      " + line)

    def _fitting(self, text: str, stream: TextIO) -> str:
        """Folded at blanks for a terminal."""
        if not stream.isatty():
            return text
        return folded(self.mask.hide(text), shutil.get_terminal_size().columns)  # a secret is not found in two lines

    def progress(self, host: str, event: Event, title: str = "") -> None:
        """How far something is: a bar on a terminal, a line now and then elsewhere."""
        after, job = event.after or {}, self.mask.hide(title or event.id)
        done, total, note = int(after.get("done", 0)), int(after.get("total", 0)), str(after.get("note", "") or "")
        with self._lock:
            row = self._rows.get(host)
            begins = row is None or row.job != job  # another job: its own time, its own bytes
            if row is None or begins:
                row = self._rows[host] = Row(host, job)
            beats = not (done or total or note)  # alive, and where it was
            was = row.count
            row.update(*((was.done, was.total, was.note) if beats else (done, total, self.mask.hide(note))))
            if self._terminal():
                self._bars.show(row)
            else:
                self._speak(row, begins, after.get("elapsed"))

    def _speak(self, row: Row, begins: bool, elapsed: Optional[float]) -> None:
        now = time.monotonic()
        again = self._said.get(row.host) == (row.job, row.count.note)
        quiet = now - self._spoke.setdefault(row.host, now)
        told = self.style.verbose and row.count.note and not again  # each of them, once
        if not told and (begins or quiet < (AGAIN if again else QUIET)):  # most jobs are over at once
            return
        self._spoke[row.host], self._said[row.host] = now, (row.job, row.count.note)
        self.say(plain(row, elapsed))

    def idle(self, host: str) -> None:
        """What a host was doing is over."""
        with self._lock:
            self._rows.pop(host, None)
            self._bars.clear(host)

    def _terminal(self) -> bool:
        return self._err.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"

    # -- how it ends ---------------------------------------------------------------------------------------------

    def finish(self, error: Optional[MnemoError] = None) -> int:
        """Print the recap (or the document) and return the exit code."""
        with self._lock:
            self._bars.clear()
        if (
            error is None
            and self.style.exit_drift
            and self.style.check
            and any(t.changed for t in self._hosts.values())
        ):
            error = DriftFound("the hosts differ from what is declared", hint="run the command without --check")
        self.error = error
        if self.style.json:
            text = json.dumps(self.mask.hide_all(self.document()), indent=2)
            text = text.replace("\x7f", "\\u007f")  # the one control character json leaves as it is
            self._lost = _put(self._out, text) or self._lost
        else:
            self._recap()
        if self._lost and error is None:
            self.error = error = StepFailed(f"not all of the output was written: {self._lost}")
        if error is not None:
            self._complain(error)
        for stream in (self._out, self._err) if self._lost else ():
            say_no_more(stream)  # or the interpreter would try once more, and end with a code of its own
        return error.exit_code if error is not None else 0

    def _recap(self) -> None:
        for line in self.summary:
            self.say(line)
        if self._hosts:
            self.say("   ".join(f"{name} : {tally.line()}" for name, tally in self._hosts.items()))

    def _complain(self, error: MnemoError) -> None:
        said = indented(self.advice.spoken(f"ERROR {error.code} {error}"))
        self._print(self._err, self._fitting(said, self._err))
        if error.hint:  # never folded: what is to be typed is copied in one piece
            self._print(self._err, indented(self.advice.spoken(f"  -> {error.hint}")))

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
        if "findings" in self.extra:  # as the error says them
            rows = self.extra["findings"]
            document["findings"] = [{key: self.advice.spoken(text) for key, text in row.items()} for row in rows]
        if self.error is not None:
            said = {key: self.advice.spoken(text) for key, text in self.error.to_json().items()}
            document["error"] = {"code": self.error.code, **said}
        return document


def near(where: str) -> str:
    """A file below this directory, or one of our own playbooks, without the directories before."""
    with contextlib.suppress(OSError):  # this directory was removed
        for base in (Path.cwd(), HOME):
            if base != base.parent:
                where = where.removeprefix(f"{base}/")
    return where


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


def _short(value: Any) -> str:
    text = json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= 200 else text[:197] + "..."
