"""Bars on a real terminal of 80 columns, and through a pipe: one line per host, nothing cut but the text."""

from __future__ import annotations

import re
import subprocess
import sys
import time

import pytest
from screen import on_a_terminal

from mnemo_ops.execution.progress_bars import Row, shortened

LONG = "containers are healthy: " + ", ".join(f"mnemosyne-{name}" for name in ("api", "web", "worker", "redis", "db"))

NASTY = "two\nlines\x1b[2J and a tab\t, \u6f22\u5b57" * 3

# a run of three hosts: a total that is known, one that is not, one that is exceeded, the same job again, a long name
RUN = f"""
import time
from mnemo_ops.agent.base.protocol import Event
from mnemo_ops.execution.report import Report, Style
made = Report("play", Style())
def tell(host, title, **after):
    made.progress(host, Event(title, "progress", after=after), title)
    made._bars.refresh()
made.step("the first step")
for part in range(1, 11):
    tell("old", "make set", done=part * 123_456_789, total=1_234_567_890, note="postgres.dump, a long name of a part")
    tell("a-host-with-a-very-long-name.example.org", "compose up", note={LONG!r}, elapsed=part)
    tell("third", "copy", done=part * 900_000_000, total=3_000_000_000, note={NASTY!r})
    time.sleep(0.12)
made.say("a line between")
tell("old", "make set", note="stopping")
tell("old", "make set", elapsed=3.0)
made.idle("old")
made.step("the second step")
tell("old", "make set", elapsed=3.0)
made.finish()
"""


def test_on_80_columns_a_host_has_one_line_and_its_numbers_are_whole() -> None:
    screen = on_a_terminal([sys.executable, "-c", RUN])
    assert not screen.wrapped
    lines = {line for frame in screen.seen for line in frame} | set(screen.shown())
    old = [line for line in lines if line.startswith("  old ")]
    numbers = [re.search(r"\[(#*)(\.*)\] +(\d+)%  (\d\.\d)/1\.2 GB", line) for line in old if "postgres.dump" in line]
    assert len(numbers) > 5 and all(numbers), old
    for found in numbers:
        assert found is not None and len(found[1] + found[2]) == 10
        assert len(found[1]) == int(found[3]) // 10
    assert all("%" not in line and "B" not in line for line in old if "stopping" in line or "make set" in line)
    waiting = [line for line in lines if line.startswith("  a-host-with-a...  containers are healthy: mnemosyne-api")]
    assert waiting and all(re.search(r"\.\.\.  +\d:\d\d$", line) and "[" not in line for line in waiting)
    copied = [line for line in lines if line.startswith("  third") and "/3.0 GB" not in line]
    assert copied and not [line for line in copied if "[#" in line or "%" in line], "a total that was exceeded is none"
    steps = [line for line in screen.shown() if line]
    assert [line.partition("] ")[2] or line for line in steps] == [
        "the first step",
        "a line between",
        "the second step",
    ]


def test_through_a_pipe_nothing_moves_the_cursor() -> None:
    done = subprocess.run([sys.executable, "-c", RUN], capture_output=True, text=True, check=True, timeout=60)
    assert "\x1b" not in done.stdout + done.stderr and "\r" not in done.stdout + done.stderr
    assert max(len(line) for line in done.stdout.splitlines()) <= 100


@pytest.mark.parametrize("width", [20, 30, 40, 60, 79, 200])
@pytest.mark.parametrize("total", [0, 5, 999_949_999, 999_950_000, 999_999_999_999])
def test_a_line_has_at_most_the_width_of_the_terminal(width: int, total: int) -> None:
    row = Row("host", "a job")
    for part in range(4):
        row.update(total * part // 3, total, LONG)
        row.seen[0] = (time.monotonic() - 10, 0)
        line = row.line(width, 4)
        assert len(line) <= width
        assert width < 79 or ("#" * 10 in line) == (part == 3 and total > 0)
        assert re.search(r"(\d:\d\d)$", line), "the time is never cut"


def test_what_is_shortened_ends_with_an_ellipsis() -> None:
    assert shortened("short", 5) == "short"
    assert shortened("too long for it", 9) == "too lo..."
    assert shortened("\u6f22\u5b57\u6f22\u5b57", 7) == "\u6f22\u5b57..."
    assert [len(shortened("anything", width)) for width in (0, 1, 3)] == [0, 1, 3]
