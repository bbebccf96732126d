"""One Postgres in a container of this machine: a set is made of it, rows change, the set brings them back.

The agent is the one that travels, and every program is the real one; only the timer of leases has no systemd here.
"""

from __future__ import annotations

import bz2
import io
import secrets
import sys
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from mnemo_ops.agent.actions.backup import MakeSet
from mnemo_ops.agent.actions.catalogue import ShowSet
from mnemo_ops.agent.actions.load import LoadSet
from mnemo_ops.agent.actions.swap import UndoRestore
from mnemo_ops.agent.stack.stack import Dataset, Stack
from mnemo_ops.core.model import Host
from mnemo_ops.flows import contents
from mnemo_ops.flows.keys import Identity
from mnemo_ops.lab.app import POSTGRES, RECIPES
from mnemo_ops.lab.engine import docker, ensure_engine, kept, stop_engine_if_ours
from mnemo_ops.lab.image import ensure_images
from mnemo_ops.stack.definition import wire
from mnemo_ops.transport import bundle
from mnemo_ops.transport.local_pipe import LocalPipe
from mnemo_ops.transport.session import AgentSession

MADE, LOADED, UNDONE = (f"20261129T220719Z-000{number}" for number in (1, 2, 3))
KEY = Identity.new()
KINDS = {"postgres": "postgres", "uploads": "files"}


@dataclass(frozen=True)
class Project:
    """A compose project of one service, of a name that nobody has."""

    name: str
    home: Path

    @property
    def stack(self) -> Stack:
        datasets = (
            Dataset("postgres", "postgres", volume="data", service="postgres"),
            Dataset("uploads", "files", path="uploads"),
        )
        directory, store = str(self.home / "stack"), str(self.home / "sets")
        return Stack(self.name, directory, ("compose.yaml",), ".env", store, datasets, ("postgres",), {})

    def psql(self, sql: str) -> list[str]:
        """Rows, as Postgres' own client has them."""
        return docker("exec", f"{self.name}-postgres-1", "psql", "-XqAtU", "app", "-d", "app", "-c", sql).splitlines()


@pytest.fixture
def engine() -> Iterator[None]:
    """Docker of this machine; one that was started for this ends with it."""
    try:
        with kept():
            ensure_engine(print)
            yield
    finally:
        stop_engine_if_ours(print)


@pytest.fixture
def project(engine: None, tmp_path: Path) -> Iterator[Project]:
    image = ensure_images(RECIPES[POSTGRES], print)["postgres"]
    made = Project("mnemo-one-" + secrets.token_hex(4), tmp_path)
    (tmp_path / "stack/uploads").mkdir(parents=True)
    labels = {"project": made.name, "service": "postgres", "oneoff": "False"}
    words = [word for key, value in labels.items() for word in ("--label", f"com.docker.compose.{key}={value}")]
    env = {"POSTGRES_USER": "app", "POSTGRES_DB": "app", "POSTGRES_PASSWORD": secrets.token_hex(16)}
    words += [word for key, value in env.items() for word in ("--env", f"{key}={value}")]
    words += ["--volume", f"{made.name}_data:/var/lib/postgresql/data", "--restart", "unless-stopped"]
    try:
        docker("volume", "create", f"{made.name}_data")
        docker("run", "--detach", "--name", f"{made.name}-postgres-1", *words, image)
        end = time.monotonic() + 60
        while docker("exec", f"{made.name}-postgres-1", "sh", "-c", READY).strip() != "1":
            assert time.monotonic() < end, docker("logs", f"{made.name}-postgres-1")
            time.sleep(0.1)
        yield made
    finally:
        docker("rm", "--force", "--volumes", f"{made.name}-postgres-1")
        docker("volume", "rm", "--force", f"{made.name}_data")


def with_tools(blob: bytes, tools: str) -> bytes:
    """The agent's zip, with a directory of programs that comes first."""
    out, path = io.BytesIO(), b'SEARCH_PATH = "'
    with zipfile.ZipFile(io.BytesIO(bz2.decompress(blob))) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            new.writestr(name, old.read(name).replace(path, path + tools.encode() + b":"))
    return bz2.compress(out.getvalue(), 1)


# over TCP only the final server answers, not that of the first start
READY = "psql -XqAth 127.0.0.1 -U app -d app -c 'SELECT 1' 2>/dev/null || true"


@pytest.fixture
def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[AgentSession]:
    """An agent on this machine, with a state directory of its own and a systemd that agrees to everything."""
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("systemctl", "systemd-run"):
        (tools / name).write_text("#!/bin/sh\n")
        (tools / name).chmod(0o755)
    monkeypatch.setenv("MNEMO_STATE_DIR", str(tmp_path / "state"))
    blob = with_tools(bundle.bundle(), str(tools))
    monkeypatch.setattr(bundle, "bundle", lambda: blob)
    command = bundle.command(blob, sys.executable)
    with AgentSession(Host("here", "localhost", local=True), lambda blob: LocalPipe(command), None) as opened:
        yield opened


def told(project: Project, session: AgentSession, load: LoadSet) -> None:
    """What the set holds, and what would be replaced by it."""
    held = contents.described(session.act(ShowSet(load.stack["store"], MADE, True)))
    assert held["checked"] == "checksums" and {one["name"]: one["kind"] for one in held["datasets"]} == KINDS
    (database,) = [one for one in held["datasets"][0]["databases"] if one["name"] == "app"]
    assert database["tables"] == {"public.t": 1000} and database["rows"] == 1000
    project.psql("ANALYZE; CREATE ROLE late")
    project.psql("CREATE DATABASE late")
    both = contents.replaced(session.ready(load)["replaces"])
    before, after = both["postgres"]["before"], both["postgres"]["after"]
    rows = {one["name"]: one["rows"] for one in before["databases"]}
    assert rows == {"app": 10, "late": 0, "postgres": 0, "template1": 0}
    assert {*before["roles"]} - {*after["roles"]} == {"late"} and after["databases"][0]["bytes"] > 1 << 20
    assert both["uploads"]["before"] == {"files": 1, "bytes": 7} and both["uploads"]["after"]["bytes"] == 8


def test_rows_and_files_come_back(project: Project, session: AgentSession) -> None:
    stack, uploaded = wire(project.stack), project.home / "stack/uploads/file"
    project.psql("CREATE TABLE t AS SELECT n, 'row ' || n AS v FROM generate_series(1, 1000) n")
    uploaded.write_text("original")
    before = project.psql("SELECT * FROM t ORDER BY n")
    session.act(MakeSet(stack, MADE, [KEY.recipient]))
    project.psql("DELETE FROM t WHERE n > 10; UPDATE t SET v = 'changed'; CREATE TABLE later ()")
    uploaded.write_text("changed")
    load = LoadSet(stack, MADE, fresh=False, run_id=LOADED, identity=KEY.secret)
    told(project, session, load)
    session.act(load)
    assert project.psql("SELECT * FROM t ORDER BY n") == before
    assert project.psql("SELECT to_regclass('later') IS NULL") == ["t"] and uploaded.read_text() == "original"
    session.act(UndoRestore(stack, UNDONE))
    assert project.psql("SELECT count(*), min(v) FROM t") == ["10|changed"] and uploaded.read_text() == "changed"
    policy = docker("inspect", "-f", "{{.HostConfig.RestartPolicy.Name}}", f"{project.name}-postgres-1")
    assert policy.strip() == "unless-stopped"
