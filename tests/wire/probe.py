"""A kind for tests only, shipped inside the agent's zip: a file, and everything a kind must not be able to break."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import ClassVar

from mnemo_ops.agent.base.record import dataclass
from mnemo_ops.agent.base.state import ABSENT, Change, State
from mnemo_ops.agent.engine.resource import Resource
from mnemo_ops.agent.machine import Machine

LONGEST = 120.0  # seconds a test may let it wait
print("an import that prints")


@dataclass(frozen=True)
class Probe(Resource):
    """The file ``path`` exists.

    :param seconds: applying takes this long, after the file is there.
    :param noise: bytes printed to stdout and to stderr, by Python, by the descriptor and by a child.
    :param size: bytes of a text in the state.
    :param hold: applying takes until this file exists.
    :param linger: leave a child behind that lives this many seconds.
    :param bug: raise something nobody expects.
    """

    kind: ClassVar[str] = "probe"

    path: str
    seconds: float = 0.0
    noise: int = 0
    size: int = 0
    linger: float = 0.0
    hold: str = ""
    bug: bool = False

    def desired(self) -> State:
        return {"there": True}

    def observe(self, machine: Machine) -> State:
        if self.bug:
            raise ZeroDivisionError("a bug")
        if self.noise:
            self._make_noise()
        return ABSENT if machine.stat(self.path) is None else {"there": True, "text": "x" * self.size}

    def apply(self, machine: Machine, change: Change) -> State:
        machine.write(self.path, b"")
        if self.linger:
            subprocess.Popen(["sleep", str(self.linger)], start_new_session=True)
        time.sleep(self.seconds)
        end = time.monotonic() + LONGEST
        while self.hold and not os.path.exists(self.hold) and time.monotonic() < end:  # noqa: PTH110
            time.sleep(0.01)
        return None

    def _make_noise(self) -> None:
        for stream in (sys.stdout, sys.stderr):
            stream.write("{" * self.noise + "\n")
            stream.flush()
        for descriptor in (1, 2):
            left = self.noise
            while left > 0:
                left -= os.write(descriptor, b"{" * min(left, 1 << 16))
        subprocess.run(["sh", "-c", "echo a child speaks; echo and complains >&2; cat"], check=True)
