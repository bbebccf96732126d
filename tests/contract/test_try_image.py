"""Whether an image can hold what another host's Postgres has, before anything is stopped there."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from acted import LIKE, tried
from acting import do
from world import World

from mnemo_ops.agent.actions import cluster
from mnemo_ops.agent.actions.cluster import TryImage
from mnemo_ops.agent.stack.cluster import home
from mnemo_ops.errors import Broken, Refused


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


def test_data_outside_of_the_volume_are_refused_unless_our_compose_file_says_where(world: World) -> None:
    world.model("image_env", {"pg:16": ["PGDATA=/var/lib/postgresql/18/docker"]})
    for mount in ("/var/lib/postgresql", ""):
        do(world, TryImage("pg:16", {**LIKE, "mount": mount}))
    elsewhere = {**LIKE, "mount": "/var/lib/postgresql/data"}
    do(world, TryImage("pg:16", elsewhere, ["environment", "PGDATA"]))
    with pytest.raises(Refused, match="/var/lib/postgresql/18/docker"):
        do(world, TryImage("pg:16", elsewhere))


def test_an_image_that_cannot_read_the_dump_is_refused(world: World) -> None:
    with pytest.raises(Refused, match="zstd"):
        do(world, TryImage("pg:17", {**LIKE, "zstd": True}))
    said = world.state("said")
    said["pg"]["--single"] += '\n\t 1: name = "--with-zstd"\t(typeid = 25)'
    world.model("said", said)
    do(world, TryImage("pg:17", {**LIKE, "zstd": True}))


@pytest.mark.parametrize(
    ("own", "uid", "said", "fits"),
    [("1001", 999, (), False), ("1001", 1001, (), True), ("1001", None, (), True), ("1001", 999, ("user",), True)],
)
def test_an_image_of_a_fixed_user_must_own_the_data(own: str, uid: Any, said: Any, fits: bool, world: World) -> None:
    models = world.state("said")
    models["pg"]["id -u"] = f"{own}\npostgres:x:{own}:0::/:/bin/sh"
    world.model("said", models)
    deed = TryImage("pg:17", {**LIKE, "uid": uid}, said)
    if fits:
        do(world, deed)
    else:
        with pytest.raises(Refused, match="1001"):
            do(world, deed)


@pytest.mark.parametrize(
    ("own", "known", "user"),
    [
        ("0", ["root:x:0:0::/:", "nobody:x:65534:65534::/:", "postgres:x:70:70::/:"], "65534:65534"),
        ("0", ["root:x:0:0::/:", "postgres:x:70:71::/:", ""], "70:71"),
        ("1001", ["root:x:0:0::/:", "postgres:x:1001:0::/:", "nobody:x:65534:65534::/:"], "1001:0"),
        ("1001", ["root:x:0:0::/:"], "65534:65534"),
    ],
)
def test_initdb_runs_as_somebody_whom_the_image_knows(own: str, known: list[str], user: str) -> None:
    assert cluster._somebody(own, known) == user


def test_every_locale_of_the_databases_is_tried(world: World) -> None:
    other = {**LIKE["template0"], "collate": "de_DE.utf8", "ctype": "de_DE.utf8"}
    deed = TryImage("pg:17", {**LIKE, "locales": [LIKE["template0"], other]})
    assert [each.count("de_DE.utf8") for each in deed._databases(17)] == [2]
    do(world, deed)


@pytest.mark.parametrize("word", ["command -v", "--single"])
def test_a_docker_that_does_not_run_it_is_not_an_image_without_postgres(word: str, world: World) -> None:
    world.model("refuses", {"pg:17": {word: 125}})
    with pytest.raises(Broken):
        do(world, TryImage("pg:17", LIKE))


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
