"""The application as its owner wrote it starts on a real engine with all its files, and not as meant without them."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from nested import Engine, engine
from pace import eventually

from mnemo_ops.core.model import Host
from mnemo_ops.errors import StepFailed
from mnemo_ops.lab.app import APP_UID, STACK, ensure_app, lab_env, lab_tls
from mnemo_ops.stack import definition
from mnemo_ops.templates.render import Scope, render_file

pytestmark = [pytest.mark.soak]

FILES = "-f docker-compose.prod.yml -f docker-compose.mnemo.yml"
COMPOSE = f"cd /srv/mnemosyne && docker compose -p mnemosyne --env-file .env.production {FILES}"
STATES = "docker ps -a --format '{{.Label \"com.docker.compose.service\"}} {{.Status}}'"
PORTS = "docker ps --filter publish={} --format '{{{{.Ports}}}}'"
EXTENSIONS = "docker exec mnemosyne-postgres psql -XqAtU mnemosyne -c 'SELECT extname FROM pg_extension ORDER BY 1'"


@dataclass(frozen=True)
class Running:
    """The application's directory, and an engine that has started nothing of it."""

    engine: Engine
    home: Path
    volumes: list[str]

    def secret(self, name: str) -> str:
        (value,) = re.findall(f"(?m)^{name}=(.+)$", (self.home / ".env.production").read_text())
        return str(value)

    def start(self, services: str = "") -> None:
        """With new volumes."""
        self.engine.sh(f"{COMPOSE} down --volumes --timeout 1 2>&1 && docker volume prune --all --force")
        for name in self.volumes:
            self.engine.sh(f"docker volume create {name}")
        graph = self.engine.sh("docker volume inspect --format '{{.Mountpoint}}' mnemosyne_lightrag_data")
        self.engine.sh(f"install -d -o {APP_UID} -g {APP_UID} /srv/mnemosyne/uploads {graph}")
        self.engine.sh(f"{COMPOSE} up --detach --wait --wait-timeout 180 {services} 2>&1")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    home = tmp_path_factory.mktemp("srv")
    images, archive = ensure_app(print, 15)
    host = Host("old", "192.0.2.1", vars={"stack": {"images": images}})
    words = definition.words(host, {})
    shutil.copytree(STACK, home / "mnemosyne")
    (home / "mnemosyne/.env.production").write_text(lab_env())
    (home / "mnemosyne/docker-compose.mnemo.yml").write_text(
        render_file(STACK / "override.yml.j2", Scope().plus(words))
    )
    lab_tls(home / "mnemosyne/nginx/ssl")
    with engine(home, archive) as made:
        yield Running(made, home / "mnemosyne", [row["name"] for row in words["stack_volumes"]])


def test_it_starts_with_all_its_files(running: Running) -> None:
    running.start()
    states = dict(line.split(" ", 1) for line in running.engine.sh(STATES).splitlines())
    assert len(states) == 10 and all(state.startswith("Up ") for state in states.values()), states
    checked = set(states) - {"prometheus", "grafana"}
    assert {name for name, state in states.items() if "(healthy)" in state} == checked
    assert running.engine.sh(EXTENSIONS).split() == ["pg_trgm", "plpgsql", "uuid-ossp", "vector"]
    for port in (5432, 6379):
        assert running.engine.sh(PORTS.format(port)) == f"127.0.0.1:{port}->{port}/tcp"
    arguments = running.engine.sh("cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' '")
    assert "flower" in arguments and running.secret("REDIS_PASSWORD") not in arguments
    made = sorted(path.name for path in (running.home / "monitoring/grafana").iterdir() if not any(path.iterdir()))
    assert made == ["dashboards", "datasources"], "as Docker makes what is not there"
    services = json.loads(running.engine.sh(f"{COMPOSE} config --format json 2>/dev/null"))["services"]
    assert "build" not in services["api"] and services["backup"]["image"].startswith("mnemo-lab/")


def test_without_a_file_that_it_mounts_docker_makes_a_directory(running: Running) -> None:
    """The first start fails on it; the next one is healthy, and lacks what the file was to make."""
    shutil.rmtree(running.home / "scripts")
    with suppress(StepFailed):  # Compose tells of either start
        running.start("postgres")
    eventually(lambda: running.engine.sh(f"{EXTENSIONS} 2>/dev/null || true") == "plpgsql")
    assert (running.home / "scripts/init.sql").is_dir()
