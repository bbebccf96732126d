"""Backup: one set of everything, now."""

from __future__ import annotations

import time
from typing import Any

from mnemo_ops import __version__
from mnemo_ops.agent.actions.sets import ListSets, MakeSet
from mnemo_ops.errors import Refused
from mnemo_ops.mnemosyne import keys
from mnemo_ops.mnemosyne.flow import Flow
from mnemo_ops.mnemosyne.journal import new_id
from mnemo_ops.model import Host


def backup(flow: Flow, host: Host, check: bool = False) -> dict[str, Any]:
    """Stop what writes, dump and archive every dataset, start again, and leave a set with its manifest.

    :param check: look only whether a set can be made.
    :returns: the manifest. :raises Refused: preflight (3). :raises StepFailed: the stack runs again, no set (6).
    """
    stack = flow.stack(host)
    id = new_id()
    flow.report.step(f"check that {host.name} can make a set")
    found = flow.ready(host, MakeSet(stack, id, ()))
    if check:
        size = sum(found["sizes"].values()) / 1e6
        flow.report.step(f"nothing speaks against a set of {size:.1f} MB of data on {host.name}; nothing was changed")
        return {}
    flow.report.step(f"make the set {id} on {host.name}; what writes is stopped meanwhile")
    about = {"host": host.name, "tool": __version__}

    def state() -> str:
        made = any(row["id"] == id and row["state"] == "complete" for row in list_sets(flow, host))
        return f"{host.name} serves as before, and " + (f"the set {id} is complete" if made else "no set was made")

    with flow.forgetting(host, id, f"set-{id}", state):
        manifest = flow.act(host, MakeSet(stack, id, keys.recipients(flow, host), about=about), job=f"{id}-set")
    size = sum(part["bytes"] for part in manifest["parts"])
    flow.report.host(host.name).add("changed")
    flow.report.step(f"{id}: {len(manifest['parts'])} parts, {size / 1e6:.1f} MB in {stack['store']}/{id}")
    outage, phases = manifest.pop("write_outage_seconds"), manifest.pop("phases")
    shown = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in phases.items())
    flow.report.summary.append(f"write outage {outage:.1f} s ({shown})")
    flow.report.extra.update(
        id=id,
        parts=manifest["parts"],
        consistency=manifest["consistency"],
        write_outage_seconds=outage,
        phases=[{"name": name, "seconds": seconds} for name, seconds in phases.items()],
    )
    return manifest


def list_sets(flow: Flow, host: Host) -> list[dict[str, Any]]:
    """The sets on a host, newest first; incomplete and damaged ones say so."""
    rows: list[dict[str, Any]] = flow.act(host, ListSets(flow.stack(host)["store"]))["sets"]
    return rows


def choose(flow: Flow, host: Host, wanted: str) -> str:
    """The id ``latest``, a prefix or a time stands for; only complete sets count.

    :raises Refused: none or several match (3).
    """
    rows = [row for row in list_sets(flow, host) if row["state"] == "complete"]
    found = rows[:1] if wanted == "latest" else [row for row in rows if str(row["id"]).startswith(wanted)]
    if len(found) == 1:
        return str(found[0]["id"])
    if found:
        raise Refused(f"'{wanted}' stands for {len(found)} sets: {', '.join(str(row['id']) for row in found)}")
    known = ", ".join(str(row["id"]) for row in rows[:5]) or "none"
    raise Refused(
        f"{host.name} has no complete set '{wanted}'; complete sets: {known}",
        hint="invoke backup.list shows all of them",
    )


def age(seconds: float) -> str:
    """How long ago, for people."""
    left = time.time() - seconds
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if left >= length:
            return f"{left / length:.0f} {unit}"
    return f"{left:.0f} s"
