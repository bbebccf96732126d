"""The playbook of a deploy on a host in a directory: what lies there after one run, and after a second one."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
import yaml
from playing import Bench
from test_project_files import Source

from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.machine.programs import SEARCH_PATH
from mnemo_ops.documents.yaml_lines import Unsafe
from mnemo_ops.execution.playbook_run import shipped
from mnemo_ops.stack import definition
from mnemo_ops.stack.definition import Settings
from mnemo_ops.stack.project.shipment import Shipment, pack

RMDIR = """#!{python}
import os, sys
os.rmdir({root!r} + sys.argv[-1])
"""
DOCKER = """#!{python}
import json, sys
with open({log!r}, "a") as log:
    log.write(json.dumps(sys.argv[1:]) + "\\n")
"""
COMPOSE = """
include: [apps/wiki.yaml]
services:
  web:
    build: .
    env_file: .env
    volumes: ["./conf/web.conf:/etc/web.conf:ro", "./run.sh:/run.sh:ro", "./media:/media", "./theme:/theme"]
"""


@pytest.fixture
def source(tmp_path: Path) -> Source:
    found = Source(tmp_path / "src").write(
        {
            "compose.yaml": COMPOSE,
            "apps/wiki.yaml": "services: {wiki: {image: wiki}}\n",
            "override.yml.j2": "services: {}\n",
            "conf/web.conf": "one\n",
            "run.sh": "#!/bin/sh\n",
            "Dockerfile": "FROM scratch\n",
            ".env": "A=b\n",
            "theme/a.css": "a\n",
            "media/mine.png": "",
            ".mnemoignore": "!theme\n",
        }
    )
    (found.path / "run.sh").chmod(0o750)
    (found.path / ".env").chmod(0o600)
    return found


ENV_NAME = ".env.production"


class Deployed:
    """A host's stack. :attr:`home`: its directory."""

    def __init__(self, bench: Bench, source: Source, log: Path) -> None:
        self.bench, self.source, self._log = bench, source, log
        self.home = bench.root / "srv/app"
        self.env = bench.write("env.production", "A=b\n")

    def shipment(self) -> Shipment:
        project = self.source.read("compose.yaml", env_files=[self.env])
        placed = [ENV_NAME, definition.OVERRIDE_NAME, "compose.yaml"]
        return pack(self.source.path, project, placed, [self.source.path / "override.yml.j2"])

    def run(self, images: Mapping[str, str] = MappingProxyType({}), **options: Any) -> dict[str, list[str]]:
        """Task -> what it came to; ``changed`` and ``failed`` alone. :param images: of a stack without a template."""
        chosen = Settings(
            project="app", directory="/srv/app", source=str(self.source.path), compose_files=("compose.yaml",),
            override="" if images else "override.yml.j2", env_name=ENV_NAME, images=images,
            env_file=str(self.env), images_archive="x.tar" if images else "",
        )  # fmt: skip
        words = {
            "stack": definition.asdict(chosen), "stack_volumes": [], "env_name": ENV_NAME,
            "stack_compose": definition.files(chosen),
            "override_name": definition.OVERRIDE_NAME, **self.shipment().words(),
            "stack_override": Unsafe(definition.override_of(images)),
        }  # fmt: skip
        if images:
            options["skip_tags"] = frozenset({"images"})
        self.bench.play(shipped("stack.yml").read_text(), words, **options)
        found: dict[str, list[str]] = {}
        for task, event in self.bench.events:
            if event.status in ("changed", "failed"):
                name, _, item = task.name.partition(" => (item=")
                found.setdefault(name, []).append(item.rstrip(")"))
        return found

    def asked(self) -> list[list[str]]:
        return [json.loads(line) for line in self._log.read_text().splitlines()] if self._log.exists() else []


@pytest.fixture
def deployed(bench: Bench, source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Deployed:
    log, tools = tmp_path / "docker.log", tmp_path / "bin"
    tools.mkdir()
    for name, text in {"docker": DOCKER, "rmdir": RMDIR}.items():
        (tools / name).write_text(text.format(python=sys.executable, log=str(log), root=str(bench.root)))
        (tools / name).chmod(0o755)
    (bench.root / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\n")
    (bench.root / "etc/group").write_text("root:x:0:\n")
    monkeypatch.setitem(Machine.__init__.__kwdefaults__, "search_path", f"{tools}:{SEARCH_PATH}")
    return Deployed(bench, source, log)


def modes(home: Path) -> dict[str, str]:
    return {path.relative_to(home).as_posix(): f"{path.stat().st_mode & 0o777:o}" for path in home.rglob("*")}


def test_a_second_deploy_changes_nothing(deployed: Deployed) -> None:
    assert deployed.run() and deployed.bench.error is None
    found = modes(deployed.home)
    assert {path: found[path] for path in ("run.sh", ".env", ENV_NAME)} == {
        "run.sh": "750",
        ".env": "600",
        ENV_NAME: "600",
    }
    assert {"compose.yaml", "apps/wiki.yaml", "conf/web.conf", "Dockerfile", "media", "theme/a.css"} <= found.keys()
    assert not {"media/mine.png", "override.yml.j2"} & found.keys()
    assert deployed.run() == {} and deployed.bench.error is None and modes(deployed.home) == found


def test_the_state_of_a_host_is_its_own(deployed: Deployed) -> None:
    deployed.run()
    (deployed.home / "theme/a.css").write_text("the host's\n")
    (deployed.home / "media/photo.png").touch()
    (deployed.home / "media").chmod(0o700)
    deployed.source.write({"theme/a.css": "b\n", "theme/new.css": "n\n", "conf/web.conf": "two\n"})
    changed = deployed.run()
    assert changed == {"Files of the project": ["conf/web.conf", "theme/new.css"]}
    assert (deployed.home / "theme/a.css").read_text() == "the host's\n"
    assert (deployed.home / "conf/web.conf").read_text() == "two\n"
    assert modes(deployed.home)["media"] == "700" and (deployed.home / "media/photo.png").exists()


def test_a_directory_that_docker_made_of_a_file_gives_way_when_it_is_empty(deployed: Deployed) -> None:
    (deployed.home / "conf/web.conf").mkdir(parents=True)
    (deployed.home / "run.sh").mkdir()
    assert deployed.run()["Empty directories in the place of files"] == ["conf/web.conf", "run.sh"]
    assert (deployed.home / "conf/web.conf").read_text() == "one\n"
    (deployed.home / "run.sh").unlink()
    (deployed.home / "run.sh").mkdir()
    (deployed.home / "run.sh/kept").touch()
    assert deployed.run() == {"Empty directories in the place of files": ["run.sh"]}
    assert (deployed.home / "run.sh/kept").exists() and deployed.bench.error is not None


def test_services_without_another_image_are_built_after_their_sources_came(deployed: Deployed) -> None:
    deployed.run()
    *_, build = deployed.asked()
    assert build[:1] == ["compose"] and build[-2:] == ["build", "web"]
    assert f"--project-directory={'/srv/app'}" in build


def test_without_a_template_the_images_have_a_file_of_their_own(deployed: Deployed) -> None:
    """The template alone used them: who had none ran what the owner's file says, and nothing was built."""
    assert deployed.run({"web": "nginx:1"})["Our override of images"] == [""]
    written = (deployed.home / definition.OVERRIDE_NAME).read_text()
    assert yaml.load(written.replace("!reset", ""), yaml.SafeLoader) == {
        "services": {"web": {"image": "nginx:1", "build": None}}
    }
    assert "build: !reset null" in written
    assert deployed.run({"web": "nginx:1"}) == {} and deployed.bench.error is None
    (*_, validated) = [each for each in deployed.asked() if "config" in each]
    assert validated.count("-f") == 2


def test_a_check_writes_nothing(deployed: Deployed) -> None:
    assert deployed.run(check=True)
    assert not deployed.home.exists() and not deployed.asked()


def test_a_name_with_braces_is_a_name(deployed: Deployed) -> None:
    deployed.source.write({"docs/{{ 7 * 7 }}.txt": "{{ 6 * 6 }}", "docs/{{ nobody }}/[a] b.txt": "x"})
    deployed.run()
    assert deployed.bench.error is None
    assert (deployed.home / "docs/{{ 7 * 7 }}.txt").read_text() == "{{ 6 * 6 }}"
    assert (deployed.home / "docs/{{ nobody }}/[a] b.txt").exists()
