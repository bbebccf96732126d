"""Killed before any write, and before any program that writes: an action done again gets where it was going."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import postgres_model
import pytest
from acted import ACTED
from acting import RUN, Acted, Acting, copied, do, forsake, killed, outcome
from sampling import sample
from world import World

from mnemo_ops.agent.actions.transfer import MakeKey
from mnemo_ops.agent.engine.action import KINDS, Action, action_class

FEW = 3


class Kept(Acting):
    """The host as it was before each write."""

    def __init__(self, root: str, **options: Any) -> None:
        super().__init__(root, keep=True, **options)


@pytest.fixture(autouse=True)
def postgres() -> Iterator[None]:
    with postgres_model.modelled():
        yield


def test_every_action_is_killed() -> None:
    """A new one has an example, or it only looks."""
    acting = {kind for kind in KINDS if action_class(kind).run is not Action.run}
    assert {acted.action().kind for acted in ACTED} == acting


def made(acted: Acted, root: Path) -> World:
    root.mkdir()
    world = World(root)
    acted.prepare(world)
    return world


def left(acted: Acted, world: World, number: int) -> World:
    """The host as a kill before this write leaves it: nothing that ends a block well, or badly, was done any more."""
    if not acted.inodes:
        return copied(world, number)
    other, writes = made(acted, copied(world, number).root), iter(range(number + 1))
    killed(other, acted.action(), lambda machine: next(writes) == number)
    return other


@pytest.mark.thorough
@pytest.mark.parametrize("acted", ACTED, ids=str)
def test_killed_between_any_two_writes_an_action_gets_there(acted: Acted, tmp_path: Path) -> None:
    world = made(acted, tmp_path / "host")
    machine: Any = world.machine(Acting if acted.inodes else Kept)
    for _ in acted.action().run(machine):
        pass
    assert (machine.writes == 0) == acted.quiet
    end = forsake if acted.late or acted.timed else lambda world: None
    end(world)
    wanted = outcome(world)
    for number in sample(range(machine.writes), FEW, str(acted)):
        host = left(acted, world, number)
        if acted.late:
            forsake(host)
        if not acted.late or outcome(host) != wanted:  # what the host brought to its end is not done again
            acted.before(host)
            do(host, acted.action())
            end(host)
        assert outcome(host) == wanted, number


def test_a_key_of_which_only_one_half_was_written_is_made_anew(tmp_path: Path) -> None:
    """The run that was killed there granted a key that was no key, for ever."""
    (tmp_path / "host").mkdir()
    world = World(tmp_path / "host")
    world.write(f"var/lib/mnemo_ops/keys/{RUN}", "half", 0o600)
    assert do(world, MakeKey(RUN))["public_key"].startswith("ssh-ed25519 ")
    assert world.read(f"var/lib/mnemo_ops/keys/{RUN}") != "half"
