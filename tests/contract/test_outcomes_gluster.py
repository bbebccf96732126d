"""What gluster_volume promises beyond the contract: what holds data is not changed, and silence is not absence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from examples_gluster import GV0, made
from running import run, task
from world import World

from mnemo_ops.agent.engine.resource import build


@pytest.fixture
def world(tmp_path: Path) -> World:
    (tmp_path / "host").mkdir()
    return World(tmp_path / "host")


def test_hosts_become_peers_but_not_of_themselves(world: World) -> None:
    event = run(task("gluster_volume", **GV0, state="started", register="made"), world.machine())
    assert event.status == "changed"
    assert world.state("peers") == ["10.0.0.2"]
    assert world.state("gluster")["gv0"]["status"] == 1


@pytest.mark.parametrize("other", [{"bricks": "/elsewhere"}, {"replicas": 1}, {"cluster": ["10.0.0.1", "10.0.0.3"]}])
def test_another_layout_than_that_of_the_data_is_refused(world: World, other: dict[str, Any]) -> None:
    made(world)
    before = world.state("gluster")
    event = run(task("gluster_volume", **{**GV0, **other}, state="started"), world.machine())
    assert event.error is not None and event.error["class"] == "Refused" and "gv0" in event.error["hint"]
    assert world.state("gluster") == before


def test_a_peer_that_is_away_is_named_and_no_volume_is_made(world: World) -> None:
    world.model("off", ["10.0.0.2"])
    event = run(task("gluster_volume", **GV0, state="started"), world.machine())
    assert event.status == "failed" and "Transport endpoint is not connected" in event.why
    assert not (world.root / "var/lib/model/gluster.json").exists()


def test_a_volume_nobody_describes_is_refused(world: World) -> None:
    event = run(task("gluster_volume", name="gv1", state="started"), world.machine())
    assert event.error is not None and event.error["hint"] == "add cluster and bricks"


@pytest.mark.parametrize(
    "args", [{"name": "a b"}, {"name": "a", "bricks": "data"}, {**GV0, "replicas": 3, "state": "present"}]
)
def test_what_cannot_be_meant_is_an_error(args: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        build("gluster_volume", {"state": "present", **args})
