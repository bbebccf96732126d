"""Two sides of a restore and one place for them: whatever is interrupted where, none of them is ever lost."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mnemo_ops.agent.actions import load, swap
from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.stack import containers, orchestrator, restore_record
from mnemo_ops.agent.stack.orchestrator import Orchestrator
from mnemo_ops.agent.stack.restore_record import AFTER, BEFORE, Plan
from mnemo_ops.agent.stack.stack import Stack
from mnemo_ops.errors import NotStarted
from mnemo_ops.stack.definition import wire

STAMP = "20261129T120000Z-ab12"


class Killed(Exception):
    pass


class Host(Machine):
    """A machine that is killed before the change of this number."""

    left = 10**9

    def step(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise Killed

    def rename(self, source: str, target: str) -> None:
        self.step()
        super().rename(source, target)


NAMES = ("graph", "uploads", "pg")


def world(tmp_path: Path) -> tuple[Host, Plan]:
    for name in NAMES:
        for place, text in ((name, "before"), (f".mnemo-after-{STAMP}-{name}", "after")):
            (tmp_path / "data" / place).mkdir(parents=True)
            (tmp_path / "data" / place / "file").write_text(text)
    (tmp_path / "var/lib").mkdir(parents=True)
    host = Host(str(tmp_path), state_dir="/var/lib/mnemo_ops")
    return host, restore_record.plan(STAMP, "set-1", "app", [f"/data/{name}" for name in NAMES], 0.0)


def live(host: Host) -> set[str]:
    return {(host.read_text(f"/data/{name}/file") or "gone") for name in NAMES}


def everything(tmp_path: Path) -> list[str]:
    """What is there at all, wherever it lies."""
    return sorted(each.read_text() for each in (tmp_path / "data").rglob("file"))


def place(host: Host, plan: Plan, side: str, killed_before: int) -> None:
    host.left = killed_before
    try:
        restore_record.place(host, plan, side)
    except Killed:
        pass
    finally:
        host.left = 10**9


@pytest.mark.parametrize("first", range(10))
@pytest.mark.parametrize("second", range(10))
def test_killed_anywhere_forth_and_back_either_side_can_be_put_in_place(
    tmp_path: Path, first: int, second: int
) -> None:
    host, plan = world(tmp_path)
    whole = everything(tmp_path)
    assert whole == sorted(["before", "after"] * 3)
    place(host, plan, AFTER, first)
    assert everything(tmp_path) == whole
    place(host, plan, BEFORE, second)
    assert everything(tmp_path) == whole
    for side in (BEFORE, BEFORE, AFTER, AFTER, BEFORE):
        restore_record.place(host, plan, side)
        assert live(host) == {side}
        assert everything(tmp_path) == whole


def test_what_docker_made_of_a_directory_it_missed_does_not_stand_in_the_way_and_what_was_written_there_stays(
    tmp_path: Path,
) -> None:
    host, plan = world(tmp_path)
    place(host, plan, AFTER, 1)  # graph is renamed aside, nothing is in its place
    (tmp_path / "data/graph").mkdir()
    assert restore_record.place(host, plan, BEFORE) == []
    assert live(host) == {"before"}
    place(host, plan, AFTER, 1)
    (tmp_path / "data/graph").mkdir()
    (tmp_path / "data/graph/new").write_text("somebody's")
    (kept,) = restore_record.place(host, plan, AFTER)
    assert live(host) == {"after"}
    assert host.read_text(f"{kept}/new") == "somebody's"


def test_the_undoing_of_one_restore_does_nothing_to_another(tmp_path: Path) -> None:
    host, plan = world(tmp_path)
    restore_record.place(host, plan, AFTER)
    restore_record.keep(host, plan, AFTER)
    assert restore_record.pending(host, "another") is None
    last = restore_record.last(host, "app")
    assert last is not None and (last["stamp"], last["live"]) == (STAMP, AFTER)
    other = {**plan, "stamp": "another"}
    restore_record.begin(host, other)
    restore_record.keep(host, other, AFTER)
    found = restore_record.last(host, "app")
    assert found is not None and [each["stamp"] for each in found["superseded"]] == [STAMP]
    restore_record.drop_superseded(host, "app")
    assert live(host) == {"after"} and everything(tmp_path) == ["after"] * 3


@pytest.mark.parametrize(
    ("state", "runs", "side", "then"),
    [
        (restore_record.SWAPPING, False, "before", restore_record.LOADING),
        (restore_record.SWAPPING, True, "before", restore_record.ASIDE),
        (restore_record.STARTING, True, "after", ""),
        (restore_record.STARTING, False, "after", ""),
        (restore_record.FAILED, True, "before", restore_record.ASIDE),
    ],
)
def test_a_restore_that_is_killed_once_it_may_have_been_written_to_is_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: str, runs: bool, side: str, then: str
) -> None:
    """It was taken back, with what its clients had written to it, and the message said that nothing was changed."""
    host, plan = world(tmp_path)
    restore_record.place(host, plan, AFTER)
    restore_record.begin(host, {**plan, "state": state})
    monkeypatch.setattr(containers, "containers", lambda *_: [SimpleNamespace(running=runs, service="api")])
    monkeypatch.setattr(swap, "_ready_to_place", lambda *_: iter(()))
    stack = wire(Stack("app", "/srv/app", (), ".env", "/sets", (), ("postgres",), {}))
    for _ in range(2):
        assert list(swap.UndoSwap(stack, STAMP).run(host)) is not None
        assert live(host) == {side}
        pending, last = restore_record.pending(host, STAMP), restore_record.last(host, "app")
        assert (pending or {"state": ""})["state"] == then
        assert (last is not None) == (side == "after")
    assert everything(tmp_path) == sorted(["before", "after"] * 3)


def test_a_restore_that_does_not_start_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is killed then is finished; what fails is not."""
    host, plan = world(tmp_path)
    stack = wire(Stack("app", "/srv/app", (), ".env", "/sets", (), ("postgres",), {}))
    (tmp_path / "etc/systemd/system").mkdir(parents=True)
    (tmp_path / "usr/bin").mkdir(parents=True)
    for name in ("systemctl", "systemd-run"):
        (tmp_path / "usr/bin" / name).write_text("#!/bin/sh\n")
        (tmp_path / "usr/bin" / name).chmod(0o755)
    host.search_path, host.program = str(tmp_path / "usr/bin"), lambda: b"a program"

    def nothing(*_: Any) -> Any:
        return iter(())

    def fail(*_: Any) -> None:
        raise NotStarted("app-nginx")

    monkeypatch.setattr(load, "prove_bytes", nothing)
    for name in ("_extract", "_kinds"):
        monkeypatch.setattr(load.LoadSet, name, nothing)
    monkeypatch.setattr(containers, "containers", lambda *_: [])
    monkeypatch.setattr(swap, "_ready_to_place", nothing)
    deed = {"kind": "remove_file", "args": {"path": "/gone"}}
    monkeypatch.setattr(Orchestrator, "restart", lambda *_: deed)
    monkeypatch.setattr(orchestrator, "policies", lambda *_: {"kind": "set_restart", "args": {"policies": {}}})
    monkeypatch.setattr(containers, "wait_for_docker", nothing)
    for name in ("hold_down", "let_up"):
        monkeypatch.setattr(orchestrator, name, nothing)
    monkeypatch.setattr(Orchestrator, "stop", lambda *_, **__: iter(()))
    monkeypatch.setattr(Orchestrator, "start", fail)
    action = load.LoadSet(stack, "set-1", False, STAMP)
    with pytest.raises(NotStarted, match="the data from before are in place again"):
        list(action._replace(host, Stack.from_json(stack), "/sets/set-1", {}, plan))
    assert live(host) == {"before"}
    assert (restore_record.pending(host, STAMP) or {})["state"] == restore_record.ASIDE
    assert restore_record.last(host, "app") is None


def test_the_key_of_a_restore_goes_with_what_it_unpacked(tmp_path: Path) -> None:
    """A job that is killed ends without a last word, and the key stayed in memory until a reboot."""
    host, plan = world(tmp_path)
    path = restore_record.identity_path(host, STAMP)
    host.mkdir(host.runtime_dir)
    host.write(path, b"AGE-SECRET-KEY-1", 0o600)
    restore_record.drop(host, plan, AFTER)
    assert host.stat(path) is None and everything(tmp_path) == ["before"] * 3
