"""Both hosts as they are now, believed as far as one is told of the other."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from mnemo_ops.agent.actions.survey import Survey
from mnemo_ops.agent.base import validators
from mnemo_ops.checks.preflight import Side
from mnemo_ops.core.model import Host
from mnemo_ops.errors import Locked, Refused
from mnemo_ops.flows.migrate.context import Context
from mnemo_ops.transport.session import connect


def both(context: Context) -> tuple[Side, Side]:
    """Survey old and new in parallel. :raises Unreachable: one does not answer (4).
    :raises Locked: somebody else works on one (5). :raises Refused: they are one machine (3).
    """
    try:
        sides = context.flow.fleet.each([context.old, context.new], lambda host: one(context, host))
    except Locked as error:
        _refuse_one_machine(context)
        raise error
    context.sides = (sides[context.old.name], sides[context.new.name])
    return context.sides


def one(context: Context, host: Host) -> Side:
    """Survey a host."""
    session = context.flow.fleet.session(host)
    asked = time.time()
    aside = {row["name"]: "" for row in context.rows if row["type"] == "block" or row.get("addresses")}
    directories = {**{row["name"]: row["directory"] for row in context.rows if row["directory"]}, **aside}
    survey = session.ready(Survey(context.stack, directories))
    return Side(host.name, session.facts, _understood(host.name, survey), asked)


def _refuse_one_machine(context: Context) -> None:
    """One machine under two names locks itself out. :raises Refused: that is why it is locked (3)."""
    ids = {}
    for host in (context.old, context.new):
        with connect(host, become=True) as session:
            ids[host.name] = str(session.facts.get("machine_id", host.name))
    old, new = context.names
    if ids[old] == ids[new]:
        raise Refused(
            f"{old} and {new} are the same machine (machine-id {ids[old][:12]})", hint="name another host with --to"
        )


def _two_names(given: Any) -> Any:
    return given and validators.each(validators.text, 2)(given)  # none: of an earlier version


def _understood(name: str, survey: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a host says of itself, as far as the other is told of it. :raises Refused: it is not of its form (3)."""
    with validators.by(name):
        validators.machine_id(survey.get("machine_id"))
        validators.each(validators.text)(survey.get("steps", ()))
        for mark in (survey.get("fence"), survey.get("target")):
            if mark is not None:
                validators.row(run=validators.run_id, hosts=_two_names)(mark)
    return survey
