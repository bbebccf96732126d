"""Restore: a set into the stack that is here, compared before it is swapped in, undoable afterwards."""

from __future__ import annotations

from typing import Any

from mnemo_ops.agent.actions.load import LoadSet
from mnemo_ops.agent.actions.swap import UndoRestore
from mnemo_ops.mnemosyne.backup import accepted, choose
from mnemo_ops.mnemosyne.flow import Flow
from mnemo_ops.mnemosyne.journal import new_id
from mnemo_ops.model import Host


def restore(flow: Flow, host: Host, wanted: str, accept_loss: bool = False) -> dict[str, Any]:
    """Replace the stack's data with a set's.

    :param wanted: ``latest``, a set's id or the beginning of one.
    :param accept_loss: also where the database has what the set does not hold; the report names it.
    :raises Refused: preflight (3). :raises VerificationFailed: the set is damaged; nothing was changed (7).
    """
    stack = flow.stack(host)
    id = choose(flow, host, wanted)
    run = new_id()
    flow.report.step(f"check the set {id} on {host.name}")
    action = LoadSet(stack, id, fresh=False, run_id=run, accept_loss=accept_loss)
    previous = flow.ready(host, action)["previous"]
    if previous is not None:
        what = "what it replaced" if previous["live"] == "after" else "what was written after it"
        flow.report.say(f"  once this one serves, the restore of {previous['id']} can no longer be undone: {what} goes")
    flow.report.step("restore into scratch, compare every row and file with the manifest, then swap")

    def state() -> str:
        last = flow.ready(host, action)["previous"]
        return f"the set {id} is in place" if last and last["stamp"] == run else "the data are what they were"

    with flow.forgetting(host, run, f"restore-{run}", state):
        result = flow.act(host, action, job=f"{run}-restore")
    flow.report.host(host.name).add("changed")
    flow.report.step(f"{id} is in place and serving; what it replaced is kept until the next restore")
    flow.report.say(f"  -> to take it back: invoke restore --undo --limit {host.name}")
    accepted(flow, result["accepted_losses"])
    flow.report.extra.update(id=id, verified=result["datasets"])
    return result


def undo(flow: Flow, host: Host) -> dict[str, Any]:
    """Exchange what the last restore replaced and what is there now; again exchanges them back.

    :raises Refused: there is nothing to undo (3).
    """
    run = new_id()
    action = UndoRestore(flow.stack(host))
    plan = flow.ready(host, action)
    back = plan["live"] == "after"
    what = f"put back what the restore of {plan['id']} replaced" if back else f"take the undo of {plan['id']} back"
    flow.report.step(f"{what}; what was written since is kept aside")

    def state() -> str:
        now = flow.ready(host, action)["live"]
        return "it is done" if now != plan["live"] else "the data are what they were"

    with flow.forgetting(host, run, f"undo-{plan['stamp']}", state):
        result = flow.act(host, action, job=f"{run}-undo")
    flow.report.host(host.name).add("changed")
    now = "what it had before the restore" if back else "what it had before the undo"
    flow.report.step(f"{host.name} has {now}, and serves")
    flow.report.say(f"  kept aside: {result['kept']}")
    flow.report.say(f"  -> to change back: invoke restore --undo --limit {host.name}")
    flow.report.extra.update(id=plan["id"], undone=back, kept=result["kept"])
    return result
