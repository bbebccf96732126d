"""Requests and events as JSON lines; both ends import it.

One line is one JSON object. Controller to agent: requests ``{"op": "hello"|"converge"|"act"|"ready", "seq": n, ...}``,
``{"op": "ping"}`` now and then, and after the agent's ``{"need": SHA256}`` a line ``{"blob": SHA256, "size": N}``
followed by exactly N raw bytes (or ``{"blob": SHA256, "error": TEXT}``). Agent to controller: the greeting, events,
beats ``{"beat": seconds, "task": id, "note": text}``, and one ``{"done": seq}`` or ``{"error": {...}, "seq": n}`` a
request.
"""

from __future__ import annotations

import json
from typing import IO, Any, Callable, Dict, Mapping, Optional

from mnemo_ops.agent.base.record import asdict, dataclass, fields, replace
from mnemo_ops.agent.base.state import State
from mnemo_ops.errors import ChannelLost, MnemoError, NotAMessage

GREETING = b'{"agent":"mnemo_ops"}\n'  # the agent's first line; anything before it is a login shell's
LINE_LIMIT = 64 << 20  # bytes; a longer line is a broken peer, not a message


@dataclass(frozen=True)
class Event:
    """What became of a task, or how far an action is.

    :param status: ok, changed, failed, skipped, unknown, or progress.
    :param before: state before, reduced to what differs; ``None`` when absent.
    :param after: state after (or wanted, in a check); the whole state when the task registers.
    :param why: the reason of a failure, a skip or an unknown.
    :param seconds: wall time on the host.
    :param error: the error object of a failure.
    :param foreseen: a check's: nothing was done, and ``after`` is what would be.
    """

    id: str
    status: str
    before: State = None
    after: State = None
    why: str = ""
    seconds: float = 0.0
    error: Optional[Dict[str, Any]] = None
    foreseen: Optional[bool] = None

    @classmethod
    def failure(cls, id: str, error: MnemoError) -> Event:
        return cls(id, "failed", why=str(error), error=error.to_json())

    def timed(self, seconds: float) -> Event:
        return replace(self, seconds=round(seconds, 4))

    def to_json(self) -> Dict[str, Any]:
        return {key: value for key, value in asdict(self).items() if value not in (None, "")}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Event:
        known = {field.name for field in fields(cls)}
        return cls(**{key: value for key, value in data.items() if key in known})


def encode(message: Mapping[str, Any]) -> bytes:
    """A message as it travels."""
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"


def send(stream: IO[bytes], message: Mapping[str, Any]) -> None:
    """Write one message and flush it."""
    stream.write(encode(message))
    stream.flush()


def receive(stream: IO[bytes], parse: Callable[[bytes], Any] = json.loads) -> Optional[Dict[str, Any]]:
    """The next message; ``None`` at a clean end.

    :raises ChannelLost: half a line (4). :raises NotAMessage: a line that is none, or never ends (4).
    """
    line = stream.readline(LINE_LIMIT)
    if not line:
        return None
    if not line.endswith(b"\n"):
        if len(line) < LINE_LIMIT:
            raise ChannelLost("the channel broke in the middle of a message")
        raise NotAMessage(f"a line of more than {LINE_LIMIT >> 20} MiB")
    try:
        message = parse(line)
    except ValueError as error:
        raise NotAMessage(f"{line[:80]!r} ({error})") from None
    if not isinstance(message, dict):
        raise NotAMessage(f"{line[:80]!r}")
    return message
