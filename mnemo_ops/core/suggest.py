"""The nearest valid name: half of every good error message."""

from __future__ import annotations

import difflib
from typing import Iterable


def nearest(word: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """The known name most like ``word``; empty when none reaches ``cutoff`` (0: anything, 1: the same)."""
    names = {name.lower(): name for name in sorted(known)}
    found = difflib.get_close_matches(word.lower(), names, n=1, cutoff=cutoff)
    return names[found[0]] if found else ""


def suggest(word: str, known: Iterable[str], few: int = 12) -> str:
    """A hint: the nearest name, else all of them when they are few, else nothing."""
    names = sorted(known)
    found = nearest(word, names)
    if found:
        return f"did you mean '{found}'?"
    return f"valid names: {', '.join(names)}" if 0 < len(names) <= few else ""


def few_of(word: str, known: Iterable[str], more: str) -> str:
    """A hint where there are too many names to list: the nearest three, and ``more``: which command lists all."""
    near = difflib.get_close_matches(word.lower(), sorted(known), n=3, cutoff=0.6)
    return f"nearest: {', '.join(near)}; {more}" if near else more
