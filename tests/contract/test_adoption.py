"""A running project that nobody described, as its host tells of it: where its files are, what its containers hold."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from test_project import Project, service
from world import World

from mnemo_ops.agent.actions.adopt import ListProjects, LookAtProject, ReadFiles
from mnemo_ops.agent.docker import compose_state
from mnemo_ops.agent.stack.adoption import beside
from mnemo_ops.agent.stack.adoption.whereabouts import HASH
from mnemo_ops.errors import Broken, Refused
from mnemo_ops.transport import answers

SECRET = "a-very-secret-value"
LABEL = "com.docker.compose.project"


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def look(world: World, source: str = "", project: str = "p") -> dict[str, Any]:
    """As the controller takes it; the host is as it was, and no secret is told."""
    before = world.tree()
    report = LookAtProject(project, source).ready(world.machine())
    found: dict[str, Any] = answers.of("ready", "look_at_project")(json.loads(json.dumps(report)))
    assert world.tree() == before and SECRET not in json.dumps(found)
    return found


def refused(world: World, source: str = "") -> Refused:
    before = world.tree()
    with pytest.raises(Refused) as caught:
        look(world, source)
    assert world.tree() == before and caught.value.exit_code == 3 and caught.value.hint
    return caught.value


def labelled(world: World, name: str, **labels: str) -> None:
    """Give the containers of a service other labels; an empty one is none."""
    docker = world.state("docker")
    mine = docker["containers"][name * 20]["Config"]["Labels"]
    mine.update(labels)
    docker["containers"][name * 20]["Config"]["Labels"] = {key: text for key, text in mine.items() if text}
    world.model("docker", docker)


def held(world: World, name: str, pid: int, **targets: str) -> None:
    """What the process of a container has at its targets: paths of the host, or a directory of its own."""
    docker = world.state("docker")
    docker["containers"][name * 20]["State"]["Pid"] = pid
    world.model("docker", docker)
    lines = []
    for target, path in targets.items():
        at = world.root / f"proc/{pid}/root/{target}"
        at.parent.mkdir(parents=True, exist_ok=True)
        at.symlink_to(world.root / path.lstrip("/"))
        lines.append(f"1 2 8:1 {path} /{target} rw - ext4 /dev/sda rw\n")
    world.write(f"proc/{pid}/mountinfo", "".join(lines))


def shop(world: World) -> Project:
    services = {
        "web": service("/srv/p/data:/data", "/srv/p/web.conf:/web.conf:ro", "kept:/kept"),
        "db": service("kept:/kept"),
    }
    project = Project(world, services, ("kept",)).put("kept", "a").put("/srv/p/data", "upload")
    world.write("srv/p/web.conf", "x", 0o640)
    world.write("srv/p/.git/config", "x")
    world.write("srv/p/.env", f"TOKEN={SECRET}\n", 0o600)
    (world.root / "srv/p/now").symlink_to("web.conf")
    return project.run("web", "db")


def test_what_is_told_of_a_project(world: World) -> None:
    shop(world)
    found = look(world)
    assert (found["directory"], found["place"]) == ("/srv/p", "/srv/p")
    size = (world.root / "srv/p/compose.yaml").stat().st_size
    assert found["files"] == [{"path": "/srv/p/compose.yaml", "name": "compose.yaml", "bytes": size}]
    assert found["env_file"]["name"] == ".env"
    tree = {row["path"]: (row["kind"], row["mode"], row["target"]) for row in found["tree"]}
    assert tree.pop("now")[::2] == ("link", "web.conf")
    assert tree == {
        **{".env": ("file", 0o600, ""), "compose.yaml": ("file", 0o644, ""), "web.conf": ("file", 0o640, "")}
    }
    becomes = {f"{row['service']}:{row['target']}": row["becomes"] for row in found["mounts"]}
    assert becomes["web:/kept"] == becomes["db:/kept"] == "dataset kept (files)"
    assert becomes["web:/data"].startswith("dataset data") and becomes["web:/web.conf"] == "dataset config"
    assert found["forgotten"] == [] and found["differing"] == [] and found["unknown"] == ["db", "web"]


def test_services_of_other_files_are_named(world: World) -> None:
    project = shop(world)
    made = compose_state.Project(
        world.machine(), ["--project-name", "p", "--project-directory", "/srv/p"], ["--file", "/srv/p/compose.yaml"]
    ).hashes()
    for name in ("web", "db"):
        labelled(world, name, **{HASH: made[name]})
    assert (look(world)["differing"], look(world)["unknown"]) == ([], [])
    project.services["web"]["environment"] = {"NEW": "x"}
    world.write("srv/p/compose.yaml", json.dumps({"services": project.services, "volumes": {"kept": {}}}))
    found = look(world)
    assert found["differing"] == ["web"] and "web; deploy makes" in str(found["notes"])


def test_what_no_backup_holds_is_told_as_backups_refuse_it(world: World) -> None:
    shop(world)
    docker = world.state("docker")
    name = "f" * 64
    docker["containers"]["db" * 20]["Mounts"] += [
        {"Type": "volume", "Name": name, "Source": f"/v/{name}", "Destination": "/run/x", "RW": True},
        {"Type": "bind", "Source": "/etc/localtime", "Destination": "/etc/localtime", "RW": False},
        {"Type": "tmpfs", "Source": "", "Destination": "/tmp", "RW": True},
        {"Type": "bind", "Source": "/srv/away", "Destination": "/away", "RW": False},
    ]
    world.model("docker", docker)
    (world.root / "srv/away").mkdir()
    found = look(world)
    assert [text.partition(" (")[0] for text in found["forgotten"]] == ["db:/away", "db:/run/x"]
    becomes = {row["target"]: row["becomes"] for row in found["mounts"] if row["service"] == "db"}
    assert becomes["/run/x"] == becomes["/away"] == "no backup holds it"
    assert becomes["/etc/localtime"] == "the host's own" and becomes["/tmp"] == "goes with the container"


# -- files that are not where they were ------------------------------------------------------------------------------


def test_a_directory_that_was_moved_is_found_and_taken(world: World) -> None:
    services = {"web": service("kept:/kept")}
    Project(world, services, ("kept",)).put("kept", "a").run("web")
    (world.root / "srv/p").rename(world.root / "srv/q")
    error = refused(world)
    assert "/srv/p/compose.yaml" in error.message
    assert error.hint == "invoke adopt --project p --source /srv/q"
    found = look(world, "/srv/q")
    assert (found["directory"], found["place"], found["notes"][0][:8]) == ("/srv/q", "/srv/q", "nothing ")
    (world.root / "srv/p").symlink_to(world.root / "srv/q")
    assert look(world, "/srv/q")["directory"] == "/srv/p", "where its containers say, if that is the same"


def test_a_tool_in_a_container_names_its_own_paths(world: World) -> None:
    """As Portainer does: what it calls /data is a volume of the host."""
    Project(world, {"web": service("kept:/kept"), "tool": service()}, ("kept",)).put("kept", "a").run("web", "tool")
    labelled(
        world, "web",
        **{f"{LABEL}.working_dir": "/data/compose/5", f"{LABEL}.config_files": "/data/compose/5/docker-compose.yml"},
    )  # fmt: skip
    labelled(world, "tool", **{LABEL: "portainer"})
    docker = world.state("docker")
    docker["containers"]["tool" * 20]["Mounts"] = [
        {"Type": "volume", "Name": "t", "Source": "/var/lib/docker/volumes/t/_data", "Destination": "/data", "RW": True}
    ]
    world.model("docker", docker)
    at = "var/lib/docker/volumes/t/_data/compose/5"
    world.write(f"{at}/docker-compose.yml", (world.root / "srv/p/compose.yaml").read_text())
    world.write(f"{at}/stack.env", f"TOKEN={SECRET}\n")
    assert refused(world).hint == f"invoke adopt --project p --source /{at}"
    found = look(world, f"/{at}")
    assert found["env_file"]["name"] == "stack.env" and found["files"][0]["name"] == "docker-compose.yml"


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ("C:\\Users\\me\\shop\\compose.yaml", "a path of another machine"),
        ("/mnt/c/shop/compose.yaml", "a path of another machine"),
        ("-", "standard input"),
        ("/srv/p/compose.yaml,/srv/p/gone.yaml", "/srv/p/gone.yaml, which is not there"),
        ("", "says of which files"),
    ],
)
def test_files_that_are_not_there(files: str, said: str, world: World) -> None:
    Project(world, {"web": service()}).run("web")
    labelled(world, "web", **{f"{LABEL}.config_files": files})
    error = refused(world)
    assert said in error.message and "invoke adopt --project p --source " in error.hint


def test_old_labels_are_relative(world: World) -> None:
    """docker-compose 1 wrote them as they were typed."""
    Project(world, {"web": service()}).run("web")
    labelled(world, "web", **{f"{LABEL}.config_files": "compose.yaml"})
    assert look(world)["files"][0]["path"] == "/srv/p/compose.yaml"


def test_env_files(world: World) -> None:
    Project(world, {"web": service()}).run("web")
    world.write("srv/p/prod.env", "A=1\n")
    labelled(world, "web", **{f"{LABEL}.environment_file": "/srv/p/prod.env"})
    assert look(world)["env_file"]["name"] == "prod.env"
    labelled(world, "web", **{f"{LABEL}.environment_file": "/srv/p/prod.env,/srv/p/more.env"})
    assert "2 env files" in refused(world).message
    labelled(world, "web", **{f"{LABEL}.environment_file": "/srv/p/gone.env"})
    assert "/srv/p/gone.env" in refused(world).message


def test_a_file_outside_of_the_directory_is_told(world: World) -> None:
    Project(world, {"web": service()}).run("web")
    world.write("etc/shop/compose.yaml", (world.root / "srv/p/compose.yaml").read_text())
    labelled(world, "web", **{f"{LABEL}.config_files": "/etc/shop/compose.yaml"})
    found = look(world)
    assert found["files"][0]["name"] == "compose.yaml" and "outside of /srv/p" in str(found["notes"])


@pytest.mark.parametrize("source", ["/nowhere", "srv/p", "/srv/empty"])
def test_a_source_without_the_project(source: str, world: World) -> None:
    Project(world, {"web": service()}).run("web")
    (world.root / "srv/empty").mkdir()
    refused(world, source)


def test_several_directories_and_a_home(world: World) -> None:
    Project(world, {"web": service(), "db": service()}).run("web", "db")
    labelled(world, "web", **{f"{LABEL}.working_dir": "/srv/old"})
    assert "several directories (/srv/old, /srv/p)" in str(look(world)["notes"])
    world.write("etc/passwd", f"{(world.root / 'etc/passwd').read_text()}ann:x:1000:1000::/srv/p:/bin/sh\n")
    assert "home of ann" in refused(world).message


def test_a_directory_of_many_things_is_refused(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    Project(world, {"web": service()}).put("/srv/p/many", "a", "b", "c").run("web")
    monkeypatch.setattr(beside, "MANY", 3)
    assert "the most of them in many" in refused(world).message


# -- what containers hold --------------------------------------------------------------------------------------------


def test_a_directory_that_was_moved_under_its_name_is_what_a_link_replaces(world: World) -> None:
    """`ln -s /home /opt` was the remedy for /opt/notes that is /home/notes: the ends of both paths are the same."""
    shop(world)
    (world.root / "home").mkdir(exist_ok=True)
    (world.root / "srv/p").rename(world.root / "home/p")
    held(world, "web", 12, data="/home/p/data", **{"web.conf": "/home/p/web.conf"})
    assert "ln -s /home/p /srv/p;" in refused(world, "/home/p").hint


def test_a_bind_source_that_was_moved_away(world: World) -> None:
    shop(world)
    (world.root / "srv/p").rename(world.root / "srv/q")
    held(world, "web", 12, data="/srv/q/data", **{"web.conf": "/srv/q/web.conf"})
    error = refused(world, "/srv/q")
    assert "/srv/p/data is gone: p-web-1 holds at /data what was there (/srv/q/data today)" in error.message
    assert "ln -s /srv/q /srv/p" in error.hint
    (world.root / "srv/p").symlink_to(world.root / "srv/q")
    assert look(world, "/srv/q")["directory"] == "/srv/p"


def test_a_bind_source_that_was_removed(world: World) -> None:
    shop(world)
    (world.root / "srv/p/data/upload").unlink()
    (world.root / "srv/p/data").rmdir()
    error = refused(world)
    assert "/srv/p/data is gone" in error.message and "docker cp p-web-1:/data ." in error.hint


def test_another_directory_in_its_place(world: World) -> None:
    shop(world)
    (world.root / "srv/p/data").rename(world.root / "srv/p/old")
    (world.root / "srv/p/data").mkdir()
    held(world, "web", 12, data="/srv/p/old")
    error = refused(world)
    assert "/srv/p/data is not what it was" in error.message and "ln -s /srv/p/old /srv/p/data" in error.hint


def test_a_file_that_an_editor_replaced(world: World) -> None:
    """Read-only in the container: what the host has counts. Else the container may have written into the other."""
    shop(world)
    world.write("srv/before", "old")
    held(world, "web", 12, data="/srv/p/data", **{"web.conf": "/srv/before"})
    docker = world.state("docker")
    mount = next(one for one in docker["containers"]["web" * 20]["Mounts"] if one["Destination"] == "/web.conf")
    mount["RW"] = False
    world.model("docker", docker)
    assert "/srv/p/web.conf was replaced" in str(look(world)["notes"])
    mount["RW"] = True
    world.model("docker", docker)
    assert "/srv/p/web.conf is not what it was" in refused(world).message


def test_what_is_as_it_was_is_no_trouble(world: World) -> None:
    shop(world)
    held(world, "web", 12, data="/srv/p/data", **{"web.conf": "/srv/p/web.conf"})
    look(world)


# -- the other two ---------------------------------------------------------------------------------------------------


def test_projects_of_a_host(world: World) -> None:
    Project(world, {"web": service(), "db": service(), "own": service()}).run("web", "db", "own")
    labelled(world, "db", **{LABEL: "q", f"{LABEL}.working_dir": "/srv/q"})
    labelled(world, "own", **{LABEL: ""})
    told = answers.of("ready", "list_projects")(ListProjects().ready(world.machine()))
    assert told["projects"] == {
        "p": {"containers": 1, "running": 1, "directory": "/srv/p"},
        "q": {"containers": 1, "running": 1, "directory": "/srv/q"},
    }
    assert told["others"] == ["p-own-1"] and told["swarm"] == []
    with pytest.raises(Refused):
        look(world, project="r")


def test_pieces_of_files(world: World) -> None:
    world.write("srv/a", "abcdef")
    pieces = [{"path": "/srv/a", "at": 0, "bytes": 4}, {"path": "/srv/a", "at": 4, "bytes": 2}]
    told = answers.of("ready", "read_files")(ReadFiles(pieces).ready(world.machine()))["pieces"]
    assert [base64.b64decode(each) for each in told] == [b"abcd", b"ef"]
    with pytest.raises(Broken):
        ReadFiles([{"path": "/srv/a", "at": 4, "bytes": 3}]).ready(world.machine())
    for path in ("../x", "/etc/passwd", "a/../b", "a\nb", "", "."):
        with pytest.raises(Refused):
            answers.inside(path)
