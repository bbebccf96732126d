"""Limits that follow the machine: how slow it is just now is measured in the same run, beside what is timed."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

REFERENCE = 0.08  # seconds the work below takes on a machine with nothing else to do
WORK = "import json, subprocess; sum(range(2 * 10**6))"
PATIENCE = 60.0  # seconds until what must happen counts as what never does, where nothing is timed


def slowness() -> float:
    """How many times longer than usual a new process with something to do takes; at least 1."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-IS", "-c", WORK], check=True)
    return max(1.0, (time.perf_counter() - began) / REFERENCE)


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """What the block does takes no longer than that on an idle machine; a busy one has as much more as it is slower."""
    before, began = slowness(), time.monotonic()
    yield
    took = time.monotonic() - began
    assert took <= seconds or took <= (limit := seconds * max(before, slowness())), f"{took:.1f} s, not {limit:.1f} s"


def eventually(true: Callable[[], bool]) -> None:
    """Wait for it, however busy the machine is."""
    end = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < end, f"not within {PATIENCE:.0f} s"
        time.sleep(0.01)
