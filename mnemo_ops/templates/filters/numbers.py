"""Filters on numbers and amounts."""

from __future__ import annotations

import math
import re
from typing import Any, Callable, Optional

_UNITS = {"B": 0, "K": 1, "M": 2, "G": 3, "T": 4, "P": 5, "E": 6, "Z": 7, "Y": 8}
_NAMES = {"K": "kilo", "M": "mega", "G": "giga", "T": "tera", "P": "peta", "E": "exa", "Z": "zetta", "Y": "yotta"}


def human_readable(size: Any, isbits: bool = False, unit: Optional[str] = None) -> str:
    """``1.50 MB``; with ``isbits`` ``1.50 Mb``."""
    if isinstance(size, str):
        raise TypeError("human_readable needs a number; use | int")
    for letter in sorted(_UNITS, key=lambda one: -_UNITS[one]):
        if (unit is None and size >= 1024 ** _UNITS[letter]) or (unit is not None and unit.upper() == letter):
            break
    suffix = {False: "Bytes", True: "bits"}[isbits] if letter == "B" else letter + ("b" if isbits else "B")
    return f"{size / 1024 ** _UNITS[letter]:.2f} {suffix}"


def human_to_bytes(size: Any, default_unit: Optional[str] = None, isbits: bool = False) -> int:
    """``10MB`` as a count: of bytes, or of bits with ``isbits``, whose units end in ``b``."""
    found = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]*)?|\.[0-9]+)\s*([A-Za-z]*)\s*", str(size))
    if not found:
        raise ValueError(f"human_to_bytes: {size!r} is not an amount such as 10MB")
    unit = found[2] or default_unit or "B"
    letter = unit[0].upper()
    small, word = ("b", "bit") if isbits else ("B", "byte")
    known = {letter, letter.lower(), letter + small, letter.lower() + small} if letter != "B" else {"B", "b"}
    known = known - {letter.lower() + small} if isbits else known
    named = {word} if letter == "B" else {_NAMES.get(letter, "") + word}
    if letter not in _UNITS or (unit not in known and unit.lower() not in named):
        raise ValueError(f"human_to_bytes: '{unit}' is not a unit of {'bits' if isbits else 'bytes'}")
    factor: int = 1024 ** _UNITS[letter]
    return round(float(found[1]) * factor)


def root(value: Any, base: Any = 2) -> float:
    return math.sqrt(value) if base == 2 else math.pow(value, 1.0 / float(base))


def log(value: Any, base: Any = math.e) -> float:
    return math.log10(value) if base == 10 else math.log(value, base)


FILTERS: dict[str, Callable[..., Any]] = {
    "human_readable": human_readable,
    "human_to_bytes": human_to_bytes,
    "log": log,
    "pow": lambda value, power: math.pow(value, power),
    "root": root,
}
