"""An undo after the image of Postgres became another one: what it would put in place does not start."""

from __future__ import annotations

from pathlib import Path

import pytest
from acted import restored
from acting import LATER, RUN, STACK, do
from postgres_model import ROWS, modelled
from world import World

from mnemo_ops.agent.actions.swap import UndoRestore
from mnemo_ops.agent.stack.restore_record import BEFORE, sibling
from mnemo_ops.errors import Refused


def has(world: World, major: str) -> None:
    """The image of the database says so."""
    state = world.state("docker")
    for row in state["containers"].values():
        row["Config"]["Env"] = [*row["Config"].get("Env", []), f"PG_MAJOR={major}"]
    world.model("docker", state)


@pytest.mark.parametrize(("image", "refuses"), [("17", True), ("15", False)])
def test_data_of_another_major_than_the_image_are_not_put_in_place(image: str, refuses: bool, tmp_path: Path) -> None:
    world = World(tmp_path)
    with modelled():
        restored(world)
        data = ROWS.rpartition("/")[0]
        world.write(f"{data}/PG_VERSION", "17\n")
        world.write(f"{sibling('/' + data, BEFORE, RUN)}/PG_VERSION".lstrip("/"), "15\n")
        has(world, image)
        if refuses:
            with pytest.raises(Refused, match="15"):
                UndoRestore(STACK, LATER).ready(world.machine())
            with pytest.raises(Refused):
                do(world, UndoRestore(STACK, LATER))
            assert world.read(f"{data}/PG_VERSION") == "17\n"
        else:
            do(world, UndoRestore(STACK, LATER))
            assert world.read(f"{data}/PG_VERSION") == "15\n"
