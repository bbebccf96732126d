"""Directories of the host as places of volumes: what a disk of their own, mounted or not, means for them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mnemosyne
import pytest
from example import engine, volume
from examples_storage import ROOT
from world import World

from mnemo_ops.agent.actions.load import LoadSet
from mnemo_ops.agent.actions.swap import UndoRestore
from mnemo_ops.agent.base.finding import Finding
from mnemo_ops.agent.base.record import replace
from mnemo_ops.agent.files import listing as tree
from mnemo_ops.agent.files.mounts import LABEL
from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.stack import containers
from mnemo_ops.agent.stack.manifest import Manifest, Part, Saved
from mnemo_ops.agent.stack.restore_record import record_path
from mnemo_ops.agent.stack.stack import Dataset, Stack
from mnemo_ops.agent.stack.volume_checks.volumes import findings
from mnemo_ops.errors import Refused
from mnemo_ops.stack import definition
from mnemo_ops.stack.settings import Settings

NAME = "mnemosyne_lightrag_data"
DISK = "30 22 8:16 / /mnt/disk rw - ext4 /dev/sdb rw\n"
BOUND = {"type": "none", "o": "bind", "device": "/mnt/disk"}
MADE = {"Options": BOUND, "Labels": {"mnemo.stack": "mnemosyne", "mnemo.role": "lightrag_data"}}


@pytest.fixture
def world(tmp_path: Path) -> World:
    (tmp_path / "host").mkdir()
    world = World(tmp_path / "host")
    world.write("proc/self/mountinfo", ROOT + DISK)
    (world.root / "mnt/disk/data").mkdir(parents=True)
    return world


def settings(path: str = "/mnt/disk") -> Settings:
    spec = {"lightrag_data": {"type": "bind", "path": path}}
    return mnemosyne.settings(volumes=spec)


def found(world: World, path: str = "/mnt/disk") -> list[Finding]:
    """The findings of one look; it changed nothing."""
    rows: list[dict[str, Any]] = [row for row in definition.volumes(settings(path)) if row["key"] == "lightrag_data"]
    before = world.tree()
    seen = findings(world.machine(read_only=True), "mnemosyne", rows, [])
    assert world.tree() == before
    return seen


@pytest.mark.parametrize("docker", [True, False])
def test_a_mount_point_itself_is_no_place(world: World, docker: bool) -> None:
    if docker:
        engine()(world)
    (one,) = found(world)
    assert one.where == "lightrag_data" and "/mnt/disk is itself a mount point" in one.evidence
    assert "/mnt/disk/data; or type: block" in one.remedy
    assert found(world, "/mnt/disk/data") == []


def test_a_volume_that_was_made_on_one_is_used_and_never_without_its_disk(world: World) -> None:
    labels = {**MADE["Labels"], LABEL: "/mnt/disk"}
    engine(volumes=volume(NAME, **{**MADE, "Labels": labels}))(world)
    assert found(world) == []
    world.write("proc/self/mountinfo", ROOT)
    (one,) = found(world)
    assert "nothing is mounted on /mnt/disk" in one.evidence and "mount /mnt/disk again" in one.remedy


def test_a_restore_there_is_refused_before_anything_stops(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containers, "containers", lambda *_: [SimpleNamespace(name="api", service="api", running=True)])
    engine(volumes=volume(NAME, **MADE))(world)
    world.script("test", "sys.exit(0)")
    stack = definition.stack_of(settings())
    stack = replace(stack, datasets=tuple(each for each in stack.datasets if each.kind != "postgres"))
    graph = Saved("lightrag", {"kind": "files", "bytes": 1, "sha256": "0" * 64})
    parts = (Part(graph.file, 1, "0" * 64),)
    manifest = Manifest("20261129T220719Z-0002", "mnemosyne", 1.0, "quiesced", parts, (graph,), {})
    world.write(f"{stack.store[1:]}/1/manifest.json", json.dumps(manifest.to_json()))
    before = world.tree()
    with pytest.raises(Refused, match="/mnt/disk") as caught:
        LoadSet(definition.wire(stack), "1", fresh=False, run_id="20261129T220719Z-0001").ready(
            world.machine(read_only=True)
        )
    assert "invoke volumes --volume lightrag_data --to TYPE" in caught.value.hint
    assert world.tree() == before


@pytest.mark.parametrize("known", [("attributes", "times"), ("attributes",), ()], ids=["now", "older", "oldest"])
def test_what_a_restore_puts_in_place_is_on_the_disk(world: World, known: tuple[str, ...]) -> None:
    """After a power cut the data that were renamed into place would be empty files, of a set that was proven equal."""
    unpacked, synced = world.root / "srv/p/.mnemo-after-20261129T220719Z-0001-uploads/file", list[bool]()

    class Watched(Machine):
        def sync_all(self) -> None:
            synced.append(unpacked.exists())

    engine()(world)
    times = f"os.utime({str(unpacked)!r}, (1, 1)); os.utime({str(unpacked.parent)!r}, (1, 1))"
    adorn = f"import os; os.setxattr({str(unpacked)!r}, 'user.x', b'y'); {times}"
    world.script("tar", f"open({str(unpacked)!r}, 'w').write('data')", adorn)
    world.script("zstd", "pass")
    (world.root / "srv/p/uploads").mkdir(parents=True)
    world.write("srv/same/file", "data")
    world.write("sets/1/uploads.files", "")
    machine = world.machine(Watched)
    os.setxattr(world.root / "srv/same/file", "user.x", b"y")
    os.utime(world.root / "srv/same/file", (1, 1))
    os.utime(world.root / "srv/same", (1, 1))
    told = {word: word in known for word in ("attributes", "times")}
    facts: dict[str, Any] = tree.summary(list(tree.entries(machine, "/srv/same", **told)))  # type: ignore[arg-type]
    facts = {**{key: facts[key] for key in ("files", "bytes", "sha256")}, **{word: facts.get(word) for word in known}}
    stack = Stack("p", "/srv/p", (), ".env", "/sets", (Dataset("uploads", "files", path="uploads"),), (), {})
    load = LoadSet(definition.wire(stack), "1", fresh=False, run_id="20261129T220719Z-0001")
    manifest = Manifest("1", "p", 1.0, "quiesced", (), (Saved("uploads", {"kind": "files", **facts}),), {})
    list(load._extract(machine, stack, "/sets/1", manifest))
    assert synced == [True]


def test_a_restore_is_not_undone_in_part_while_a_disk_is_gone(world: World) -> None:
    engine(volumes=volume(NAME, **{**MADE, "Labels": {LABEL: "/mnt/disk"}}))(world)
    machine, undo = world.machine(read_only=True), UndoRestore(definition.wire(definition.stack_of(settings())))
    world.write(record_path(machine, "mnemosyne")[1:], '{"id": "1", "stamp": "r0"}')
    assert undo.ready(machine)["stamp"] == "r0"
    world.write("proc/self/mountinfo", ROOT)
    with pytest.raises(Refused, match="/mnt/disk"):
        undo.ready(machine)
