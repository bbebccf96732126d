"""What this process holds: threads, descriptors, children; for tests that ask whether something stayed behind."""

from __future__ import annotations

import contextlib
import gc
import threading
import time
from pathlib import Path

GRACE = 30.0  # seconds what a test closed may take to be gone on a busy machine; it is looked at all the time


def _descriptors() -> dict[str, str]:
    found = {}
    for link in Path("/proc/self/fd").iterdir():
        try:
            found[link.name] = str(link.readlink())
        except OSError:  # the one that listed the directory
            continue
    return found


def _children() -> set[str]:
    """Process ids, zombies included."""
    found: set[str] = set()
    for path in Path("/proc/self/task").glob("*/children"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # that thread just ended
            found |= set(path.read_text().split())
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
