"""Findings of all checks, shown alike: each with its place and remedy in text, field by field in ``--json``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mnemo_ops.agent.base.finding import REFUSES, Finding
from mnemo_ops.agent.base.record import asdict, replace
from mnemo_ops.errors import Refused

AGAIN = "mend these and run the same command again"


def refused(id: str, where: str, evidence: str, remedy: str = "") -> Finding:
    """A finding because of which nothing is begun."""
    return Finding(id, REFUSES, where, evidence, remedy)


def of_host(name: str, rows: Sequence[Mapping[str, str]]) -> list[Finding]:
    """What a host reported of its own look. :param name: of the host, which it does not know."""
    found = [Finding(**row) for row in rows]
    return [replace(each, where=f"{name}: {each.where}" if each.where else name) for each in found]


def judge(found: Sequence[Finding], extra: dict[str, Any], now: str = "") -> list[str]:
    """Add them to what ``--json`` shows; warnings, a sentence each.

    :param extra: of the report. :param now: what is true on the hosts where something refuses.
    :raises Refused: names every finding that refuses, where, and its remedy (3).
    """
    rows = extra.setdefault("findings", [])
    rows += [row for row in map(asdict, found) if row not in rows]
    reasons = [each for each in found if each.severity == REFUSES]
    told = f"; {now}" if now else ""
    if len(reasons) == 1:
        (one,) = reasons
        raise Refused(f"{one.evidence}{told}", where=one.where, hint=one.remedy or AGAIN)
    if reasons:
        lines = "".join(f"\n  - {shown(each)}" for each in reasons)
        raise Refused(f"{len(reasons)} reasons not to begin{told}:{lines}", hint=AGAIN)
    return [f"{each.where}: {each.evidence}" + (f"; {each.remedy}" if each.remedy else "") for each in found]


def shown(one: Finding) -> str:
    """A finding among others: its remedy in a line of its own, as it is typed."""
    return f"{one.where}: {one.evidence}" + (f"\n    -> {one.remedy}" if one.remedy else "")
