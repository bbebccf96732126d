"""A host that lies: speaks as an agent does until its turn to say something else, made of the wire's own words."""

from __future__ import annotations

import io
import json
from collections import deque
from collections.abc import Mapping
from typing import Any, Optional

from hypothesis import strategies as st

from mnemo_ops.agent.base import protocol
from mnemo_ops.core.model import Batch, Task
from mnemo_ops.errors import MnemoError, Unreachable
from mnemo_ops.transport import heard

# when it may lie: before its greeting, its facts, an event, the end of an answer, or the next request
MOMENTS = ("greeting", "hello", "event", "done", "later")
FACTS = {"user_id": "root", "distribution": "Debian", "system": "Linux"}


class Said(io.RawIOBase):
    """What it said, read without a thread: when there is no more, it has hung up."""

    def __init__(self) -> None:
        self.parts: deque[bytes] = deque()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while self.parts and not self.parts[0]:
            self.parts.popleft()
        if not self.parts:
            return 0
        part = self.parts.popleft()
        data, rest = part[: len(buffer)], part[len(buffer) :]
        if rest:
            self.parts.appendleft(rest)
        buffer[: len(data)] = data
        return len(data)


class Liar:
    """:class:`~mnemo_ops.transport.agent_channel.Pipe` to a host that says ``lie`` at a moment.

    :param instead: what should come there does not come. :param endless: it says it again and again.
    """

    def __init__(self, lie: bytes = b"", moment: str = "", instead: bool = False, endless: bool = False) -> None:
        self.lie, self.moment, self.instead, self.endless = lie, moment, instead, endless
        self.said = Said()
        self.source = io.BufferedReader(self.said, 65536)
        self.offered: list[bytes] = []  # what came that is no request: of files
        self.heard: list[dict[str, Any]] = []
        self.closed = False

    def write(self, data: bytes) -> None:
        if self.closed:
            raise BrokenPipeError("closed")
        line = data[data.rfind(b'{"op":"hello"') :] if data.startswith(b"\0") else data  # behind the program it is sent
        try:
            request = json.loads(line)
        except ValueError:
            self.offered.append(data)
            return
        if "op" in request and request["op"] != "ping":
            self.heard.append(request)
            self._answer(request)

    def _answer(self, request: Mapping[str, Any]) -> None:
        op, seq = request["op"], request.get("seq", 0)
        if op == "hello":
            self._say("greeting", protocol.GREETING)
            self._say("hello", protocol.encode({"facts": FACTS, "login": "root", "pending_handlers": [], "done": seq}))
            return
        for id in [one["id"] for step in request.get("steps", ()) for one in step.get("tasks", ())]:
            self._say(
                "event", protocol.encode({"id": id, "status": "ok", "after": {"stdout": "x", "rc": 0}, "seconds": 0.1})
            )
        own = {"failed": False, "pending_handlers": []} if op == "converge" else {"report": {"steps": 3}}
        self._say("done", protocol.encode({**own, "done": seq}))
        self._say("later", b"")

    def _say(self, moment: str, truth: bytes) -> None:
        if moment == self.moment:
            self.moment = ""  # once
            self.said.parts.extend([self.lie] * (100_000 if self.endless else 1))
            if self.instead:
                return
        if truth:
            self.said.parts.append(truth)

    def why_it_ended(self) -> MnemoError:
        return Unreachable("the agent on a liar did not start")

    def close(self) -> None:
        self.closed = True


# -- what it says ----------------------------------------------------------------------------------------------------

IDS = ("t1", "t2", "t3", "t1.0", "t2.0", "h4", "converge", "hello", "")
DIGESTS = ("0" * 64, "a" * 64)
ODD = st.sampled_from(
    ["", "\0", "\ud800", "\x1b[2J", "{{ 7 * 7 }}", "../../etc/shadow", "x" * 5000, "-o", "$(id)", "\u202e"]
)
PLAIN = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | ODD
    | st.text(max_size=20)
    | st.just(10**4200)
    | st.just(-1)
)
ANY = st.recursive(
    PLAIN, lambda one: st.lists(one, max_size=4) | st.dictionaries(ODD | st.text(max_size=5), one, max_size=4)
)
WORDS = (
    "stdout",
    "stderr",
    "rc",
    "changed",
    "failed",
    "skipped",
    "msg",
    "ansible_facts",
    "results",
    "done",
    "total",
    "note",
)
STATE = st.dictionaries(st.sampled_from(WORDS) | st.text(max_size=8), ANY, max_size=6)

CLASSES = st.sampled_from(
    sorted((*heard.HAPPENS, heard.FAULT, "Interrupted", "HostKeyChanged", "UsageError", "ChannelLost"))
)
ERROR = st.fixed_dictionaries({"class": CLASSES, "message": ODD, "where": ODD, "hint": ODD})
# what fits each form; a new one has no line here, and fails the test that asks for it
FITS: Mapping[int, st.SearchStrategy[Any]] = {
    id(form): strategy
    for forms, strategy in (
        ((heard.TEXT, heard.MAYBE_TEXT), ODD | st.sampled_from(IDS) | st.text(max_size=30)),
        ((heard.NUMBER, heard.AMOUNT), st.integers(0, 5) | st.integers(0, heard.COUNT - 1)),
        ((heard.SECONDS, heard.TOOK), st.floats(0, heard.YEAR) | st.integers(0, 100)),
        ((heard.FLAG, heard.MAYBE_FLAG), st.booleans()),
        ((heard.DATA, heard.MAYBE_DATA), STATE),
        ((heard.TEXTS,), st.lists(ODD, max_size=3)),
        ((heard.DIGEST,), st.sampled_from(DIGESTS)),
        ((heard.CLASS,), CLASSES),
        ((heard.FAILURE, heard.MAYBE_FAILURE), ERROR),
        ((heard.STATUS,), st.sampled_from(["ok", "changed", "failed", "unknown", "progress"])),
    )
    for form in forms
}


@st.composite
def messages(draw: st.DrawFn) -> dict[str, Any]:
    """A message of some kind with some of its fields right, wrong, left out, or of another kind."""
    kind = draw(st.sampled_from(sorted(heard.KINDS)))
    fields = dict(heard.KINDS[kind])
    if kind == "done":
        fields |= heard.ANSWERS[draw(st.sampled_from(sorted(heard.ANSWERS)))]
    found = {name: draw(FITS[id(form)]) for name, form in fields.items()}
    if "id" in found:
        found["id"] = draw(st.just("t1") | st.sampled_from(IDS))
    if draw(st.booleans()):
        return found
    for name in draw(st.lists(st.sampled_from(sorted(found)), max_size=2)):
        found[name] = draw(ANY)
    for name in draw(st.lists(st.sampled_from(sorted(found)), max_size=1)):
        del found[name]
    return {
        **found,
        **draw(st.just({}) | st.dictionaries(st.sampled_from(("seq", "op", "blob", "x")), ANY, max_size=1)),
    }


DEEP = ("[" * 100_000, '{"a":' * 5000, '{"id":"t1","status":"ok","after":' + '{"a":' * 500 + "1" + "}" * 501)
RAW = st.sampled_from(
    [
        *(text.encode() + b"\n" for text in DEEP),
        b"\xff\xfe\x00\n",
        b"null\n",
        b"[]\n",
        b"\n",
        b"{}\n",
        b"x" * 200_000,
        b"\0" * 70_000 + b"\n",
        b"[" + b"0," * 300_000 + b"0]\n",
        b'{"beat": NaN, "task": "", "note": ""}\n',
        b'{"beat": 1e999, "task": "", "note": ""}\n',
        b'{"id": "t1", "status": "ok", "after": {"a": -Infinity}}\n',
        b'{"id": "t1", "status": "ok", "status": "nonsense"}\n',
        b'{"id": "t1", "status": "ok"',
        b'{"done": true}\n',
        b'{"done": ' + b"9" * 5000 + b"}\n",
        b'{"need": "' + b"f" * 64 + b'"}\n',
        protocol.GREETING,
    ]
)


def _line(message: Any) -> bytes:
    try:
        return protocol.encode(message)
    except ValueError:  # a number of more digits than Python writes
        return b'{"id": "t1", "seconds": ' + b"9" * 5000 + b"}\n"


LIES = st.tuples(
    messages().map(_line) | ANY.map(_line) | RAW | st.binary(max_size=200), st.sampled_from(MOMENTS), st.booleans()
)


def asked(*names: str) -> heard.Asked:
    """A request for tasks of these names."""
    from mnemo_ops.agent.engine.resource import Resource

    batch = Batch(tuple(Task(name, name, Resource(), "x:1") for name in names))
    return heard.Asked("converge", 1, names, (), batch)


Lie = Optional[tuple[bytes, str, bool]]
