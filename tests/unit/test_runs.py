"""Runs: what hosts and the controller recorded, each run once, with its end and what is due."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from test_migrate import NEW, OLD

from mnemo_ops.errors import MnemoError, Unreachable
from mnemo_ops.execution.report import Report, Style
from mnemo_ops.flows import runs
from mnemo_ops.flows.engine import Flow
from mnemo_ops.flows.journal import Journal

FIRST, SECOND = "20261128T220719Z-0001", "20261129T220719Z-0002"
PAIR = {"from": "old", "to": "new"}
ABORT = "invoke migrate --abort --from old --to new"


class Fleet:
    """Two hosts that answer what is said here, or not at all."""

    def __init__(self, **told: list[dict[str, Any]] | MnemoError) -> None:
        self.told = told

    def each(self, hosts: Any, work: Callable[[Any], Any]) -> dict[str, Any]:
        return {host.name: work(host) for host in hosts}

    def session(self, host: Any) -> Any:
        told = self.told.get(host.name, [])
        if isinstance(told, MnemoError):
            raise told
        return type("Session", (), {"ready": lambda self, action: {"runs": told}})()


def told(state: str, command: str = "migrate", at: float = 9.0, **more: Any) -> dict[str, Any]:
    row = {"run": FIRST, "command": command, "at": at, "how": "", "state": state, "exit_code": 0, "hosts": []}
    return {**row, **more}


def write(home: Path, run: str, *steps: str, **more: Any) -> None:
    for step in steps:
        phase, status = step.split()
        Journal(home, run).write({"run": run, "phase": phase, "status": status, "at": 5.0, **PAIR, **more})


def rows(home: Path, **hosts: Any) -> list[runs.Row]:
    flow = Flow(Fleet(**hosts), Report("runs", Style()), home)  # type: ignore[arg-type]
    return runs.rows(flow, [OLD, NEW])[0]


@pytest.mark.parametrize(
    ("steps", "more", "state", "due"),
    [
        (("finish began", "finish done"), {}, "ended ok", ""),
        (("set began", "set failed"), {"exit_code": 7}, "failed", ABORT),
        (("set began",), {}, "never ended", ABORT),
        (("promote settled", "finish began"), {}, "never ended", "invoke migrate --from old --to new"),
        (("set failed", "abort done"), {}, "aborted", ""),
    ],
)
def test_the_journal_of_this_machine_says_how_a_migration_ended_and_what_is_due(
    tmp_path: Path, steps: tuple[str, ...], more: dict[str, Any], state: str, due: str
) -> None:
    write(tmp_path, FIRST, *steps, **more)
    (row,) = rows(tmp_path)
    assert (row.state, row.next, row.exit_code) == (state, due, more.get("exit_code", 0))
    assert (row.began, row.hosts, row.places) == ("2026-11-28T22:07:19Z", ("old", "new"), ["controller"])


def test_a_run_that_several_know_is_one_and_who_saw_its_end_is_right(tmp_path: Path) -> None:
    write(tmp_path, FIRST, "set began")
    (row,) = rows(tmp_path, old=[told("failed", exit_code=6, at=1.0)], new=[told("never ended", at=99.0)])
    assert (row.state, row.exit_code, sorted(row.places)) == ("failed", 6, ["controller", "new", "old"])
    (row,) = rows(tmp_path, old=[told("at work")], new=[told("never ended", at=99.0)])
    assert (row.state, row.next) == ("at work", "invoke lock.status --limit old")


@pytest.mark.parametrize(
    ("command", "state", "due"),
    [
        ("backup", "never ended", "invoke backup.prune --limit old"),
        ("backup", "ended ok", ""),
        ("restore", "never ended", "invoke lock.status --limit old"),
        ("volumes", "at work", "invoke lock.status --limit old"),
    ],
)
def test_of_every_other_run_its_host_tells(tmp_path: Path, command: str, state: str, due: str) -> None:
    (row,) = rows(tmp_path, old=[told(state, command)])
    assert (row.command, row.state, row.next) == (command, state, due)


def test_a_host_that_is_away_hides_nothing_that_others_know(tmp_path: Path) -> None:
    write(tmp_path, SECOND, "finish done")
    flow = Flow(Fleet(old=Unreachable("away"), new=[told("ended ok")]), Report("runs", Style()), tmp_path)  # type: ignore[arg-type]
    found, silent = runs.rows(flow, [OLD, NEW])
    assert [row.run for row in found] == [SECOND, FIRST]
    assert [(error.where, error.exit_code) for error in silent] == [("old", 4)]


def test_names_that_a_host_told_are_words_of_a_command_and_no_more(tmp_path: Path) -> None:
    (row,) = rows(tmp_path, old=[told("never ended", hosts=["a; reboot", "b"])])
    assert row.next == "invoke migrate --abort --from 'a; reboot' --to b"


def test_of_a_run_of_this_machine_no_host_says_between_whom_it_was(tmp_path: Path) -> None:
    write(tmp_path, FIRST, "set began")
    (row,) = rows(tmp_path, new=[told("never ended", at=99.0, hosts=["new", "old"])])
    assert (row.hosts, row.next) == (("old", "new"), ABORT)


def test_runs_of_other_hosts_are_not_meant(tmp_path: Path) -> None:
    Journal(tmp_path, FIRST).write({"run": FIRST, "phase": "set", "status": "began", "from": "x", "to": "y"})
    assert rows(tmp_path) == []


def test_what_is_due_is_shown_however_old_it_is(tmp_path: Path) -> None:
    write(tmp_path, FIRST, "set began")
    write(tmp_path, SECOND, "finish done")
    assert [row.run for row in runs.latest(rows(tmp_path), 1)] == [SECOND, FIRST]
    write(tmp_path, FIRST, "abort done")
    assert [row.run for row in runs.latest(rows(tmp_path), 1)] == [SECOND]


def test_half_a_line_is_no_line(tmp_path: Path) -> None:
    write(tmp_path, FIRST, "finish done")
    with Journal(tmp_path, FIRST).path.open("a") as file:
        file.write(json.dumps({"run": FIRST, "phase": "x"})[:-4])
    assert [row.state for row in rows(tmp_path)] == ["ended ok"]
    write(tmp_path, FIRST, "abort done")
    assert [row.state for row in rows(tmp_path)] == ["aborted"]


def test_a_journal_that_cannot_be_read_is_as_none(tmp_path: Path) -> None:
    """Of a run that somebody began as root."""
    Journal(tmp_path, FIRST).path.mkdir(parents=True)
    write(tmp_path, SECOND, "finish done")
    assert [row.run for row in rows(tmp_path)] == [SECOND]
