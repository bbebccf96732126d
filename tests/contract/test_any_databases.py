"""A stack may have no database, or several: it is backed up, restored, looked at and proven all the same."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import postgres_model
import pytest
from acted import OLD_SET, RECIPIENT, SECRET
from acting import COMPOSE, GRAPH, RUN, bare, do
from world import World

from mnemo_ops.agent.actions import survey
from mnemo_ops.agent.actions.backup import MakeSet
from mnemo_ops.agent.actions.cluster import CompareCluster
from mnemo_ops.agent.actions.copy_target import MarkTarget
from mnemo_ops.agent.actions.load import LoadSet, _make_volumes
from mnemo_ops.agent.actions.prove import ProveStack
from mnemo_ops.agent.actions.smoke import Smoke
from mnemo_ops.agent.actions.survey import Survey
from mnemo_ops.agent.actions.swap import UndoRestore
from mnemo_ops.agent.stack.cluster import proof
from mnemo_ops.agent.stack.manifest import Manifest
from mnemo_ops.agent.stack.stack import Dataset, Stack
from mnemo_ops.errors import Refused, VerificationFailed
from mnemo_ops.stack.definition import wire
from mnemo_ops.transport import answers

FILES = Dataset("graph", "files", volume="graph")
AWAY = Dataset("srv-photos", "files", path="/srv/photos")
ONE, TWO = ("one", "postgres", "pg", "", "db"), ("two", "postgres", "pg2", "", "b")
CLUSTERS = (Dataset(*ONE), Dataset(*TWO))
SERVICES: dict[str, Any] = {
    "api": {"image": "api:1", "volumes": ["graph"], "restart": "always"},
    "db": {"image": "pg:16", "volumes": ["pg"], "restart": "always"},
    "b": {"image": "pg:16", "volumes": ["pg2"], "restart": "always"},
}


@pytest.fixture(autouse=True)
def modelled(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with postgres_model.modelled():
        same = lambda server, before: [] if before == {"app": {"rows of t": "original"}} else ["t differs"]  # noqa: E731
        monkeypatch.setattr(proof, "of_rows", same)
        yield


def serving(path: Path, *names: str) -> World:
    """These services run, and their volumes hold something; there is neither an env file nor a config dataset."""
    world = World(path)
    bare(world)
    chosen = {name: SERVICES[name] for name in names}
    keys = {key: {} for each in chosen.values() for key in each["volumes"]}
    world.write("srv/p/c.yml", json.dumps({"services": chosen, "volumes": keys}))
    world.write("srv/photos/a", "original")
    world.machine().run([*COMPOSE, "up", "-d"])
    docker = world.state("docker")
    for row in docker["containers"].values():
        if row["Name"] == "/p-b-1":
            row["Config"]["Env"] = ["PGDATA=/pg2", "POSTGRES_PASSWORD=of another"]
    world.model("docker", docker)
    for path_ in texts(names):
        world.write(path_, "original")
    return world


def texts(names: tuple[str, ...]) -> list[str]:
    """What is written where, as paths of the host."""
    keys = [key for name, key in (("db", "pg"), ("b", "pg2")) if name in names]
    return [f"{GRAPH}/file", "srv/photos/a", *(f"var/lib/docker/volumes/p_{key}/_data/rows" for key in keys)]


def stack(*datasets: Dataset) -> dict[str, Any]:
    keep = tuple(each.service for each in datasets if each.kind == "postgres")
    return wire(Stack("p", "/srv/p", ("c.yml",), "", "/sets", datasets, keep, {}))


@pytest.mark.parametrize(
    ("names", "clusters"), [(("api",), ()), (("api", "db", "b"), CLUSTERS)], ids=["none", "two clusters"]
)
def test_a_set_is_made_and_comes_back(names: tuple[str, ...], clusters: tuple[Dataset, ...], tmp_path: Path) -> None:
    world, told = serving(tmp_path, *names), stack(*clusters, FILES, AWAY)
    made = answers.of("act", "make_set")(do(world, MakeSet(told, OLD_SET, [RECIPIENT])))
    assert set(made["datasets"]) == {each.name for each in (*clusters, FILES, AWAY)}
    for path in texts(names):
        world.write(path, "changed")
    loaded = answers.of("act", "load_set")(do(world, LoadSet(told, OLD_SET, False, RUN, identity=SECRET)))
    assert set(loaded["datasets"]) == set(made["datasets"])
    assert {world.read(path) for path in texts(names)} == {"original"}
    do(world, UndoRestore(told))
    assert {world.read(path) for path in texts(names)} == {"changed"}


def test_a_fresh_host_is_filled_without_a_config_dataset(tmp_path: Path) -> None:
    """The stack's own files are there already; where they are not, nothing is made of the set."""
    world, told = serving(tmp_path, "api"), stack(FILES, AWAY)
    do(world, MakeSet(told, RUN, [RECIPIENT]))
    world.machine().run(["docker", "rm", "--force", "p-api-1"])
    world.machine().run(["docker", "volume", "rm", "p_graph"])
    world.machine().remove("/srv/photos")
    do(world, MarkTarget(told, RUN, "copying"))
    load, text = LoadSet(told, RUN, True, RUN, identity=SECRET), world.read("srv/p/c.yml")
    (world.root / "srv/p/c.yml").unlink()
    with pytest.raises(Refused, match="/srv/p/c"):
        do(world, load)
    world.write("srv/p/c.yml", text)
    do(world, load)
    assert {world.read(path) for path in texts(("api",))} == {"original"}


@pytest.mark.parametrize(
    ("names", "clusters", "version"), [(("api",), (), "none"), (("api", "db", "b"), CLUSTERS, "[], []")]
)
def test_each_cluster_is_asked(
    names: tuple[str, ...], clusters: tuple[Dataset, ...], version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_model.Server, "query", lambda *_: "[]")
    world, told = serving(tmp_path, *names), stack(*clusters, FILES)
    assert answers.of("act", "smoke")(do(world, Smoke(told, {}, {})))["postgres"] == version


def test_a_survey_names_each_cluster_and_who_does_not_answer(tmp_path: Path) -> None:
    world, told = serving(tmp_path, "api", "db", "b"), stack(*CLUSTERS, FILES)
    world.machine().run(["docker", "stop", "--time", "1", "p-b-1"])
    found = Survey(told).ready(world.machine())
    assert (found["absent"], found["troubles"]) == ([], [])
    assert found["postgres"]["two"] is None and found["postgres"]["one"]["bytes"] == 5
    assert Survey(stack(FILES)).ready(world.machine())["postgres"] == {}


def test_what_new_would_not_have_is_told(tmp_path: Path) -> None:
    """Profiles of a command line, networks of others, volumes within the project, and only subnets that are fixed."""
    world = serving(tmp_path, "api", "db")
    api = {**SERVICES["api"], "environment": {"SECRET": "", "EMPTY": "", "KNOWN": "x"}}
    described = {"services": {"api": api}, "volumes": {"graph": {}}}
    nets = {"proxy": {"name": "edge", "external": True}, "own": {"ipam": {"config": [{"subnet": "10.9.0.0/24"}]}}}
    world.write("srv/p/c.yml", json.dumps({**described, "networks": nets}))
    docker = world.state("docker")
    for row in docker["containers"].values():
        row["Config"]["Env"] += ["SECRET=of a shell", "EMPTY=", "KNOWN=y"]
    docker["volumes"]["p_graph"]["Options"] = {"type": "none", "o": "bind", "device": "/srv/p/graph"}
    world.model("docker", docker)
    found = answers.of("ready", "survey")(Survey(stack(FILES)).ready(world.machine()))
    assert (found["unnamed"], found["outer_networks"], found["own_subnets"]) == (["db"], ["edge"], ["10.9.0.0/24"])
    assert found["emptied"] == ["api: SECRET"] and "of a shell" not in json.dumps(found)
    assert "p_graph is /srv/p/graph, within the project's directory" in str(found["troubles"])
    assert "edge" not in found["networks"] and found["networks"]


def test_a_survey_of_an_engine_that_does_not_answer_says_so(tmp_path: Path) -> None:
    """It ended as a failure, where a migration that is aborted or goes on wants to know the rest."""
    world = serving(tmp_path, "api")
    tool = world.root / "usr/bin/docker"
    tool.unlink()
    tool.write_text("#!/bin/sh\necho Cannot connect to the Docker daemon >&2\nexit 1\n")
    tool.chmod(0o755)
    found = answers.of("ready", "survey")(Survey(stack(FILES)).ready(world.machine()))
    assert found["troubles"] and found["disks"][0]["holds"][0] == "store" and found["containers"] == {}


def test_files_that_compose_cannot_read_are_a_trouble(tmp_path: Path) -> None:
    """Nothing was told of profiles and networks, as if there were none."""
    world = serving(tmp_path, "api")
    (world.root / "srv/p/c.yml").unlink()
    assert "Compose cannot read" in str(Survey(stack(FILES)).ready(world.machine())["troubles"])


MOUNTS = (
    "1 0 8:1 / / rw - ext4 /dev/sda rw\n2 1 8:2 / /srv/photos rw - ext4 /dev/sdb rw\n"
    "3 1 8:1 /sets /sets rw - ext4 /dev/sda rw\n4 1 8:3 / /var/lib/docker rw - btrfs /dev/sdc rw\n"
)


def test_room_is_told_of_each_disk_that_is_written_to(tmp_path: Path) -> None:
    """It was measured in /var/lib/docker, wherever Docker and the volumes were."""
    world = serving(tmp_path, "api")
    world.write("proc/self/mountinfo", MOUNTS)
    told = [*answers.of("ready", "survey")(Survey(stack(FILES, AWAY)).ready(world.machine()))["disks"]]
    assert [each["holds"] for each in told] == [["store"], ["=graph"], ["=srv-photos"]]
    assert all(each["free"] > 0 for each in told) and told[2]["path"] == "/srv/photos"
    to_be = Dataset("more", "files", volume="more")
    aside = Survey(stack(to_be), {"p_more": ""}).ready(world.machine())["disks"]
    bound = Survey(stack(to_be), {"p_more": "/srv/photos/more"}).ready(world.machine())["disks"]
    usual = Survey(stack(to_be)).ready(world.machine())["disks"]
    assert [each["holds"] for each in aside] == [["store"]], "on a disk that is not mounted yet"
    assert [each["path"] for each in bound[1:]] == ["/srv/photos/more"]
    assert [each["path"] for each in usual[1:]] == ["/var/lib/docker/volumes"]


TCP = """  sl  local_address rem_address   st
   0: 0100007F:1538 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0
   1: 00000000:0016 0200000A:C001 01 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0
"""


def test_ports_that_others_have_are_told_and_those_of_the_stack(tmp_path: Path) -> None:
    """Only those that the inventory named were looked at; nobody names them of a stranger's project."""
    world = serving(tmp_path, "api")
    world.write("proc/net/tcp", TCP)
    world.write("proc/net/udp6", TCP.splitlines()[0] + "\n 9: 0:0035 0:0 07 0\n")
    found = answers.of("ready", "survey")(Survey(stack(FILES)).ready(world.machine()))
    assert (found["listening"], found["published"]) == (["53/udp", "5432/tcp"], [])
    text = "0.0.0.0:80->80/tcp, [::]:8000-8001->9000-9001/udp, 5432/tcp"
    assert survey._ports({"Ports": text}) == ["80/tcp", "8000/udp", "8001/udp"]


def test_a_survey_names_what_lies_where_data_beside_the_stack_are_to_go(tmp_path: Path) -> None:
    """Nothing looked into an absolute path of another host: what lay there was mixed with what came."""
    world = serving(tmp_path, "api")
    form = answers.of("ready", "survey")
    assert form(Survey(stack(FILES, AWAY)).ready(world.machine()))["occupied"] == {"/srv/photos": "a"}
    assert form(Survey(stack(FILES)).ready(world.machine()))["occupied"] == {}
    with pytest.raises(Refused, match="/srv/photos, where srv-photos is to go, holds a"):
        _make_volumes(world.machine(), Stack.from_json(stack(AWAY)), Manifest(RUN, "p", 1.0, "quiesced", (), (), {}))


@pytest.mark.parametrize(("password", "refused"), [("of another", False), ("wrong", True)])
def test_where_nobody_declares_a_cluster_the_official_images_are_asked(
    password: str, refused: bool, tmp_path: Path
) -> None:
    """A stack without declared datasets had no cluster, and an env file with another password went through."""
    world = serving(tmp_path, "api", "db", "b")
    state = world.state("docker")
    for row in state["containers"].values():
        if row["Name"] == "/p-b-1":
            row["Config"]["Env"] += ["PG_MAJOR=16"]
            row["State"]["Status"] = "exited"  # it cannot be asked: only the password that it was made with will do
    world.model("docker", state)
    action = CompareCluster(stack(), "app", "app", password)
    if refused:
        with pytest.raises(Refused):
            action.ready(world.machine())
    else:
        assert action.ready(world.machine()) == {"cluster": "as declared"}


def test_a_proof_compares_every_cluster(tmp_path: Path) -> None:
    world, told = serving(tmp_path, "api", "db", "b"), stack(*CLUSTERS, FILES)
    right, wrong = ({"rows": {"app": {"rows of t": text}}} for text in ("original", "other"))
    report = answers.of("act", "prove_stack")(do(world, ProveStack(told, {"one": right, "two": right}, {}, {})))
    assert report == {"vector_indexes": 0, "documents": 0}
    for clusters in ({"one": right, "two": wrong}, {"one": wrong, "two": right}):
        with pytest.raises(VerificationFailed):
            do(world, ProveStack(told, clusters, {}, {}))
    assert do(world, ProveStack(stack(FILES), {}, {}, {})) == {"vector_indexes": 0, "documents": 0}


@pytest.mark.parametrize(
    ("password", "clusters", "said"),
    [
        ("of another", CLUSTERS, "as declared"),  # of one of them
        ("x", (), "none yet"),
        ("", CLUSTERS, "not declared"),
        ("wrong", CLUSTERS[1:], ""),
    ],
)
def test_an_env_file_need_fit_but_one_cluster(
    password: str, clusters: tuple[Dataset, ...], said: str, tmp_path: Path
) -> None:
    world = serving(tmp_path, "api", "db", "b")
    state = world.state("docker")
    for row in state["containers"].values():
        if row["Name"] == "/p-db-1":
            row["Config"]["Env"] = ["POSTGRES_PASSWORD=of one", "POSTGRES_USER=other"]
        if row["Name"] == "/p-b-1" and password == "wrong":
            row["State"]["Status"] = "exited"
    world.model("docker", state)
    action = CompareCluster(stack(*clusters), "app", "app", password)
    if said:
        assert action.ready(world.machine()) == {"cluster": said}
    else:
        with pytest.raises(Refused):
            action.ready(world.machine())
