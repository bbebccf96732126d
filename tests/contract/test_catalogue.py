"""The catalogue of a store says what was looked at; pruning takes what nobody needs, and nothing else."""

from __future__ import annotations

import hashlib
import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from test_target import ran
from world import World

from mnemo_ops.agent.action import Progress
from mnemo_ops.agent.actions.catalogue import ListSets

STORE = "/sets"
OLD = time.time() - 180
A, B, C, D = (f"2026010{day}T120000Z-00a{day}" for day in range(1, 5))


@pytest.fixture
def world(tmp_path: Path) -> World:
    (tmp_path / "sets").mkdir()
    return World(tmp_path)


def made(world: World, id: str, verified: bool = False, age: bool = True, **more: Any) -> str:
    content = b"dump of " + id.encode()
    part = {"name": "postgres.dump", "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    manifest = {"format": 1, "id": id, "created": 1.7e9 + int(id[6:8]), "consistency": "quiesced", "parts": [part]}
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


def test_how_far_the_reading_is(world: World) -> None:
    for id in (A, B):
        made(world, id)
    seen = [step for step in ListSets(STORE, True).run(world.machine()) if step.note]
    size = listed(world)[0]["bytes"]
    assert seen == [Progress(done, 2 * size, f"checksum of postgres.dump of {id}") for done, id in ((0, B), (size, A))]
