"""An action for tests only, shipped inside the agent's zip: takes its time and writes down what it did."""

from __future__ import annotations

import os
import time
from typing import ClassVar

from mnemo_ops.agent.base.progress import Deed, Progress
from mnemo_ops.agent.base.record import dataclass
from mnemo_ops.agent.engine.action import Action
from mnemo_ops.agent.machine import Machine
from mnemo_ops.errors import Refused, VerificationFailed

LONGEST = 120.0  # seconds a test may let it wait


def until(path: str) -> None:
    """The test made this file; no name, no waiting."""
    end = time.monotonic() + LONGEST
    while path and not os.path.exists(path) and time.monotonic() < end:  # noqa: PTH110
        time.sleep(0.01)


@dataclass(frozen=True)
class Dawdle(Action):
    """``steps`` lines in the file ``path``, ``seconds`` apart; then ``fail`` with that text.

    :param last: a note of its own that follows the last step at once.
    :param hold: it ends once this file exists.
    """

    kind: ClassVar[str] = "dawdle"

    path: str
    steps: int = 3
    seconds: float = 0.0
    fail: str = ""
    password: str = ""
    last: str = ""
    hold: str = ""

    def ready(self, machine: Machine) -> dict[str, int]:
        if self.fail:
            raise Refused(self.fail)
        return {"steps": self.steps}

    def run(self, machine: Machine) -> Deed:
        for step in range(self.steps):
            machine.append(self.path, b"step\n")
            yield Progress(step, self.steps, "dawdling")
            time.sleep(self.seconds)
            machine.note = f"after step {step}" if step + 1 < self.steps else ""
        if self.last:
            yield Progress(note=self.last)
        until(self.hold)
        if self.fail:
            raise VerificationFailed(self.fail, hint="look again")
        return {"steps": self.steps}
