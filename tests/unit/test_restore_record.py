"""Two sides of a restore and one place for them: whatever is interrupted where, none of them is ever lost."""

from __future__ import annotations

import re
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
from mnemo_ops.errors import NotStarted, Refused
from mnemo_ops.stack.definition import wire

STAMP = "20261129T120000Z-ab12"


class Killed(Exception):
    pass


class Server:
    """The databases of a server by name, and what is in each."""

    def __init__(self, host: Host, found: dict[str, str]) -> None:
        self.host, self.found = host, found

    def exists(self, name: str) -> bool:
        return name in self.found

    def sql(self, text: str, database: str = "") -> str:
        self.host.step()
        if renamed := re.search(r'ALTER DATABASE "(.*?)" RENAME TO "(.*?)"', text):
            assert len(renamed[2]) < 64 and renamed[2] not in self.found
            self.found[renamed[2]] = self.found.pop(renamed[1])
        elif dropped := re.search(r'DROP DATABASE IF EXISTS "(.*?)"', text):
            self.found.pop(dropped[1], None)
        return ""


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


def world(tmp_path: Path) -> tuple[Host, Server, Plan]:
    for name in ("graph", "uploads"):
        for place, text in ((name, "before"), (f".mnemo-after-{STAMP}-{name}", "after")):
            (tmp_path / "data" / place).mkdir(parents=True)
            (tmp_path / "data" / place / "file").write_text(text)
    (tmp_path / "var/lib").mkdir(parents=True)
    host = Host(str(tmp_path), state_dir="/var/lib/mnemo_ops")
    server = Server(host, {"app": "before", restore_record.database(AFTER, STAMP): "after"})
    plan = restore_record.plan(STAMP, "set-1", "app", ["/data/graph", "/data/uploads"], 0.0)
    return host, server, {**plan, "database": "app"}


def live(host: Host, server: Server) -> set[str]:
    files = {(host.read_text(f"/data/{name}/file") or "gone") for name in ("graph", "uploads")}
    return files | {server.found.get("app", "gone")}


def everything(tmp_path: Path, server: Server) -> list[str]:
    """What is there at all, wherever it lies."""
    return sorted([each.read_text() for each in (tmp_path / "data").rglob("file")] + list(server.found.values()))


def place(host: Host, server: Any, plan: Plan, side: str, killed_before: int) -> None:
    host.left = killed_before
    try:
        restore_record.place(host, server, plan, side)
    except Killed:
        pass
    finally:
        host.left = 10**9


@pytest.mark.parametrize("first", range(10))
@pytest.mark.parametrize("second", range(10))
def test_killed_anywhere_forth_and_back_either_side_can_be_put_in_place(
    tmp_path: Path, first: int, second: int
) -> None:
    host, server, plan = world(tmp_path)
    whole = everything(tmp_path, server)
    assert whole == sorted(["before", "after"] * 3)
    place(host, server, plan, AFTER, first)
    assert everything(tmp_path, server) == whole
    place(host, server, plan, BEFORE, second)
    assert everything(tmp_path, server) == whole
    for side in (BEFORE, BEFORE, AFTER, AFTER, BEFORE):
        restore_record.place(host, server, plan, side)  # type: ignore[arg-type]
        assert live(host, server) == {side}
        assert everything(tmp_path, server) == whole


def test_what_docker_made_of_a_directory_it_missed_does_not_stand_in_the_way_and_what_was_written_there_stays(
    tmp_path: Path,
) -> None:
    host, server, plan = world(tmp_path)
    place(host, server, plan, AFTER, 1)  # graph is renamed aside, nothing is in its place
    (tmp_path / "data/graph").mkdir()
    assert restore_record.place(host, server, plan, BEFORE) == []  # type: ignore[arg-type]
    assert live(host, server) == {"before"}
    place(host, server, plan, AFTER, 1)
    (tmp_path / "data/graph").mkdir()
    (tmp_path / "data/graph/new").write_text("somebody's")
    (kept,) = restore_record.place(host, server, plan, AFTER)  # type: ignore[arg-type]
    assert live(host, server) == {"after"}
    assert host.read_text(f"{kept}/new") == "somebody's"


def test_the_undoing_of_one_restore_does_nothing_to_another(tmp_path: Path) -> None:
    host, server, plan = world(tmp_path)
    restore_record.place(host, server, plan, AFTER)  # type: ignore[arg-type]
    restore_record.keep(host, plan, AFTER)
    assert restore_record.pending(host, "another") is None
    last = restore_record.last(host, "app")
    assert last is not None and (last["stamp"], last["live"]) == (STAMP, AFTER)
    other = {**plan, "stamp": "another"}
    restore_record.begin(host, other)
    restore_record.keep(host, other, AFTER)
    found = restore_record.last(host, "app")
    assert found is not None and [each["stamp"] for each in found["superseded"]] == [STAMP]
    restore_record.drop_superseded(host, server, "app")  # type: ignore[arg-type]
    assert live(host, server) == {"after"} and everything(tmp_path, server) == ["after"] * 3


def test_a_record_of_an_earlier_version_can_still_be_undone(tmp_path: Path) -> None:
    """It named no sides, and what it replaced lay where it lies now."""
    host, server, plan = world(tmp_path)
    restore_record.place(host, server, plan, AFTER)  # type: ignore[arg-type]
    old_name = "app_before_20261129t120000z_ab12"
    server.found[old_name] = server.found.pop(plan[BEFORE])
    host.mkdir("/var/lib/mnemo_ops")
    host.mkdir("/var/lib/mnemo_ops/restores")
    text = f'{{"id": "s", "stamp": "{STAMP}", "at": 1.0, "paths": ["/data/graph", "/data/uploads"], "database": "app"'
    host.write("/var/lib/mnemo_ops/restores/app.json", f'{text}, "before": "{old_name}", "previous": null}}'.encode())
    found = restore_record.last(host, "app")
    assert found is not None and found["live"] == AFTER
    restore_record.place(host, server, found, BEFORE)  # type: ignore[arg-type]
    assert live(host, server) == {"before"}


def test_only_names_of_ours_are_dropped(tmp_path: Path) -> None:
    server = world(tmp_path)[1]
    with pytest.raises(Refused):
        restore_record.drop_database(server, "app")  # type: ignore[arg-type]


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
    host, server, plan = world(tmp_path)
    restore_record.place(host, server, plan, AFTER)  # type: ignore[arg-type]
    restore_record.begin(host, {**plan, "state": state})
    monkeypatch.setattr(containers, "containers", lambda *_: [SimpleNamespace(running=runs, service="api")])
    monkeypatch.setattr(swap, "database_of", lambda *_: server)
    monkeypatch.setattr(swap, "_ready_to_place", lambda *_: iter(()))
    stack = wire(Stack("app", "/srv/app", (), ".env", "/sets", (), ("postgres",), {}))
    for _ in range(2):
        assert list(swap.UndoSwap(stack, STAMP).run(host)) is not None
        assert live(host, server) == {side}
        pending, last = restore_record.pending(host, STAMP), restore_record.last(host, "app")
        assert (pending or {"state": ""})["state"] == then
        assert (last is not None) == (side == "after")
    assert everything(tmp_path, server) == sorted(["before", "after"] * 3)


def test_a_restore_that_does_not_start_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is killed then is finished; what fails is not."""
    host, server, plan = world(tmp_path)
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
    for name in ("_extract", "_rows"):
        monkeypatch.setattr(load.LoadSet, name, nothing)
    for module in (load, swap):
        monkeypatch.setattr(module, "database_of", lambda *_: server)
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
    assert live(host, server) == {"before"}
    assert (restore_record.pending(host, STAMP) or {})["state"] == restore_record.ASIDE
    assert restore_record.last(host, "app") is None
