"""Who waits for a stack hears which container it is, and what that one says; through a job, too."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from example import engine
from pace import PATIENCE, slowness
from test_alone import container
from world import World

from mnemo_ops.agent.base.progress import Deed, Progress
from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.process import job
from mnemo_ops.agent.stack import awaited, orchestrator
from mnemo_ops.agent.stack.containers import Container, containers
from mnemo_ops.agent.stack.stack import Stack

LOGS = "started\nconnecting to postgres:5432\n"
WAITED = "waiting for p-api (unhealthy) and 1 more: connecting to postgres:5432"


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(awaited, "LOOKING", 0.01)
    monkeypatch.setattr(job, "ATTENDING", 0.01)


def stack(tmp_path: Path, *services: str) -> Machine:
    """nginx waits for the api, which is ill; the database is well, and something ended as it should."""
    world = World(tmp_path)
    (tmp_path / "data").mkdir()
    engine()(world)
    rows = [
        *(container("p-nginx", "/data", "nginx", "created"), container("p-init", "/data", "init", "exited")),
        {**container("p-api", "/data", "api"), "Health": "unhealthy", "Checked": "", "Started": 0, "Log": LOGS},
        {**container("p-db", "/data", "db"), "Health": "healthy", "Checked": "", "Started": 0, "Log": ""},
    ]
    state = world.state("docker")
    state["containers"] = {row["Id"]: row for row in rows if not services or row["Id"][2:] in services}
    world.model("docker", state)
    return world.machine()


def noted(machine: Machine, services: tuple[str, ...] = ()) -> str:
    """The note within ten seconds; empty when there is none within two tenths of one."""

    def look() -> list[Container]:
        return [each for each in containers(machine, "p") if not services or each.service in services]

    with awaited.awaited(machine, look):
        end = time.monotonic() + (10 if services != ("db",) else 0.2)
        while not machine.note and time.monotonic() < end:
            time.sleep(0.01)
    return machine.note


def test_the_note_names_who_is_waited_for_and_its_last_line(tmp_path: Path) -> None:
    machine = stack(tmp_path)
    assert noted(machine) == WAITED


def test_of_named_services_only(tmp_path: Path) -> None:
    machine = stack(tmp_path)
    assert noted(machine, ("db",)) == ""
    assert noted(machine, ("db", "nginx")).startswith("waiting for p-nginx (created)")


def test_nothing_is_noted_once_the_wait_is_over(tmp_path: Path) -> None:
    machine, looking, over = stack(tmp_path), threading.Event(), threading.Event()

    def look() -> list[Any]:
        looking.set()
        over.wait(PATIENCE)
        return containers(machine, "p")

    with awaited.awaited(machine, look):
        assert looking.wait(PATIENCE)
        ends = threading.Timer(0.1, over.set)  # while the block ends, which waits for the look
        ends.start()
    ends.join()
    assert machine.note == ""


def test_the_orchestrator_says_it_while_it_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of compose, of what is started again by its name."""
    machine = stack(tmp_path)
    services = orchestrator.Orchestrator(machine, Stack("p", "/srv/p", (), ".env", "/sets", (), (), {}))
    noted: list[str] = []

    def run(*_: Any, **__: Any) -> None:
        end = time.monotonic() + 10
        while not machine.note and time.monotonic() < end:
            time.sleep(0.01)
        noted.append(machine.note)

    monkeypatch.setattr(machine, "run", run)
    list(services.up(["api", "nginx"]))
    assert noted == [WAITED]
    monkeypatch.setattr(orchestrator, "PATIENCE", 0.5 * slowness())
    assert orchestrator.start(machine, ["p-api", "p-db"], ["p-api"], []) == {"p-api": "is unhealthy"}
    assert machine.note == WAITED.replace(" and 1 more", "")


def test_docker_that_does_not_answer_ends_no_wait(tmp_path: Path) -> None:
    machine = stack(tmp_path)
    machine.search_path = str(tmp_path)
    with awaited.awaited(machine, lambda: machine.ask(["docker"]) and []):
        time.sleep(0.05)
    assert machine.note == ""


def ran(machine: Machine, where: Path, monkeypatch: pytest.MonkeyPatch, deed: Callable[[Machine], Deed]) -> Any:
    (where / "request.json").write_text(json.dumps({"kind": "any", "args": {}}))
    monkeypatch.setattr(job.actions, "build", lambda *_: type("Any", (), {"run": staticmethod(deed)}))
    job.run(machine, str(where))
    return json.loads((where / "state.json").read_text())


def test_what_a_job_notes_within_a_step_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    where, seen = tmp_path / "job", []
    where.mkdir()
    machine = Machine(state_dir=str(tmp_path / "state"))

    def deed(machine: Machine) -> Deed:
        yield Progress(1, 2, "starting")
        for note in ("waiting for api", "waiting for nginx"):
            machine.note = note
            end = time.monotonic() + 10
            while (state := json.loads((where / "state.json").read_text())["progress"])["note"] != note:
                assert time.monotonic() < end, state
                time.sleep(0.01)
            seen.append(state)
        yield Progress(2, 2, "done")
        assert machine.note == ""
        return {"is": "over"}

    assert ran(machine, where, monkeypatch, deed) == {"report": {"is": "over"}}
    assert [state["note"] for state in seen] == ["waiting for api", "waiting for nginx"]


def test_no_note_follows_the_last_word_of_a_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    where = tmp_path / "job"
    where.mkdir()
    machine = Machine(state_dir=str(tmp_path / "state"))

    def deed(machine: Machine) -> Deed:
        yield Progress()
        machine.note = "late"
        return {"is": "over"}

    for _ in range(20):
        ran(machine, where, monkeypatch, deed)
        time.sleep(0.03)
        assert json.loads((where / "state.json").read_text()) == {"report": {"is": "over"}}


def test_what_a_step_noted_is_over_with_it_told_or_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    where = tmp_path / "job"
    where.mkdir()

    def deed(machine: Machine) -> Deed:
        yield Progress(1, 2, "copying")
        machine.note = "of the first"
        yield Progress(2, 2, "copying")  # so soon that it is not told
        assert machine.note == ""
        return {"is": "over"}

    assert ran(Machine(state_dir=str(tmp_path / "state")), where, monkeypatch, deed) == {"report": {"is": "over"}}
