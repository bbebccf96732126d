"""What follows from a compose project, as its host reads it; for people, in lines of 80 columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mnemo_ops.agent.actions.project import ShowStack
from mnemo_ops.core.model import Host
from mnemo_ops.core.visible import folded, in_a_line
from mnemo_ops.flows.engine import Flow
from mnemo_ops.stack.definition import wire

COLUMNS = 80


def look(flow: Flow, host: Host) -> dict[str, Any]:
    """``directory`` and ``rows`` of the project of a host.

    :raises Refused: its files are gone (3). :raises CommandFailed: Compose cannot read them (6).
    """
    return flow.ready(host, ShowStack(wire(flow.declared(host))))


def table(host: str, told: Mapping[str, Any]) -> list[str]:
    """What :func:`look` found."""
    return [part for line in _lines(host, told) for part in folded(line, COLUMNS).split("\n")]


def _lines(host: str, told: Mapping[str, Any]) -> Iterator[str]:
    yield f"{host}: the stack in {in_a_line(told['directory'])}"
    topic = ""
    for row in told["rows"]:
        if row["topic"] != topic:
            topic = row["topic"]
            yield in_a_line(topic).upper()
        yield f"  {in_a_line(row['what'])}: {in_a_line(row['value'])}"
        yield f"    {in_a_line(row['reason'])}"
        if row["overrule"]:
            yield f"    -> {in_a_line(row['overrule'])}"
