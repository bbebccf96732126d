"""What this process holds: threads, descriptors, children; for tests that ask whether something stayed behind."""

from __future__ import annotations

import contextlib
import gc
import os
import threading
import time

GRACE = 30.0  # seconds what a test closed may take to be gone on a busy machine; it is looked at all the time


def _descriptors() -> dict[str, str]:
    found = {}
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 - before and after each of ten thousand tests
        with contextlib.suppress(OSError):  # the one that listed the directory
            found[name] = os.readlink(f"/proc/self/fd/{name}")  # noqa: PTH115
    return found


def _children() -> set[str]:
    """Process ids, zombies included."""
    found: set[str] = set()
    for thread in os.listdir("/proc/self/task"):  # noqa: PTH208
        with contextlib.suppress(OSError), open(f"/proc/self/task/{thread}/children") as file:  # noqa: PTH123
            found |= set(file.read().split())  # else that thread just ended
    return found


def held() -> set[str]:
    """What this process holds just now, one line for each."""
    threads = {f"thread {thread.name} ({thread.ident})" for thread in threading.enumerate()}
    descriptors = {f"descriptor {number} -> {where}" for number, where in _descriptors().items()}
    return threads | descriptors | {f"child process {pid}" for pid in _children()}


def leaked(before: set[str], grace: float = GRACE) -> set[str]:
    """What is held more than ``before`` even after ``grace`` seconds."""
    end = time.monotonic() + grace
    while more := held() - before:
        if time.monotonic() > end:
            return more
        gc.collect()
        time.sleep(0.02)
    return set()
