"""What a backup and a restore leave when they cannot go on: no set that nobody could read, no plan without a lease."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import postgres_model
import pytest
from acted import RECIPIENT, a_set, loading
from acting import RUN, STACK, Acting, do, serving, stopped
from postgres_model import ROWS
from world import World

from mnemo_ops.agent.actions.backup import MakeSet
from mnemo_ops.agent.base import validators
from mnemo_ops.agent.process import lease
from mnemo_ops.agent.stack import manifest, restore_record
from mnemo_ops.errors import Broken, Refused


@pytest.fixture(autouse=True)
def postgres() -> Iterator[None]:
    with postgres_model.modelled():
        yield


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_a_set_that_nobody_could_read_is_none(world: World) -> None:
    """Restoring refuses a text of that length: such a set was called complete."""
    serving(world)
    state = world.state("docker")
    (volume, *_) = state["volumes"].values()
    volume["Labels"] = {**(volume.get("Labels") or {}), "about": "x" * (validators.LONGEST + 1)}
    world.model("docker", state)
    with pytest.raises(Broken, match="manifest"):
        do(world, MakeSet(STACK, RUN, [RECIPIENT]))
    assert world.machine().names("/sets") == []
    assert lease.names(world.machine(Acting)) == {}


def test_a_log_that_a_cluster_keeps_elsewhere_is_named_and_comes_back_within(world: World) -> None:
    """``initdb --waldir`` leaves a link, of which nobody was told that a restore makes a directory."""
    serving(world)
    (world.root / ROWS).with_name("pg_wal").symlink_to("/wal")
    (world.root / ROWS).with_name("certificate").symlink_to("/run/certificate")  # configuration, which comes back
    do(world, MakeSet(STACK, RUN, [RECIPIENT]))
    saved = manifest.read_manifest(world.machine(), f"/sets/{RUN}").saved("postgres")
    assert saved.facts["left_out"] == ["pg_wal (a link to /wal; comes back as a directory)"]


def test_a_restore_that_gets_no_lease_leaves_no_plan(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    a_set(world)

    def full(*_: object, **__: object) -> None:
        raise Broken("the disk is full")

    monkeypatch.setattr(lease, "hold", full)
    with pytest.raises(Broken):
        do(world, loading())
    assert restore_record.pending(world.machine(), RUN) is None


def test_what_can_wait_is_done_once_others_write_again(world: World) -> None:
    """A set that a migration makes is whole before its database ends."""
    serving(world)
    notes, running = [], MakeSet(STACK, RUN, [RECIPIENT]).run(world.machine(Acting))
    with pytest.raises(StopIteration):
        while True:
            notes.append(next(running).note)
    assert notes.index("dumping app") < notes.index("starting the stack") < notes.index("reading the schema of app")
    assert world.machine().stat(f"/sets/{RUN}/postgres.secrets.age")


def test_a_stopped_stack_is_refused(world: World) -> None:
    stopped(world)
    with pytest.raises(Refused, match="stopped"):
        MakeSet(STACK, RUN, [RECIPIENT]).ready(world.machine(Acting))
