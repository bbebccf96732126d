"""NFS: one host lends directories to others, and each of them proves that it can use them."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from mnemo_ops.agent.actions.nfs_proof_mount import ProveMounts
from mnemo_ops.agent.actions.nfs_proof_server import CheckExports, HoldProof, ReadProof
from mnemo_ops.agent.actions.transfer import Release
from mnemo_ops.agent.base.record import replace
from mnemo_ops.core.model import Host
from mnemo_ops.core.options import Options
from mnemo_ops.errors import MnemoError, StepFailed
from mnemo_ops.execution.playbook_run import Plays, shipped
from mnemo_ops.flows.engine import Flow
from mnemo_ops.flows.journal import new_id
from mnemo_ops.inventory.load import Inventory
from mnemo_ops.stack.nfs_options import mount_options
from mnemo_ops.stack.nfs_plan import Plan, group_of


def nfs_setup(flow: Flow, inventory: Inventory, chosen: Plan, extra_vars: Mapping[str, Any], options: Options) -> None:
    """Server, exports and clients as declared; then each client proves that it can use every export.

    :raises Refused: a directory cannot be exported (3); nothing was touched.
    :raises StepFailed: a task failed, or a proof did (6); what is exported stays, nothing of the proof does.
    """
    warnings = chosen.warnings()
    for warning in warnings:
        flow.report.say(f"  WARNING  {warning}")
    flow.report.extra.setdefault("warnings", []).extend(warnings)
    words = chosen.words()
    flow.report.step(f"check that {chosen.server.name} can export {', '.join(chosen.present) or 'nothing'}")
    flow.ready(chosen.server, CheckExports([one.path for one in chosen.present.values()], words["nfs_made"]))
    flow.report.step(f"export from {chosen.server.name} to {', '.join(chosen.allowed)}")
    plays = Plays(flow.fleet, flow.report, inventory, "", {**words, **extra_vars}, options)
    plays.run(shipped("nfs.yml"))
    if options.check:
        flow.report.say("  a check skips the test mount, which would write")
        return
    if chosen.present and chosen.clients:
        _prove(flow, chosen)


def _prove(flow: Flow, chosen: Plan) -> None:
    """Every client, one after the other: each other's writes would show in their latency."""
    id, server = new_id(), chosen.server
    asked = {host.name: _asked(chosen, f"{id}-{number}") for number, host in enumerate(chosen.clients)}
    closed: dict[str, Mapping[str, Any]] = {}
    for host in chosen.clients:
        flow.report.step(f"check that {host.name} can mount the exports of {server.name}")
        closed[host.name] = flow.ready(host, asked[host.name])["proofs"]
    try:
        if any(len(found) < len(chosen.present) for found in closed.values()):
            paths = [one.path for one in chosen.present.values()]
            flow.act(server, HoldProof(id, [action.id for action in asked.values()], paths))
        rows = [row for host in chosen.clients for row in _use(flow, server, host, asked[host.name], closed[host.name])]
    finally:
        with suppress(MnemoError):  # the server's own timer does it else
            if flow.act(server, Release(f"served-{id}"))["undone"]:
                flow.forget(server, id)
    flow.report.extra["proofs"] = rows
    failed = [row for row in rows if "error" in row]
    if failed:
        more = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
        raise StepFailed(
            f"{failed[0]['client']} cannot use {failed[0]['export']}: {failed[0]['error']}{more}",
            hint=failed[0]["hint"],
        )


def _asked(chosen: Plan, id: str) -> ProveMounts:
    options = mount_options(chosen.address)
    rows = [
        {"name": name, "path": one.path, "uid": one.owner, "gid": group_of(one), "options": options}
        for name, one in chosen.present.items()
    ]
    return ProveMounts(id, chosen.address, rows)


def _use(flow: Flow, server: Host, client: Host, asked: ProveMounts, closed: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rows of one client; ``closed``: those of the exports it cannot mount."""
    mounted = [row for row in asked.exports if row["name"] not in closed]
    answer: Mapping[str, Any] = {"container": False, "proofs": {}}
    written: Mapping[str, Any] = {}
    if mounted:
        flow.report.step(f"proof on {client.name}: write, fsync, rename, lock; read back on {server.name}")
        answer = flow.act(client, replace(asked, exports=mounted))
        written = flow.act(server, ReadProof(asked.id, [row["path"] for row in mounted]))
    found = [(closed if row["name"] in closed else answer["proofs"])[row["name"]] for row in asked.exports]
    rows = [_row(client, row, one, written.get(row["path"])) for row, one in zip(asked.exports, found)]
    for row in rows:
        flow.report.say(_line(row, server.name, answer["container"]))
    return [{**row, "container": answer["container"]} for row in rows]


def _row(client: Host, row: Mapping[str, Any], found: Mapping[str, Any], written: Any) -> dict[str, Any]:
    about = {"client": client.name, "export": row["name"], "path": row["path"], "uid": row["uid"], "gid": row["gid"]}
    if "error" in found or (written is not None and written["sha256"] == found["sha256"]):
        return {**about, **found}
    there = "nothing" if written is None else f"sha256 {written['sha256']}"
    return {
        **about,
        "error": f"{there} is in {row['path']} on the server, where {found['sha256']} was written and synced",
        "hint": "is another server at this address? mnemo_peer_address of the server says where clients find it",
    }


def _line(row: Mapping[str, Any], server: str, container: bool) -> str:
    who = f"{row['client']:12} {row['export']} as {row['uid']}:{row['gid']}"
    if "error" in row:
        return f"  failed   {who}: {row['error']}"
    where = "a container" if container else "the host (no Docker there)"
    shown = "fsync {median} ms median, {p99} ms p99".format(**row["fsync_ms"])
    return f"  proven   {who} from {where}: write, fsync, rename, lock, read back on {server}; {shown}"
