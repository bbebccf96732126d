"""Bars: how far something is, in one line per host that never wraps; numbers are never cut, the text beside them is."""

from __future__ import annotations

import contextlib
import os
import re
import time
from typing import TYPE_CHECKING, Any, Optional, TextIO

from mnemo_ops.agent.base.record import dataclass, field

if TYPE_CHECKING:
    from rich.text import Text

CELLS = 10  # of a bar
HOST = 16  # columns, at most a quarter of the terminal; a longer name is shortened
WANTED = {"rate": 24, "bar": 14, "amount": 10, "percent": 10}  # what takes no column of the text's last so many
LINE = 79  # columns of a line where there is no terminal
RATE_OVER = 10.0  # seconds a rate is the average of
STALLED = 5.0  # seconds without a byte after which a rate is none any more
SPINNER = "|/-\\"  # what turns where nobody knows how much there is
TURNS = 4  # of it in a second

# what moves the cursor or colours; what makes a character wider than its cells say
_sequences = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|[\ufe00-\ufe0f]")


@dataclass(frozen=True)
class Count:
    """What was last heard of a job. :param since: when it began with this note. :param moved: when ``done`` last grew.

    :param seen: times and what was done by then, for the rate.
    """

    note: str = ""
    done: int = 0
    total: int = 0  # 0: unknown
    since: float = 0.0
    moved: float = 0.0
    seen: tuple[tuple[float, int], ...] = ()

    def then(self, done: int, total: int, note: str, now: float) -> Count:
        """The next one."""
        another = done < self.done or total != self.total  # its rate is not that of the one before
        moved = now if another or done != self.done or not self.since else self.moved
        since = now if note != self.note or not self.since else self.since
        seen = () if another else tuple(one for one in self.seen if now - one[0] <= RATE_OVER)
        return Count(note, done, total, since, moved, (*seen[-63:], (now, done)))

    @property
    def known(self) -> bool:
        """Its end is known; a total that was exceeded was a guess."""
        return 0 < self.total >= self.done

    def rate(self, now: float) -> float:
        """Bytes a second; 0 when it is not known."""
        if not self.seen:
            return 0.0
        (began, first), (_, last) = self.seen[0], self.seen[-1]
        return (last - first) / (now - began) if now - began >= 1 else 0.0

    def parts(self, now: float) -> dict[str, str]:
        """By name, in the order in which they are shown."""
        rate, spent, parts = self.rate(now), clock(now - self.since), {}
        waiting = self.known and self.done < self.total
        if self.known:
            full = CELLS * self.done // self.total
            parts["bar"] = f"[{'#' * full}{'.' * (CELLS - full)}]"
            parts["percent"] = f"{100 * self.done // self.total:3}%"
        if self.done or self.total:
            parts["amount"] = amount(self.done, self.total if self.known else 0)
        if self.done != self.total and now - self.moved >= STALLED:
            parts["rate"], waiting = "stalled", False
        elif rate > 0:
            parts["rate"] = f"{size(rate)}/s"
        if not self.known:
            parts["spinner"] = SPINNER[int(now * TURNS) % len(SPINNER)]
        parts["time"] = f"left {clock((self.total - self.done) / rate)}" if waiting and rate > 0 else spent
        return parts


@dataclass
class Row:
    """What a host is doing. :param count: replaced as a whole, for another thread reads it."""

    host: str
    job: str
    count: Count = field(default_factory=Count)

    def update(self, done: int, total: int, note: str) -> None:
        self.count = self.count.then(done, total, note, time.monotonic())

    def line(self, width: int, host_width: int = 0) -> str:
        """For a terminal of this width. :param host_width: columns of the longest name beside it."""
        count, limit = self.count, max(4, min(HOST, width // 4))
        name = _padded(shortened(flat(self.host), limit), min(host_width, limit))
        head = shortened(f"  {name}  ", width)
        note = flat(count.note or self.job)
        parts = count.parts(time.monotonic())
        for part, wanted in WANTED.items():  # what goes first where there is no room
            if width - cells(head) - _length(parts) < min(cells(note), wanted):
                parts.pop(part, None)
        room = max(0, width - cells(head) - _length(parts))
        line = head + _padded(shortened(note, room), room) + "".join(f"  {part}" for part in parts.values())
        return shortened(line, width)


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

        rows, width = list(self._shown.values()), self._width() - 1  # some terminals wrap a full line
        longest = max((cells(flat(row.host)) for row in rows), default=0)
        lines = "\n".join(row.line(width, longest) for row in rows)
        return Text(lines, no_wrap=True, overflow="crop", end="")

    def _width(self) -> int:
        """Columns; those of the terminal where ``COLUMNS`` was exported in a wider one."""
        live = self._live
        said = int(live.console.width) if live is not None else 80
        with contextlib.suppress(OSError, ValueError):  # it is none
            return min(said, os.get_terminal_size(self._terminal.fileno()).columns or said)
        return said


def plain(row: Row, elapsed: Optional[float]) -> str:
    """A line where there is no terminal."""
    count = row.count
    head = f"  ...      {_padded(shortened(flat(row.host), HOST), 12)} "
    numbers = "" if elapsed is None else f" {elapsed:.0f} s"
    numbers += f" {amount(count.done, count.total)}" if count.done else ""
    text = flat(f"{row.job}: {count.note}" if count.note and count.note != row.job else row.job)
    return (head + shortened(text, LINE - cells(head) - len(numbers)) + numbers).rstrip()


def flat(text: str) -> str:
    """In one line, without colours: what a task's name or a program's output may hold would move the cursor."""
    plain = _sequences.sub("", text)
    return " ".join("".join(char if char.isprintable() else " " for char in plain).split())


def shortened(text: str, width: int) -> str:
    """Its middle replaced by an ellipsis where it is too long: names differ at their ends, too."""
    if cells(text) <= width:
        return text
    if width <= 3:
        return "..."[: max(width, 0)]
    kept = width - 3
    begin = _fitting(text, kept - kept * 2 // 5)
    end = _fitting(text[::-1], kept - cells(begin))[::-1]
    return f"{begin}...{end}"


def _fitting(text: str, width: int) -> str:
    """As much of its beginning as this many columns hold."""
    kept = text[:width]
    while cells(kept) > width:
        kept = kept[:-1]
    return kept


def _length(parts: dict[str, str]) -> int:
    return sum(2 + len(part) for part in parts.values())


def _padded(text: str, width: int) -> str:
    return text + " " * max(0, width - cells(text))


def cells(text: str) -> int:
    """Columns it takes: some characters take two, some none."""
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
