"""A volume gets another name and another definition: killed between any two writes, and taken up again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from example import engine, volume
from examples_storage import ROOT
from running import run, task
from world import World

from mnemo_ops.agent.engine.resource import build
from mnemo_ops.agent.files import mounts
from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.stack.stack import Stack, mountpoint
from mnemo_ops.agent.stack.volume_move import moving
from mnemo_ops.agent.stack.volume_move.move_plan import made
from mnemo_ops.errors import Refused

OLD, NEXT, KEPT = "p_graph", "p-next-graph", "p-kept-graph-1"
LABELS = {"mnemo.role": "graph"}
BOUND = {"type": "none", "o": "bind", "device": "/data/graph"}
Made = dict[str, Any]


class Killed(BaseException):
    pass


class Mortal(Machine):
    """A machine that dies before its write number ``left``."""

    left = 1000

    def writing(self) -> None:
        super().writing()
        self.left -= 1
        if self.left < 0:
            raise Killed


def machine(world: World, left: int = 1000) -> Mortal:
    made = Mortal(str(world.root), search_path=str(world.root / "usr/bin"), state_dir="/var/lib/mnemo_ops")
    made.left = left
    return made


def prepared(root: Path, old: Made, new: Made) -> tuple[World, moving.Plan]:
    """A host with both volumes, what is in them says which is which; and the plan to put the new one in place."""
    root.mkdir()
    world = World(root)
    engine(volumes={**volume(OLD, Options=old or None, Labels=LABELS), **volume(NEXT, Options=new or None)})(world)
    for name, options, text in ((OLD, old, "original"), (NEXT, new, "copy")):
        if not options:
            world.write(f"var/lib/docker/volumes/{name}/_data/file", text)
    here = machine(world)
    rows = {name: moving.find(here, name) or {} for name in (OLD, NEXT)}
    target = {"name": OLD, "driver": "local", "options": new, "labels": LABELS, "external": False}
    inodes = {"source_inode": moving.identity(here, rows[OLD]), "target_inode": moving.identity(here, rows[NEXT])}
    names = {"project": "p", "key": "graph", "staged": NEXT, "kept": KEPT, "seeded": False}
    return world, {**names, **inodes, "source": moving.definition(rows[OLD]), "target": target}


def content(world: World) -> dict[str, str]:
    """Name -> what is in it, of every volume: the text of its file, or the directory it is bound to."""
    found = {}
    for name, row in world.state("docker")["volumes"].items():
        path = world.root / row["Mountpoint"].lstrip("/") / "file"
        found[name] = (row["Options"] or {}).get("device") or (path.read_text() if path.exists() else "nothing")
    return found


CASES = pytest.mark.parametrize(
    ("old", "new", "was", "becomes"),
    [
        ({}, BOUND, "original", "/data/graph"),
        (BOUND, {}, "/data/graph", "copy"),
        ({**BOUND, "device": "/old"}, BOUND, "/old", "/data/graph"),
    ],
    ids=["local to bind", "bind to local", "bind to bind"],
)


@CASES
def test_killed_anywhere_it_goes_on_or_back(tmp_path: Path, old: Made, new: Made, was: str, becomes: str) -> None:
    for left in range(1000):
        world, plan = prepared(tmp_path / f"forth-{left}", old, new)
        try:
            moving.switch(machine(world, left), plan)
            break
        except Killed:
            moving.switch(machine(world), plan)
        assert content(world) == {OLD: becomes, KEPT: was}
        world, plan = prepared(tmp_path / f"back-{left}", old, new)
        with pytest.raises(Killed):
            moving.switch(machine(world, left), plan)
        moving.unswitch(machine(world), plan)
        assert content(world) == {OLD: was, NEXT: becomes}
        assert world.state("docker")["volumes"][OLD]["Labels"] == LABELS
    assert left > 3


@CASES
def test_going_back_may_be_killed_too(tmp_path: Path, old: Made, new: Made, was: str, becomes: str) -> None:
    for left in range(1000):
        world, plan = prepared(tmp_path / str(left), old, new)
        moving.switch(machine(world), plan)
        try:
            moving.unswitch(machine(world, left), plan)
            break
        except Killed:
            moving.unswitch(machine(world), plan)
        assert content(world) == {OLD: was, NEXT: becomes}
    assert left > 3


def test_what_is_not_ours_keeps_its_name(tmp_path: Path) -> None:
    """The old one is kept all the same, although the two are made alike."""
    world, plan = prepared(tmp_path / "host", {}, {})
    plan["target"].update(name=NEXT, external=True)
    moving.switch(machine(world), plan)
    assert content(world) == {KEPT: "original", NEXT: "copy"}
    moving.unswitch(machine(world), plan)
    assert content(world) == {OLD: "original", NEXT: "copy"}


def test_a_path_is_renamed_and_comes_back(tmp_path: Path) -> None:
    world, plan = prepared(tmp_path / "host", {}, BOUND)
    world.write("srv/p/uploads/file", "original")
    bound = {"type": "none", "o": "bind", "device": "/srv/p/uploads"}
    plan.update(source={"name": "/srv/p/uploads", "driver": "local", "options": bound, "labels": {}})
    plan.update(kept="/srv/p/.mnemo-kept-uploads", target={**plan["target"], "name": "p_uploads"})
    moving.switch(machine(world), plan)
    assert world.read("srv/p/.mnemo-kept-uploads/file") == "original"
    assert content(world)["p_uploads"] == "/data/graph" and not (world.root / "srv/p/uploads").exists()
    moving.unswitch(machine(world), plan)
    assert world.read("srv/p/uploads/file") == "original" and content(world)[NEXT] == "/data/graph"


def test_a_file_is_swapped_and_swapped_back(tmp_path: Path) -> None:
    (tmp_path / "host").mkdir()
    world = World(tmp_path / "host")
    for left in range(1000):
        world.write("srv/a", "old")
        world.write("srv/a.next", "new")
        try:
            moving.swap_file(machine(world, left), "/srv/a", forth=True)
            break
        except Killed:
            assert world.read("srv/a") in ("old", "new")
            moving.swap_file(machine(world), "/srv/a", forth=False)
        assert world.read("srv/a") == "old" and sorted(path.name for path in (world.root / "srv").iterdir()) == ["a"]
    assert left > 1 and world.read("srv/a") == "new" and world.read("srv/a.before") == "old"


# -- a disk that is gone -----------------------------------------------------------------------------------------------

DISK = "30 22 8:16 / /data rw - ext4 /dev/sdb rw\n"
STACK = Stack("p", "/srv/p", (), ".env", "/var/backups/p", (), (), {})
GUARDED = {"volume_name": OLD, "driver_options": BOUND, "labels": LABELS, "guard": True}


def bound(tmp_path: Path, at: str = DISK) -> World:
    """A host with the volume on a disk of its own, made by us while the disk was mounted."""
    (tmp_path / "host").mkdir()
    world = World(tmp_path / "host")
    engine(volumes=volume(KEPT))(world)
    world.write(f"var/lib/docker/volumes/{KEPT}/_data/file", "kept")
    world.write("data/graph/file", "newer")
    world.write("proc/self/mountinfo", ROOT + at)
    assert run(task("docker_volume", **GUARDED), world.machine()).status == "changed"
    return world


def unmounted(world: World) -> None:
    world.write("proc/self/mountinfo", ROOT)
    (world.root / "data/graph/file").unlink()


def planned(world: World, staged: str, seeded: bool, **target: Any) -> Any:
    """The plan of a move; looking for it changed nothing."""
    target = {
        "name": OLD,
        "driver": "local",
        "options": {},
        "labels": LABELS,
        "external": False,
        "directory": "",
        **target,
    }
    before = world.tree()
    try:
        asked = {"id": "2", "key": "graph", "target": target, "staged": staged, "seeded": seeded}
        return made(world.machine(read_only=True), STACK, asked)
    finally:
        assert world.tree() == before


def undone(world: World) -> Any:
    """The plan of the move back to the kept volume."""
    return planned(world, KEPT, True)


def test_a_place_that_holds_something_is_refused_by_the_first_look(tmp_path: Path) -> None:
    world = bound(tmp_path)
    world.write("other/file", "somebody's")
    there = {"options": {**BOUND, "device": "/other"}, "directory": "/other"}
    with pytest.raises(Refused, match=r"/other.* graph, .*file"):
        planned(world, NEXT, False, **there)
    with pytest.raises(Refused, match=r"_data.* graph, .*file"):
        planned(world, KEPT, False, name=KEPT, external=True)
    (world.root / "other/file").rename(world.root / "other/.mnemo-volume")
    assert planned(world, NEXT, False, **there)["entries"] == 1


def test_what_a_directory_of_the_host_was_on_is_written_down_and_wanted_from_then_on(tmp_path: Path) -> None:
    world = bound(tmp_path)
    row = world.state("docker")["volumes"][OLD]
    assert row["Labels"] == {**LABELS, mounts.LABEL: "/data"}
    assert run(task("docker_volume", **GUARDED), world.machine()).status == "ok"
    unmounted(world)
    before = world.tree()
    for look in (build("docker_volume", GUARDED).observe, lambda machine: mountpoint(machine, OLD)):
        with pytest.raises(Refused, match=r"/data.*p_graph") as caught:
            look(world.machine(read_only=True))
        assert "mount /data again" in caught.value.hint
    assert world.tree() == before


def test_what_lies_on_the_disk_of_the_host_itself_is_wanted_nowhere(tmp_path: Path) -> None:
    assert bound(tmp_path, at="").state("docker")["volumes"][OLD]["Labels"] == LABELS


def test_a_kept_volume_is_not_emptied_after_a_disk_that_is_gone(tmp_path: Path) -> None:
    world = bound(tmp_path)
    assert undone(world)["entries"] == 1
    unmounted(world)
    world.write("data/graph/written", "below the bare mount point")
    before = world.tree()
    with pytest.raises(Refused, match="/data"):
        undone(world)
    assert world.tree() == before


def test_nothing_is_never_copied_over_what_is_kept(tmp_path: Path) -> None:
    """Also where nobody wrote down what the directory was on."""
    world = bound(tmp_path, at="")
    unmounted(world)
    with pytest.raises(Refused, match=r"/data/graph .*file") as caught:
        undone(world)
    assert "mounted?" in caught.value.hint
    (world.root / f"var/lib/docker/volumes/{KEPT}/_data/file").unlink()
    assert undone(world)["entries"] == 0, "two that are empty are alike"


def test_a_kept_volume_on_a_disk_that_is_gone_is_not_written_to(tmp_path: Path) -> None:
    world = bound(tmp_path)
    there = machine(world)
    moving.rename(there, OLD, "p-kept-graph-0", 0, {"mnemo.stack": "p"})
    labels = world.state("docker")["volumes"]["p-kept-graph-0"]["Labels"]
    assert labels == {"mnemo.stack": "p", mounts.LABEL: "/data"}, "it goes with the volume, whatever that is called"
    world.model("docker", {**world.state("docker"), "volumes": {**world.state("docker")["volumes"], **volume(OLD)}})
    world.write(f"var/lib/docker/volumes/{OLD}/_data/file", "x")
    unmounted(world)
    target = {
        "name": OLD,
        "driver": "local",
        "options": BOUND,
        "labels": {},
        "external": False,
        "directory": "/data/graph",
    }
    asked = {"id": "2", "key": "graph", "target": target, "staged": "p-kept-graph-0", "seeded": True}
    with pytest.raises(Refused, match=r"/data.*p-kept-graph-0"):
        made(world.machine(read_only=True), STACK, asked)
