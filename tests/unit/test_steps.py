"""Steps of a flow: in their order, and back in reverse, service first."""

from __future__ import annotations

from contextlib import suppress
from functools import partial

import pytest

from mnemo_ops.errors import MnemoError, StepFailed
from mnemo_ops.flows.engine import Step, Steps, Undo


class Runbook:
    """Steps that write down what happens."""

    def __init__(self, fails: tuple[str, ...] = ()) -> None:
        self.did: list[str] = []
        self.fails = fails
        self.steps = Steps(lambda text: None, lambda name, status: self.did.append(f"{name} {status}"))

    def do(self, name: str) -> None:
        self.did.append(name)
        if name in self.fails:
            raise StepFailed(f"{name} failed")

    def step(self, name: str, first: bool = False, commits: bool = False) -> Step:
        undo = Undo(name, partial(self.do, f"-{name}"), first)
        return Step(name, name, partial(self.do, name), undo, commits)

    def run(self, *steps: Step) -> list[str]:
        """What was undone. :raises: nothing, a step that fails ends it."""
        with suppress(MnemoError):
            self.steps.run(steps)
        self.did.clear()
        self.failed = self.steps.take_back()
        return self.did


def test_what_fails_is_taken_back_with_all_before_it_the_last_first() -> None:
    book = Runbook(fails=("c",))
    assert book.run(*map(book.step, "abcd")) == ["-c", "-b", "-a"]
    assert book.steps.take_back() == [] and not book.steps.can_undo
    assert [phase["name"] for phase in book.steps.phases] == ["a", "b"]


def test_what_gives_service_back_comes_first() -> None:
    book = Runbook(fails=("d",))
    assert book.run(book.step("a"), book.step("b", first=True), book.step("c"), book.step("d")) == [
        *("-b", "-d", "-c", "-a")
    ]


def test_what_cannot_be_undone_does_not_keep_the_others_from_it() -> None:
    book = Runbook(fails=("c", "-b"))
    assert book.run(*map(book.step, "abc")) == ["-c", "-b", "-a"]
    assert [(undo.sentence, error.exit_code) for undo, error in book.failed] == [("b", 6)]


@pytest.mark.parametrize(("fails", "undone"), [("c", ["-c"]), ("b", ["-b", "-a"])])
def test_behind_a_step_that_commits_nothing_is_taken_back(fails: str, undone: list[str]) -> None:
    book = Runbook(fails=(fails,))
    assert book.run(book.step("a"), book.step("b", commits=True), book.step("c")) == undone


def test_every_step_is_noted_before_it_is_done_and_after() -> None:
    book = Runbook()
    book.steps.run([book.step("a"), book.step("b")])
    assert book.did == ["a began", "a", "a done", "b began", "b", "b done"]
