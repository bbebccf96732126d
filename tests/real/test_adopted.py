"""Projects that Compose itself started, adopted: as they are, and with their directory moved since."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from test_derived import PACKAGE, PLUGIN

from mnemo_ops.agent.actions.adopt import LookAtProject
from mnemo_ops.agent.machine import Machine
from mnemo_ops.errors import Refused
from mnemo_ops.lab.app import POSTGRES, RECIPES
from mnemo_ops.lab.engine import docker, ensure_engine, kept, stop_engine_if_ours
from mnemo_ops.lab.image import ensure_images
from mnemo_ops.transport import answers

COMPOSE = """
services:
  web:
    image: {image}
    init: true
    entrypoint: ["sleep", "600"]
    env_file: [web.env]
    environment: {{PASSWORD: "${{PASSWORD}}"}}
    volumes: ["kept:/kept"{binds}]
volumes: {{kept: {{}}}}
"""
BINDS = ', "./data:/data", "./web.conf:/web.conf:ro"'


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    """This one, with Debian's Compose."""
    found = Machine(read_only=True)
    found.variables = {"DOCKER_CONFIG": str(tmp_path / "client")}
    try:
        with kept():
            ensure_engine(print)
            name = docker("create", ensure_images(PACKAGE, print)["compose"]).strip()
            try:
                (tmp_path / "client/cli-plugins").mkdir(parents=True)
                docker("cp", f"{name}:{PLUGIN}", str(tmp_path / "client/cli-plugins"))
            finally:
                docker("rm", "--volumes", name)
            yield found
    finally:
        stop_engine_if_ours(print)


class Project:
    """A project in a directory of its own; its containers are gone when a test is over."""

    def __init__(self, machine: Machine, home: Path, binds: str) -> None:
        self.machine, self.name, self.directory = machine, "mnemo-adopt-" + secrets.token_hex(4), home / "shop"
        (self.directory / "data").mkdir(parents=True)
        image = ensure_images(RECIPES[POSTGRES], print)["postgres"]
        for name, text in {
            "compose.yaml": COMPOSE.format(image=image, binds=binds),
            ".env": "PASSWORD='correct $horse'\n",
            **{"web.env": "TOKEN=x\n", "web.conf": "a=1\n", "data/file": "x"},
        }.items():
            (self.directory / name).write_text(text)

    def compose(self, *words: str) -> None:
        where = ["docker", "compose", "--project-directory", str(self.directory), "-p", self.name]
        Machine.run(self._writing, [*where, *words], timeout=120)

    @property
    def _writing(self) -> Machine:
        return self.machine.looking(read_only=False)

    def look(self, source: str = "") -> dict[str, Any]:
        self.machine.forget()
        report = json.loads(json.dumps(LookAtProject(self.name, source).ready(self.machine)))
        found: dict[str, Any] = answers.of("ready", "look_at_project")(report)
        assert "correct" not in json.dumps(found)
        return found


@pytest.fixture
def project(machine: Machine, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Project]:
    made = Project(machine, tmp_path, getattr(request, "param", BINDS))
    try:
        made.compose("up", "-d")
        yield made
    finally:
        docker("rm", "--force", "--volumes", f"{made.name}-web-1")
        for kind, name in (("volume", "kept"), ("network", "default")):
            docker(kind, "rm", f"{made.name}_{name}")


def test_a_project_as_it_is(project: Project) -> None:
    """With an env_file, of which `config --hash` alone says another hash than the label."""
    found = project.look()
    assert (found["differing"], found["unknown"]) == ([], [])
    assert found["forgotten"] == ["web:/var/lib/postgresql/data (a volume without a name)"], "the image has one"
    assert {row["path"] for row in found["tree"]} == {"compose.yaml", ".env", "web.env", "web.conf"}
    (project.directory / "web.env").write_text("TOKEN=y\n")
    assert project.look()["differing"] == ["web"]


def test_a_directory_that_was_moved(project: Project) -> None:
    moved = project.directory.with_name("moved")
    project.directory.rename(moved)
    for source in ("", str(moved)):
        with pytest.raises(Refused) as caught:
            project.look(source)
        assert f"{project.directory}/data is gone" in caught.value.message
        assert f"({moved}/data today)" in caught.value.message
        assert f"ln -s {moved} {project.directory};" in caught.value.hint
    project.directory.symlink_to(moved)
    found = project.look(str(moved))
    assert found["directory"] == str(project.directory) and found["differing"] == []


@pytest.mark.parametrize("project", [""], indirect=True)
def test_a_directory_that_was_moved_and_that_nothing_mounts(project: Project) -> None:
    moved = project.directory.with_name("moved")
    project.directory.rename(moved)
    with pytest.raises(Refused) as caught:
        project.look()
    assert caught.value.hint == f"invoke adopt --project {project.name} --source {moved}"
    found = project.look(str(moved))
    assert found["directory"] == str(moved) and found["differing"] == []


def test_what_is_at_a_path_is_not_what_is_mounted(project: Project) -> None:
    conf, data = project.directory / "web.conf", project.directory / "data"
    conf.rename(project.directory / "old.conf")
    conf.write_text("a=2\n")
    assert "web.conf was replaced" in str(project.look()["notes"])
    data.rename(project.directory / "old")
    data.mkdir()
    with pytest.raises(Refused) as caught:
        project.look()
    assert f"{data} is not what it was" in caught.value.message and f"{data.parent}/old" in caught.value.hint
