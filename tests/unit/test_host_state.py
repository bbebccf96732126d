"""The state of a host in a play: what is stale after a change, and which end counts."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mnemo_ops.agent.base.protocol import Event
from mnemo_ops.core.model import Host, Play, Task
from mnemo_ops.core.options import Options
from mnemo_ops.execution.host_state import Failure, HostState
from mnemo_ops.execution.play_sync import Crew, End
from mnemo_ops.execution.results import Pending
from mnemo_ops.execution.task_renderer import NOTHING, Renderer
from mnemo_ops.templates.render import Unready


@pytest.fixture
def state() -> HostState:
    return HostState(Host("old", "old"))


def crew(state: HostState) -> Crew:
    hosts = [state.host, Host("new", "new")]
    return Crew(PLAY, hosts, hosts, {"old": state}, Options())


def failure(number: int) -> Failure:
    return Failure(number, Task(f"t{number}", f"task {number}", NOTHING, ""), Event(f"t{number}", "failed", why="so"))


PLAY = Play(name="p", hosts="all", tasks=(), handlers=(), where="")


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (lambda state: state.learn({"distribution": "Debian"}), "ansible_distribution"),
        (lambda state: state.set_variables({"a": 1}), "a"),
        (lambda state: state.set_variables({"a": "{{ 1 }}"}, templates=True), "a"),
        (lambda state: state.promise("a"), "a"),
    ],
)
def test_templates_see_every_change_of_a_variable(
    state: HostState, change: Callable[[HostState], None], name: str
) -> None:
    renderer = Renderer(PLAY, state, {}, Options(), crew(state).magic(state))
    assert name not in renderer.plain()
    change(state)
    assert name in renderer.plain()


def test_variables_of_an_include_end_with_it(state: HostState) -> None:
    renderer = Renderer(PLAY, state, {}, Options(), {})
    with state.overlaid({"a": 1}):
        assert renderer.plain()["a"] == 1
    assert "a" not in renderer.plain()


def test_what_waits_is_waited_for_and_not_unknown(state: HostState) -> None:
    assert not issubclass(Pending, Unready)
    state.promise("a")
    renderer = Renderer(PLAY, state, {}, Options(), {})
    with pytest.raises(Pending):
        str(renderer.plain()["a"])
    state.take()
    assert "a" not in renderer.plain()


def test_the_first_failure_counts_and_a_cleaning_up_does_not_change_it(state: HostState) -> None:
    state.fail(failure(1))
    state.fail(failure(2))
    with state.all_the_same():
        assert not state.over
    assert state.failure is not None and state.failure.number == 1 and state.over
    assert state.rescued() is not None and not state.over


def test_a_host_that_left_is_waited_for_by_nobody_and_every_end_is_known(state: HostState) -> None:
    ours = crew(state)
    ours.end_host("new")
    assert ours.others("old") == set() and not ours.ended
    ours.end_host("old", End.BATCH)
    ours.end_host("new", End.PLAY)
    assert ours.ended and ours.ends == {End.BATCH, End.PLAY}
