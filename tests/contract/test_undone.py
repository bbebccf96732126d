"""A check says what it cannot know: what is looked at after it was left undone."""

from __future__ import annotations

from pathlib import Path

import pytest
from example import engine
from running import run_all, task
from world import World

from mnemo_ops.agent.base.record import replace
from mnemo_ops.agent.engine.converge import Task

MAKES = task("copy", dest="/srv/new", content="x\n")


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(tmp_path)
    made.write("srv/old", "old\n")
    return made


@pytest.mark.parametrize(
    ("first", "then", "status"),
    [
        (MAKES, task("stat", path="/srv/new"), "unknown"),
        (MAKES, task("find", paths=["/srv"]), "unknown"),
        (MAKES, task("stat", path="/srv/other"), "ok"),
        (MAKES, task("copy", dest="/srv/new", content="y\n", force=False), "unknown"),
        (MAKES, task("lineinfile", path="/srv/new", line="z", create=True), "changed"),
        (MAKES, task("file", path="/srv/new", state="absent"), "unknown"),
        (task("file", path="/srv", state="directory", mode="0700"), task("stat", path="/srv/old"), "ok"),
        (task("file", path="/srv", state="directory", mode="0700"), task("stat", path="/srv"), "unknown"),
        (task("group", name="new"), task("group", name="new", gid=4000), "unknown"),
        (task("group", name="new"), task("group", name="other"), "changed"),
        (task("command", cmd="make"), task("file", path="/etc/new/part", state="directory"), "unknown"),
        (task("command", cmd="make"), task("file", path="/etc/new/part", state="absent"), "unknown"),
        (task("command", cmd="make"), task("file", path="/srv/part", state="directory"), "changed"),
        (task("command", cmd="make", creates="/srv/made"), task("stat", path="/srv/made/part"), "unknown"),
        (MAKES, task("shell", cmd="cat x > new", creates="/srv/new"), "unknown"),
        (MAKES, task("command", cmd="rm new", removes="/srv/new"), "unknown"),
        (task("file", path="/srv/old", state="absent"), task("command", cmd="x", removes="/srv/old/part"), "unknown"),
        (MAKES, task("command", cmd="make", creates="/srv/other"), "changed"),
    ],
)
def test_what_comes_after(world: World, first: Task, then: Task, status: str) -> None:
    one, other = run_all([first, then], world.machine(read_only=True), check=True)
    assert one.status == "changed"
    assert other.status == status
    assert (other.why == f"after {first.id}") == (status == "unknown")


@pytest.mark.parametrize(
    ("makes", "misses"),
    [
        (MAKES, task("lineinfile", path="/srv/new", line="x")),
        (MAKES, task("file", path="/srv/link", src="/srv/new", state="link")),
        (MAKES, task("file", path="/srv/link", src="new", state="link")),
        (task("file", path="/etc/new", state="directory"), task("lineinfile", path="/etc/new/file", line="x")),
        (task("copy", dest="/etc/systemd/system/own.service", content="x"), task("systemd", name="own", enabled=True)),
        (task("group", name="crew"), task("file", path="/srv/old", group="crew")),
        (task("command", cmd="make"), task("systemd", name="other", state="started")),
        (MAKES, task("docker_compose_v2", project_src="/srv", files=["new"])),
    ],
)
def test_what_is_missing_is_waited_for_where_it_is_made(world: World, makes: Task, misses: Task) -> None:
    other = task("copy", dest="/etc/other", content="x\n")
    engine()(world)
    rows = [replace(one, id=name) for one, name in ((other, "first"), (makes, "makes"), (misses, "misses"))]
    *_, event = run_all(rows, world.machine(read_only=True), check=True)
    assert event.status == "unknown" and event.why.startswith("after makes: ")


def test_what_is_as_it_should_be_leaves_no_doubt(world: World) -> None:
    world.write("srv/new", "x\n")
    events = run_all([MAKES, task("stat", path="/srv/new")], world.machine(read_only=True), check=True)
    assert [event.status for event in events] == ["ok", "ok"]
