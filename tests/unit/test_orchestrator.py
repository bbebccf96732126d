"""Services stop and start in one place; who calls it decides which, and what follows when one does not start."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from test_layers import container

from mnemo_ops.agent import actions, stack
from mnemo_ops.agent.actions import volume_move
from mnemo_ops.agent.stack import containers
from mnemo_ops.agent.stack.orchestrator import Orchestrator
from mnemo_ops.agent.stack.stack import Stack
from mnemo_ops.errors import Broken, CommandFailed, NotStarted

P = Stack("p", "/srv/p", ("c.yml",), ".env", "/sets", (), ("db",), {})
FOUND = [container("db"), container("api", "db"), container("web", "api", published=True)]


class Machine:
    """Takes every command, or refuses each."""

    def __init__(self, fails: str = "") -> None:
        self.ran: list[list[str]] = []
        self.fails = fails
        self.note = ""

    def run(self, argv: list[str], **_: Any) -> None:
        self.ran.append(argv)
        if self.fails:
            raise CommandFailed(self.fails)

    def run_each(self, argvs: list[list[str]], **_: Any) -> None:
        self.ran += argvs


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containers, "containers", lambda *_: FOUND)


def of(machine: Machine) -> Orchestrator:
    return Orchestrator(machine, P)  # type: ignore[arg-type]


def written(path: Path) -> Iterator[str]:
    """Lists and calls of a module whose words are a command that stops or starts."""
    words = ({"docker", "stop"}, {"docker", "start"}, {"docker", "--restart"}, {"up", "--no-build"}, {"up", "-d"})
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, (ast.List, ast.Tuple, ast.Call)):
            inner = node.args if isinstance(node, ast.Call) else node.elts
            texts = {one.value for one in inner if isinstance(one, ast.Constant)}
            yield from (f"{path.name}:{node.lineno}" for each in words if each <= texts)


def test_nothing_else_of_the_agent_stops_or_starts_what_a_stack_is() -> None:
    rooms = [Path(str(each.__file__)).parent for each in (actions, stack)]
    found = [one for room in rooms for path in room.rglob("*.py") for one in written(path)]
    # place.py: the throw-away server of a copy, which no stack knows
    assert {one.partition(":")[0] for one in found} == {"orchestrator.py", "place.py"}


@pytest.mark.parametrize(
    ("which", "names"),
    [
        ({}, [["p-web-1"], ["p-api-1"], ["p-db-1"]]),
        ({"but": ("db",)}, [["p-web-1"], ["p-api-1"]]),
        ({"only": ("db", "api")}, [["p-api-1"], ["p-db-1"]]),
        ({"only": ()}, []),
    ],
)
def test_it_stops_those_that_are_meant_from_the_outside_in(which: Any, names: list[list[str]]) -> None:
    machine = Machine()
    list(of(machine).stop(**which))
    assert [argv[4:] for argv in machine.ran] == names and all(argv[:2] == ["docker", "stop"] for argv in machine.ran)


def test_what_does_not_come_up_is_told_and_a_move_is_never_given_up_for_it() -> None:
    """A lease tries :class:`NotStarted` for a while only; half of a move is of no use to anybody."""
    machine = Machine("docker compose ended with 1: Container p-api  Starting\nbind: address already in use")
    with pytest.raises(NotStarted, match="address already in use"):
        list(of(machine).up(["api"]))
    with pytest.raises(Broken, match="address already in use") as caught:
        list(volume_move._up(machine, P, {"services": ["api"], "idle": []}))  # type: ignore[arg-type]
    assert not isinstance(caught.value, NotStarted) and [argv[-1] for argv in machine.ran] == ["api", "api"]
