"""Bars: how far something is, in one line per host that never wraps; numbers are never cut, the text beside them is."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Any, Optional, TextIO

from mnemo_ops.agent.base.record import dataclass, field

if TYPE_CHECKING:
    from rich.text import Text

CELLS = 10  # of a bar
HOST = 16  # columns; a longer name is shortened
WANTED = {"rate": 24, "bar": 14, "amount": 10, "percent": 10}  # what takes no column of the text's last so many
LINE = 100  # columns of a line where there is no terminal
RATE_OVER = 10.0  # seconds a rate is the average of


@dataclass
class Row:
    """What a host is doing. :param since: when it began with this note; ``total`` 0: unknown."""

    host: str
    job: str
    note: str = ""
    done: int = 0
    total: int = 0
    since: float = 0.0
    seen: Any = field(default_factory=lambda: deque(maxlen=64))  # times and bytes, for the rate

    def update(self, done: int, total: int, note: str) -> None:
        now = time.monotonic()
        if note != self.note or not self.since:
            self.since = now
        if done < self.done or total != self.total:  # another count: its rate is not that of the one before
            self.seen.clear()
        self.note, self.done, self.total = note, done, total
        self.seen.append((now, done))
        while now - self.seen[0][0] > RATE_OVER and len(self.seen) > 2:
            self.seen.popleft()

    @property
    def rate(self) -> float:
        """Bytes a second; 0 when it is not known."""
        (began, first), (_, last) = self.seen[0], self.seen[-1]
        took = time.monotonic() - began
        return (last - first) / took if took >= 1 else 0.0

    def line(self, width: int, host_width: int = 0) -> str:
        """For a terminal of this width."""
        head = f"  {shortened(self.host, HOST):{min(host_width, HOST)}}  "
        note = flat(self.note or self.job)
        parts = self._parts()
        for name, wanted in WANTED.items():  # what goes first where there is no room
            if width - len(head) - _length(parts) < min(_cells(note), wanted):
                parts.pop(name, None)
        room = max(0, width - len(head) - _length(parts))
        return head + _padded(shortened(note, room), room) + "".join(f"  {part}" for part in parts.values())

    def _parts(self) -> dict[str, str]:
        """By name, in the order in which they are shown."""
        rate, spent = self.rate, clock(time.monotonic() - self.since)
        parts = {}
        if self.total and self.done <= self.total:  # a total that was exceeded was a guess: no bar for it
            parts["bar"] = "[" + "#" * (CELLS * self.done // self.total) + "." * _left(self.done, self.total) + "]"
            parts["percent"] = f"{100 * self.done // self.total:3}%"
        if self.done or self.total:
            parts["amount"] = amount(self.done, self.total if self.done <= self.total else 0)
        if rate > 0:
            parts["rate"] = f"{size(rate)}/s"
        known = rate > 0 and self.done < self.total
        parts["time"] = f"left {clock((self.total - self.done) / rate)}" if known else spent
        return parts


def _left(done: int, total: int) -> int:
    return CELLS - CELLS * done // total


def _length(parts: dict[str, str]) -> int:
    return sum(2 + len(part) for part in parts.values())


class Bars:
    """The rows of all hosts at the bottom of a terminal."""

    def __init__(self, terminal: TextIO) -> None:
        self._terminal = terminal
        self._live: Any = None
        self._shown: dict[str, Row] = {}

    def show(self, row: Row) -> None:
        self._shown[row.host] = row
        if self._live is None:
            from rich.console import Console
            from rich.live import Live

            console = Console(file=self._terminal, highlight=False)
            self._live = Live(
                get_renderable=self._text, console=console, transient=True, redirect_stdout=False, refresh_per_second=4
            )
            self._live.start(refresh=True)

    def clear(self, host: str = "") -> None:
        """:param host: empty for all."""
        for name in [host] if host else list(self._shown):
            self._shown.pop(name, None)
        if not self._shown and self._live is not None:
            self._live.stop()
            self._live = None

    def refresh(self) -> None:
        if self._live is not None:
            self._live.refresh()

    def printed(self, text: str, stream: TextIO) -> bool:
        """A line above the rows; false when none are shown, or the line is for a file or a pipe."""
        if self._live is None or not stream.isatty():
            return False
        self._live.console.print(text, markup=False, emoji=False, highlight=False, soft_wrap=True)
        return True

    def _text(self) -> Text:
        """Called by the thread that refreshes: takes no lock, or it and whoever prints would wait for each other."""
        from rich.text import Text

        rows = list(self._shown.values())
        width = self._live.console.width - 1 if self._live is not None else 79  # some terminals wrap a full line
        longest = max((len(row.host) for row in rows), default=0)
        lines = "\n".join(row.line(width, longest) for row in rows)
        return Text(lines, no_wrap=True, overflow="crop", end="")


def plain(row: Row, elapsed: Optional[float]) -> str:
    """A line where there is no terminal."""
    head = f"  ...      {shortened(row.host, HOST):12} "
    numbers = "" if elapsed is None else f" {elapsed:.0f} s"
    numbers += f" {amount(row.done, row.total)}" if row.done else ""
    text = flat(f"{row.job}: {row.note}" if row.note and row.note != row.job else row.job)
    return (head + shortened(text, LINE - len(head) - len(numbers)) + numbers).rstrip()


def flat(text: str) -> str:
    """In one line: what a task's name or a program's output may hold would move the cursor."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())


def shortened(text: str, width: int) -> str:
    """Its end replaced by an ellipsis where it is too long."""
    if _cells(text) <= width:
        return text
    kept = text
    while kept and _cells(kept) > width - 3:
        kept = kept[:-1]
    return kept.rstrip() + "..."[: max(width, 0)]


def _padded(text: str, width: int) -> str:
    return text + " " * max(0, width - _cells(text))


def _cells(text: str) -> int:
    """Columns it takes: some characters take two."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def size(count: float) -> str:
    value, unit = _scaled(count)
    return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"


def amount(done: float, total: float) -> str:
    """``0.1/2.6 GB``; without a total ``0.1 GB``."""
    if not total:
        return size(done)
    value, unit = _scaled(total)
    part = done * value / total
    return f"{part:.0f}/{value:.0f} B" if unit == "B" else f"{part:.1f}/{value:.1f} {unit}"


def _scaled(count: float) -> tuple[float, str]:
    for unit in ("B", "kB", "MB", "GB"):
        if count < 999.95:
            return count, unit
        count /= 1000
    return count, "TB"
