"""What every resource kind promises, tried on every example."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from example import Example
from examples import EXAMPLES
from pace import slowness
from running import run
from sampling import sample
from world import World

from mnemo_ops.agent.base import record
from mnemo_ops.agent.engine.converge import Task
from mnemo_ops.agent.engine.resource import build, resource_class
from mnemo_ops.agent.machine import Machine
from mnemo_ops.playbook import module_args
from mnemo_ops.playbook.modules import KINDS

each_example = pytest.mark.parametrize("example", EXAMPLES, ids=str)
with_tools = pytest.mark.parametrize("example", [each for each in EXAMPLES if each.tools], ids=str)

FEW = 4


class Counting(Machine):
    """A machine that counts writes and can keep the host as it was before each: as a kill there would have left it."""

    def __init__(self, root: str, *, keep: bool = False, **options: Any) -> None:
        super().__init__(root, **options)
        self.writes, self.keep = 0, keep

    def writing(self) -> None:
        super().writing()
        if self.keep:
            subprocess.run(["cp", "-a", self.root, f"{self.root}.{self.writes}"], check=True)
        self.writes += 1


def prepare(example: Example, root: Path) -> tuple[World, Task]:
    root.mkdir()
    world = World(root)
    more = example.prepare(world)
    return world, Task("task", example.kind, {**example.args, **(more if isinstance(more, dict) else {})})


def test_every_kind_has_examples() -> None:
    assert {example.kind for example in EXAMPLES} == {kind for kind in KINDS if not resource_class(kind).on_controller}


def only_looks(task: Task) -> bool:
    """It desires nothing: a stat, a listing."""
    return task.resource().desired() == {}


def expected(task: Task, check: bool = False) -> str:
    """How the first run of a task ends."""
    if only_looks(task):
        return "ok"
    if task.resource().changes:
        return "changed"
    return "unknown" if check else "ok"


@each_example
def test_a_check_writes_nothing(example: Example, tmp_path: Path) -> None:
    world, task = prepare(example, tmp_path / "host")
    before = world.tree()
    event = run(task, world.machine(read_only=True), check=True)
    already = event.status == "ok" and not task.resource().changes  # nothing to wait for
    assert event.status == expected(task, check=True) or already, event
    assert world.tree() == before


@each_example
def test_apply_reaches_what_is_desired_and_a_second_run_writes_nothing(example: Example, tmp_path: Path) -> None:
    world, task = prepare(example, tmp_path / "host")
    event = run(task, world.machine())
    assert event.status == expected(task), event
    assert event.seconds < 20 or event.seconds < 20 * slowness()
    machine: Counting = world.machine(Counting)
    if example.deed:
        assert run(task, machine).status == expected(task)
        return
    before = world.tree()
    event = run(task, machine)
    assert event.status == "ok", event
    assert machine.writes == 0
    assert world.tree() == before


@pytest.mark.thorough
@each_example
def test_killed_between_any_two_writes_a_run_gets_there(example: Example, tmp_path: Path) -> None:
    world, task = prepare(example, tmp_path / "host")
    machine: Counting = world.machine(Counting, keep=True)
    run(task, machine)
    assert machine.writes > 0 or expected(task) == "ok", "applying wrote nothing"
    for number in sample(range(machine.writes), FEW, str(example)):
        left = world.at(Path(f"{world.root}.{number}"))
        event = run(task, left.machine())
        assert event.status in ("changed", "ok"), (number, event)
        assert left.outcome() == world.outcome(), number


@each_example
def test_a_task_survives_its_journey_as_json(example: Example, tmp_path: Path) -> None:
    _, task = prepare(example, tmp_path / "host")
    sent = json.loads(json.dumps(record.asdict(task)))
    arrived = Task(**{**sent, "notify": tuple(sent["notify"])})
    assert arrived == task
    assert arrived.resource() == task.resource()
    assert json.loads(json.dumps(task.resource().desired())) == task.resource().desired()


@each_example
def test_an_unknown_field_is_rejected(example: Example) -> None:
    with pytest.raises(TypeError, match="nonsense"):
        build(example.kind, {**example.args, "nonsense": True})


@with_tools
def test_a_missing_tool_is_absence_not_failure(example: Example, tmp_path: Path) -> None:
    world, task = prepare(example, tmp_path / "host")
    world.remove_programs(example.tools)
    before = world.tree()
    event = run(task, world.machine(read_only=True), check=True)
    assert world.tree() == before
    if only_looks(task):  # nothing to see, or nothing to look with
        assert event.status == "ok" or (event.error or {}).get("class") == "Broken", event
        return
    wants_nothing = task.resource().desired() is None and example.kind.startswith("docker_")
    assert event.status in (("ok",) if wants_nothing else ("changed", "unknown")), event
    if not wants_nothing:
        event = run(task, world.machine())
        assert event.status == "failed"
        if "rc" not in (task.resource().desired() or {}):  # a command's failure is a record, not an error
            assert event.error is not None
            assert event.error["class"] in ("Broken", "CommandFailed", "StepFailed"), event


@with_tools
def test_a_broken_tool_fails(example: Example, tmp_path: Path) -> None:
    world, task = prepare(example, tmp_path / "host")
    world.break_programs(example.tools)
    event = run(task, world.machine())
    assert event.status == "failed", event
    assert "broken on purpose" in event.why
    if "rc" not in (task.resource().desired() or {}):  # a command's failure is a record, not an error
        assert event.error is not None and event.error["class"] in ("Broken", "CommandFailed"), event


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_field_is_documented_typed_and_shown(kind: str) -> None:
    cls = resource_class(kind)
    documented = {
        line.split()[1].rstrip(":") for line in (cls.__doc__ or "").splitlines() if line.strip().startswith(":param")
    }
    public = {each.name for each in record.fields(cls) if not each.metadata.get("internal")}
    assert documented == public
    for entry in yaml.safe_load(cls.EXAMPLE):  # type: ignore[attr-defined]
        given = entry[kind]
        free = getattr(cls, "FREE_FORM", "")
        args = given if isinstance(given, dict) else {free: given, **entry.get("args", {})}
        named = {getattr(cls, "ALIASES", {}).get(name, name): value for name, value in args.items()}
        if getattr(cls, "OPEN", False):  # any name is an argument
            continue
        assert set(named) <= public
        found = module_args.build(kind, named, "example:1")
        assert found == build(kind, named)
