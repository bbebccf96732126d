"""A restore and its undoing on a small engine: how long nobody could write, and what stood in the way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from test_leases import do, small

from mnemo_ops.agent.actions import load, prune
from mnemo_ops.agent.actions.load import LoadSet
from mnemo_ops.agent.actions.swap import UndoRestore
from mnemo_ops.agent.base.record import asdict
from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.stack import restore_record
from mnemo_ops.agent.stack.cluster.home import Home
from mnemo_ops.agent.stack.datasets.postgres import Postgres
from mnemo_ops.agent.stack.manifest import Manifest, Saved
from mnemo_ops.agent.stack.restore_record import AFTER, BEFORE, sibling
from mnemo_ops.agent.stack.stack import Dataset, Stack
from mnemo_ops.errors import Broken
from mnemo_ops.stack.definition import wire

RUN, LATER = "20261129T220719Z-0001", "20261129T220719Z-0002"
DATASETS = (Dataset("postgres", "postgres", volume="pg", service="postgres"), Dataset("graph", "files", path="graph"))
STACK = wire(Stack("app", "/srv/app", ("c.yml",), ".env", "/var/backups/app", DATASETS, ("postgres",), {}))
GRAPH, PG = "/srv/app/graph", "/srv/app/pg"


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return small(tmp_path)


@pytest.fixture(autouse=True)
def serving(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stack with a directory and a database, and a set that unpacks to others."""

    def extract(self: Any, machine: Machine, stack: Any, directory: str, manifest: Any) -> Any:
        for path in (PG, GRAPH):
            machine.mkdir(sibling(path, AFTER, self.run_id))
            machine.write(sibling(path, AFTER, self.run_id) + "/file", b"after")
        yield load.Progress()
        return {}

    def prove(machine: Machine, directory: str, manifest: Any) -> Any:
        yield load.Progress()
        return {}

    monkeypatch.setattr(Postgres, "_home", lambda self, facts: Home("/pg", PG, "", "", 0, 0))
    monkeypatch.setattr(Postgres, "answers", lambda self: None)
    monkeypatch.setattr(load, "prove_bytes", prove)
    monkeypatch.setattr(LoadSet, "_extract", extract)
    saved = tuple(Saved(each.name, {"kind": each.kind}) for each in DATASETS)
    manifest = Manifest("s", "app", 1.0, "quiesced", (), saved, {})
    monkeypatch.setattr(LoadSet, "_look", lambda self, machine: (manifest, {"losses": []}))
    monkeypatch.setattr(UndoRestore, "ready", lambda self, machine: restore_record.last(machine, "app"))
    machine.mkdir("/var/backups/app/s")
    for path in (PG, GRAPH):
        machine.mkdir(path)
        machine.write(f"{path}/file", b"before")


def tick(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each look at the clock is one second later."""
    seconds = iter(range(100, 100_000))
    monkeypatch.setattr(type(machine), "monotonic", lambda self: float(next(seconds)))


def restored(machine: Machine, run: str = RUN) -> Any:
    return do(machine, LoadSet(STACK, "s", fresh=False, run_id=run))


def live(machine: Machine) -> tuple[Any, ...]:
    return machine.read_text(f"{GRAPH}/file"), machine.read_text(f"{PG}/file")


def test_a_restore_and_its_undoing_tell_how_long_nobody_could_write(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    tick(machine, monkeypatch)
    for report in (restored(machine), do(machine, UndoRestore(STACK, LATER))):
        phases = report["phases"]
        assert next(iter(phases)) == "stop" and all(seconds > 0 for seconds in phases.values())
        assert report["write_outage_seconds"] == sum(phases.values()) > 0
    assert live(machine) == ("before", "before")


def pruned(machine: Machine, *names: str) -> Any:
    return do(machine, prune.PruneSets(STACK, 1, True, names))


def in_the_way(machine: Machine, side: str) -> None:
    """An undo that was killed half way left this; then somebody started the stack, and wrote."""
    for path in (PG, GRAPH):
        machine.mkdir(sibling(path, side, RUN))
        machine.write(sibling(path, side, RUN) + "/file", b"half")


def test_what_stood_in_the_way_is_told_outlives_undos_and_goes_by_pruning(machine: Machine) -> None:
    in_the_way(machine, BEFORE)
    strays = restored(machine)["strays"]
    assert len(strays) == 2 and live(machine) == ("after", "after")

    def kept() -> tuple[Any, ...]:
        return tuple(machine.read_text(f"{path}/file") for path in strays)

    assert kept() == ("before", "before")
    for number, side in enumerate((BEFORE, AFTER, BEFORE, AFTER)):
        assert do(machine, UndoRestore(STACK, f"20261129T220719Z-00a{number}"))["strays"] == strays
        assert live(machine) == (("half", "half") if side == BEFORE else ("after", "after"))
        assert kept() == ("before", "before")
    shown = prune.PruneSets(STACK, 1, False).ready(machine)
    assert {row["name"] for row in shown["keep"]} >= {*strays} and shown["remove"] == []
    assert pruned(machine)["removed"] == [] and kept() == ("before", "before")
    assert {row["name"] for row in pruned(machine, *strays)["removed"]} == {*strays}
    assert [machine.stat(path) for path in strays] == [None, None]
    assert live(machine) == ("after", "after")
    assert do(machine, UndoRestore(STACK, LATER))["strays"] == []


LARGER = {**STACK, "datasets": [*STACK["datasets"], asdict(Dataset("uploads", "files", volume="uploads"))]}


@pytest.mark.parametrize("stack", [STACK, LARGER], ids=["as the set", "with a volume that is not made yet"])
def test_a_restore_that_is_taken_back_names_what_stood_in_the_way(
    stack: Any, machine: Machine, monkeypatch: pytest.MonkeyPatch
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
    assert live(machine) == ("before", "before")
    (stray,) = [
        row["name"] for row in prune.PruneSets(stack, 1, False).ready(machine)["keep"] if "stray" in row["name"]
    ]
    assert machine.read_text(f"{stray}/file") == "of somebody"
    assert stray in caught.value.message and "invoke backup.prune --aside" in caught.value.message


def test_a_server_that_keeps_its_data_elsewhere_is_not_called_restored(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It could not be asked before; what was put where the backup had it served nobody."""
    homes = iter([PG])
    monkeypatch.setattr(Postgres, "_home", lambda self, facts: Home("/pg", next(homes, "/srv/app/real"), "", "", 0, 0))
    machine.mkdir("/srv/app/real")
    with pytest.raises(Broken, match="/srv/app/real"):
        restored(machine)
    assert live(machine) == ("before", "before")
