"""A move of a volume that was interrupted before it began: what was prepared for it is in nobody's way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from acted import BOUND, THERE
from acting import RUN, STACK, Acting, do, serving
from example import volume
from world import World

from mnemo_ops.agent.actions.volume_move import MoveVolume, ReturnVolume
from mnemo_ops.agent.process import lease
from mnemo_ops.agent.stack.volume_move import moving
from mnemo_ops.errors import Refused

NEXT = "p-next-graph"


@pytest.mark.parametrize(
    ("labels", "options", "text", "goes"),
    [
        ({moving.STAGED: "graph"}, {**BOUND, "device": "/other"}, "", True),
        ({moving.STAGED: "graph"}, {}, "", True),
        ({moving.STAGED: "graph"}, {}, "somebody's", False),
        ({}, {**BOUND, "device": "/other"}, "", False),
        ({moving.STAGED: "other"}, {}, "", False),
    ],
    ids=["bind", "local", "not empty", "not ours", "of another volume"],
)
def test_a_place_that_was_prepared_and_never_used_gives_way(
    tmp_path: Path, labels: dict[str, str], options: dict[str, Any], text: str, goes: bool
) -> None:
    """Interrupted before it began to move, a run left it; a move to another place was refused then."""
    serving(world := World(tmp_path))
    volumes = volume(NEXT, Options=options or None, Labels=labels)
    world.model("docker", {**world.state("docker"), "volumes": {**world.state("docker")["volumes"], **volumes}})
    (world.root / f"var/lib/docker/volumes/{NEXT}/_data").mkdir(parents=True)
    if text:
        world.write(f"var/lib/docker/volumes/{NEXT}/_data/file", text)
    told = MoveVolume(STACK, "graph", RUN, {**THERE, "directory": "/data/graph"}, NEXT).ready(world.machine())
    assert told["stale"] is (labels.get(moving.STAGED) == "graph")
    do(world, ReturnVolume(STACK, "graph"))
    assert (NEXT not in world.state("docker")["volumes"]) is goes


def test_a_move_that_is_at_work_is_left_alone(tmp_path: Path) -> None:
    """Somebody gave the same command meanwhile: his run is refused, and what it found prepared is the first one's."""
    serving(world := World(tmp_path))
    volumes = volume(NEXT, Options=BOUND, Labels={moving.STAGED: "graph"})
    world.model("docker", {**world.state("docker"), "volumes": {**world.state("docker")["volumes"], **volumes}})
    names = {"project": "p", "key": "graph", "id": "another", "staged": NEXT, "kept": "p-kept-graph", "seeded": False}
    about = {"services": ["api"], "idle": [], "source": THERE, "target": {**THERE, "name": "p_graph"}}
    moving.write(world.machine(), {**names, **about, "state": "copying", "previous": None})
    lease.hold(world.machine(Acting), "move-another", "another", [])
    before = world.state("docker")
    do(world, ReturnVolume(STACK, "graph", prepared=True))
    assert world.state("docker") == before and moving.read(world.machine(), "p", "graph") is not None
    with pytest.raises(Refused):
        do(world, MoveVolume(STACK, "graph", RUN, {**THERE, "directory": "/data/graph"}, NEXT))
    assert world.state("docker") == before
