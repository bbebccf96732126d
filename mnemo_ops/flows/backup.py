"""Backup: one set of everything, now."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any, Optional

from mnemo_ops import __version__
from mnemo_ops.agent.actions.backup import MakeSet
from mnemo_ops.agent.actions.catalogue import ListSets
from mnemo_ops.agent.actions.prune import PruneSets
from mnemo_ops.agent.base.record import asdict
from mnemo_ops.agent.stack.manifest import Part
from mnemo_ops.core.model import Host
from mnemo_ops.errors import Refused, UsageError
from mnemo_ops.flows import keys, signing
from mnemo_ops.flows.engine import Flow
from mnemo_ops.flows.journal import new_id


def backup(flow: Flow, host: Host, check: bool = False, accept_loss: bool = False) -> dict[str, Any]:
    """Stop what writes, dump and archive every dataset, start again, and leave a set with its manifest.

    :param check: look only whether a set can be made.
    :param accept_loss: also where the database server has what no set holds; the report and the manifest name it.
    :returns: the manifest. :raises Refused: preflight (3). :raises StepFailed: the stack runs again, no set (6).
    """
    stack = flow.stack(host)
    id = new_id()
    flow.report.step(f"check that {host.name} can make a backup")
    found = flow.ready(host, MakeSet(stack, id, (), accept_loss=accept_loss))
    slow_stop(flow, found["longest_stop"])
    if check:
        size = sum(found["sizes"].values()) / 1e6
        flow.report.step(f"{host.name} is ready for a backup of {size:.1f} MB of data; nothing was changed")
        return {}
    flow.report.step(f"back up {host.name} as {id}; services that write stop meanwhile")
    about = {"host": host.name, "tool": __version__}

    def state() -> str:
        made = any(row["id"] == id and row["state"] == "complete" for row in list_sets(flow, host))
        return f"{host.name} serves as before, and " + (
            f"the backup {id} is complete" if made else "no backup was made"
        )

    with flow.forgetting(host, id, f"backup-{id}", state):
        make = MakeSet(stack, id, keys.recipients(flow, host), accept_loss=accept_loss, about=about)
        manifest = flow.act(host, make, job=f"{id}-backup")
        signing.sign(flow, host, stack["store"], id, manifest.pop("manifest_sha256"))
    parts = [Part(**each) for each in manifest["parts"]]
    size = sum(part.bytes for part in parts)
    flow.report.host(host.name).add("changed")
    flow.report.step(f"{id}: {len(parts)} parts, {size / 1e6:.1f} MB in {stack['store']}/{id}")
    stopped(flow, manifest)
    accepted(flow, manifest["accepted_losses"])
    left_out(flow, manifest["datasets"])
    flow.report.extra.update(
        id=id,
        parts=[asdict(part) for part in parts],
        consistency=manifest["consistency"],
    )
    return manifest


def slow_stop(flow: Flow, seconds: int) -> None:
    """Tell how long the stop may take. :param seconds: sum of what the services get, one after another."""
    flow.report.extra["longest_stop"] = seconds
    flow.report.say(f"  the services have {seconds} s to stop, and are killed then (stack.grace, stop_grace_period)")


def stopped(flow: Flow, report: dict[str, Any]) -> None:
    """Tell how long nobody could write, by phases, and take that out of what a host reports."""
    outage, phases = report.pop("write_outage_seconds"), report.pop("phases")
    shown = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in phases.items())
    flow.report.summary.append(f"write outage {outage:.1f} s ({shown})")
    flow.report.extra.update(
        write_outage_seconds=outage, phases=[{"name": name, "seconds": seconds} for name, seconds in phases.items()]
    )


def strayed(flow: Flow, host: Host, strays: list[str]) -> None:
    """Tell what a host found where something had to be put, and kept."""
    if strays:
        removes = f"invoke backup.prune --aside --limit {host.name} removes it"
        flow.report.summary.append(f"found in the way and kept on {host.name}: {', '.join(strays)}; {removes}")
    flow.report.extra["strays"] = strays


def accepted(flow: Flow, losses: list[str]) -> None:
    """Tell what is not there and was accepted as lost."""
    for each in losses:
        flow.report.say(f"  accepted loss: {each}")
    flow.report.extra["accepted_losses"] = losses


def left_out(flow: Flow, datasets: dict[str, Any]) -> None:
    """Tell what the archives do not hold: sockets, what is of mnemo_ops itself, and some flags of chattr(1)."""
    found = [f"{name}/{each}" for name, facts in datasets.items() for each in facts.get("left_out", ())]
    for each in found:
        flow.report.say(f"  not in the backup: {each}")
    flow.report.extra["left_out"] = found


def unknown_settings(flow: Flow, host: Host, names: list[str]) -> None:
    """Tell what the configuration of Postgres had that its new major does not know."""
    for each in names:
        flow.report.say(f"  note: Postgres on {host.name} does not know {each}: the line is a comment now")
    flow.report.extra["unknown_settings"] = names


def list_sets(flow: Flow, host: Host, check: bool = False) -> list[dict[str, Any]]:
    """The sets on a host, newest first, with what is wrong with them. :param check: read them all."""
    rows: list[dict[str, Any]] = flow.act(host, ListSets(flow.declared(host).store, check))["sets"]
    return rows


def choose(flow: Flow, host: Host, wanted: str) -> str:
    """The id that ``latest``, a time, an id or the beginning of one stands for; no other is taken in its place.

    :raises Refused: none or several match, or the one that does is not complete: names it, why, and those that are (3).
    """
    row, known, hint = _picked(flow, host, wanted, "invoke restore --id")
    if row["state"] != "complete":
        which = {"latest": "the newest backup"}.get(wanted, "the backup")
        raise Refused(f"{which} of {host.name}, {row['id']}, is {condition(row)}; {known}", hint=hint)
    return str(row["id"])


def pick(flow: Flow, host: Host, wanted: str, command: str) -> str:
    """As :func:`choose`, whatever is wrong with it. :param command: takes an id behind it.

    :raises Refused: none or several match (3).
    """
    return str(_picked(flow, host, wanted, command)[0]["id"])


def _picked(flow: Flow, host: Host, wanted: str, command: str) -> tuple[dict[str, Any], str, str]:
    """The set that was finished and is meant; which ones are complete; and commands for those."""
    every = list_sets(flow, host)
    rows = [row for row in every if row["state"] != "incomplete"]
    instant = moment(wanted)
    if wanted == "latest":
        found = rows[:1]
    elif instant is not None:
        found = [row for row in rows if row["created"] <= instant][:1]
    else:
        found = [row for row in rows if row["id"] == wanted] or [row for row in rows if row["id"].startswith(wanted)]
    complete = [str(row["id"]) for row in rows if row["state"] == "complete"]
    known = f"complete backups: {', '.join(complete[:5]) or 'none'}" + (", ..." if len(complete) > 5 else "")
    hint = f"{command} {complete[0]} --limit {host.name}; " if complete else ""
    hint += f"invoke backup.list --limit {host.name} --all shows every one"
    if not found:
        never = [row["id"] for row in every if row["state"] == "incomplete" and row["id"].startswith(wanted)]
        also = f"; {', '.join(never)} was never finished" if never else ""
        raise Refused(f"{host.name} has no backup '{wanted}'{also}; {known}", hint=hint)
    if len(found) > 1:
        names = ", ".join(f"{row['id']} ({condition(row)})" for row in found)
        raise Refused(f"'{wanted}' matches {len(found)} backups of {host.name}: {names}", hint="give more of the id")
    (row,) = found
    later = [each["id"] for each in every if each["state"] == "incomplete" and each["created"] > row["created"]]
    if later and (wanted == "latest" or instant is not None):
        flow.report.say(f"  note: {', '.join(later)} on {host.name} never finished, so it is not a backup")
    return row, known, hint


def moment(text: str) -> Optional[float]:
    """The time a text names, UTC unless it says otherwise; of a day its last moment. ``None``: it names none."""
    if not re.fullmatch(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d)?(Z|[+-]\d\d:\d\d)?)?", text):
        return None
    try:
        found = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError as problem:
        raise UsageError(f"--id {text}: {problem}") from None
    found = found if found.tzinfo else found.replace(tzinfo=timezone.utc)
    return found.timestamp() + (86399.999 if len(text) == 10 else 0)


def condition(row: dict[str, Any]) -> str:
    """What a set is, for people: as much as was looked at, and no more."""
    if row["state"] == "newer":
        return f"made by a newer mnemo_ops (format {row['format']})"
    if row["state"] in ("damaged", "unreadable"):
        return f"{row['state'].upper()}: {row['why']}"
    if row["state"] == "incomplete":
        return "INCOMPLETE: never finished, no backup"
    if row["checked"] == "checksums":
        return "complete, checksums right"
    return "complete" if row.get("verified") else "complete, not verified"


def shown(row: dict[str, Any]) -> str:
    """A set in one line."""
    head = f"{row['id']}  {age(row['created']):>6} old  {row['bytes'] / 1e6:8.1f} MB"
    if "parts" not in row:
        return f"{head}  {condition(row)}"
    verified = f"restored and compared {age(row['verified']['at'])} ago" if row["verified"] else "never restored"
    return f"{head}  {len(row['parts'])} parts  {row['consistency']}  {condition(row)}  {verified}"


def prune_plan(flow: Flow, host: Host, keep_last: int, aside: bool) -> dict[str, list[dict[str, Any]]]:
    """What would go from a host's store, and what stays though nobody needs it: names, bytes, and why."""
    plan: dict[str, list[dict[str, Any]]] = flow.ready(host, PruneSets(flow.stack_as_known(host), keep_last, aside))
    return plan


def prune(flow: Flow, host: Host, keep_last: int, aside: bool, names: Sequence[str]) -> list[dict[str, Any]]:
    """Remove these from a host's store, as far as nobody needs them since; what was removed."""
    done = flow.act(host, PruneSets(flow.stack_as_known(host), keep_last, aside, names))
    for name in done["left"]:
        flow.report.say(f"  {host.name}: {name} stays: another run uses it, or removed it")
    if done["removed"]:
        flow.report.host(host.name).add("changed")
    removed: list[dict[str, Any]] = done["removed"]
    return removed


def age(seconds: float) -> str:
    """How long ago, for people."""
    left = time.time() - seconds
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if left >= length:
            return f"{left / length:.0f} {unit}"
    return f"{left:.0f} s"
