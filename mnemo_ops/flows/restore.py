"""Restore: a set into the stack that is here, compared before it is swapped in, undoable afterwards."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Optional

from mnemo_ops.agent.actions.load import LoadSet
from mnemo_ops.agent.actions.swap import UndoRestore
from mnemo_ops.agent.base import validators
from mnemo_ops.agent.base.record import replace
from mnemo_ops.core.model import Host
from mnemo_ops.flows import contents, keys, signing
from mnemo_ops.flows.backup import accepted, choose, stopped, strayed, unknown_settings
from mnemo_ops.flows.engine import Flow
from mnemo_ops.flows.journal import new_id

Sure = Callable[[str], None]  # asks whether that is meant; raises when it is not


def restore(flow: Flow, host: Host, wanted: str, sure: Optional[Sure], accept_loss: bool = False) -> dict[str, Any]:
    """Replace the stack's data with a set's.

    :param wanted: ``latest``, a set's id or the beginning of one. :param sure: ``None``: only whether it can be done.
    :param accept_loss: also where the database has what the set does not hold, or the set holds a dataset that the
        stack does not have; the report names it.
    :raises Refused: preflight (3). :raises VerificationFailed: the set is damaged; nothing was changed (7).
    """
    stack = flow.stack(host)
    id = choose(flow, host, wanted)
    run, undone = new_id(), f"invoke restore --undo --limit {host.name}"
    flow.report.step(f"check the backup {id} on {host.name}")
    action = LoadSet(stack, id, fresh=False, run_id=run, accept_loss=accept_loss)
    found = flow.ready(host, action)
    signing.verify(flow, id, found)
    action = replace(action, manifest_sha256=validators.sha256(found["manifest_sha256"]))  # of what was looked at
    if found["sealed"]:
        identity, headers = keys.handed(flow, host, found["sealed"])
        action = replace(action, identity=identity, headers=headers)
    flow.report.extra["untouched"] = found["untouched"]
    if found["untouched"]:
        kept = f"what {host.name} has of them stays as it is"
        flow.report.say(f"  note: the backup {id} does not contain {', '.join(found['untouched'])}: {kept}")
    flow.report.extra["replaces"] = contents.replaced(found["replaces"])
    for line in contents.lines(flow.report.extra["replaces"]):
        flow.report.say(line)
    previous = found["previous"]
    goes = ""
    if previous is not None:
        what = "what it replaced" if previous["live"] == "after" else "what was written after it"
        goes = f"; the restore of {previous['id']} can then no longer be undone, and {what} is DELETED"
    kept = f"What is there now is kept for --undo{goes}. Nobody is served meanwhile"
    told = f"put the backup {id} in place on {host.name}. {kept}"
    if sure is None:
        flow.report.step(f"the restore can start: it would {told}")
        return {}
    sure(told)
    flow.report.step("restore into scratch, compare every row and file with the manifest, then swap")

    def state() -> str:
        found = flow.ready(host, action)
        if found["previous"] and found["previous"]["stamp"] == run:
            return f"but the backup {id} is in place, and {host.name} serves with it: there is nothing more to do"
        if run in found["aside"]:
            kept = "what was written meanwhile is kept beside them (invoke backup.prune --aside removes it)"
            return f"the data from before are in place again, and {kept}"
        return f"nothing was changed, and {host.name} serves as before"

    hint = f"where nothing was changed, the same command begins anew; to undo it: {undone}"
    with flow.forgetting(host, run, f"restore-{run}", state, hint):
        result = flow.act(host, action, job=f"{run}-restore")
    flow.report.host(host.name).add("changed")
    flow.report.step(f"{id} is in place and serving; what it replaced is kept until the next restore")
    flow.report.say(f"  -> to undo it: {undone}")
    stopped(flow, result)
    strayed(flow, host, result.pop("strays"))
    accepted(flow, result["accepted_losses"])
    for role in result["kept_passwords"]:
        flow.report.say(f"  note: {role} keeps its password of today, which the services have; the backup has another")
    unknown_settings(flow, host, result["unknown_settings"])
    flow.report.extra["kept_passwords"] = result["kept_passwords"]
    flow.report.extra.update(id=id, verified=result["datasets"])
    return result


def undo(flow: Flow, host: Host, sure: Optional[Sure]) -> dict[str, Any]:
    """Exchange what the last restore replaced and what is there now; again exchanges them back.

    :param sure: ``None``: only whether it can be done.
    :raises Refused: there is nothing to undo (3).
    """
    run = new_id()
    action = UndoRestore(flow.stack_as_known(host), run)
    plan = flow.ready(host, action)
    back = plan["live"] == "after"
    side = "the restore" if back else "the undo"
    what = f"put back what {host.name} had before {side} of {plan['id']}"
    told = f"{what}. What is there now is kept, and another --undo brings it back. Nobody is served meanwhile"
    if sure is None:
        flow.report.step(f"the undo can start: it would {told}")
        return {}
    sure(told)
    flow.report.step(f"{what}; what was written since is kept aside")

    def state() -> str:
        now = flow.ready(host, action)["live"]
        if now != plan["live"]:
            return f"but it is done, and {host.name} serves: there is nothing more to do (again would change it back)"
        return f"nothing was changed, and {host.name} serves as before"

    hint = "where nothing was changed, the same command begins anew"
    with flow.forgetting(host, run, f"undo-{plan['stamp']}", state, hint):
        result = flow.act(host, action, job=f"{run}-undo")
    flow.report.host(host.name).add("changed")
    now = "what it had before the restore" if back else "what it had before the undo"
    flow.report.step(f"{host.name} has {now}, and serves")
    stopped(flow, result)
    strayed(flow, host, result.pop("strays"))
    flow.report.say(f"  the previous data are kept: {result['kept']}")
    flow.report.say(f"  -> to undo it: invoke restore --undo --limit {host.name}")
    flow.report.extra.update(id=plan["id"], undone=back, kept=result["kept"])
    return result
