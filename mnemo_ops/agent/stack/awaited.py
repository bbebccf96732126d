"""Awaited: while a stack starts, the machine's note names the container that is waited for and its last line of log."""

from __future__ import annotations

import contextlib
import threading
from typing import Callable, Iterator

from mnemo_ops.agent.base.lines import each_line
from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.stack.containers import Container, Found

LOOKING = 2.0  # seconds between two looks; most waiting is over before the first
LONGEST = 200  # characters of a log's line


@contextlib.contextmanager
def awaited(machine: Machine, look: Callable[[], Found]) -> Iterator[None]:
    """Note who is waited for until the block ends. :param look: what Docker says now of those that are waited for."""
    over = threading.Event()

    def tell() -> None:
        while not over.wait(LOOKING):
            with contextlib.suppress(Exception):  # it is only told: who waits says what is wrong
                note = _told(machine, look())
                if note and not over.is_set():
                    machine.note = note

    teller = threading.Thread(target=tell, daemon=True)
    teller.start()
    try:
        yield
    finally:
        over.set()
        teller.join()


def _told(machine: Machine, found: Found) -> str:
    ill = [each for each in found if not (each.ended or (each.state == "running" and each.health in ("", "healthy")))]
    if not ill:
        return ""
    first = min(ill, key=_behind)
    more = f" and {len(ill) - 1} more" if len(ill) > 1 else ""
    state = first.health if first.state == "running" else first.state
    # whoever starts the stack waits for this look to end
    said = machine.ask(["docker", "logs", "--tail", "1", first.name], check=False, timeout=LOOKING)
    line = ([""] + [one.strip() for one in each_line(said.out + said.err) if one.strip()])[-1][:LONGEST]
    return f"waiting for {first.name} ({state}){more}" + (f": {line}" if line else "")


def _behind(container: Container) -> bool:
    """It was not started yet: it waits for another itself."""
    return container.state == "created"
