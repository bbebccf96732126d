"""A model of the Postgres of a stack: what is in it, in one file of its data directory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from types import SimpleNamespace
from typing import Any

import pytest

from mnemo_ops.agent.actions import prove, smoke, survey
from mnemo_ops.agent.base.progress import Deed, Progress
from mnemo_ops.agent.base.record import dataclass
from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.stack import containers
from mnemo_ops.agent.stack.cluster import facts, proof
from mnemo_ops.agent.stack.cluster.entrance import Entrance
from mnemo_ops.agent.stack.cluster.home import home_of
from mnemo_ops.agent.stack.cluster.scratch import Scratch
from mnemo_ops.agent.stack.cluster.server import Sessions
from mnemo_ops.agent.stack.datasets import postgres

DATA = "/pg"  # where the container mounts the volume
ROWS = "var/lib/docker/volumes/p_pg/_data/rows"
_OF_DATABASE = {"encoding": "UTF8", "collate": "C", "ctype": "C", "provider": "c", "bytes": 5}
_HERE = {"extensions": {}, "public": True, "open": True, "valid": True}
FACTS: Mapping[str, Any] = {
    **{"version": "16.4", "major": 16, "bytes": 5, "segment": 16, "checksums": True, "mode": "0700", "cron": None},
    **{"superuser": "app", "user": "app", "roles": ["app"], "preloaded": "", "data": DATA, "programs": "/bin"},
    "zstd": False,
    **{"uid": 0, "gid": 0, "secrets": "postgres.secrets.age"},
    "databases": {
        "template0": _OF_DATABASE,
        "app": {**_OF_DATABASE, "extensions": {}, "public": True, "open": True, "valid": True},
    },
    **dict.fromkeys((*facts._OBSTACLES, *facts._LOSSES)),
}


@dataclass(frozen=True)
class Server:
    """Answers what :class:`~mnemo_ops.agent.stack.cluster.server.Server` answers."""

    machine: Machine
    user: str = "app"
    entry: str = "app"
    sessions: Any = Sessions()

    def held(self) -> Any:
        return nullcontext()

    def clients(self) -> list[str]:
        return []

    def query(self, text: str, database: str = "") -> Any:
        if "pg_stat_file" in text:
            return ["$libdir/own"]
        return 16 if "/ 10000" in text else 3 if "reltuples" in text else []

    def shut(self, databases: Any) -> Any:
        return nullcontext(lambda: None)


def enter(machine: Machine, container: containers.Container) -> Entrance:
    home = home_of(machine, container, FACTS)
    found = machine.stat(home.path)
    assert found is not None
    return Entrance(Server(machine), SimpleNamespace(**{**vars_of(home), "uid": found.uid, "gid": found.gid}))  # type: ignore[arg-type]


def vars_of(home: Any) -> dict[str, Any]:
    return {name: getattr(home, name) for name in ("data", "path", "programs", "image", "uid", "gid")}


def rows(machine: Machine, directory: str) -> dict[str, dict[str, str]]:
    return {"app": {"rows of t": machine.read_text(f"{directory}/rows") or ""}}


def dump(entrance: Entrance, directory: str, name: str) -> Deed:
    machine, path = entrance.server.machine, entrance.home.path
    yield Progress(note="dumping app")
    held = rows(machine, path)
    machine.write(f"{directory}/{name}.1.dump", held["app"]["rows of t"].encode(), 0o600)
    where = {key: getattr(entrance.home, key) for key in ("uid", "gid")}
    secret = {"salt": "", "globals": "", "files": {}, "proof": {}}
    return {"facts": {**FACTS, **where, "files": {"app": f"{name}.1.dump"}, "rows": held}, "secret": secret}


def told(server: Server, facts: Any, secret: Any, directory: str) -> Deed:
    yield Progress(note="reading the schema of app")
    return {}


def fill(self: Scratch, keep: Any) -> Deed:
    yield Progress(note="restoring app")
    self.machine.mkdir(self.place.data, 0o700)
    text = self.machine.read_text(f"{self.directory}/{self.facts['files']['app']}") or ""
    self.machine.write(f"{self.place.data}/rows", text.encode(), 0o600)
    same = rows(self.machine, self.place.data) == self.facts["rows"]
    return {"differences": [] if same else ["t differs"], "kept": [], "unknown": []}


def of_rows(server: Server, before: Any) -> list[str]:
    return [] if rows(server.machine, "/" + ROWS.rpartition("/")[0]) == before else ["t differs"]


@contextmanager
def modelled() -> Iterator[None]:
    """Meanwhile the Postgres of every container is this model, and nothing of it is in no set."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (postgres, prove, smoke, survey):
            patch.setattr(module, "enter", enter)
        patch.setattr(facts, "look", lambda server: dict(FACTS))
        patch.setattr(facts, "of_cluster", lambda query: dict(FACTS))
        patch.setattr(postgres, "dump", dump)
        patch.setattr(postgres, "programs", lambda machine, image, usual: usual)
        patch.setattr(postgres, "told", told)
        patch.setattr(Scratch, "fill", fill)
        patch.setattr(proof, "of_rows", of_rows)
        yield
