"""What the kinds around access, commands and the network promise beyond the contract."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from example import files
from running import run, task
from world import World


@pytest.fixture
def world(tmp_path: Path) -> World:
    (tmp_path / "host").mkdir()
    return World(tmp_path / "host")


def seen(world: World, kind: str, **args: Any) -> dict[str, Any]:
    """What ``register`` would hold."""
    event = run(task(kind, register=True, **args), world.machine())
    return dict((event.before if event.status == "failed" else event.after) or {})


# -- programs ----------------------------------------------------------------------------------------------------------


def test_a_command_leaves_ansibles_record(world: World) -> None:
    record = seen(world, "shell", cmd="echo a; echo b >&2; exit 3")
    assert (record["rc"], record["stdout"], record["stderr"]) == (3, "a", "b")
    assert record["cmd"] == "echo a; echo b >&2; exit 3"
    assert record["delta"].startswith("0:00:0") and len(record["start"]) == len("2026-01-01 00:00:00.000000")
    assert seen(world, "raw", free_form="echo a")["stdout"] == "a\n"


def test_a_program_that_is_not_there_is_a_record_too(world: World) -> None:
    assert seen(world, "command", cmd="nosuch --version")["rc"] == 2


def test_creates_is_relative_to_chdir_and_left_out_is_not_skipped(world: World) -> None:
    files(done="1")(world)
    record = seen(world, "command", cmd="nosuch", chdir="/srv", creates="done")
    assert record["rc"] == 0 and "done exists" in record["msg"] and "skipped" not in record


def test_a_tilde_is_the_home_of_the_user(world: World) -> None:
    world.write("root/made", "")
    world.write("home/old/made", "")
    for path in ("~/made", "~old/made"):
        assert run(task("shell", cmd="exit 1", creates=path), world.machine()).status == "ok"
