"""What a Python package requires, and whether a version fits (PEP 440, PEP 508 without markers). Pure."""

from __future__ import annotations

import re
from typing import List, Optional, Tuple

from mnemo_ops.agent.base.record import dataclass

_SPEC = re.compile(
    r"([A-Za-z0-9][\w.-]*)\s*(?:\[[\w\s,.-]*\])?\s*\(?((?:(?:===|[=!<>~]=|[<>])\s*[\w.!+*-]+\s*,?\s*)*)\)?"
)
_CLAUSE = re.compile(r"(===|[=!<>~]=|[<>])\s*([\w.!+*-]+)")
_VERSION = re.compile(
    r"v?(?:(\d+)!)?(\d+(?:\.\d+)*)"
    r"(?:[-_.]?(a|b|c|rc|alpha|beta|pre|preview)[-_.]?(\d*))?"
    r"(?:[-_.]?(post|rev|r)[-_.]?(\d*)|-(\d+))?"
    r"(?:[-_.]?(dev)[-_.]?(\d*))?(?:\+[\w.-]+)?"
)
_EARLY = {"a": 0, "alpha": 0, "b": 1, "beta": 1}  # every other word for it is a candidate: 2

Key = Tuple[int, Tuple[int, ...], Tuple[int, int], int, int]


def canonical(name: str) -> str:
    """A package's name as it is compared."""
    return re.sub(r"[-_.]+", "-", name).lower()


@dataclass(frozen=True)
class Requirement:
    """``name``: canonical; ``clauses``: comparison and version, all of which must hold."""

    name: str
    clauses: Tuple[Tuple[str, str], ...]

    def fits(self, version: Optional[str]) -> bool:
        return version is not None and all(_holds(version, *clause) for clause in self.clauses)


def parsed(text: str) -> Optional[Requirement]:
    """``None`` for what only pip understands: addresses, paths, markers, options."""
    found = _SPEC.fullmatch(text.strip())
    return Requirement(canonical(found[1]), tuple(_CLAUSE.findall(found[2]))) if found else None


def words(text: str) -> List[str]:
    """A list in one text: ``a>=1,<2,b`` are two."""
    found: List[str] = []
    for part in text.split(","):
        if found and part.strip()[:1] in ("=", "<", ">", "!", "~"):
            found[-1] += "," + part
        elif part.strip():
            found.append(part.strip())
    return found


def _holds(version: str, comparison: str, wanted: str) -> bool:
    if comparison == "===" or not (
        _VERSION.fullmatch(wanted.rstrip(".*").lower()) and _VERSION.fullmatch(version.lower())
    ):
        return version == wanted
    here, there = _key(version), _key(wanted.rstrip(".*"))
    if comparison in ("==", "!="):
        numbers = _numbers(wanted.rstrip(".*"))
        same = _numbers(version, len(numbers)) == numbers if wanted.endswith(".*") else here == there
        return same == (comparison == "==")
    if comparison == "~=":
        numbers = _numbers(wanted)[:-1]
        return here >= there and _numbers(version, len(numbers)) == numbers
    return {">=": here >= there, "<=": here <= there, ">": here > there, "<": here < there}[comparison]


def _numbers(version: str, count: int = 0) -> Tuple[int, ...]:
    found = _VERSION.fullmatch(version.lower())
    numbers = [int(number) for number in found[2].split(".")] if found else []
    return tuple((numbers + [0] * count)[:count] if count else numbers)


def _key(version: str) -> Key:
    """Ordered as PEP 440 orders: development, alpha, beta, candidate, the version itself, what came after it."""
    found = _VERSION.fullmatch(version.lower())
    assert found is not None
    epoch, release, early, early_number, post, post_number, minus, dev, dev_number = found.groups()
    numbers = [int(number) for number in release.split(".")]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    before = (
        (_EARLY.get(early, 2), int(early_number or 0)) if early else (-1 if dev and not post and not minus else 3, 0)
    )
    after = int(post_number or minus or 0) if post or minus else -1
    return int(epoch or 0), tuple(numbers), before, after, int(dev_number or 0) if dev else 1 << 60
