"""The catalogue of a store says what was looked at; pruning takes what nobody needs, and nothing else."""

from __future__ import annotations

import hashlib
import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from test_target import STACK, ran
from world import World

from mnemo_ops.agent.actions.catalogue import ListSets, ShowSet
from mnemo_ops.agent.actions.prune import SETTLED, PruneSets
from mnemo_ops.agent.base.progress import Progress
from mnemo_ops.agent.process import lease
from mnemo_ops.agent.stack import restore_record
from mnemo_ops.errors import Refused
from mnemo_ops.stack.definition import wire
from mnemo_ops.transport import answers

STORE = "/sets"
OLD = time.time() - SETTLED - 60
A, B, C, D = (f"2026010{day}T120000Z-00a{day}" for day in range(1, 5))


@pytest.fixture
def world(tmp_path: Path) -> World:
    (tmp_path / "sets").mkdir()
    return World(tmp_path)


def made(world: World, id: str, verified: bool = False, age: bool = True, **more: Any) -> str:
    content = b"dump of " + id.encode()
    part = {"name": "postgres.dump", "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    manifest = {"format": 1, "id": id, "created": 1.7e9 + int(id[6:8]), "consistency": "quiesced", "parts": [part]}
    manifest.update(project="app", datasets={}, volumes={})
    world.write(f"sets/{id}/postgres.dump", content.decode())
    world.write(f"sets/{id}/manifest.json", json.dumps({**manifest, **more}))
    if verified:
        world.write(f"sets/{id}/verified.json", '{"at": 1700000000.0}')
    aged(world, id)
    return id


def aged(world: World, name: str) -> None:
    top = world.root / "sets" / name
    for path in (*top.rglob("*"), top):
        os.utime(path, (OLD, OLD))


def flip(world: World, id: str) -> None:
    path = world.root / "sets" / id / "postgres.dump"
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))


def listed(world: World, check: bool = False) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = ran(ListSets(STORE, check).run(world.machine(read_only=True)))["sets"]
    return rows


def test_a_flipped_byte_is_found_by_reading_and_what_was_not_read_is_not_called_so(world: World) -> None:
    for id in (A, B):
        made(world, id)
    flip(world, A)
    assert [(row["id"], row["state"], row["checked"]) for row in listed(world)] == [
        (B, "complete", "sizes"),
        (A, "complete", "sizes"),
    ]
    right, wrong = listed(world, check=True)
    assert (right["state"], right["checked"], right["why"]) == ("complete", "checksums", "")
    assert (wrong["state"], wrong["checked"]) == ("damaged", "checksums") and "postgres.dump" in wrong["why"]


def test_parts_that_are_gone_or_shorter_are_named_without_reading(world: World) -> None:
    for id in (A, B):
        made(world, id)
    (world.root / "sets" / A / "postgres.dump").unlink()
    (world.root / "sets" / B / "postgres.dump").write_text("short")
    for check in (False, True):
        assert [(row["state"], row["why"].partition(",")[0]) for row in listed(world, check)] == [
            ("damaged", "postgres.dump has 5 bytes"),
            ("damaged", "postgres.dump is missing"),
        ]


@pytest.mark.parametrize(
    ("manifest", "state"),
    [
        ('{"format": 7, "created": "some day"}', "newer"),
        ("{", "unreadable"),
        ("[]", "unreadable"),
        ('{"format": 1}', "unreadable"),
        ('{"format": 1, "created": 1, "consistency": "hot", "parts": [{"name": "x"}]}', "unreadable"),
        ('{"format": 1, "created": null, "consistency": "hot", "parts": 3}', "unreadable"),
    ],
)
def test_what_cannot_be_understood_is_the_newest_nevertheless(manifest: str, state: str, world: World) -> None:
    made(world, A)
    made(world, B)
    world.write(f"sets/{C}/manifest.json", manifest)
    world.write("sets/some-directory/file", "")
    world.write("sets/a-file", "")
    aged(world, "some-directory")
    rows = [row for row in listed(world, check=True) if row["state"] != "incomplete"]
    assert [(row["id"], row["state"]) for row in rows] == [(C, state), (B, "complete"), (A, "complete")]
    assert rows[0]["why"] and rows[0].get("format") == (7 if state == "newer" else None)


def one(world: World, id: str, check: bool = False) -> Any:
    """As the controller hears it."""
    found = ran(ShowSet(STORE, id, check).run(world.machine(read_only=True)))
    return answers.of("act", "show_set")(json.loads(json.dumps(found)))


def test_one_set_says_what_it_holds(world: World) -> None:
    facts = {"kind": "files", "bytes": 7, "sha256": "5" * 64, "files": 3}
    options = {"type": "cifs", "device": "//nas/share", "o": "username=ann,password=open"}
    volumes = {"up": {"driver": "local", "options": options, "labels": {}}}
    made(world, A)
    made(world, B, True, datasets={"uploads": facts}, volumes=volumes, tool="0.9", accepted_losses=["a slot"])
    found = one(world, B)
    assert found["set"] == next(row for row in listed(world) if row["id"] == B) and found["set"]["verified"]
    held = found["holds"]
    assert held["datasets"] == {"uploads": {**facts, "left_out": []}} and (held["tool"], held["format"]) == ("0.9", 1)
    assert held["accepted_losses"] == ["a slot"] and "open" not in json.dumps(found)
    assert one(world, A)["holds"]["tool"] == "", "a set of an earlier version does not say by which"


@pytest.mark.parametrize("tool", [None, 7, ["x"]])
def test_what_is_for_people_spoils_no_set(world: World, tool: Any) -> None:
    made(world, A, tool=tool)
    assert isinstance(one(world, A)["holds"]["tool"], str)


def test_of_one_set_that_is_damaged_all_is_told(world: World) -> None:
    """No other one is read."""
    for id in (A, B):
        made(world, id)
        flip(world, id)
    assert one(world, A)["set"]["state"] == "complete"
    steps = [step.note for step in ShowSet(STORE, A, True).run(world.machine()) if step.note]
    assert steps == [f"checksum of postgres.dump of {A}"]
    found = one(world, A, check=True)
    assert (found["set"]["state"], found["set"]["checked"]) == ("damaged", "checksums") and found["holds"]


@pytest.mark.parametrize("manifest", ["{", '{"format": 7}', "[]"])
def test_of_one_set_that_cannot_be_read_the_reason_is_told(manifest: str, world: World) -> None:
    world.write(f"sets/{A}/manifest.json", manifest)
    for check in (False, True):
        found = one(world, A, check)
        assert found["set"]["why"] and found["holds"] is None


def test_a_set_that_is_gone_by_now_is_refused(world: World) -> None:
    made(world, A)
    with pytest.raises(Refused, match=B):
        one(world, B)
    with pytest.raises(Refused):
        ShowSet(STORE, "../sets")


def test_how_far_the_reading_is(world: World) -> None:
    for id in (A, B):
        made(world, id)
    seen = [step for step in ListSets(STORE, True).run(world.machine()) if step.note]
    size = listed(world)[0]["bytes"]
    assert seen == [Progress(done, 2 * size, f"checksum of postgres.dump of {id}") for done, id in ((0, B), (size, A))]


# -- pruning -------------------------------------------------------------------------------------------------------


def journal(world: World, run: str, *phases: str) -> None:
    lines = "".join(json.dumps({"run": run, "phase": phase, "status": "began"}) + "\n" for phase in phases)
    world.write(f"{world.machine().state_dir}/runs/{run}.jsonl".lstrip("/"), lines)


def pruned(world: World, keep_last: int = 1) -> tuple[dict[str, str], dict[str, str]]:
    """Names that would go and that stay, with the reason."""
    plan = PruneSets(wire(STACK), keep_last).ready(world.machine(read_only=True))
    goes, stays = ({row["name"]: row["why"] for row in plan[key]} for key in ("remove", "keep"))
    return goes, stays


def left(world: World) -> set[str]:
    return {path.name for path in (world.root / "sets").iterdir()}


def prune(world: World, *names: str, keep_last: int = 1) -> Any:
    return ran(PruneSets(wire(STACK), keep_last, False, names).run(world.machine()))


def unfinished(world: World, name: str) -> str:
    world.write(f"sets/{name}/postgres.dump", "half")
    aged(world, name)
    return name


def test_what_never_became_a_set_goes_and_what_is_not_ours_stays(world: World) -> None:
    made(world, A)
    half, cut = unfinished(world, f"{B}.partial"), unfinished(world, C)
    for name in ("lost+found", "my copies", f"{B}.old", f"old-{C}"):
        unfinished(world, name)
    (world.root / "sets" / f"{D}.partial").symlink_to("lost+found")
    assert set(pruned(world)[0]) == {half, cut}
    before = left(world)
    done = prune(world, half, "lost+found", A)
    assert [row["name"] for row in done["removed"]] == [half] and done["left"] == ["lost+found", A]
    assert before - left(world) == {half}
    prune(world, cut)
    assert before - left(world) == {half, cut}


def test_who_is_at_work_is_not_disturbed(world: World) -> None:
    half, cut = unfinished(world, f"{A}.partial"), unfinished(world, B)
    written = unfinished(world, f"{C}.partial")
    world.write(f"sets/{written}/postgres.dump", "more")
    machine = world.machine()
    for name, run in ((f"backup-{A}", ""), ("fence-other", B)):
        world.write(f"{machine.state_dir}/leases/{name}.json".lstrip("/"), json.dumps({"run": run, "undo": []}))
    assert set(lease.names(machine)) == {f"backup-{A}", "fence-other"}
    goes, stays = pruned(world)
    assert goes == {} and set(stays) == {half, cut, written}
    before = left(world)
    assert prune(world, half, cut, written)["removed"] == []
    assert left(world) == before


@pytest.mark.parametrize("alive", [True, False])
def test_a_job_protects_what_it_makes_while_it_is_alive(
    alive: bool, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut = unfinished(world, A)
    (world.root / world.machine().state_dir.lstrip("/") / "jobs" / f"{A}-fetch-backup").mkdir(parents=True)
    monkeypatch.setattr(
        "mnemo_ops.agent.process.job.is_alive", lambda machine, name: alive and name == f"{A}-fetch-backup"
    )
    goes, stays = pruned(world)
    assert (set(goes), set(stays)) == ((set(), {cut}) if alive else ({cut}, set()))


@pytest.mark.parametrize("place", ["fences", "targets"])
def test_the_copy_of_an_unfinished_migration_stays(place: str, world: World) -> None:
    cut = unfinished(world, A)
    mark = {"run": A, "state": "copying" if place == "targets" else "held", "containers": {}}
    machine = world.machine()
    from mnemo_ops.agent.stack.fence import fence_path

    path = fence_path(machine, "p") if place == "fences" else f"{machine.state_dir}/targets/p.json"
    world.write(path.lstrip("/"), json.dumps(mark))
    assert pruned(world) == ({}, {cut: pruned(world)[1][cut]})


def test_sets_of_failed_migrations_go_the_oldest_first_and_never_below_what_is_kept(world: World) -> None:
    for id in (A, B, C):
        made(world, id, migration=id)
        journal(world, id, "provision", "quiesce", "set")
    made(world, D)
    assert set(pruned(world, 1)[0]) == {A, B, C}
    assert set(pruned(world, 3)[0]) == {A} and set(pruned(world, 3)[1]) == {B, C}
    assert set(pruned(world, 7)[0]) == set()
    made(world, B, migration=B, verified=True)
    assert set(pruned(world, 1)[0]) == {A, C}, "the newest that was restored and compared stays"
    done = prune(world, A, B, C, D)
    assert {row["name"] for row in done["removed"]} == {A, C} and left(world) == {B, D}


@pytest.mark.parametrize("phases", [(), ("provision", "promote"), ("provision", "promote", "finish")])
def test_the_set_of_a_migration_that_may_have_come_to_its_end_is_a_backup(
    phases: tuple[str, ...], world: World
) -> None:
    made(world, A, migration=A)
    made(world, B)
    if phases:
        journal(world, A, *phases)
    assert pruned(world) == ({}, {})


def test_damaged_and_newer_sets_are_not_ours_to_judge(world: World) -> None:
    for id in (A, B):
        made(world, id, migration=id)
        journal(world, id, "set")
    (world.root / "sets" / A / "postgres.dump").unlink()
    made(world, C, format=9)
    assert pruned(world) == ({}, {B: pruned(world)[1][B]}), "damaged ones do not count as kept"


def test_images_of_migrations_that_ended_go(world: World) -> None:
    names = [f"images-{A}.tar.zst", f"images-{B}.tar.zst.partial", f"images-{C}.tar.zst", "images-of-mine.tar.zst"]
    for name in names:
        world.write(f"sets/{name}", "images")
        aged(world, name)
    world.write(f"{world.machine().state_dir}/leases/images-{C}.json".lstrip("/"), json.dumps({"run": C, "undo": []}))
    assert set(pruned(world)[0]) == set(names[:2]) and set(pruned(world)[1]) == {names[2]}
    assert prune(world, *names)["left"] == names[2:]
    assert left(world) == set(names[2:])


def test_a_removal_that_was_cut_leaves_no_damaged_set(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for id in (A, B):
        made(world, id, migration=id)
        journal(world, id, "set")
    machine = world.machine()
    real = machine.remove

    def remove(path: str) -> None:
        if (world.root / path.lstrip("/")).is_dir():
            (world.root / path.lstrip("/") / "postgres.dump").unlink()
            raise OSError(5, "cut")
        real(path)

    monkeypatch.setattr(machine, "remove", remove)
    with pytest.raises(OSError):
        ran(PruneSets(wire(STACK), 1, False, (A,)).run(machine))
    assert {row["id"]: row["state"] for row in listed(world)} == {f"{A}.partial": "incomplete", B: "complete"}


def test_what_was_written_to_a_restore_that_was_taken_back_goes_only_when_it_is_meant(world: World) -> None:
    machine = world.machine()
    plan = restore_record.plan(B, A, "p", ["/data/graph"], 1.0)
    restore_record.begin(machine, {**plan, "state": restore_record.ASIDE})
    restore_record.begin(machine, {**restore_record.plan(C, A, "p", [], 1.0), "state": restore_record.STARTING})
    kept = restore_record.sibling("/data/graph", restore_record.AFTER, B)
    world.write(f"{kept}/file".lstrip("/"), "precious")
    assert set(pruned(world)[1]) == {f"restore-{B}-after"} and pruned(world)[0] == {}
    assert prune(world, f"restore-{B}-after")["removed"] == [] and world.read(f"{kept}/file".lstrip("/")) == "precious"

    (row,) = ran(PruneSets(wire(STACK), 7, True, (f"restore-{B}-after",)).run(machine))["removed"]
    assert (row["name"], row["bytes"]) == (f"restore-{B}-after", 8)
    assert machine.stat(kept) is None
    assert restore_record.aside(machine, "p") == [] and restore_record.pending(machine, C) is not None
