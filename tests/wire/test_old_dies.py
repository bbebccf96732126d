"""Old dies while a migration makes its fence final: what is true then, and what makes new serve (D4).

Two small engines, the real flow and the real deeds on them; what needs a real database is left out.
"""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import mnemosyne
import pytest
from test_leases import DOCKER, STACK, containers, do, forsake, small

from mnemo_ops.agent.actions.copy_target import MarkTarget
from mnemo_ops.agent.actions.journal import steps
from mnemo_ops.agent.actions.leases import ListRuns
from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.process import lease
from mnemo_ops.agent.stack import containers as project
from mnemo_ops.agent.stack import copy_marker
from mnemo_ops.agent.stack.fence import read_fence
from mnemo_ops.core.model import Host
from mnemo_ops.errors import ChannelLost, MnemoError, Refused, RollbackFailed, Unreachable, VerificationFailed
from mnemo_ops.execution.report import Report, Style
from mnemo_ops.flows import runs
from mnemo_ops.flows.engine import Flow
from mnemo_ops.flows.migrate import cutover, preflight, prepare, promotion, transfer
from mnemo_ops.flows.migrate.context import Context, Stage
from mnemo_ops.flows.migrate.migration import Migration

OLD, NEW = mnemosyne.host("old", "192.0.2.1"), mnemosyne.host("new", "192.0.2.2")
RUN, LATER = "20261129T220719Z-0001", "20261129T230719Z-0002"
UP = 'if word == "compose":\n    for row in rows.values():\n        row["state"] = "running"\n'
# what needs a real database, or images
UNASKED = (
    *((prepare, name) for name in ("make_keys", "copy_images")),
    *((cutover, name) for name in ("make_set", "copy_set", "restore")),
)
RUNS, STOPPED = ("running", "always"), ("exited", "no")


class Killed(BaseException):
    """The controller is no more: nothing of it cleans up."""


class World:
    """Two hosts, and how they are reached."""

    def __init__(self, tmp_path: Path) -> None:
        self.home = tmp_path
        self.machines: dict[str, Machine] = {}
        for host in (OLD, NEW):
            (tmp_path / host.name).mkdir()
            machine = self.machines[host.name] = small(tmp_path / host.name)
            tool = tmp_path / host.name / "bin/docker"
            tool.write_text(DOCKER.replace('if word == "ps":\n', UP + 'if word == "ps":\n', 1))
            machine.write("/etc/machine-id", f"{host.name[0]:0>32}\n".replace("o", "a").replace("n", "b").encode())
        (tmp_path / "new/bin/containers.json").write_text("{}")
        self.dead: set[str] = set()
        self.dying = ""  # the deed old dies of: before it, in it (its answer is lost), or once it has answered

    def session(self, host: Host) -> Any:
        if host.name in self.dead:
            raise Unreachable(f"{host.name} cannot be reached", where=host.name)
        return Session(self, host.name)

    def each(self, hosts: Any, work: Any) -> Any:
        return {host.name: work(host) for host in hosts}

    def machine(self, name: str) -> Machine:
        return self.machines[name]

    def dies(self) -> None:
        self.dead.add("old")

    def passes(self, name: str) -> None:
        """Nobody renews the leases of a host any more; of one that was dead: it boots."""
        forsake(self.machine(name))
        lease.expire(self.machine(name))

    def returns(self) -> None:
        self.dead.clear()
        self.passes("old")

    def states(self, name: str) -> set[tuple[str, str]]:
        return set(containers(self.machine(name)).values())


class Session:
    alive = True

    def __init__(self, world: World, name: str) -> None:
        self.world, self.name = world, name
        self.facts = {"machine_id": name}

    def act(self, action: Any, **_: Any) -> Any:
        world, mortal = self.world, self.name == "old" and action.kind == "settle_fence"
        if self.name in world.dead:
            raise ChannelLost(f"the connection to {self.name} broke", where=self.name)
        if mortal and world.dying == "before":
            world.dies()
            return self.act(action)
        found = do(world.machine(self.name), action)
        if mortal and world.dying:
            world.dies()
            if world.dying == "in":
                return self.act(action)
        return found

    def ready(self, action: Any) -> Any:
        if self.name in self.world.dead:
            raise ChannelLost(f"the connection to {self.name} broke", where=self.name)
        machine = self.world.machine(self.name)
        if action.kind != "survey":
            return action.ready(machine)
        found = project.containers(machine, "app")
        mark = copy_marker.read(machine, "app")
        return {
            "machine_id": (machine.read_text("/etc/machine-id") or "").strip(),
            "clock": 0.0,
            "fence": read_fence(machine, "app"),
            "target": mark,
            "steps": steps(machine, mark["run"]) if mark else [],
            "leases": {name: one["run"] for name, one in lease.names(machine).items()},
            "containers": {each.service: {"state": each.state, "image": each.image} for each in found},
            "troubles": [],
            "directory": [],
        }


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    made = World(tmp_path)

    def place(context: Context) -> None:
        context.stage = Stage.PREPARED
        context.flow.act(context.new, MarkTarget(context.stack, context.run, "copying", ("old", "new")))

    def prove(context: Context) -> None:
        """The copy is complete, and what proves it runs on new; the stores of old have stopped with its final set."""
        made.machine("old").run(["docker", "stop", "postgres"])
        rows = {name: {"name": name, "state": "exited", "restart": "no"} for name in ("api", "postgres")}
        rows["postgres"]["state"] = "running"
        (made.home / "new/bin/containers.json").write_text(json.dumps(rows))
        mark = copy_marker.read(made.machine("new"), "app") or {}
        copy_marker.write(made.machine("new"), "app", {**mark, "restart": dict.fromkeys(rows, "always")})
        context.stage = Stage.PROVEN

    monkeypatch.setattr(prepare, "place", place)
    monkeypatch.setattr(cutover, "prove", prove)
    for room, name in UNASKED:
        monkeypatch.setattr(room, name, lambda context: None)
    monkeypatch.setattr(preflight.checks, "problems", lambda *_: [])
    monkeypatch.setattr(preflight, "misplaced", lambda context, new: [])
    monkeypatch.setattr(preflight, "unmade", lambda context, old, new: [])
    monkeypatch.setattr(transfer, "fetch", lambda *_: MarkTarget(STACK, RUN, "copying"))
    monkeypatch.setattr("mnemo_ops.agent.actions.backup.MakeSet.ready", lambda self, machine: {"longest_stop": 1})
    return made


def migrate(world: World, run: str = RUN, **options: Any) -> Report:
    """One command. :raises MnemoError: as it ends."""
    made, report = migration(world, run, **options)
    made.run()
    return report


def migration(world: World, run: str, **options: Any) -> tuple[Migration, Report]:
    report = Report("migrate", Style(), io.StringIO(), io.StringIO())
    flow = Flow(world, report, world.home)  # type: ignore[arg-type]
    made = Migration(flow, OLD, NEW, lambda host: None, lambda host: None, (), run, **options)
    made.context.stack = STACK
    return made, report


def test_without_a_fault_new_serves_and_old_is_fenced(world: World) -> None:
    """Else the tests below would show nothing."""
    report = migrate(world)
    assert world.states("new") == {RUNS} and world.states("old") == {STOPPED}
    assert "warnings" not in report.extra and report.extra["old"]["state"] == "fenced, stopped, intact"


def test_old_that_dies_after_its_fence_is_final_does_not_keep_new_from_serving(world: World) -> None:
    world.dying = "after"
    report = migrate(world)
    assert world.states("new") == {RUNS}
    assert "does not answer" in report.extra["old"]["state"] and any("old" in one for one in report.extra["warnings"])
    world.passes("new")
    assert world.states("new") == {RUNS}
    world.returns()
    assert world.states("old") == {STOPPED}, "it does not serve beside new"
    again = migrate(world, LATER)
    assert again.extra["run"] == RUN and world.states("new") == {RUNS} and world.states("old") == {STOPPED}


def test_a_controller_that_is_killed_in_that_moment_finishes_without_old(world: World) -> None:
    world.dying = "after"
    with pytest.MonkeyPatch.context() as killing:

        def mark(self: MarkTarget, machine: Machine) -> Any:
            if self.state == "serving":
                raise Killed
            return marking(self, machine)

        marking = MarkTarget.run
        killing.setattr(MarkTarget, "run", mark)
        with pytest.raises(Killed):
            migrate(world)
    world.passes("new")
    assert world.states("new") == {("exited", "no")}, "nobody goes on with the copy"
    migrate(world, LATER)
    assert world.states("new") == {RUNS}
    world.returns()
    assert world.states("old") == {STOPPED}


@pytest.mark.parametrize("dying", ["before", "in"])
def test_old_that_dies_before_its_fence_is_known_to_be_final_is_waited_for(world: World, dying: str) -> None:
    world.dying = dying
    with pytest.raises(RollbackFailed) as caught:
        migrate(world)
    command = "invoke migrate --without-old --from old --to new"
    assert command in caught.value.hint
    world.passes("new")
    assert "running" not in {state for state, _ in world.states("new")}
    with pytest.raises(Unreachable) as again:  # it may come back, and serve
        migrate(world, LATER)
    assert command in again.value.hint and RUN in again.value.message
    assert "running" not in {state for state, _ in world.states("new")}
    world.dying = ""
    world.returns()
    if dying == "before":
        assert world.states("old") == {RUNS}, "it never knew of a final fence, and serves alone"
    else:
        assert world.states("old") == {STOPPED}
        migrate(world, LATER)
        assert world.states("new") == {RUNS} and world.states("old") == {STOPPED}


@pytest.mark.parametrize("dying", ["before", "in"])
def test_old_that_is_gone_for_good_is_done_without_by_the_command_that_is_named(world: World, dying: str) -> None:
    world.dying = dying
    with pytest.raises(RollbackFailed):
        migrate(world)
    world.passes("new")
    report = migrate(world, LATER, without_old=True)
    assert world.states("new") == {RUNS}
    assert any("old" in one for one in report.extra["warnings"])
    if dying == "in":
        world.returns()
        assert world.states("old") == {STOPPED}


@pytest.mark.parametrize("way", ["abort", "check"])
def test_an_abort_and_a_check_without_old_change_nothing_and_name_the_command(world: World, way: str) -> None:
    """The copy may be all that is left."""
    world.dying = "in"
    with pytest.raises(RollbackFailed):
        migrate(world)
    world.passes("new")
    made, _ = migration(world, LATER)
    with pytest.raises(Unreachable) as caught:
        getattr(made, way)()
    assert "invoke migrate --without-old --from old --to new" in caught.value.hint
    migration(world, LATER, without_old=True)[0].check()
    assert "running" not in {state for state, _ in world.states("new")}
    assert (copy_marker.read(world.machine("new"), "app") or {})["state"] == "copying"


def test_a_copy_that_was_not_proven_never_serves(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def prove(context: Context) -> None:
        world.dies()
        context.flow.act(context.old, MarkTarget(STACK, RUN, "copying"))

    monkeypatch.setattr(cutover, "prove", prove)
    with pytest.raises(RollbackFailed) as caught:
        migrate(world)
    assert "--without-old" not in caught.value.hint
    with pytest.raises(MnemoError) as again:
        migrate(world, LATER, without_old=True)
    assert (
        again.value.exit_code in (3, 4) and (copy_marker.read(world.machine("new"), "app") or {})["state"] == "copying"
    )


def test_old_that_answers_is_not_done_without(world: World) -> None:
    with pytest.raises(Refused, match=r"^old "):
        migrate(world, RUN, without_old=True)
    assert world.states("old") == {RUNS}


def recorded(world: World, run: str = RUN) -> dict[str, tuple[str, int]]:
    """State and exit code of a run, by each host that knows it."""
    answers = {name: ListRuns().ready(machine)["runs"] for name, machine in world.machines.items()}
    return {
        name: (row["state"], row["exit_code"]) for name, rows in answers.items() for row in rows if row["run"] == run
    }


def due(world: World) -> dict[str, tuple[str, str]]:
    """State of every run and the next command, as ``runs`` tells them."""
    flow = Flow(world, Report("runs", Style(), io.StringIO(), io.StringIO()), world.home)  # type: ignore[arg-type]
    return {row.run: (row.state, row.next) for row in runs.rows(flow, [OLD, NEW])[0]}


ABORT = "invoke migrate --abort --from old --to new"


def test_how_a_migration_ended_is_recorded_on_both_hosts(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def prove(context: Context) -> None:
        raise VerificationFailed("a row differs")

    with monkeypatch.context() as failing:
        failing.setattr(cutover, "prove", prove)
        with pytest.raises(VerificationFailed):
            migrate(world)
    assert recorded(world) == {"old": ("failed", 7), "new": ("failed", 7)}
    assert due(world) == {RUN: ("failed", ABORT)}
    assert world.states("old") == {RUNS}
    migrate(world, LATER)
    assert due(world) == {LATER: ("ended ok", ""), RUN: ("aborted", "")}
    assert recorded(world, LATER) == {"old": ("ended ok", 0), "new": ("ended ok", 0)}


def test_a_run_that_was_killed_before_it_left_anything_is_ended_by_an_abort(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the journals know of it."""

    def provision(context: Context) -> None:
        raise Killed

    with monkeypatch.context() as killing:
        killing.setattr(prepare, "provision", provision)
        with pytest.raises(Killed):
            migrate(world)
    assert due(world) == {RUN: ("never ended", ABORT)}
    made, _ = migration(world, LATER)
    made.abort()
    assert due(world) == {RUN: ("aborted", "")} and world.states("old") == {RUNS}
    assert recorded(world) == {"old": ("aborted", 0), "new": ("aborted", 0)}


def test_a_run_past_its_point_of_no_return_is_not_aborted_but_finished(world: World) -> None:
    with pytest.MonkeyPatch.context() as killing:

        def finish(context: Context) -> None:
            raise Killed

        killing.setattr(promotion, "finish", finish)
        with pytest.raises(Killed):
            migrate(world)
    assert due(world) == {RUN: ("never ended", "invoke migrate --from old --to new")}
    with pytest.raises(Refused):
        migration(world, LATER)[0].abort()
    assert due(world)[RUN][0] == "never ended"
