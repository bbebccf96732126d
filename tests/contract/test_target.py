"""A host that a stack moves to: full directories are named before anything, and what a run left there goes."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from example import engine, volume
from examples_storage import ROOT
from test_alone import container
from world import World

from mnemo_ops.agent.actions.copy_target import CleanTarget, MarkTarget
from mnemo_ops.agent.actions.load import LoadSet
from mnemo_ops.agent.actions.services import ComposeUp
from mnemo_ops.agent.actions.transfer import key_path
from mnemo_ops.agent.actions.volumes import LookAtVolumes
from mnemo_ops.agent.base.progress import Deed
from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.process import handout, lease
from mnemo_ops.agent.stack import copy_marker, exclusivity
from mnemo_ops.agent.stack.containers import PROJECT, volumes
from mnemo_ops.agent.stack.orchestrator import Orchestrator
from mnemo_ops.agent.stack.stack import Dataset, Stack
from mnemo_ops.agent.stack.volume_checks.volumes import occupied
from mnemo_ops.errors import CommandFailed, NotStarted, Refused
from mnemo_ops.stack.definition import wire

STACK = Stack("p", "/srv/p", (), ".env", "/sets", (Dataset("graph", "files", volume="graph"),), (), {})
BIND = {"type": "none", "o": "bind", "device": "/data/graph"}
ROW = {"key": "graph", "name": "p_graph", "type": "bind", "directory": "/data/graph", "driver_options": BIND}
GRAPH = volume("p_graph", Options=BIND)
LOOK = LookAtVolumes("p", [{**ROW, "labels": {}}], (), filled=("graph",))


def ran(deed: Deed) -> Any:
    while True:
        try:
            next(deed)
        except StopIteration as end:
            return end.value


def host(tmp_path: Path, there: dict[str, Any] | None = None) -> World:
    world = World(tmp_path)
    (tmp_path / "usr/bin/test").symlink_to("/usr/bin/test")
    (tmp_path / "data/graph").mkdir(parents=True)
    engine(volumes=GRAPH if there is None else there)(world)
    return world


def marked(world: World) -> Machine:
    """A machine on which leases can be taken."""
    world.script("systemctl", "")
    (world.root / "etc/systemd/system").mkdir(parents=True, exist_ok=True)
    machine = world.machine()
    machine.program = lambda: b"a program"
    return machine


@pytest.mark.parametrize("there", [GRAPH, {}], ids=["volume", "directory"])
def test_a_directory_that_is_not_empty_is_found_before_anything(tmp_path: Path, there: dict[str, Any]) -> None:
    world = host(tmp_path, there)
    world.write("data/graph/of somebody", "")
    (found,) = LOOK.ready(world.machine(read_only=True))["findings"]
    assert found["evidence"] == "/data/graph, where graph is to go, holds of somebody"
    (tmp_path / "data/graph/of somebody").unlink()
    assert LOOK.ready(world.machine(read_only=True))["findings"] == []


def test_a_file_system_of_another_host_is_looked_into_once_its_volume_is_made(tmp_path: Path) -> None:
    row = {**ROW, "addresses": ["192.0.2.9"], "directory": "/data/graph"}
    for there, found in (({}, []), (GRAPH, ["/data/graph, where graph is to go, holds of somebody"])):
        (tmp_path / str(len(there))).mkdir()
        world = host(tmp_path / str(len(there)), there)
        world.write("data/graph/of somebody", "")
        assert [one.evidence for one in occupied(world.machine(read_only=True), [row])] == found


# what a run that is killed while it unpacks, between the two renames, or after them leaves in /data
LEFT = {
    "unpacked": ["graph", ".mnemo-after-20261129T220719Z-0001-graph/file"],
    "aside": [".mnemo-before-20261129T220719Z-0001-graph", ".mnemo-after-20261129T220719Z-0001-graph/file"],
    "swapped": [".mnemo-before-20261129T220719Z-0001-graph", "graph/file"],
    "forgotten": ["graph/file", "graph/below/.mnemo-x"],
}


@pytest.mark.parametrize("left", LEFT.values(), ids=LEFT)
def test_the_copy_of_an_interrupted_run_goes_and_nothing_else(tmp_path: Path, left: list[str]) -> None:
    world = host(tmp_path)
    machine = marked(world)
    ran(MarkTarget(wire(STACK), "20261129T220719Z-0001", "copying").run(machine))
    world.write("data/graph2/file", "of somebody")
    copy_marker.fills(machine, STACK, "20261129T220719Z-0001")
    (tmp_path / "data/graph").rmdir()
    for path in left:
        if path.count("/"):
            world.write(f"data/{path}", "copied")
        else:
            (tmp_path / "data" / path).mkdir()
    ran(CleanTarget(wire(STACK), "20261129T220719Z-0001").run(machine))
    assert sorted(str(each.relative_to(tmp_path / "data")) for each in (tmp_path / "data").rglob("*")) == [
        "graph",
        "graph2",
        "graph2/file",
    ]
    assert copy_marker.read(machine, "p") is None


def test_directories_beside_each_other_do_not_take_each_others_place(tmp_path: Path) -> None:
    bind = {"type": "none", "o": "bind"}
    two = {name: volume(f"p_{name}", Options={**bind, "device": f"/data/{name}"}) for name in ("graph", "my-graph")}
    world = host(tmp_path, {**two["graph"], **two["my-graph"]})
    (tmp_path / "data/my-graph").mkdir()
    rows = tuple(Dataset(name, "files", volume=name) for name in two)
    stack = Stack("p", "/srv/p", (), ".env", "/sets", rows, (), {})
    machine = marked(world)
    ran(MarkTarget(wire(STACK), "20261129T220719Z-0001", "copying").run(machine))
    copy_marker.fills(machine, stack, "20261129T220719Z-0001")
    for name, mode in (("graph", 0o711), ("my-graph", 0o722)):  # killed while it renames
        (tmp_path / "data" / name).rename(tmp_path / f"data/.mnemo-before-20261129T220719Z-0001-{name}")
        (tmp_path / f"data/.mnemo-before-20261129T220719Z-0001-{name}").chmod(mode)
    ran(CleanTarget(wire(stack), "20261129T220719Z-0001").run(machine))
    left = {each.name: oct(each.stat().st_mode)[-3:] for each in (tmp_path / "data").iterdir()}
    assert left == {"graph": "711", "my-graph": "722"}


def test_volumes_of_a_project_whose_name_begins_as_ours_stay(tmp_path: Path) -> None:
    others = {
        **volume("p_test_graph", Labels={"mnemo.stack": "p_test"}),
        **volume("p_demo_data", Labels={PROJECT: "p_demo"}),
    }
    world = host(tmp_path, {**GRAPH, **volume("p_redis"), **others})
    machine = marked(world)
    ran(MarkTarget(wire(STACK), "20261129T220719Z-0001", "copying").run(machine))
    assert sorted(volumes(machine, "p")) == ["p_graph", "p_redis"]
    ran(CleanTarget(wire(STACK), "20261129T220719Z-0001").run(machine))
    assert sorted(world.state("docker")["volumes"]) == ["p_demo_data", "p_test_graph"]


def test_what_no_copy_was_seen_to_fill_stays(tmp_path: Path) -> None:
    """A run that was ended before it looked knows nothing of what is there."""
    world = host(tmp_path)
    machine = marked(world)
    world.write("data/graph/file", "of somebody")
    ran(MarkTarget(wire(STACK), "20261129T220719Z-0001", "copying").run(machine))
    copy_marker.fills(machine, STACK, "another")
    ran(CleanTarget(wire(STACK), "20261129T220719Z-0001").run(machine))
    assert (tmp_path / "data/graph/file").read_text() == "of somebody"


def test_a_host_that_served_is_never_cleaned(tmp_path: Path) -> None:
    machine = marked(host(tmp_path))
    ran(MarkTarget(wire(STACK), "20261129T220719Z-0001", "copying").run(machine))
    copy_marker.fills(machine, STACK, "20261129T220719Z-0001")
    ran(MarkTarget(wire(STACK), "20261129T220719Z-0001", "serving").run(machine))
    with pytest.raises(Refused, match="20261129T220719Z-0001"):
        ran(CleanTarget(wire(STACK), "20261129T220719Z-0001").run(machine))


@pytest.mark.parametrize(("state", "done"), [("copying", ["quiet"]), ("serving", ["up"])])
def test_what_nobody_goes_on_with_is_stopped_as_a_copy_and_started_where_it_is_to_serve(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: str, done: list[str]
) -> None:
    """Once old was fenced for good and the controller was killed nobody served until somebody came."""
    told: list[str] = []

    def deed(name: str) -> Any:
        def run(*_: Any) -> Deed:
            told.append(name)
            yield from ()
            return {}

        return run

    monkeypatch.setattr(ComposeUp, "run", deed("up"))
    monkeypatch.setattr(Orchestrator, "stop", deed("quiet"))
    machine, run = marked(host(tmp_path)), "20261129T220719Z-0001"
    for mark in ("copying", state):
        ran(MarkTarget(wire(STACK), run, mark).run(machine))
    assert exclusivity.AT_WORK[-1] + run in lease.names(machine), "nobody else stops what is being started"
    assert lease.expire(machine) == [] and told == []
    machine.write(f"{machine.state_dir}/leases/target-{run}.json", json.dumps(late(machine, run)).encode())
    assert lease.expire(machine) == [f"target-{run}"]
    assert told == done and lease.names(machine) == {}


ASK = {
    "run_id": "20261129T220719Z-0001",
    "user": "ann",
    "address": "192.0.2.1",
    "port": 22,
    "host_keys": [],
    "target": "",
}


@pytest.mark.parametrize(
    ("answer", "key", "state", "left"),
    [
        ("printf 'final\\n'", True, "serving", []),
        ("printf 'not final\\n'", True, "copying", []),
        ("exit 255", True, "copying", ["target-20261129T220719Z-0001"]),
        ("exit 255", False, "copying", []),
    ],
    ids=["final", "not final", "silent", "nobody to ask"],
)
def test_between_the_final_fence_and_the_mark_new_asks_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str, key: bool, state: str, left: list[str]
) -> None:
    """A controller that was killed there left both hosts stopped."""
    world = host(tmp_path)
    machine, run = marked(world), str(ASK["run_id"])
    (tmp_path / "usr/bin/ssh").write_text(f"#!/bin/sh\ncat >/dev/null\n{answer}\n")
    (tmp_path / "usr/bin/ssh").chmod(0o755)
    (tmp_path / "usr/bin/cat").symlink_to("/bin/cat")
    file = {"name": handout.fence(run), "size": len(handout.FINAL), "sha256": sha256(handout.FINAL).hexdigest()}
    ran(MarkTarget(wire(STACK), run, "copying").run(machine))
    machine.mkdir(machine.state_dir + "/keys")
    if key:
        machine.write(key_path(machine, run), b"")
    ran(MarkTarget(wire(STACK), run, "settling", ask={**ASK, "files": [file]}).run(machine))
    up: list[str] = []
    monkeypatch.setattr(ComposeUp, "run", lambda *_: iter(up.append("up") or ()))
    monkeypatch.setattr(Orchestrator, "stop", lambda *_, **__: iter(up.append("down") or ()))
    machine.write(f"{machine.state_dir}/leases/target-{run}.json", json.dumps(late(machine, run)).encode())
    lease.expire(machine)
    assert (copy_marker.read(machine, "p") or {})["state"] == state
    assert up == ([] if left else ["up"] if state == "serving" else ["down"])
    assert sorted(lease.names(machine)) == left


def late(machine: Machine, run: str) -> dict[str, Any]:
    return {**lease.names(machine)[f"target-{run}"], "until": 0.0}


def test_an_unfinished_copy_is_not_put_to_use(tmp_path: Path) -> None:
    """What its users wrote would be removed by the next migration."""
    world = host(tmp_path)
    machine = marked(world)
    world.write("sets/s/manifest.json", '{"format": 1, "project": "p"}')
    ran(MarkTarget(wire(STACK), "20261129T220719Z-0001", "copying").run(machine))
    ComposeUp(wire(STACK), ("postgres",)).ready(machine)
    for look in (ComposeUp(wire(STACK)), LoadSet(wire(STACK), "s", fresh=False, run_id="20261129T220719Z-0001")):
        with pytest.raises(Refused, match="20261129T220719Z-0001") as caught:
            look.ready(machine)
        assert "invoke migrate --abort" in caught.value.hint
    ran(MarkTarget(wire(STACK), "20261129T220719Z-0001", "serving").run(machine))
    ComposeUp(wire(STACK)).ready(machine)


def test_what_does_not_start_is_told_without_what_compose_tells_on_its_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sixty lines of containers that were created and started stood before the port that was taken."""
    machine = marked(host(tmp_path))

    def fail(*_: Any, **__: Any) -> None:
        raise CommandFailed(
            "docker compose ended with 1: Container p-api  Running\n Container p-nginx  Starting\n"
            "Error response from daemon: 0.0.0.0:443: bind: address already in use"
        )

    monkeypatch.setattr(machine, "run", fail)
    with pytest.raises(NotStarted) as caught:
        ran(ComposeUp(wire(STACK)).run(machine))
    port = "Error response from daemon: 0.0.0.0:443: bind: address already in use"
    assert port in caught.value.message


def test_a_copy_that_somebody_uses_is_not_removed(tmp_path: Path) -> None:
    """Only what a migration starts itself may run: it was killed while it proved the copy."""
    world = host(tmp_path)
    machine = marked(world)
    ran(MarkTarget(wire(STACK), "20261129T220719Z-0001", "copying").run(machine))
    state = world.state("docker")
    state["containers"] = {name: container(f"p-{name}", "p_graph", name) for name in ("api", "nginx")}
    world.model("docker", state)
    with pytest.raises(Refused, match="p-nginx") as caught:
        ran(CleanTarget(wire(STACK), "20261129T220719Z-0001", ("api",)).run(machine))
    assert "docker stop p-nginx" in caught.value.hint
    assert len(world.state("docker")["containers"]) == 2 and world.state("docker")["volumes"]


@pytest.mark.parametrize("point", ["/srv/p", "/srv/p/uploads"])
def test_a_disk_that_was_mounted_since_is_not_emptied(tmp_path: Path, point: str) -> None:
    world = host(tmp_path)
    machine = marked(world)
    ran(MarkTarget(wire(STACK), "20261129T220719Z-0001", "copying").run(machine))
    world.write(f"{point[1:]}/file", "of somebody")
    world.write("proc/self/mountinfo", f"{ROOT}30 22 8:16 / {point} rw - ext4 /dev/sdb rw\n")
    with pytest.raises(Refused, match=str(point)) as caught:
        ran(CleanTarget(wire(STACK), "20261129T220719Z-0001").run(machine))
    assert caught.value.hint.startswith(f"umount {point}, ")
    assert (tmp_path / point[1:] / "file").exists() and world.state("docker")["volumes"]


def test_a_disk_that_is_gone_is_asked_for_first(tmp_path: Path) -> None:
    """On the bare mount point nothing of the copy is to be found."""
    world = host(tmp_path)
    machine = marked(world)
    ran(MarkTarget(wire(STACK), "20261129T220719Z-0001", "copying").run(machine))
    copy_marker.fills(machine, STACK, "20261129T220719Z-0001")
    state = world.state("docker")
    state["volumes"]["p_graph"]["Labels"] = {"mnemo.mount": "/data"}
    world.model("docker", state)
    with pytest.raises(Refused, match="/data"):
        ran(CleanTarget(wire(STACK), "20261129T220719Z-0001").run(machine))
    assert copy_marker.read(machine, "p") is not None
