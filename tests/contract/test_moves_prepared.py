"""A move of a volume that was interrupted before it began: what was prepared for it is in nobody's way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from acted import BOUND, THERE
from acting import RUN, STACK, do, serving
from example import volume
from world import World

from mnemo_ops.agent.actions.volume_move import MoveVolume, ReturnVolume
from mnemo_ops.agent.stack.volume_move import moving

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
