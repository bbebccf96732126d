"""Who else writes to a stack's data, or is about to, is named before anything is stopped."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

import pytest
from example import engine, volume
from world import World

from mnemo_ops import errors
from mnemo_ops.agent.actions.backup import MakeSet
from mnemo_ops.agent.actions.load import LoadSet
from mnemo_ops.agent.actions.prune import PruneSets
from mnemo_ops.agent.actions.swap import UndoRestore
from mnemo_ops.agent.actions.volume_move import _remove_containers
from mnemo_ops.agent.actions.volumes import LookAtVolumes
from mnemo_ops.agent.base.finding import Finding
from mnemo_ops.agent.base.record import replace
from mnemo_ops.agent.stack import bind_sources, exclusivity, restore_record
from mnemo_ops.agent.stack import containers as project
from mnemo_ops.agent.stack.stack import Dataset, Stack, forgotten, waiver
from mnemo_ops.agent.stack.volume_checks.volumes import findings
from mnemo_ops.agent.stack.volume_move import moving
from mnemo_ops.agent.stack.volume_move.move_plan import made
from mnemo_ops.agent.stack.written_files import written
from mnemo_ops.errors import Broken, Refused
from mnemo_ops.stack import validation
from mnemo_ops.stack.definition import wire

DATASETS = (
    Dataset("graph", "files", volume="graph"),
    Dataset("redis", "redis", volume="redis"),
    Dataset("uploads", "files", path="uploads"),
)
STACK = Stack("p", "/srv/p", (), ".env", "/var/backups/p", DATASETS, (), {}, names={"logs": "everybodys"})
TARGET = {"name": "p_graph", "driver": "local", "options": {}, "labels": {}, "external": False, "directory": ""}
ASKED = {"id": "2", "key": "graph", "target": {**TARGET, "options": {"o": "bind"}}, "staged": "ext", "seeded": False}


def container(name: str, source: str, service: str = "", status: str = "running", **more: Any) -> dict[str, Any]:
    labels = {project.PROJECT: "p", project.SERVICE: service} if service else {}
    mount = {"RW": True, "Source": source, "Name": "" if source.startswith("/") else source, "Destination": "/data"}
    state = {"Status": status, "Running": status == "running", "ExitCode": 0}
    labels.update(more.pop("labels", {}))
    return {
        **{"Id": name, "Name": f"/{name}", "Image": "i", "Health": "", "Networks": {}, "State": state},
        **{"Config": {"Labels": labels, "Env": [], "Image": "i"}, "HostConfig": {"RestartPolicy": {"Name": "no"}}},
        "Mounts": [{**mount, **more}],
    }


def host(tmp_path: Path, *rows: dict[str, Any]) -> World:
    world = World(tmp_path)
    bind = {"type": "none", "o": "bind"}
    bound = volume("p_redis", Options={**bind, "device": "/data/redis"})
    bound.update(volume("behind", Options={**bind, "device": "/srv"}))
    engine(volumes={**volume("p_graph"), **volume("ext"), **bound}, containers={row["Id"]: row for row in rows})(world)
    return world


def tools(root: Path) -> None:
    for name in ("tar", "zstd", "age"):
        (root / "usr/bin" / name).symlink_to("/bin/true")


API = container("p-api", "p_graph", "api")


@pytest.mark.parametrize(
    "row",
    [
        container("other", "p_graph"),
        container("other", "/srv/p/uploads/"),
        container("other", "/srv/p/uploads/below"),
        container("other", "p_graph", "api", labels={project.ONEOFF: "True"}),
        container("other", "/data/redis"),
        container("other", "/data/redis/below"),
        container("other", "/srv"),
        container("other", "/"),
        container("other", "/var/lib/docker/volumes"),
        container("other", "/link"),
        container("other", "behind"),
    ],
    ids=[
        *("volume", "path", "below", "compose run", "directory of a volume", "below that", "around", "everything"),
        *("all volumes", "behind a link", "a volume of its own that is a directory around"),
    ],
)
def test_a_container_that_is_no_service_and_may_write_is_named(tmp_path: Path, row: dict[str, Any]) -> None:
    machine = host(tmp_path, API, row).machine(read_only=True)
    (tmp_path / "link").symlink_to("srv")
    assert [(each.service, each.name) for each in project.containers(machine, "p")] == [("api", "p-api")]
    with pytest.raises(Refused, match="other:/data") as caught:
        exclusivity.refuse_strangers(machine, STACK)
    assert "docker stop other" in caught.value.hint
    # what the hint says to write down lets it be
    waived = json.loads(caught.value.hint.partition("stack.waived: ")[2])
    exclusivity.refuse_strangers(machine, replace(STACK, waived=waived))


@pytest.mark.parametrize("path", ["/mnt/real/p", "/srv/p"])
def test_the_directory_of_the_stack_may_be_a_link(tmp_path: Path, path: str) -> None:
    machine = host(tmp_path, API, container("other", "/mnt/real")).machine(read_only=True)
    (tmp_path / "mnt/real/p/uploads").mkdir(parents=True)
    (tmp_path / "srv/p").symlink_to("../mnt/real/p")
    with pytest.raises(Refused, match="other:/data"):
        exclusivity.refuse_strangers(machine, replace(STACK, directory=path))


@pytest.mark.parametrize(
    "row",
    [
        container("other", "/srv", RW=False),
        container("other", "/", RW=False),
        container("other", "", Type="tmpfs"),
        container("other", "/run/docker.sock"),
        container("other", "/srv/p2"),
        container("other", "/srv/p/uploads2"),
        container("other", "p_graph", RW=False),
        container("other", "everybodys"),
    ],
    ids=["around", "everything", "in memory", "socket", "another", "beside", "read-only", "external"],
)
def test_who_cannot_write_or_may_is_not(tmp_path: Path, row: dict[str, Any]) -> None:
    exclusivity.refuse_strangers(host(tmp_path, API, row).machine(read_only=True), STACK)


UNNAMED = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("row", "named"),
    [
        (container("mailer-1", UNNAMED, "mailer", Destination="/data"), "mailer:/data (a volume without a name)"),
        (container("mailer-1", "everybodys", "mailer"), "mailer:/data (everybodys)"),
        (container("mailer-1", "/mnt/mail", "mailer"), "mailer:/data (/mnt/mail)"),
        (container("mailer-1", "p_mail", "mailer"), "mail (mailer:/data)"),
    ],
    ids=["anonymous", "external", "directory", "named"],
)
def test_a_mount_that_nobody_thought_of_is_named_as_it_can_be_waived(
    tmp_path: Path, row: dict[str, Any], named: str
) -> None:
    found = project.containers(host(tmp_path, API, row).machine(read_only=True), "p")
    stack = replace(STACK, names={})
    assert forgotten(stack, found) == [named]
    waived = json.loads(waiver([named]).partition(": ")[2])
    assert list(waived) == [named.partition(" ")[0]]
    validation.refuse_values({"waived": waived})
    assert forgotten(replace(stack, waived=waived), found) == []
    assert replace(stack, waived=waived).excluded() == stack.excluded(), "no path of the stack is meant"


@pytest.mark.parametrize(("row", "kept"), [({"RW": True}, True), ({"RW": False}, False)])
def test_a_directory_of_the_stack_is_kept_where_config_is(tmp_path: Path, row: dict[str, Any], kept: bool) -> None:
    """Where nobody named a dataset of it, what a container wrote there was in no set, and nobody said so."""
    found = project.containers(
        host(tmp_path, container("api", "/srv/p/state", "api", **row)).machine(read_only=True), "p"
    )
    graph = replace(STACK, datasets=(Dataset("graph", "files", "graph"),))
    assert (forgotten(graph, found) == ["api:/data (/srv/p/state)"]) == kept
    assert forgotten(replace(graph, datasets=(*graph.datasets, Dataset("c", "config", path="."))), found) == []


def test_a_volume_of_another_name_is_shared_with_nobody_unless_waived(tmp_path: Path) -> None:
    """Two projects with one `name:`: a restore pulled the volume from under the other, and lost what it wrote."""
    machine = host(tmp_path, API, container("other", "shared")).machine(read_only=True)
    stack = replace(STACK, names={"graph": "shared"})
    with pytest.raises(Refused, match="other:/data"):
        exclusivity.refuse_strangers(machine, stack)
    exclusivity.refuse_strangers(machine, replace(stack, waived={"other:/data": "it reads"}))


@pytest.mark.parametrize(
    ("name", "changed", "row", "told"),
    [
        ("db.sqlite3", False, {}, True),
        ("state", True, {}, True),
        ("state", False, {}, False),  # as it was when its container was started
        ("state", True, {"RW": False}, False),
        ("uploads/state", True, {}, False),  # of a dataset
    ],
)
def test_a_single_file_that_a_container_writes_is_named(
    name: str, changed: bool, row: dict[str, Any], told: bool, tmp_path: Path
) -> None:
    """A restore leaves the project's files, and said of a database among them that all is in place."""
    world = host(tmp_path, container("api", f"/srv/p/{name}", "api", Type="bind", **row))
    world.write(f"srv/p/{name}", "x")
    state = world.state("docker")
    state["containers"]["api"]["State"]["StartedAt"] = "2000-01-01T00:00:00Z" if changed else "2100-01-01T00:00:00.5Z"
    world.model("docker", state)
    machine = world.machine(read_only=True)
    found = written(machine, STACK, project.containers(machine, "p"))
    assert found == ([f"{name}, which api writes,"] if told else [])


def test_a_directory_that_only_its_container_still_holds_is_refused(tmp_path: Path) -> None:
    """Moved since: the set had nothing of it, and the next start would begin with an empty one."""
    world = host(tmp_path, container("api", "/data/moved", "api", Type="bind"))
    machine = world.machine(read_only=True)
    with pytest.raises(Refused, match="/data/moved is gone") as caught:
        bind_sources.refuse_gone(machine, project.containers(machine, "p"))
    assert "docker cp" in caught.value.hint
    (tmp_path / "data/moved").mkdir(parents=True)
    bind_sources.refuse_gone(machine, project.containers(machine, "p"))


@pytest.mark.parametrize("key", ["mailer:data", "mailer:", ":/data", "a/b:/data"])
def test_a_waiver_that_cannot_be_meant_is_refused(key: str) -> None:
    with pytest.raises(ValueError, match="waived"):
        validation.refuse_values({"waived": {key: "why"}})


def test_while_a_volume_moves_nothing_else_begins(tmp_path: Path) -> None:
    machine = host(tmp_path, API).machine()
    moving.write(machine, {"id": "1", "project": "p", "key": "redis", "state": "copying"})
    moving.write(machine, {"id": "0", "project": "p2", "key": "x", "state": "copying"})
    looks: list[Any] = [
        lambda: MakeSet(wire(STACK), "20261129T220719Z-0001", ()).ready(machine),
        lambda: UndoRestore(wire(STACK)).ready(machine),
        lambda: made(machine, STACK, ASKED),
    ]
    machine.mkdir("/var/lib/mnemo_ops/restores", 0o700)
    machine.write("/var/lib/mnemo_ops/restores/p.json", b'{"stamp": "r0"}')
    tools(tmp_path)
    for look in looks:
        with pytest.raises(Refused, match=r"run 1 .*redis"):
            look()
    exclusivity.refuse_moving(machine, "p", "redis")
    moving.write(machine, {"id": "1", "project": "p", "key": "redis", "state": "moved"})
    exclusivity.refuse_moving(machine, "p")


def test_nothing_begins_while_somebodys_end_would_start_what_is_stopped(tmp_path: Path) -> None:
    """A backup whose controller is gone would start the stack in the middle of a restore."""
    world = host(tmp_path, API)
    machine = world.machine()
    world.write("var/lib/mnemo_ops/leases/set-1.json", json.dumps({"run": "", "undo": []}))
    world.write("var/lib/mnemo_ops/restores/p.json", '{"stamp": "r0"}')
    manifest = {"format": 1, "id": "20261129T220719Z-0002", "project": "p", "created": 1, "consistency": "quiesced"}
    world.write("var/backups/p/s/manifest.json", json.dumps({**manifest, "parts": [], "datasets": {}, "volumes": {}}))
    tools(tmp_path)
    looks: list[Any] = [
        lambda: MakeSet(wire(STACK), "20261129T220719Z-0001", ()).ready(machine),
        lambda: LoadSet(wire(STACK), "s", fresh=False, run_id="20261129T220719Z-0001").ready(machine),
        lambda: UndoRestore(wire(STACK)).ready(machine),
        lambda: exclusivity.refuse_others(machine, STACK),
        lambda: made(machine, STACK, ASKED),
    ]
    for look in looks:
        with pytest.raises(Refused, match="set-1"):
            look()
    (tmp_path / "var/lib/mnemo_ops/leases/set-1.json").unlink()
    world.write("var/lib/mnemo_ops/leases/fence-s.json", json.dumps({"run": "20261129T220719Z-0005", "undo": []}))
    exclusivity.refuse_others(machine, STACK, "20261129T220719Z-0005")  # a migration's own set


def test_nothing_moves_to_where_somebody_writes(tmp_path: Path) -> None:
    """What is superfluous there is removed."""
    machine = host(tmp_path, API, container("other", "ext")).machine(read_only=True)
    with pytest.raises(Refused, match=r"ext .*other"):
        made(machine, STACK, ASKED)


def test_what_was_kept_and_is_gone_cannot_be_gone_back_to(tmp_path: Path) -> None:
    """A check says so, too, and the advice leads on."""
    machine = host(tmp_path, API).machine(read_only=True)
    with pytest.raises(Refused, match=r"p-kept-graph-1.* graph") as caught:
        made(machine, STACK, {**ASKED, "staged": "p-kept-graph-1", "seeded": True})
    assert "--volume graph --to TYPE" in caught.value.hint


def test_a_service_that_was_started_in_between_is_not_removed(tmp_path: Path) -> None:
    """It may have written what nobody compared."""
    world = host(tmp_path, API)
    plan = {"project": "p", "services": ["api"], "idle": []}
    with pytest.raises(Broken, match="p-api"):
        _remove_containers(world.machine(), plan, force=False)
    assert list(world.state("docker")["containers"]) == ["p-api"]


def test_a_renamed_directory_of_the_stack_does_not_begin_empty(tmp_path: Path) -> None:
    world = host(tmp_path, container("p-api", "/srv/before/uploads", "api"))
    look = LookAtVolumes("p", [], [], wire(STACK))
    world.write("srv/before/uploads/file", "x")
    (found,) = look.ready(world.machine(read_only=True))["findings"]
    assert found["evidence"] == "the stack has it in /srv/before/uploads, and /srv/p/uploads would begin empty"
    assert found["remedy"] == "set stack.directory: /srv/before; or stop the stack and mv /srv/before /srv/p"
    world.write("srv/p/uploads/file", "x")
    assert look.ready(world.machine(read_only=True))["findings"] == [], "it was taken along"
    (world.root / "srv/p/uploads/file").unlink()
    (world.root / "srv/before/uploads/file").unlink()
    assert look.ready(world.machine(read_only=True))["findings"] == [], "there was nothing"


FORMER = {key: f"before_{key}" for key in ("graph", "redis")}
ROWS = [
    {"key": key, "name": f"new_{key}", "type": "local", "driver_options": {}, "labels": {"mnemo.stack": "new"}}
    for key in FORMER
]


def renamed(
    tmp_path: Path, *containers: dict[str, Any], directory: str = "/srv/p", labels: tuple[str, ...] = ()
) -> tuple[World, list[Finding]]:
    """What is said of a stack ``new`` beside volumes of a project ``before`` that hold something.

    :param labels: keys of those that mnemo_ops made.
    """
    world = World(tmp_path)
    there = {name: row for each in FORMER.values() for name, row in volume(each).items()}
    for key in labels:
        there[FORMER[key]]["Labels"] = {"mnemo.stack": "before", "mnemo.role": key}
    engine(volumes=there, containers={row["Id"]: row for row in containers})(world)
    for name in FORMER.values():
        world.write(f"var/lib/docker/volumes/{name}/_data/file", "x")
    (world.root / "srv/link").symlink_to("p")
    look = [world.machine(read_only=True), "new", ROWS, [*FORMER]]
    return world, findings(*look, directory=directory)


def of_before(directory: str) -> dict[str, Any]:
    labels = {project.PROJECT: "before", "com.docker.compose.project.working_dir": directory}
    return container("before-api-1", "before_graph", labels=labels, status="exited")


def test_another_project_with_the_same_volumes_is_let_be(tmp_path: Path) -> None:
    assert renamed(tmp_path, of_before("/srv/another"))[1] == []


def test_the_same_application_under_another_name_does_not_begin_empty(tmp_path: Path) -> None:
    """Its usual directory follows its name: it would be deployed beside the one that has the data."""
    there = of_before("/srv/before")
    assert renamed(tmp_path / "one", there, directory="/srv/new", labels=("graph",))[1] == [], "of another application"
    (found,) = renamed(tmp_path / "both", there, directory="/srv/new", labels=("graph", "redis"))[1]
    assert found.remedy.startswith("set stack.project: before; or")


@pytest.mark.parametrize("directory", ["/srv/p", "/srv/link"])
def test_a_project_that_got_another_name_does_not_begin_empty(tmp_path: Path, directory: str) -> None:
    (found,) = renamed(tmp_path, of_before("/srv/p"), directory=directory)[1]
    assert (
        found.evidence
        == "new volumes of new would be empty, while the data of before is here: before_graph, before_redis"
    )
    assert found.remedy.startswith("set stack.project: before; or")


def test_the_remedy_for_volumes_that_nobody_uses_works_and_removes_nothing(tmp_path: Path) -> None:
    world, (found,) = renamed(tmp_path)
    for command in found.remedy.partition("own: ")[2].split(" && "):
        world.machine().run(command.split())
    assert findings(world.machine(read_only=True), "new", ROWS, [*FORMER], directory="/srv/p") == []
    assert set(world.state("docker")["volumes"]) == {*FORMER.values(), "new_graph", "new_redis"}


def test_no_remedy_removes_what_is_not_ours() -> None:
    """Who is tired types what is printed."""
    destroys = re.compile(
        r"volume rm|docker rm|docker .*prune|wipefs|(^|[`;:] *)rm -|DROP |mkfs|snap remove|compose .*down -v"
    )
    found = []
    for path in Path(errors.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            hints = [each.value for each in node.keywords if each.arg == "hint"] if isinstance(node, ast.Call) else []
            if isinstance(node, ast.Assign) and any(getattr(one, "id", "") == "remedy" for one in node.targets):
                hints.append(node.value)
            for text in (one for hint in hints for one in ast.walk(hint) if isinstance(one, ast.Constant)):
                if isinstance(text.value, str) and destroys.search(text.value):
                    found.append(f"{path}:{text.lineno}: {text.value}")
    assert found == []


def test_what_an_undo_needs_is_not_pruned_while_one_is_at_work(tmp_path: Path) -> None:
    """Killed between two renames, the undo found one side removed and the record gone."""
    world = host(tmp_path, API)
    world.write("var/lib/mnemo_ops/leases/undo-r0.json", json.dumps({"run": "r1", "undo": []}))
    machine = world.machine()
    with pytest.raises(Refused, match="undo-r0"):
        PruneSets(wire(STACK), 1, True).ready(machine)
    PruneSets(wire(STACK), 1).ready(machine)  # sets have nothing to do with it


def test_an_undo_of_which_a_side_is_gone_is_refused(tmp_path: Path) -> None:
    """It ended well, with one directory of one side and another of the other."""
    world = host(tmp_path, API)
    plan = {**restore_record.plan("r0", "s", "p", ["/data/graph"], 0.0), "live": "after"}
    world.write("var/lib/mnemo_ops/restores/p.json", json.dumps(plan))
    (tmp_path / "data/graph").mkdir(parents=True)
    with pytest.raises(Refused, match=r"/data/\.mnemo-before-r0-graph"):
        UndoRestore(wire(STACK)).ready(world.machine())
    (tmp_path / "data/.mnemo-before-r0-graph").mkdir()
    assert UndoRestore(wire(STACK)).ready(world.machine())["live"] == "after"
    world.write("var/lib/mnemo_ops/restores/p.json", json.dumps({**plan, "database": "app", "before": "app_before"}))
    with pytest.raises(Refused, match="earlier version"):
        UndoRestore(wire(STACK)).ready(world.machine())
    world.write("var/lib/mnemo_ops/restores/p.json", json.dumps({**plan, "dropping": True}))
    with pytest.raises(Refused, match="restore of"):
        UndoRestore(wire(STACK)).ready(world.machine())
