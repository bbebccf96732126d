"""A restore and its undoing on a small engine: how long nobody could write, and what stood in the way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from test_leases import do, small

from mnemo_ops.agent.actions import load, prune, swap
from mnemo_ops.agent.actions.load import LoadSet
from mnemo_ops.agent.actions.swap import UndoRestore
from mnemo_ops.agent.base.record import asdict
from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.stack import restore_record
from mnemo_ops.agent.stack.manifest import Manifest, Saved
from mnemo_ops.agent.stack.restore_record import AFTER, BEFORE, database, sibling
from mnemo_ops.agent.stack.stack import Dataset, Stack
from mnemo_ops.errors import Broken
from mnemo_ops.stack.definition import wire

RUN, LATER = "20261129T220719Z-0001", "20261129T220719Z-0002"
DATASETS = (Dataset("postgres", "postgres", volume="pg", service="postgres"), Dataset("graph", "files", path="graph"))
STACK = wire(Stack("app", "/srv/app", ("c.yml",), ".env", "/var/backups/app", DATASETS, ("postgres",), {}))
GRAPH = "/srv/app/graph"


class Server:
    """Databases by name, and what is in each."""

    database = "app"

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.found = {"app": "before"}

    def exists(self, name: str) -> bool:
        return name in self.found

    def wait(self, patience: float) -> None:
        pass

    def names(self, prefix: str) -> list[str]:
        return sorted(name for name in self.found if name.startswith(prefix))

    def size(self, name: str) -> int:
        return len(self.found.get(name, ""))

    def sql(self, text: str, database: str = "") -> str:
        if "RENAME TO" in text:
            _, old, _, new, _ = text.partition("ALTER DATABASE ")[2].split('"')
            assert new not in self.found
            self.found[new] = self.found.pop(old)
        elif text.startswith("DROP DATABASE"):
            self.found.pop(text.split('"')[1], None)
        return ""


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return small(tmp_path)


@pytest.fixture
def server(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> Server:
    """A stack with one directory and a database, and a set that unpacks to others."""
    made = Server(machine)

    def extract(self: Any, machine: Machine, stack: Any, directory: str, manifest: Any, plan: Any) -> Any:
        machine.mkdir(sibling(GRAPH, AFTER, plan["stamp"]))
        machine.write(sibling(GRAPH, AFTER, plan["stamp"]) + "/file", b"after")
        yield load.Progress()
        return {}

    def rows(self: Any, server: Any, directory: str, manifest: Any, plan: Any) -> Any:
        made.found[plan[AFTER]] = "after"
        yield load.Progress()
        return {}

    def prove(machine: Machine, directory: str, manifest: Any) -> Any:
        yield load.Progress()
        return {}

    for module in (load, swap, prune):
        monkeypatch.setattr(module, "database_of", lambda machine, stack: made)
    monkeypatch.setattr(prune, "_server", lambda machine, stack: made, raising=False)
    monkeypatch.setattr(load, "prove_bytes", prove)
    monkeypatch.setattr(LoadSet, "_extract", extract)
    monkeypatch.setattr(LoadSet, "_rows", rows)
    saved = tuple(Saved(each.name, {"kind": each.kind}) for each in DATASETS)
    manifest = Manifest("s", "app", 1.0, "quiesced", (), saved, {})
    monkeypatch.setattr(LoadSet, "_look", lambda self, machine: (manifest, {"losses": []}))
    monkeypatch.setattr(UndoRestore, "ready", lambda self, machine: restore_record.last(machine, "app"))
    machine.mkdir(GRAPH)
    machine.mkdir("/var/backups/app/s")
    machine.write(f"{GRAPH}/file", b"before")
    return made


def tick(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each look at the clock is one second later."""
    seconds = iter(range(100, 100_000))
    monkeypatch.setattr(type(machine), "monotonic", lambda self: float(next(seconds)))


def restored(machine: Machine, run: str = RUN) -> Any:
    return do(machine, LoadSet(STACK, "s", fresh=False, run_id=run))


def live(machine: Machine, server: Server) -> tuple[Any, ...]:
    return machine.read_text(f"{GRAPH}/file"), server.found["app"]


def test_a_restore_and_its_undoing_tell_how_long_nobody_could_write(
    machine: Machine, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    tick(machine, monkeypatch)
    for report in (restored(machine), do(machine, UndoRestore(STACK, LATER))):
        phases = report["phases"]
        assert next(iter(phases)) == "stop" and all(seconds > 0 for seconds in phases.values())
        assert report["write_outage_seconds"] == sum(phases.values()) > 0
    assert live(machine, server) == ("before", "before")


def pruned(machine: Machine, *names: str) -> Any:
    return do(machine, prune.PruneSets(STACK, 1, True, names))


def in_the_way(machine: Machine, server: Server, side: str) -> None:
    """An undo that was killed half way left this; then somebody started the stack, and wrote."""
    machine.mkdir(sibling(GRAPH, side, RUN))
    machine.write(sibling(GRAPH, side, RUN) + "/file", b"half")
    server.found[database(side, RUN)] = "half"


def test_what_stood_in_the_way_is_told_outlives_undos_and_goes_by_pruning(machine: Machine, server: Server) -> None:
    in_the_way(machine, server, BEFORE)
    strays = restored(machine)["strays"]
    assert len(strays) == 2 and live(machine, server) == ("after", "after")
    path, name = strays

    def kept() -> tuple[Any, ...]:
        return machine.read_text(f"{path}/file"), server.found.get(name)

    assert kept() == ("before", "before")
    for number, side in enumerate((BEFORE, AFTER, BEFORE, AFTER)):
        assert do(machine, UndoRestore(STACK, f"20261129T220719Z-00a{number}"))["strays"] == strays
        assert live(machine, server) == (("half", "half") if side == BEFORE else ("after", "after"))
        assert kept() == ("before", "before")
    shown = prune.PruneSets(STACK, 1, False).ready(machine)
    assert {row["name"] for row in shown["keep"]} >= {path, name} and shown["remove"] == []
    assert pruned(machine)["removed"] == [] and kept() == ("before", "before")
    assert {row["name"] for row in pruned(machine, *strays)["removed"]} == {path, name}
    assert machine.stat(path) is None and name not in server.found
    assert live(machine, server) == ("after", "after")
    assert do(machine, UndoRestore(STACK, LATER))["strays"] == []


LARGER = {**STACK, "datasets": [*STACK["datasets"], asdict(Dataset("uploads", "files", volume="uploads"))]}


@pytest.mark.parametrize("stack", [STACK, LARGER], ids=["as the set", "with a volume that is not made yet"])
def test_a_restore_that_is_taken_back_names_what_stood_in_the_way(
    stack: Any, machine: Machine, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut between two renames; Docker made the directory anew, and somebody wrote to it.

    A dataset that the set does not hold, without a volume yet, hid all of it: nothing was changed, the message said.
    """
    real = Machine.rename

    def rename(self: Machine, source: str, target: str) -> None:
        real(self, source, target)
        if source == GRAPH and BEFORE in target:
            self.mkdir(GRAPH)
            self.write(f"{GRAPH}/file", b"of somebody")
            raise Broken("cut")

    monkeypatch.setattr(Machine, "rename", rename)
    with pytest.raises(Broken, match="cut") as caught:
        do(machine, LoadSet(stack, "s", fresh=False, run_id=RUN))
    assert live(machine, server) == ("before", "before")
    (stray,) = [
        row["name"] for row in prune.PruneSets(stack, 1, False).ready(machine)["keep"] if "stray" in row["name"]
    ]
    assert machine.read_text(f"{stray}/file") == "of somebody"
    assert stray in caught.value.message and "invoke backup.prune --aside" in caught.value.message
