"""A project of two services that Compose itself started: what follows from it, as its host reads it."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mnemo_ops.agent.actions.project import ShowStack
from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.stack.project.rows import datasets_of
from mnemo_ops.agent.stack.stack import Dataset, Stack, root
from mnemo_ops.lab.app import POSTGRES, RECIPES
from mnemo_ops.lab.engine import docker, ensure_engine, kept, stop_engine_if_ours
from mnemo_ops.lab.image import Recipe, ensure_images
from mnemo_ops.stack.definition import wire
from mnemo_ops.transport import answers

SECRET = secrets.token_hex(16)
PACKAGE = Recipe("compose", "trixie", "minbase", ("docker-compose",), images={"compose": ('CMD ["true"]',)})
PLUGIN = "/usr/libexec/docker/cli-plugins/docker-compose"
COMPOSE = """
services:
  cellar:
    image: {image}
    environment: {{POSTGRES_USER: owner, POSTGRES_DB: notes, POSTGRES_PASSWORD: "${{SECRET}}"}}
    volumes: ["kept:/var/lib/postgresql/data", "./first.sql:/first.sql:ro"]
    healthcheck:
      test: ["CMD-SHELL", "psql -XqAth 127.0.0.1 -U owner -d notes -c 'SELECT 1'"]
      interval: 1s
      retries: 100
  web:
    image: {image}
    entrypoint: ["sh", "-c", "echo state > /state; exec sleep 600"]
    volumes: ["./uploads:/uploads", "/anonymous", "/etc/localtime:/etc/localtime:ro"]
    depends_on: {{cellar: {{condition: service_healthy}}}}
    ports: ["127.0.0.1::80"]
  idle:
    image: {image}
    profiles: [late]
    volumes: ["later:/later"]
volumes:
  kept: {{}}
  later: {{}}
"""


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    """This one, with Debian's Compose."""
    found = Machine()
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


@pytest.fixture
def project(machine: Machine, tmp_path: Path) -> Iterator[Stack]:
    directory = tmp_path / "notes"
    (directory / "uploads").mkdir(parents=True)
    (directory / "uploads/a").write_text("a")
    (directory / "first.sql").write_text("")
    (directory / ".env").write_text(f"SECRET={SECRET}\n")
    image = ensure_images(RECIPES[POSTGRES], print)["postgres"]
    (directory / "compose.yaml").write_text(COMPOSE.format(image=image))
    name = "mnemo-derived-" + secrets.token_hex(4)
    made = Stack(name, str(directory), ("compose.yaml",), "", str(tmp_path / "sets"), (), (), {})
    try:
        machine.run(made.compose("up", "-d", "--wait"), timeout=120)
        yield made
    finally:
        machine.run(made.compose("--profile", "*", "down", "--volumes", "--timeout", "1"), check=False)


def test_what_follows_from_a_project(machine: Machine, project: Stack) -> None:
    directory = Path(project.directory)
    before = [(path, path.stat().st_mtime_ns) for path in sorted(directory.rglob("*"))]
    end = time.monotonic() + 20
    while "/state" not in docker("diff", f"{project.project}-web-1"):
        assert time.monotonic() < end
    elsewhere = Stack(project.project, "/nowhere", ("c.yml",), ".env", "/sets", (), (), {})
    report = answers.of("ready", "show_stack")(ShowStack(wire(elsewhere)).ready(machine))
    assert [(path, path.stat().st_mtime_ns) for path in sorted(directory.rglob("*"))] == before
    assert SECRET not in json.dumps(report) and report["directory"] == str(directory)
    rows = {(row["topic"], row["what"]): row["value"] for row in report["rows"]}
    found = datasets_of(report["rows"])
    assert set(found) == {
        Dataset("config", "config", path="."),
        Dataset("kept", "postgres", volume="kept", service="cellar"),
        Dataset("uploads-1e7611", "files", path="uploads"),
    }
    assert {each.name: Path(root(machine, project, each)).is_dir() for each in found} == dict.fromkeys(
        ("config", "kept", "uploads-1e7611"), True
    )
    why = [row["reason"] for row in report["rows"] if row["topic"] == "dataset" and row["what"] == "kept"]
    assert f"{project.project}-cellar-1 has its data" in why[0], "its server was asked"
    assert rows["writers", "kept"] == "cellar, web" and rows["writers", "uploads-1e7611"] == "web"
    assert rows["stop order", project.project] == "1. web  2. cellar"
    assert rows["health", "cellar"] == "its own check"
    assert rows["no backup holds", "web:/anonymous"] == "empty"
    assert rows["no backup holds", f"{project.project}-web-1"].endswith(" bytes")
    assert {what for topic, what in rows if topic == "not data"} == {"/etc/localtime", "first.sql", "later"}
    assert rows["project", "idle"] == "not run"
