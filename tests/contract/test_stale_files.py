"""A container that has a file as it was before a deploy starts again, and nobody else does."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from acted import outdated
from acting import STACK, do, serving
from world import World

from mnemo_ops.agent.actions.stale_files import RestartStale

FILES = {"conf": "", "web/a": "", "other": ""}


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def stale(world: World, **files: str) -> object:
    return RestartStale(STACK, {**FILES, **files}).ready(world.machine())["stale"]


def test_what_was_started_before_its_files_changed_starts_again(world: World) -> None:
    outdated(world)
    named = {"api": ["web/a"], "db": ["conf"]}
    assert stale(world) == named
    assert do(world, RestartStale(STACK, FILES)) == {"restarted": named}
    assert stale(world) == {} and do(world, RestartStale(STACK, FILES)) == {"restarted": {}}


def test_a_check_knows_by_the_content_what_would_start_again(world: World) -> None:
    outdated(world)
    do(world, RestartStale(STACK, FILES))
    is_there = "11507a0e2f5e69d5dfa40a62a1bd7b6ee57e6bcd85c67c9b8431b36fff21c437"  # of "new"
    assert stale(world, conf=is_there) == {} and stale(world, conf="0" * 64) == {"db": ["conf"]}


def test_what_containers_may_write_and_what_is_older_than_they_restarts_nobody(world: World) -> None:
    outdated(world)
    docker = world.state("docker")
    for row in docker["containers"].values():
        row["State"].pop("Pid", None)
        for mount in row["Mounts"]:
            mount["RW"] = True
    world.model("docker", docker)
    assert stale(world) == {}
    for row in docker["containers"].values():
        row["State"]["StartedAt"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 60))
        for mount in row["Mounts"]:
            mount["RW"] = False
    world.model("docker", docker)
    assert stale(world) == {}


def test_a_host_without_docker_has_nothing_to_restart(world: World) -> None:
    assert stale(world) == {}
    serving(world)
    assert stale(world) == {}
