"""Bars on a real terminal, and through a pipe: one line per host, nothing cut but the text, nothing left behind."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from rich.cells import cell_len
from screen import on_a_terminal

from mnemo_ops.execution import progress_bars
from mnemo_ops.execution.progress_bars import RATE_OVER, STALLED, Row, flat, shortened
from mnemo_ops.execution.report import near

LONG = "containers are healthy: " + ", ".join(f"mnemosyne-{name}" for name in ("api", "web", "worker", "redis", "db"))
NASTY = "two\nlines\x1b[2J \x1b[31;1mand\x1b[0m a tab\t, \u6f22\u5b57 e\u0301 \u2764\ufe0f" * 3
WIDE = "\u6f22\u5b57" * 12

# a run of hosts: a total that is known, one that is not, one that is exceeded, the same job again, long and wide names
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
    tell("old", "backup", done=part * 123_456_789, total=1_234_567_890, note="postgres.dump, a long name of a part")
    tell("a-host-with-a-very-long-name.example.org", "compose up", note={LONG!r}, elapsed=part)
    tell("third", "copy", done=part * 900_000_000, total=3_000_000_000, note={NASTY!r})
    tell({WIDE!r}, {WIDE!r}, done=part, note={WIDE!r})
    time.sleep(0.12)
made.say("a line between")
tell("old", "backup", note="stopping")
tell("old", "backup", elapsed=3.0)
made.idle("old")
made.step("the second step")
tell("old", "backup", elapsed=3.0)
made.finish()
"""

MANY = """
from mnemo_ops.agent.base.protocol import Event
from mnemo_ops.execution.report import Report, Style
made = Report("play", Style())
for part in range(4):
    for number in range(60):
        made.progress(f"web{number}", Event("1", "progress", after={"done": part, "total": 9}), "copy")
    made._bars.refresh()
    made.say("a line above")
made.finish()
"""
STEPS = ["the first step", "a line between", "the second step"]


@pytest.mark.parametrize(("width", "columns"), [(80, None), (40, None), (40, "200"), (30, None)])
def test_no_line_wraps_and_nothing_is_left_behind(width: int, columns: str | None) -> None:
    """Also where COLUMNS was exported in a wider terminal."""
    screen = on_a_terminal([sys.executable, "-c", RUN], width=width, **({"COLUMNS": columns} if columns else {}))
    assert not screen.wrapped and screen.cursor
    rows = [line for frame in screen.seen for line in frame if not line.startswith("[")]
    assert max(cell_len(line) for line in rows) < width
    assert any(line.startswith("  thi") for line in rows)
    assert [line.partition("] ")[2] or line for line in screen.shown() if line] == STEPS


def test_more_hosts_than_lines_leave_nothing_behind() -> None:
    screen = on_a_terminal([sys.executable, "-c", MANY])
    assert not screen.wrapped and screen.cursor
    shown = [line for line in screen.shown() if line]
    assert shown == ["a line above"] * 4


def test_on_80_columns_a_host_has_one_line_and_its_numbers_are_whole() -> None:
    screen = on_a_terminal([sys.executable, "-c", RUN])
    lines = {line for frame in screen.seen for line in frame} | set(screen.shown())
    old = [line for line in lines if line.startswith("  old ")]
    numbers = [re.search(r"\[(#*)(\.*)\] +(\d+)%  (\d\.\d)/1\.2 GB", line) for line in old if "postgres" in line]
    assert len(numbers) > 5 and all(numbers), old
    for found in numbers:
        assert found is not None and len(found[1] + found[2]) == 10
        assert len(found[1]) == int(found[3]) // 10
    assert all("%" not in line and "B" not in line for line in old if "stopping" in line or "backup" in line)
    waiting = [line for line in lines if line.startswith("  a-host-w...e.org")]
    assert waiting and all(re.search(r"containers are .*\.\.\..*-db  [|/\\-]  \d:\d\d$", line) for line in waiting)
    copied = [line for line in lines if line.startswith("  third") and "/3.0 GB" not in line]
    assert copied and not [line for line in copied if "[#" in line or "%" in line], "a total that was exceeded is none"


TOLD = """
from mnemo_ops.agent.base.protocol import Event
from mnemo_ops.agent.resources.debug import Debug
from mnemo_ops.core.model import Task
from mnemo_ops.execution.report import HOME, Report, Style
made = Report("play", Style())
task = Task("1", ("Files the stack mounts " * 3).strip(), Debug(), f"{HOME}/playbooks/stack.yml:38")
made.task("old", task, Event("1", "changed"))
"""


def test_a_task_is_told_in_lines_that_break_between_words() -> None:
    screen = on_a_terminal([sys.executable, "-c", TOLD])
    assert not screen.wrapped
    assert screen.shown()[1].split("  ") == ["", "", "", "stack mounts", "(playbooks/stack.yml:38)"]


def test_a_file_is_named_as_it_can_be_typed_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert near(f"{tmp_path}/site.yml:3") == "site.yml:3" and near("/else/site.yml:3") == "/else/site.yml:3"
    monkeypatch.chdir("/")
    assert near("/else/site.yml:3") == "/else/site.yml:3"


def test_through_a_pipe_nothing_moves_the_cursor() -> None:
    done = subprocess.run([sys.executable, "-c", RUN], capture_output=True, text=True, check=True, timeout=60)
    assert "\x1b" not in done.stdout + done.stderr and "\r" not in done.stdout + done.stderr
    assert max(len(line) for line in done.stdout.splitlines()) < 80


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, which the test sets."""
    now = [1000.0]
    monkeypatch.setattr("mnemo_ops.execution.progress_bars.time.monotonic", lambda: now[0])
    return now


@pytest.mark.parametrize("width", [1, 5, 20, 30, 40, 60, 79, 200])
@pytest.mark.parametrize("total", [0, 5, 999_949_999, 999_950_000, 999_999_999_999])
@pytest.mark.parametrize("note", [LONG, WIDE, NASTY, ""])
def test_a_line_has_at_most_the_width_of_the_terminal(width: int, total: int, note: str, clock: list[float]) -> None:
    row = Row("host", "a job")
    for part in range(4):
        clock[0] += 3
        row.update(total * part // 3, total, note)
        line = row.line(width, 4)
        assert cell_len(line) <= width
        if width >= 20:
            assert re.search(r"(\d:\d\d)$", line), "the time is never cut"
        if width >= 79:
            assert ("#" * 10 in line) == (part == 3 and total > 0)
            assert (re.search(r"  [|/\\-]  ", line) is not None) == (total == 0)


def test_what_turns_shows_that_something_happens(clock: list[float]) -> None:
    row, seen = Row("host", "a job"), set()
    row.update(0, 0, "waiting")
    for _ in range(8):
        clock[0] += 1 / progress_bars.TURNS
        seen.add(row.line(79).split()[-2])
    assert seen == set("|/-\\")


def test_no_number_is_older_than_some_seconds(clock: list[float]) -> None:
    row = Row("host", "a job")
    for part in range(5):
        row.update(part * 10_000_000, 100_000_000, "files")
        clock[0] += 1
    assert "/s" in row.line(79) and " left " in row.line(79)
    clock[0] += STALLED
    for _ in range(4):  # nothing came, or a word that it is alive
        line = row.line(79)
        assert "stalled" in line and "/s" not in line and "left" not in line and "40.0/100.0 MB" in line
        clock[0] += RATE_OVER
        row.update(40_000_000, 100_000_000, "files")
    row.update(60_000_000, 100_000_000, "files")
    assert "stalled" not in row.line(79)
    row.update(100_000_000, 100_000_000, "files")
    clock[0] += 60
    assert "stalled" not in row.line(79), "it is all there"
    row.update(0, 0, "swapping")
    clock[0] += 60
    line = row.line(79)
    assert "stalled" not in line and "MB" not in line and line.endswith("1:00")


def test_who_draws_sees_a_whole_count(clock: list[float]) -> None:
    """Another thread draws: a row that is half written ended it with a traceback, and the bars stood still."""
    row = Row("host", "a job")
    row.update(5, 10, "one")
    before = row.count
    row.update(0, 0, "two")
    assert (before.done, before.total, before.note) == (5, 10, "one") and before.parts(clock[0])["percent"] == " 50%"


def test_what_is_shortened_has_an_ellipsis_in_its_middle() -> None:
    assert shortened("short", 5) == "short"
    assert shortened("too long for it", 9) == "too ...it"
    assert shortened("web-17.eu-central.example.org", 16) == "web-17.e...e.org"
    assert shortened("\u6f22\u5b57\u6f22\u5b57", 7) == "\u6f22...\u5b57"
    assert [len(shortened("anything", width)) for width in (0, 1, 3)] == [0, 1, 3]


def test_a_note_is_in_one_line_and_without_colours() -> None:
    assert flat("\x1b[32mok\x1b[0m\x1b]0;title\x07:\tall\r\nwell \u2764\ufe0f") == "ok: all well \u2764"
