"""Whether an image can hold what another host's Postgres has, before anything is stopped there."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from acted import LIKE, tried
from acting import do
from world import World

from mnemo_ops.agent.actions.cluster import TryImage
from mnemo_ops.agent.stack.cluster import home
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


@pytest.mark.parametrize(("on_path", "found"), [("17", "17"), ("none", "15")])
def test_programs_on_the_search_path_of_an_image_come_first(on_path: str, found: str, tmp_path: Path) -> None:
    for major in ("15", "17"):
        (tmp_path / major).mkdir()
        (tmp_path / major / "initdb").write_text("")
        (tmp_path / major / "initdb").chmod(0o755)
    argv = ["/bin/sh", "-c", home._PROGRAMS, "sh", str(tmp_path / "15")]
    said = subprocess.run(argv, env={"PATH": f"{tmp_path}/{on_path}"}, capture_output=True, text=True, check=True)
    assert said.stdout == f"{tmp_path}/{found}/initdb\n"


def test_an_image_whose_programs_are_of_another_major_than_it_says_is_refused(world: World) -> None:
    world.model("image_env", {"pg:16": ["PG_MAJOR=16"]})
    with pytest.raises(Refused, match="17"):
        do(world, TryImage("pg:16", LIKE))
