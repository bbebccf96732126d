"""Whether an image can hold what another host's Postgres has, before anything is stopped there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from acted import LIKE, tried
from acting import do
from world import World

from mnemo_ops.agent.actions.cluster import TryImage
from mnemo_ops.errors import Refused


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(tmp_path)
    tried(made)
    return made


def test_a_newer_one_with_every_extension_will_do(world: World) -> None:
    do(world, TryImage("pg:17", LIKE))


@pytest.mark.parametrize("image", ["lacking:17", "older:15", "none:1"])
def test_what_could_not_hold_it_is_refused(image: str, world: World) -> None:
    with pytest.raises(Refused) as caught:
        do(world, TryImage(image, LIKE))
    assert {"lacking:17": "vector", "older:15": "Postgres 15", "none:1": "none:1"}[image] in str(caught.value)


@pytest.mark.parametrize(
    ("env", "major"), [(["PATH=/bin", "PG_MAJOR=17"], 17), (["PG_MAJOR=no"], 0), (["PG_MAJOR="], 0), (None, 0)]
)
def test_what_an_image_says_of_itself(env: Any, major: int, world: World) -> None:
    world.model("image_env", {"pg:16": env})
    assert TryImage("pg:16", LIKE).ready(world.machine()) == {"major": major}
    assert TryImage("away:1", LIKE).ready(world.machine()) == {"major": 0}
