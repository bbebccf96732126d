"""What nfs_export, docker_login and docker_prune promise beyond the contract."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from example import engine
from examples_docker import LOGIN, WEB, ended, with_container
from examples_exports import UPLOADS, directory, exported
from running import run, task
from world import World

from mnemo_ops.agent.engine.resource import build


@pytest.fixture
def world(tmp_path: Path) -> World:
    (tmp_path / "host").mkdir()
    return World(tmp_path / "host")


@pytest.mark.parametrize(
    ("args", "why"),
    [
        ({"clients": ["*"]}, "allow_world"),
        ({"clients": ["*(rw)"]}, "allow_world"),
        ({"clients": ["db.example.org"]}, "does not appear to be an IPv4 or IPv6"),
        ({"clients": []}, "clients"),
        ({"clients": ["10.0.0.1"], "path": "srv"}, "absolute"),
    ],
)
def test_exports_that_are_refused_before_anything_is_opened(args: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        build("nfs_export", {"path": "/srv/nfs", **args})


def test_an_export_the_kernel_does_not_take_is_rolled_back(world: World) -> None:
    exported(world)
    before, file = world.state("exports"), world.read("etc/exports.d/mnemo-srv-nfs-uploads.exports")
    event = run(task("nfs_export", **{**UPLOADS, "options": "rw,nonsense"}), world.machine())
    assert event.status == "failed" and "nonsense" in event.why
    assert world.state("exports") == before
    assert world.read("etc/exports.d/mnemo-srv-nfs-uploads.exports") == file


def test_a_new_export_that_fails_leaves_no_file(world: World) -> None:
    directory(world)
    event = run(task("nfs_export", **{**UPLOADS, "options": "nonsense"}), world.machine())
    assert event.status == "failed"
    assert list((world.root / "etc/exports.d").iterdir()) == []


def test_exports_of_others_stay(world: World) -> None:
    directory(world)
    world.write("etc/exports.d/other.exports", "/srv/nfs 10.9.0.0/16(ro)\n")
    assert run(task("nfs_export", **UPLOADS), world.machine()).status == "changed"
    assert run(task("nfs_export", **{**UPLOADS, "state": "absent"}), world.machine()).status == "changed"
    assert [row[0] for row in world.state("exports")] == ["/srv/nfs"]


def test_a_wrong_password_is_a_failure_and_the_right_one_is_not_shown(world: World) -> None:
    engine()(world)
    event = run(task("docker_login", **{**LOGIN, "password": "wrong-secret"}), world.machine())
    assert event.status == "failed" and "unauthorized" in event.why and "wrong-secret" not in str(event)
    event = run(task("docker_login", register=True, **LOGIN), world.machine())
    assert event.status == "changed" and "right" not in str(event)


def test_volumes_are_not_pruned_by_accident() -> None:
    with pytest.raises(ValueError, match="volumes hold data"):
        build("docker_prune", {"volumes": True})


def test_what_is_used_stays(world: World) -> None:
    ended(world)
    record = run(task("docker_prune", register=True, containers=True, networks=True), world.machine()).after
    assert record is not None and len(record["containers"]) == 1 and len(record["networks"]) == 1
    assert [row["Name"] for row in world.state("docker")["containers"].values()] == ["/web"]


def test_a_container_docker_refuses_leaves_the_old_one_running(world: World) -> None:
    with_container(WEB)(world)
    event = run(task("docker_container", **{**WEB, "networks": [{"name": "none"}], "command": "x"}), world.machine())
    assert event.status == "failed" and "network none not found" in event.why
    (row,) = world.state("docker")["containers"].values()
    assert row["State"]["Status"] == "running" and row["Config"]["Cmd"] == WEB["command"]


def test_the_environment_of_a_container_is_not_shown(world: World) -> None:
    with_container(None)(world)
    wanted = {**WEB, "env": {"PASSWORD": "a-planted-value"}}
    event = run(task("docker_container", register=True, **wanted), world.machine())
    assert event.status == "changed" and "a-planted-value" not in str(event)
    assert "PASSWORD=a-planted-value" in next(iter(world.state("docker")["containers"].values()))["Config"]["Env"]
