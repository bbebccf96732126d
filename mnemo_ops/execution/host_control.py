"""Control: what the kinds that the controller does itself ask of a run: time, variables, the way to the host."""

from __future__ import annotations

import contextlib
import time
from typing import Optional, Protocol

from mnemo_ops.agent.base.protocol import Event
from mnemo_ops.agent.engine.resource import Resource
from mnemo_ops.core.model import Batch, Task
from mnemo_ops.core.options import Options
from mnemo_ops.errors import ChannelLost, StepFailed, Unreachable
from mnemo_ops.execution.batch import Channel, Outbox, Outcomes
from mnemo_ops.execution.host_state import HostState
from mnemo_ops.execution.play_sync import Crew, End


class Reach(Protocol):
    """The ways to where tasks are done."""

    def session(self) -> Channel:
        """The host's; opened when first asked for."""
        ...

    def here(self) -> Channel:
        """This machine's, for ``delegate_to: localhost``."""
        ...

    def again(self, timeout: float, connect_timeout: Optional[float], pause: float) -> Channel:
        """The host's after it went away: waits until it answers. :raises Unreachable: it does not (4)."""
        ...

    def hang_up(self) -> None: ...


class Control:
    """One play on one host."""

    def __init__(self, state: HostState, reach: Reach, outbox: Outbox, options: Options, crew: Crew) -> None:
        self.state, self.options = state, options
        self._reach, self._out, self._crew = reach, outbox, crew

    @property
    def session(self) -> Channel:
        return self._out.session

    def clock(self) -> float:
        """Seconds, for durations."""
        return time.monotonic()

    @property
    def ended(self) -> bool:
        """Whether all hosts of the play take no further task."""
        return self._crew.ended

    def wait(self, task: Task, seconds: float, note: str) -> Outcomes:
        """Time that passes; shows how much is left."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0 and not self.ended:
            yield task, Event(task.id, "progress", after={"note": f"{note}: {left:.0f} s"})
            time.sleep(min(left, 1.0))

    def end_here(self, word: str) -> None:
        """``end_host``, ``end_batch``, ``end_play``."""
        self.state.end()
        self._crew.end_host(self.state.host.name, None if word == "end_host" else End(word))

    def last_word(self, batch: Batch) -> None:
        """Send what ends the connection."""
        with contextlib.suppress(ChannelLost):
            for _ in self._out.session.converge(batch):
                pass
        self._reach.hang_up()

    def reconnect(self, timeout: float, connect_timeout: Optional[float] = None, pause: float = 1.0) -> None:
        """Wait until the host answers again. :raises Unreachable: it does not, for ``timeout`` seconds (4)."""
        self._out.meet(self._reach.again(timeout, connect_timeout, pause))

    def ask(self, task: Task, resource: Resource) -> Event:
        """What becomes of a resource asked for on the side."""
        asked = Task(task.id, task.name, resource, task.where, register="asked", ignore_errors=True)
        *_, last = self._out.session.converge(Batch((asked,)))
        return last

    def until_it_works(self, task: Task, resource: Resource, seconds: float) -> Outcomes:
        """Ask the host again and again. :raises StepFailed: it was not so for that long (6).

        :raises Unreachable: it went away, and stays away (4).
        """
        end = time.monotonic() + seconds
        while True:
            try:
                said = self.ask(task, resource)
            except Unreachable:  # gone again: its SSH server may start twice
                if time.monotonic() > end:
                    raise
                self.reconnect(end - time.monotonic())
                continue
            if said.status != "failed":
                return
            if time.monotonic() > end:
                raise StepFailed(f"the host rebooted, but its test command fails: {said.why}")
            yield from self.wait(task, 1.0, "not ready yet")
