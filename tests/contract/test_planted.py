"""Root writes, or reads, in a directory of a hostile user: nothing of root's is read, changed or given away."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import pytest
from planted import CASES, PROGRAMS, SHAPES, UID, Case, Plant, Scene, dangling_link, link, link_in_parent, swapping
from running import run, task
from world import World

from mnemo_ops.agent.machine import Machine
from mnemo_ops.errors import StepFailed

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
OURS = [case for case in CASES if case.kind not in PROGRAMS]
ACCOUNT = f"bob:x:{UID}:{UID}::/home/bob:/bin/bash\n"


class Stuck(Exception):
    pass


@pytest.fixture(autouse=True)
def in_time() -> Iterator[None]:
    """A FIFO lets whoever opens it wait for ever."""

    def stuck(number: int, frame: FrameType | None) -> None:
        raise Stuck

    old = signal.signal(signal.SIGALRM, stuck)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, old)


@pytest.fixture
def world(tmp_path: Path) -> World:
    (tmp_path / "host").mkdir()
    made = World(tmp_path / "host")
    made.write("etc/passwd", "root:x:0:0::/root:/bin/bash\n" + ACCOUNT)
    made.write("etc/group", f"root:x:0:\nbob:x:{UID}:\n")
    return made


def scene_of(world: World, case: Case) -> Scene:
    scene = Scene(world.root)
    scene.make(case)
    return scene


def arguments(case: Case) -> dict[str, object]:
    return {key: value.format("/home/bob") if isinstance(value, str) else value for key, value in case.args.items()}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@pytest.mark.parametrize("plant", SHAPES, ids=lambda plant: plant.__name__)
def test_what_a_user_planted_leads_nowhere(world: World, case: Case, plant: Plant) -> None:
    scene = scene_of(world, case)
    plant(scene.home, scene.outside, case.path)
    scene.given()
    for check in (True, False, False):
        event = run(task(case.kind, register=True, **arguments(case)), world.machine(), check)
        assert "planted-secret" not in str(event)
        assert not scene.wrong(), event


@pytest.mark.parametrize("case", OURS, ids=lambda case: case.name)
def test_what_a_user_exchanges_meanwhile_leads_nowhere(world: World, case: Case) -> None:
    scene = scene_of(world, case)
    scene.given()
    place = scene.home / case.path
    with swapping(place, scene.outside, UID):
        for _ in range(case.tries // 4):
            event = run(task(case.kind, register=True, **arguments(case)), world.machine())
            assert "planted-secret" not in str(event)
    assert not scene.wrong()


@pytest.mark.parametrize("case", OURS, ids=lambda case: case.name)
def test_without_anything_planted_it_works(world: World, case: Case) -> None:
    scene = scene_of(world, case)
    scene.given()
    if case.name == "file-directory":
        (scene.home / case.path).unlink()
    if case.name == "user-key":
        (scene.home / case.path).unlink()
    event = run(task(case.kind, **arguments(case)), world.machine())
    assert event.status in ("ok", "changed"), event


def test_links_that_are_his_own_lead_on(world: World) -> None:
    """Releases of an application, as a deployment lays them out."""
    scene = scene_of(world, CASES[0])
    (scene.home / "releases" / "5" / "config").mkdir(parents=True)
    (scene.home / "current").symlink_to("releases/5")
    (scene.home / "shared").mkdir()
    (scene.home / "releases" / "5" / "config" / "env").symlink_to("../../../shared/env")
    scene.given()
    for path in ("/home/bob/current/config/made", "/home/bob/current/config/env"):
        event = run(task("lineinfile", path=path, line="a", create=True, owner=str(UID)), world.machine())
        assert event.status == "changed", event
    assert (scene.home / "shared" / "env").read_text() == "a\n"
    assert (scene.home / "releases" / "5" / "config" / "env").is_symlink()


def test_the_message_says_whose_link_it_is_and_what_to_do(world: World) -> None:
    scene = scene_of(world, CASES[0])
    link_in_parent(scene.home, scene.outside, "app/config")
    scene.given()
    event = run(task("copy", dest="/home/bob/app/config", content="x"), world.machine())
    assert event.status == "failed"
    assert "/home/bob/app" in str(event.error) and str(UID) in str(event.error)


@pytest.mark.parametrize("plant", [link, link_in_parent, dangling_link], ids=lambda plant: plant.__name__)
def test_a_program_gets_no_path_that_is_planted(tmp_path: Path, plant: Plant) -> None:
    """What git, mount, pip and docker login are given; on the machine itself, where links are as they are."""
    scene = Scene(tmp_path)
    scene.make(CASES[0])
    scene.given()
    machine, path = Machine("/", state_dir=str(tmp_path / "state")), str(scene.home / CASES[0].path)
    assert machine.for_program(path) == path
    plant(scene.home, scene.outside, CASES[0].path)
    scene.given()
    machine.forget()
    with pytest.raises(StepFailed, match="link"):
        machine.for_program(path)


@pytest.mark.parametrize("change", ["chmod", "utime"])
def test_roots_own_link_is_not_followed_on_through_one_of_his(tmp_path: Path, change: str) -> None:
    scene = Scene(tmp_path)
    scene.make(CASES[0])
    (tmp_path / "to-bob").symlink_to(scene.home / CASES[0].path)
    link(scene.home, scene.outside, CASES[0].path)
    scene.given()
    machine, shadow = Machine("/", state_dir=str(tmp_path / "state")), scene.outside / "shadow"
    before = shadow.stat()
    with pytest.raises(StepFailed):
        machine.chmod(str(tmp_path / "to-bob"), 0o666) if change == "chmod" else machine.utime(str(tmp_path / "to-bob"))
    assert (shadow.stat().st_mode, shadow.stat().st_mtime_ns) == (before.st_mode, before.st_mtime_ns)
