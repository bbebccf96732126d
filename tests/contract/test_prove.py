"""What a proof on a running stack looks into: every database of the set, whatever the first one is."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from world import World

from mnemo_ops.agent.actions import prove
from mnemo_ops.agent.actions.prove import ProveStack
from mnemo_ops.agent.base.record import dataclass
from mnemo_ops.agent.stack import containers
from mnemo_ops.agent.stack.stack import Dataset, Stack
from mnemo_ops.errors import VerificationFailed
from mnemo_ops.stack.definition import wire

DATASETS = (Dataset("postgres", "postgres", volume="pg", service="db"), Dataset("uploads", "files", path="uploads"))
STACK = wire(Stack("p", "/srv/p", (), ".env", "/sets", DATASETS, ("db",), {}))
SPEC = {"table": "documents", "path": "file_path", "size": "", "sha256": "", "base": "uploads"}


@dataclass(frozen=True)
class Server:
    """Only the database ``app`` has documents."""

    entry: str

    def held(self) -> Any:
        return nullcontext()

    def query(self, text: str, database: str = "") -> Any:
        if "nspname <> 'public'" in text:
            return [{"name": "public.documents", "kind": "r"}] if self.entry == "app" else []
        return [{"path": "a"}, {"path": "b"}] if "FROM public.documents" in text else []


def test_documents_of_any_database_have_their_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The way in leads to `postgres` first: nothing was looked at, and every migration said that all was there."""
    world = World(tmp_path)
    monkeypatch.setattr(containers, "containers", lambda *_: [SimpleNamespace(service="db", running=True, name="db")])
    monkeypatch.setattr(prove, "enter", lambda *_: SimpleNamespace(server=Server("postgres")))
    monkeypatch.setattr(prove.proof, "of_rows", lambda *_: [])
    action = ProveStack(STACK, {"postgres": {"rows": {"app": {}, "postgres": {}}}}, SPEC, {})
    world.write("srv/p/uploads/a", "x")

    def proven() -> Any:
        running = action.run(world.machine())
        try:
            while True:
                next(running)
        except StopIteration as end:
            return end.value

    with pytest.raises(VerificationFailed, match="1 documents without"):
        proven()
    world.write("srv/p/uploads/b", "x")
    assert proven()["documents"] == 2
