"""What the system refuses is the failure of a step: it names the file the task is about, and says what helps."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest
from running import run, task
from world import World

from mnemo_ops.agent.machine import Machine
from mnemo_ops.errors import from_json


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    world = World(tmp_path)
    world.write("etc/hosts", "here\n")
    return world.machine()


def refuse(monkeypatch: pytest.MonkeyPatch, call: str, number: int) -> None:
    real = getattr(os, call)

    def refused(*names: Any, **more: Any) -> Any:
        source, *target = names
        if call == "open" and not (target and target[0] & os.O_CREAT):
            return real(*names, **more)  # it may be read
        raise OSError(number, os.strerror(number), source, None, *[one for one in target if isinstance(one, str)])

    monkeypatch.setattr(os, call, refused)


@pytest.mark.parametrize(
    "one",
    [
        task("lineinfile", path="/etc/hosts", line="x"),
        task("lineinfile", path="/etc/hosts", line="x", validate="true %s"),
        task("copy", dest="/etc/hosts", content="x"),
        task("blockinfile", path="/etc/hosts", block="x"),
    ],
)
def test_a_file_that_is_mounted_by_itself(machine: Machine, monkeypatch: pytest.MonkeyPatch, one: Any) -> None:
    refuse(monkeypatch, "rename", errno.EBUSY)
    event = run(one, machine)
    assert event.error is not None and event.status == "failed"
    error, path = from_json(event.error), machine.path("/etc/hosts")
    assert error.exit_code == 6
    if "validate" not in one.args:
        assert error.message == f"Device or resource busy: {path}"
        assert error.hint.startswith(f"{path} ")
    assert machine.read("/etc/hosts") == b"here\n"


@pytest.mark.parametrize(("root", "helps"), [(True, False), (False, True)])
def test_a_forgotten_become(machine: Machine, monkeypatch: pytest.MonkeyPatch, root: bool, helps: bool) -> None:
    refuse(monkeypatch, "open", errno.EACCES)
    monkeypatch.setattr(Machine, "is_root", root)
    event = run(task("copy", dest="/etc/new", content="x"), machine)
    assert event.error is not None
    error = from_json(event.error)
    assert (error.exit_code, error.message) == (6, f"Permission denied: {machine.path('/etc/new')}")
    assert ("become: true" in error.hint) == helps
