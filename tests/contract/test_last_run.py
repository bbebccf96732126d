"""What a host knows of the run that was last: which, of which command, when and how it ended."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from world import World

from mnemo_ops.agent.actions.journal import WriteJournal
from mnemo_ops.agent.actions.journal import steps as journal
from mnemo_ops.agent.actions.leases import ListRuns, LookAtLocks
from mnemo_ops.agent.process.host_lock import HostLock
from mnemo_ops.agent.stack import restore_record
from mnemo_ops.cli import locks

RUN, SET = "20261129T220719Z-0001", "20261128T220719Z-0a01"
NOON = 1_796_040_000.0  # 2026-11-30T12:00:00Z
STATE = "var/lib/mnemo_ops"


def write(world: World, path: str, content: Any, at: float) -> None:
    lines = content if isinstance(content, list) else [content]
    world.write(path, "\n".join(json.dumps(line) for line in lines))
    os.utime(world.root / path, (at, at))


def card(world: World, command: str, run: str = "") -> None:
    """Who took the lock last, at noon."""
    about = {"owner": "ann@desk", "command": command, "run": run, "since": "2026-11-30T12:00:00Z"}
    write(world, f"{STATE}/lock.owner", about, NOON)
    world.write(f"{STATE}/lock", "")


def last(world: World) -> Any:
    return LookAtLocks("/sets").ready(world.machine(read_only=True))["last"]


def steps(*names: str) -> list[dict[str, Any]]:
    return [{"run": RUN, "phase": phase, "status": status, "at": 0.0} for phase, status in map(str.split, names)]


def pending(state: str) -> Any:
    return {**restore_record.plan(RUN, SET, "p", [], 0.0), "state": state}


# record, command of the card -> the command that is told, and a word of how it ended
RECORDS: dict[str, tuple[str, Any, str, str, str]] = {
    "migration": (f"runs/{RUN}.jsonl", steps("finish began", "finish done"), "migrate", "migrate", "finished"),
    "failed migration": (
        f"runs/{RUN}.jsonl",
        steps("set done", "copy began"),
        "migrate",
        "migrate",
        "in the phase copy",
    ),
    "restore": (
        "restores/p.json",
        {**pending("starting"), "live": "after"},
        "restore",
        "restore",
        f"{SET} is in place",
    ),
    "undo": ("restores/p.json", {**pending("starting"), "live": "before"}, "restore", "restore --undo", "taken back"),
    "taken back": (f"restores/{RUN}.json", pending("aside"), "restore", "restore", "taken back"),
    "interrupted": (f"restores/{RUN}.json", pending("swapping"), "restore", "restore", "did not finish"),
    "move": (
        "moves/p-graph.json",
        {"id": RUN, "key": "graph", "state": "moved"},
        "volumes",
        "volumes",
        "graph is moved",
    ),
    "half a move": (
        "moves/p-g.json",
        {"id": RUN, "key": "g", "state": "switched"},
        "volumes",
        "volumes",
        "did not finish",
    ),
}


@pytest.mark.parametrize("case", RECORDS)
def test_the_last_run_is_told_with_its_command_and_how_it_ended(tmp_path: Path, case: str) -> None:
    path, content, typed, command, how = RECORDS[case]
    world = World(tmp_path)
    write(world, f"{STATE}/{path}", content, NOON + 90)
    found = last(world)
    assert (found["run"], found["command"], found["owner"]) == (RUN, command, "")
    assert found["ended"] == "2026-11-30T12:01:30Z" and how in found["how"]
    card(world, typed)
    found = last(world)
    assert (found["run"], found["owner"], found["began"]) == (RUN, "ann@desk", "2026-11-30T12:00:00Z")
    assert how in found["how"]


@pytest.mark.parametrize(("name", "how"), [(RUN, "complete"), (f"{RUN}.partial", "never finished")])
def test_a_backup_is_told_by_its_set(tmp_path: Path, name: str, how: str) -> None:
    world = World(tmp_path)
    write(world, f"sets/{SET}/manifest.json", {}, NOON + 500)  # an older one, fetched later
    write(world, f"sets/{name}/manifest.json" if how == "complete" else f"sets/{name}/x.dump", {}, NOON + 60)
    os.utime(world.root / "sets" / name, (NOON + 60, NOON + 60))
    card(world, "backup.create")
    found = last(world)
    assert (found["run"], found["command"], found["owner"]) == (RUN, "backup", "ann@desk") and how in found["how"]


def test_a_run_that_left_no_record_is_told_and_no_other_is_taken_for_it(tmp_path: Path) -> None:
    world = World(tmp_path)
    write(world, f"{STATE}/runs/{RUN}.jsonl", steps("finish done"), NOON - 3600)
    card(world, "play")
    found = last(world)
    assert (found["command"], found["owner"], found["ended"], found["run"]) == ("play", "ann@desk", "", "")
    write(world, f"{STATE}/restores/{SET}.json", pending("aside"), NOON + 10)  # undone by the host, meanwhile
    found = last(world)
    assert (found["command"], found["owner"]) == ("restore", "")


def test_who_is_at_work_is_not_the_last(tmp_path: Path) -> None:
    world = World(tmp_path)
    machine = world.machine()
    write(world, f"{STATE}/runs/{RUN}.jsonl", steps("finish done"), NOON - 86_400)
    lock = HostLock(machine)
    lock.take({"owner": "bob@attic", "command": "restore"}, 0.0)
    world.write(f"{STATE}/restores/{SET}.json", json.dumps(pending("swapping")))
    assert (last(world)["run"], last(world)["owner"]) == (RUN, "")
    lock.leave()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"run": 1}'])
def test_records_that_nobody_can_read_are_passed_over(tmp_path: Path, text: str) -> None:
    world = World(tmp_path)
    assert last(world) is None
    for path in (f"runs/{RUN}.jsonl", "restores/p.json", "moves/p-g.json", "lock.owner", "fences/p.json"):
        world.write(f"{STATE}/{path}", text)
    found = LookAtLocks("/sets").ready(world.machine(read_only=True))
    assert found["moved"] == [] and found["last"] is None


def test_it_is_shown_in_one_line() -> None:
    told = {"run": RUN, "command": "restore", "owner": "ann@desk", "began": "B", "ended": "E", "how": "it is in place"}
    assert locks.described(told) == f"last: `restore` of ann@desk, run {RUN}, began B, ended E: it is in place"
    bare = {**told, "run": "", "ended": "", "how": ""}
    assert locks.described(bare).startswith("last: `restore` of ann@desk, began B; ")
    undone = {**told, "owner": "", "began": ""}
    assert locks.described(undone) == f"last: `restore`, run {RUN}, ended E: it is in place"


STATES = {
    **dict.fromkeys(("failed migration", "interrupted", "half a move"), "never ended"),
    "taken back": "aborted",  # what it brought does not serve
}


@pytest.mark.parametrize("case", RECORDS)
def test_every_run_is_listed_with_the_state_it_came_to(tmp_path: Path, case: str) -> None:
    path, content, _, command, how = RECORDS[case]
    world = World(tmp_path)
    write(world, f"{STATE}/{path}", content, NOON + 90)
    write(world, f"sets/{SET}/manifest.json", {}, NOON)
    write(world, f"sets/{RUN}/manifest.json", {}, NOON)  # of that very run
    first, second = listed(world)
    assert (first["run"], first["command"], first["state"]) == (RUN, command, STATES.get(case, "ended ok"))
    assert how in first["how"] and first["at"] == NOON + 90
    assert (second["run"], second["command"], second["state"]) == (SET, "backup", "ended ok")


@pytest.mark.parametrize(
    ("line", "state", "code"),
    [
        ({"phase": "set", "status": "failed", "exit_code": 6}, "failed", 6),
        ({"phase": "abort", "status": "done"}, "aborted", 0),
        ({"phase": "set", "status": "failed", "exit_code": "nonsense"}, "failed", 1),
    ],
)
def test_the_end_of_a_migration_is_the_last_line_of_its_journal(
    tmp_path: Path, line: dict[str, Any], state: str, code: int
) -> None:
    world = World(tmp_path)
    write(world, f"{STATE}/runs/{RUN}.jsonl", [*steps("set began"), {"run": RUN, "from": "a", "to": "b", **line}], NOON)
    (row,) = listed(world)
    assert (row["state"], row["exit_code"], row["hosts"]) == (state, code, ["a", "b"])


def test_a_run_that_holds_the_lock_or_a_lease_is_at_work(tmp_path: Path) -> None:
    world = World(tmp_path)
    write(world, f"{STATE}/runs/{RUN}.jsonl", steps("provision began"), NOON)
    lock = HostLock(world.machine())
    lock.take({"owner": "ann@desk", "command": "migrate", "run": RUN}, 0.0)
    assert [row["state"] for row in listed(world)] == ["at work"]
    lock.leave()
    assert [row["state"] for row in listed(world)] == ["never ended"]
    world.write(f"{STATE}/leases/fence-{RUN}.json", json.dumps({"run": RUN, "deadline": 0.0, "undo": []}))
    assert [row["state"] for row in listed(world)] == ["at work"]


def listed(world: World) -> Any:
    return ListRuns("/sets").ready(world.machine(read_only=True))["runs"]


def test_half_a_line_hides_neither_its_run_nor_the_line_behind_it(tmp_path: Path) -> None:
    """The power went while it was written."""
    world, path = World(tmp_path), f"{STATE}/runs/{RUN}.jsonl"
    whole = "\n".join(json.dumps(step) for step in steps("set began", "set done"))
    world.write(path, whole + '\n{"run": "2026')
    assert [row["how"] for row in ListRuns("/sets").ready(world.machine(read_only=True))["runs"]] == [
        "it ended in the phase set"
    ]
    machine = world.machine()
    list(WriteJournal(RUN, steps("verify done")[0]).run(machine))
    list(WriteJournal(RUN, steps("promote began")[0]).run(machine))
    assert journal(machine, RUN) == ["set began", "set done", "verify done", "promote began"]
