"""Restore: a set into the stack that is here, compared before it is swapped in, undoable afterwards."""

from __future__ import annotations

from typing import Any

from mnemo_ops.agent.actions.load import LoadSet
from mnemo_ops.agent.actions.swap import UndoRestore
from mnemo_ops.mnemosyne.backup import choose
from mnemo_ops.mnemosyne.flow import Flow
from mnemo_ops.mnemosyne.journal import new_id
from mnemo_ops.model import Host


def restore(flow: Flow, host: Host, wanted: str) -> dict[str, Any]:
    """Replace the stack's data with a set's.

    :param wanted: ``latest``, a set's id or the beginning of one.
    :raises Refused: preflight (3). :raises VerificationFailed: the set is damaged; nothing was changed (7).
    """
    stack = flow.stack(host)
    id = choose(flow, host, wanted)
    flow.report.step(f"check the set {id} on {host.name}")
    action = LoadSet(stack, id, fresh=False)
    flow.ready(host, action)
    flow.report.step("restore into scratch, compare every row and file with the manifest, then swap")
    with flow.forgetting(host, id, f"restore-{id}"):
        result = flow.act(host, action, job=f"{id}-restore-{new_id()[-4:]}")
    flow.report.host(host.name).add("changed")
    flow.report.step(f"{id} is in place and serving; what it replaced is kept until the next restore")
    flow.report.say(f"  -> to take it back: invoke restore --undo --host {host.name}")
    flow.report.extra.update(id=id, verified=result["datasets"])
    return result


def undo(flow: Flow, host: Host) -> dict[str, Any]:
    """Put back what the last restore replaced. :raises Refused: there is nothing to undo (3)."""
    action = UndoRestore(flow.stack(host))
    plan = flow.ready(host, action)
    flow.report.step(f"put back what the restore of {plan['id']} replaced")
    with flow.forgetting(host, plan["id"], f"undo-{plan['stamp']}"):
        result = flow.act(host, action, job=f"{plan['id']}-undo-{new_id()[-4:]}")
    flow.report.host(host.name).add("changed")
    flow.report.extra.update(id=plan["id"], undone=True)
    return result
