"""A model of the Postgres of a stack: databases by name, and what is in each, in a file of the host."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pytest

from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.stack import containers, losses, postgres_digest
from mnemo_ops.agent.stack.postgres import Postgres

FACTS = {
    **{"version": "16.4", "major": 16, "bytes": 5, "encoding": "UTF8", "collate": "C", "ctype": "C", "provider": "c"},
    **{"locale": "", "rules": "", "extensions": {}, "available": {}, "needed_roles": []},
}

NONE: dict[str, Any] = {"sequences": {}, "matviews": {}}


class Talk:
    """A conversation with one database."""

    def __init__(self, rows: str) -> None:
        self.rows = rows

    def ask(self, text: str) -> str:
        return '"1"'


class Databases:
    """Answers what :class:`~mnemo_ops.agent.stack.postgres.Postgres` answers; its writes are writes of the machine."""

    database = "app"

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.path = Path(machine.root) / "var/lib/model/databases.json"

    @property
    def found(self) -> dict[str, str]:
        return dict(json.loads(self.path.read_text()))

    def keep(self, found: dict[str, str]) -> None:
        self.machine.writing()
        self.path.write_text(json.dumps(found))

    def facts(self) -> dict[str, Any]:
        return dict(FACTS)

    def clients(self) -> list[Any]:
        return []

    def query(self, text: str, database: str = "") -> Any:
        return []

    def digest(self, database: str = "") -> dict[str, Any]:
        return {"tables": {"t": self.found[database]} if self.found[database] else {}}

    def differences(self, facts: Any, database: str = "") -> list[str]:
        return [] if facts["tables"] == self.digest(database or self.database)["tables"] else ["t differs"]

    @contextmanager
    def snapshot(self, database: str = "") -> Iterator[Talk]:
        yield Talk(self.found[database or self.database])

    @contextmanager
    def shut(self) -> Iterator[Talk]:
        yield Talk("")

    def dump(self, snapshot: str, into: IO[bytes], tick: Any) -> None:
        into.write(self.found[self.database].encode())

    def restore(self, database: str, source: IO[bytes], tick: Any) -> None:
        self.keep({**self.found, database: source.read().decode()})

    def make_roles(self, names: Sequence[str]) -> None:
        assert not names

    def exists(self, name: str) -> bool:
        return name in self.found

    def names(self, prefix: str) -> list[str]:
        return sorted(name for name in self.found if name.startswith(prefix))

    def size(self, name: str) -> int:
        return len(self.found.get(name, ""))

    def wait(self, patience: float) -> None:
        pass

    def sql(self, text: str, database: str = "") -> str:
        found = self.found
        name = text.rpartition("DATABASE ")[2].split('"')[1] if "DATABASE" in text else ""
        if "RENAME TO" in text:
            new = text.rpartition("RENAME TO ")[2].split('"')[1]
            assert new not in found
            found[new] = found.pop(name)
        elif text.startswith("DROP DATABASE"):
            found.pop(name, None)
        elif text.startswith("CREATE DATABASE"):
            assert name not in found
            found[name] = ""
        self.keep(found)
        return ""


@contextmanager
def modelled() -> Iterator[None]:
    """Meanwhile the Postgres of every container is this model, and nothing of it is in no set."""

    def of(machine: Machine, container: containers.Container) -> Databases:
        return Databases(machine)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Postgres, "of", of)
        patch.setattr(postgres_digest, "digest", lambda talk: {"tables": {"t": talk.rows}, **NONE})
        for name in ("of_set", "of_restore"):
            patch.setattr(losses, name, lambda server: [])
        yield
