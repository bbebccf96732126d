"""Heard: what an agent says, checked field by field and against what it was asked, before anybody acts on it.

A host may be somebody else's by now. What does not fit is no message: the channel to that host counts as lost.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any, Optional

from mnemo_ops import errors
from mnemo_ops.agent.base.record import dataclass, field
from mnemo_ops.agent.base.validators import Parse
from mnemo_ops.core.model import Batch, Task
from mnemo_ops.errors import NotAMessage, Refused, StepFailed, Unforeseen

DEEPEST = 100  # lists and mappings within each other
MANY = 2_000_000  # values in one message
COUNT = 1 << 63  # a number of bytes no host has
YEAR = 366 * 86400.0  # seconds a task may say it took

_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"')
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Form:
    """What a field may hold. :param needed: it is always there."""

    fits: Callable[[Any], bool]
    needed: bool = True


def _number(most: float) -> Callable[[Any], bool]:
    return lambda value: type(value) in (int, float) and 0 <= value <= most


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def _progress(value: Any) -> bool:
    """How far something is; all of it may be missing."""
    return isinstance(value, dict) and _fault(value, PROGRESS) == ""


def _error(value: Any) -> bool:
    return isinstance(value, dict) and _fault(value, ERROR) == ""


# a host ends a run with what can happen there: it is neither unreachable nor interrupted, and reads no playbook
HAPPENS = frozenset(
    name
    for name, found in vars(errors).items()
    if isinstance(found, type)
    and issubclass(found, (StepFailed, errors.Refused, errors.Locked, errors.VerificationFailed, errors.RollbackFailed))
)
FAULT = "MnemoError"  # what nobody foresaw, in the words of the agent

TEXT, MAYBE_TEXT = Form(lambda value: isinstance(value, str)), Form(lambda value: isinstance(value, str), False)
NUMBER = Form(lambda value: type(value) is int and 0 <= value < COUNT)
AMOUNT = Form(NUMBER.fits, False)
SECONDS, TOOK = Form(_number(YEAR)), Form(_number(YEAR), False)
FLAG, MAYBE_FLAG = Form(lambda value: isinstance(value, bool)), Form(lambda value: isinstance(value, bool), False)
DATA, MAYBE_DATA = Form(lambda value: isinstance(value, dict)), Form(lambda value: isinstance(value, dict), False)
TEXTS, DIGEST = Form(_texts), Form(lambda value: isinstance(value, str) and _DIGEST.fullmatch(value) is not None)
CLASS = Form(lambda value: value == FAULT or (isinstance(value, str) and value in HAPPENS))
FAILURE, MAYBE_FAILURE = Form(_error), Form(_error, False)

Fields = Mapping[str, Form]
ERROR: Fields = {"class": CLASS, "message": TEXT, "where": TEXT, "hint": TEXT}
PROGRESS: Fields = {"done": AMOUNT, "total": AMOUNT, "note": MAYBE_TEXT}
STATUS = Form(lambda value: isinstance(value, str) and value in ("ok", "changed", "failed", "unknown", "progress"))
# what an agent may say, each by the field that tells it from the others
KINDS: Mapping[str, Fields] = {
    "need": {"need": DIGEST},
    "beat": {"beat": SECONDS, "task": TEXT, "note": TEXT},
    "status": {
        **{"id": TEXT, "status": STATUS, "before": MAYBE_DATA, "after": MAYBE_DATA, "why": MAYBE_TEXT, "seconds": TOOK},
        **{"error": MAYBE_FAILURE, "foreseen": MAYBE_FLAG},
    },
    "done": {"done": NUMBER},
    "error": {"error": FAILURE, "seq": NUMBER},
}
# what "done" holds besides, by what was asked
ANSWERS: Mapping[str, Fields] = {
    "hello": {"facts": DATA, "login": TEXT, "pending_handlers": TEXTS},
    "converge": {"failed": FLAG, "pending_handlers": TEXTS},
    "act": {"report": DATA},
    "ready": {"report": DATA},
}

Heard = tuple[str, dict[str, Any]]


class Told(dict[str, Any]):
    """A mapping of a deed's report: what is missing in it is its host's fault."""

    host = "a host"

    @classmethod
    def by(cls, host: str, value: Any) -> Any:
        """The value with all mappings in it."""
        if isinstance(value, list):
            return [cls.by(host, one) for one in value]
        if not isinstance(value, dict):
            return value
        found = cls((name, cls.by(host, one)) for name, one in value.items())
        found.host = host
        return found

    def __missing__(self, name: str) -> Any:
        raise NotAMessage(
            f"{self.host} left '{name}' out of what it reported", hint=f"check which program answers on {self.host}"
        )


def parsed(line: bytes) -> Any:
    """JSON as an agent writes it. :raises ValueError: it is none, or nobody could go on with it."""
    if not line.isascii():
        raise ValueError("it is not ASCII")
    opened = line.count(b"[") + line.count(b"{")
    if opened + line.count(b",") > MANY and _holds_many(line):
        raise ValueError(f"it holds more than {MANY} values")
    try:
        found = json.loads(line, parse_constant=_refused, parse_float=_finite)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if opened > DEEPEST and _is_deep(found):
        raise ValueError("it is nested too deeply")
    return found


def _holds_many(line: bytes) -> bool:
    """Whether there are too many values, what stands in texts not counted."""
    count = start = 0
    for text in _STRING.finditer(line):
        count += sum(line.count(mark, start, text.start()) for mark in (b"[", b"{", b","))
        if count > MANY:
            return True
        start = text.end()
    return count + sum(line.count(mark, start) for mark in (b"[", b"{", b",")) > MANY


def _refused(word: str) -> Any:
    raise ValueError(f"{word} is not a number")


def _finite(text: str) -> float:
    found = float(text)
    if not math.isfinite(found):
        raise ValueError("a number is too large")
    return found


def _is_deep(value: Any) -> bool:
    level = [value]
    for _ in range(DEEPEST):
        values = [one.values() if isinstance(one, dict) else one for one in level]
        level = [inner for each in values for inner in each if isinstance(inner, (dict, list))]
    return bool(level)


@dataclass
class Asked:
    """A request, and what its answer may be.

    :param names: what is done, in order, for the message when the channel breaks. :param files: digests of what the
        host may ask for. :param report: the form of an action's. :attr:`ended`: ids of tasks that did.
    """

    op: str
    seq: int = 0
    names: Collection[str] = ()
    files: Collection[str] = ()
    batch: Optional[Batch] = None
    report: Optional[Parse] = None
    ended: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        tasks = [task for task in self.batch.tasks() if not task.perhaps] if self.batch else []
        self._tasks = {task.id: task for task in tasks}
        self._turns = {id: turn for turn, id in enumerate(self._tasks)}
        self._last = -1
        self._failed = False

    def heard(self, message: Any) -> Heard:
        """A message and its kind. :raises NotAMessage: it is none, or nobody asked for it (4)."""
        if not isinstance(message, dict):
            raise NotAMessage("it is not a JSON object")
        kind = next((kind for kind in KINDS if kind in message), "")
        if not kind:
            raise NotAMessage("its type is unknown")
        more = ANSWERS[self.op] if kind == "done" else {}
        problem = _fault(message, {**KINDS[kind], **more}) or _WORDS[kind](self, message)
        if problem:
            raise NotAMessage(f"'{kind}': {problem}")
        if message.get("error") and message["error"]["class"] == FAULT:
            said = f"the agent failed with an unexpected error: {message['error']['message']}"
            message["error"] = {**message["error"], "class": Unforeseen.__name__, "message": said}
        return kind, message

    def _need(self, message: Mapping[str, Any]) -> str:
        return "" if message["need"] in self.files else "a file that was not offered"

    def _status(self, message: Mapping[str, Any]) -> str:
        id, status = message["id"], message["status"]
        if status == "progress":
            fits = self.batch is None and id in self.names and _progress(message.get("after", {}))
            return "" if fits else "progress for a task that is not running, or progress in another form"
        task = self._tasks.get(id)
        if task is None:
            return f"a task that was not sent: {id[:40]!r}"
        if self._turns[id] <= self._last:
            return f"the task {id} comes twice, or too late"
        if not (self.batch and self.batch.check) and (status == "unknown" or message.get("foreseen")):
            return "a status that only a check may have"
        self._last = self._turns[id]
        self._failed = self._failed or (status == "failed" and not task.ignore_errors)
        self.ended[id] = status
        return ""

    def _answered(self, message: dict[str, Any]) -> str:
        if message.get("done", message.get("seq")) != self.seq:
            return "an answer to another request"
        if self.report and "error" not in message:
            return self._reported(message)
        if self.op != "converge" or self.batch is None or "error" in message:
            return ""
        left = [step.id for step in self.batch.steps if isinstance(step, Task) and step.id in self._tasks]
        if message["failed"] is not self._failed or (not self._failed and any(id not in self.ended for id in left)):
            return "a result that contradicts its tasks"
        return ""

    def _reported(self, message: dict[str, Any]) -> str:
        try:
            message["report"] = self.report(message["report"]) if self.report else {}
        except Refused as error:
            return f"its report is none of '{next(iter(self.names), '')}': {error}"
        return ""


_WORDS: Mapping[str, Callable[[Asked, dict[str, Any]], str]] = {
    "need": Asked._need,
    "beat": lambda asked, message: "",
    "status": Asked._status,
    "done": Asked._answered,
    "error": Asked._answered,
}


def _fault(message: Mapping[str, Any], fields: Fields) -> str:
    """What is wrong with its fields, ``null`` being none."""
    for name, form in fields.items():
        value = message.get(name)
        if not form.fits(value) and (form.needed or value is not None):
            return f"its field '{name}' is missing" if value is None else f"its field '{name}' holds an invalid value"
    unknown = [name for name in message if name not in fields]
    return f"an unknown field {unknown[0][:40]!r}" if unknown else ""
