"""What the kinds of services promise beyond the contract."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from example import unit
from examples_services import booted
from running import run, run_all, task
from world import World

from mnemo_ops.agent.engine.resource import build
from mnemo_ops.agent.machine import Completed, Machine
from mnemo_ops.playbook.modules import kind_of


@pytest.fixture
def world(tmp_path: Path) -> World:
    (tmp_path / "host").mkdir()
    return World(tmp_path / "host")


def test_what_systemd_says_of_a_unit_is_registered_under_its_names(world: World) -> None:
    unit("web.service", active="active", enabled=True)(world)
    for kind in ("systemd", "service"):
        event = run(task(kind, name="web", state="started", register=True), world.machine())
        assert event.status == "ok" and event.after is not None
        status = event.after["status"]
        assert (status["ActiveState"], status["UnitFileState"]) == ("active", "enabled")
        assert "a-secret" not in str(event.to_json())
        assert status["ExecStart"].endswith("argv[]=/bin/x\n  y }"), "a value may have several lines"


def test_services_are_facts(world: World) -> None:
    booted(world)
    unit("idle.service")(world)
    event = run(task("service_facts", register=True), world.machine())
    assert event.after is not None
    assert event.after["ansible_facts"]["services"] == {
        "web.service": {"name": "web.service", "state": "running", "status": "enabled", "source": "systemd"},
        "idle.service": {"name": "idle.service", "state": "inactive", "status": "disabled", "source": "systemd"},
    }


def test_where_systemd_does_not_run_there_are_no_services(world: World) -> None:
    event = run(task("service_facts", register=True), world.machine())
    assert event.after == {"ansible_facts": {"services": {}}}


def test_a_unit_of_a_package_that_is_still_to_come_is_unknown_not_promised(world: World) -> None:
    event = run(task("service", name="later", state="started"), world.machine(read_only=True), check=True)
    assert event.error is not None and event.error["class"] == "NotYet" and "later" in event.why


@pytest.mark.parametrize(
    "args",
    [
        {"name": "web"},
        {"name": "web*", "state": "started"},
        {"state": "started"},
        {"name": "web", "state": "started", "scope": "global"},
    ],
    ids=str,
)
def test_what_cannot_be_meant_is_said_before_anything_runs(args: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        build("systemd", args)


def test_ansibles_other_name() -> None:
    assert kind_of("ansible.builtin.systemd_service") == "systemd"


def asked(monkeypatch: pytest.MonkeyPatch, machine: Machine) -> list[list[str]]:
    """What the programs are called with from now on."""
    calls: list[list[str]] = []
    ask = machine.ask

    def remembered(argv: list[str], **options: Any) -> Completed:
        calls.append(argv)
        return ask(argv, **options)

    monkeypatch.setattr(machine, "ask", remembered)
    return calls


def test_systemd_is_asked_once_for_all_units_of_a_batch(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    unit("web.service", active="active")(world)
    unit("db.service")(world)
    machine = world.machine()
    calls = asked(monkeypatch, machine)
    tasks = [task("systemd", name="web", state="started"), task("service", name="db", state="stopped")]
    assert [event.status for event in run_all(tasks, machine)] == ["ok", "ok"]
    assert calls == [["systemctl", "show", "--", "db", "web"]]


def test_what_was_changed_in_between_is_asked_again_alone(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    unit("web.service")(world)
    unit("db.service")(world)
    machine = world.machine()
    calls = asked(monkeypatch, machine)
    tasks = [task("systemd", name=name, state="started") for name in ("web", "web", "db")]
    assert [event.status for event in run_all(tasks, machine)] == ["changed", "ok", "changed"]
    assert [call[3:] for call in calls if "show" in call] == [["db", "web"], ["web"], ["db"], ["db"]]


def test_a_unit_that_cannot_be_asked_for_is_no_other_units_trouble(world: World) -> None:
    unit("web.service", active="active")(world)
    tasks = [task("systemd", name="web", state="started"), task("systemd", name="any@", state="started")]
    fine, wrong = run_all(tasks, world.machine())
    assert (fine.status, wrong.status) == ("ok", "failed") and "any@" in wrong.why
