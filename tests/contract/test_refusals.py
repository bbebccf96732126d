"""What a host says when a fence, a lease or the lock speaks against it: where the stack is, and what to type next."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from test_alone import ASKED, container
from test_alone import STACK as DATA
from test_alone import host as made
from test_target import marked, ran
from world import World

from mnemo_ops.agent.actions.backup import MakeSet
from mnemo_ops.agent.actions.copy_target import MarkTarget
from mnemo_ops.agent.actions.load import LoadSet
from mnemo_ops.agent.actions.services import ComposeUp, Fence, SettleFence
from mnemo_ops.agent.actions.swap import UndoRestore
from mnemo_ops.agent.base.record import replace
from mnemo_ops.agent.engine.action import Action
from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.process import lease
from mnemo_ops.agent.process.host_lock import HostLock
from mnemo_ops.agent.stack import copy_marker, exclusivity
from mnemo_ops.agent.stack.stack import Dataset
from mnemo_ops.agent.stack.volume_move.move_plan import made as plan_of_move
from mnemo_ops.errors import Broken, Locked, MnemoError, Refused
from mnemo_ops.stack.definition import wire

RUN, OTHER = "20261129T220719Z-0001", "20261130T010203Z-0002"
DATABASE = Dataset("postgres", "postgres", volume="pg", service="postgres")
STACK = replace(DATA, datasets=(*DATA.datasets, DATABASE), keep=("postgres",))
WIRE = wire(STACK)
PLAN = {"id": RUN, "stamp": RUN, "project": "p", "at": 0.0, "state": "loading", "paths": [], "live": "after"}


def host(tmp_path: Path, fence: dict[str, Any] | None = None) -> World:
    world = made(tmp_path, container("p-postgres", "pg", "postgres"))
    for name in ("tar", "zstd", "age"):
        (tmp_path / "usr/bin" / name).symlink_to("/bin/true")
    world.write("var/lib/mnemo_ops/restores/p.json", json.dumps(PLAN))
    world.write(f"var/backups/p/{RUN}/manifest.json", json.dumps({"project": "p"}))
    if fence:
        about = {"run": RUN, "target": "ab" * 16, "containers": {}, "start": {}, **fence}
        world.write("var/lib/mnemo_ops/fences/p.json", json.dumps(about))
    return world


def told(error: MnemoError) -> str:
    return f"{error.message}\n{error.hint}"


def tried(action: Action) -> Callable[[Machine], Any]:
    return action.ready


ASKING: dict[str, tuple[str, Callable[[Machine], Any]]] = {
    "deploy": ("deploy", tried(ComposeUp(WIRE))),
    "backup": ("backup", tried(MakeSet(WIRE, OTHER, ()))),
    "restore": ("backup.list", tried(LoadSet(WIRE, RUN, fresh=False, run_id=OTHER))),
    "restore --undo": ("backup.list", tried(UndoRestore(WIRE))),
    "volumes --to": ("volumes", lambda machine: plan_of_move(machine, STACK, ASKED)),
    "migrate": ("migrate", lambda machine: ran(Fence(WIRE, OTHER, "cd" * 16).run(machine))),
}


@pytest.mark.parametrize("asking", ASKING)
def test_who_is_refused_by_a_final_fence_hears_where_the_stack_is_and_what_to_type(tmp_path: Path, asking: str) -> None:
    task, ask = ASKING[asking]
    with pytest.raises(Refused) as caught:
        ask(host(tmp_path, {"state": "final", "hosts": ["old", "n w"]}).machine())
    text = told(caught.value)
    assert RUN in text and "older copy" in text and "p" in caught.value.message.split()
    if task == "migrate":
        assert "n w" in text
    else:
        assert f"invoke {task} --limit 'n w'" in caught.value.hint


@pytest.mark.parametrize("state", ["held", "undoing"])
@pytest.mark.parametrize("asking", ASKING)
def test_who_is_refused_by_a_fence_that_may_end_hears_what_ends_it(tmp_path: Path, asking: str, state: str) -> None:
    with pytest.raises(Refused) as caught:
        ASKING[asking][1](host(tmp_path, {"state": state, "hosts": ["old", "new"]}).machine())
    text = told(caught.value)
    assert RUN in text and "older copy" not in text
    assert (
        "invoke lock.status" in caught.value.hint and "invoke migrate --abort --from old --to new" in caught.value.hint
    )


@pytest.mark.parametrize("state", ["final", "held"])
def test_a_fence_of_an_earlier_version_names_the_machine(tmp_path: Path, state: str) -> None:
    with pytest.raises(Refused) as caught:
        ComposeUp(WIRE).ready(host(tmp_path, {"state": state}).machine())
    assert "abababababab" in caught.value.message and "invoke " in caught.value.hint


def test_a_fence_and_a_mark_know_both_hosts_by_name(tmp_path: Path) -> None:
    world = host(tmp_path)
    machine = marked(world)
    ran(Fence(WIRE, RUN, "ab" * 16, ("old", "new")).run(machine))
    with pytest.raises(Refused, match="new"):
        ComposeUp(WIRE).ready(machine)
    state = world.state("docker")
    world.model("docker", {**state, "containers": {}})
    ran(MarkTarget(WIRE, RUN, "copying", ("old", "new")).run(machine))
    with pytest.raises(Refused) as caught:
        copy_marker.refuse_unfinished(machine, "p")
    assert "invoke migrate --abort --from old --to new" in caught.value.hint
    assert lease.forget(machine, f"target-{RUN}") == [
        f"the unfinished copy of run {RUN}: invoke migrate --abort --from old --to new removes it"
    ]


@pytest.mark.parametrize("fence", [None, {"state": "held", "run": OTHER}, {"state": "undoing", "run": RUN}])
def test_a_fence_that_cannot_become_final_says_what_the_host_does_now(tmp_path: Path, fence: Any) -> None:
    with pytest.raises(Broken) as caught:
        ran(SettleFence(WIRE, RUN).run(host(tmp_path, fence).machine()))
    assert "invoke lock.status" in caught.value.hint


def test_a_lease_that_expired_says_what_became_of_it_and_what_to_type(tmp_path: Path) -> None:
    machine = marked(host(tmp_path))
    with pytest.raises(Broken) as caught:
        lease.release(machine, f"fence-{RUN}")
    assert f"fence-{RUN}" in caught.value.message and "invoke lock.status" in caught.value.hint
    with pytest.raises(Broken, match=f"fence-{RUN}") as caught, lease.guarded(machine, f"fence-{RUN}"):
        pass
    assert "invoke lock.status" in caught.value.hint


def test_another_run_at_work_is_shown_and_ended_by_commands_of_ours(tmp_path: Path) -> None:
    machine = marked(host(tmp_path))
    lease.hold(machine, f"backup-{RUN}", RUN, [])
    with pytest.raises(Refused) as caught:
        exclusivity.refuse_leases(machine, OTHER)
    assert f"backup-{RUN}" in caught.value.message
    assert "invoke lock.status" in caught.value.hint and "invoke lock.release" in caught.value.hint


def test_a_lock_that_is_held_is_shown_by_a_command_of_ours(tmp_path: Path) -> None:
    machine = marked(host(tmp_path))
    first = HostLock(machine)
    first.take({"owner": "somebody@here", "command": "backup"}, 0.0)
    with pytest.raises(Locked, match="somebody@here") as caught:
        HostLock(machine).take({"owner": "me", "command": "restore"}, 0.0)
    first.leave()
    assert "invoke lock.status" in caught.value.hint
