"""Migration by dump: old to new, proven equal before anything is let in, back by itself if not.

The steps are those of the runbook. Until the promotion everything is undone in reverse order when something fails; what
a killed controller leaves is undone by the hosts' leases. From the promotion on the direction is forward only.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Optional

from mnemo_ops.core.model import Host
from mnemo_ops.errors import CommandFailed, MnemoError, Refused, Unreachable, named
from mnemo_ops.flows.engine import Flow, Step, Steps, Undo
from mnemo_ops.flows.migrate import abort, cutover, preflight, prepare, promotion, report, rollback, transfer
from mnemo_ops.flows.migrate.context import Context, Provision, Rows
from mnemo_ops.flows.migrate.earlier import Earlier
from mnemo_ops.flows.migrate.images import Means


class Migration:
    """One command. :param provision, place, rows, accept_loss, without_old, means: as of :class:`Context`."""

    def __init__(
        self,
        flow: Flow,
        old: Host,
        new: Host,
        provision: Provision,
        place: Provision,
        rows: Rows,
        run_id: str,
        accept_loss: bool = False,
        without_old: bool = False,
        means: Optional[Means] = None,
    ) -> None:
        known = (flow.settings(old), _stack(flow, old, new), accept_loss, without_old)
        self.context = Context(flow, old, new, provision, place, rows, run_id, *known, means=means)
        self.steps = Steps(self.context.say, self.context.note)

    def run(self) -> None:
        """:raises Refused: preflight (3). :raises StepFailed: a step failed, old serves (6).
        :raises VerificationFailed: new differs, old serves (7). :raises RollbackFailed: old does not serve (8).
        """
        earlier = self._preflight()
        if earlier is Earlier.SERVING:
            report.tell_done(self.context)
            return
        try:
            self.steps.run([*(() if earlier is Earlier.PROMOTED else self.there()), *self.forward()])
        except (MnemoError, KeyboardInterrupt) as error:
            rollback.give_up(self.context, self.steps, error)
        except Exception as error:  # a bug of ours must not leave old fenced either
            bug = MnemoError(f"a bug: {named(error)}")
            rollback.give_up(self.context, self.steps, bug)
        report.tell(self.context, self.steps.phases)

    def check(self) -> None:
        """The preflight alone: says whether a migration may begin, and changes nothing.

        :raises Refused: every reason why not (3).
        """
        context, (old, new) = self.context, self.context.names
        earlier = self._preflight(act=False)
        if earlier is Earlier.SERVING:
            report.tell_done(context)
        elif context.unsure:
            context.say(f"{old} does not answer; {new} would serve from the copy of run {context.run}")
        elif earlier is Earlier.PROMOTED:
            context.say(f"run {context.run} is past its point of no return: {context.again} finishes it")
        else:
            context.say(f"{old} can move to {new}; nothing was changed")

    def abort(self) -> None:
        """As :func:`abort.abort`."""
        abort.abort(self.context)

    def _preflight(self, act: bool = True) -> Earlier:
        old, new = self.context.names
        with self.steps.timed("preflight", f"look at {old} and {new}"):
            return preflight.preflight(self.context, act)

    def there(self) -> list[Step]:
        """Until new is proven equal; each with what takes it back."""
        old, new = self.context.names
        does = self._does
        stop_copy = Undo(f"stop the copy on {new}", does(prepare.stop_copy))
        drop_keys = Undo("remove the ephemeral key", does(transfer.drop_keys))
        drop_images = Undo(f"remove the saved images on {old}", does(prepare.drop_images))
        serve = Undo(f"start the stack on {old} again", does(cutover.unfence_old), first=True)
        return [
            Step("provision", f"provision {new}", does(prepare.provision)),
            Step("volumes", f"make the volumes on {new}", does(prepare.place), stop_copy),
            Step("keys", "create the keys of this run", does(prepare.make_keys), drop_keys),
            Step("images", "copy the same images by ID", does(prepare.copy_images), drop_images),
            Step("quiesce", f"stop what writes on {old} and fence it", does(cutover.fence_old), serve),
            Step("backup", f"make the final backup on {old}", does(cutover.make_set)),
            Step("copy", f"copy the backup from {old} to {new}", does(cutover.copy_set)),
            Step("restore", f"restore on {new}: checksums, then every row and file", does(cutover.restore)),
            Step("verify", f"start and check the stack on {new}; clients cannot reach it yet", does(cutover.prove)),
        ]

    def forward(self) -> list[Step]:
        """The point of no return, and the end."""
        old, new = self.context.names
        promote = f"make the fence final, start everything on {new}"
        finish = f"{old} stays stopped and intact; remove this run's keys"
        return [
            Step("promote", promote, self._does(promotion.promote), commits=True),
            Step("finish", finish, self._does(promotion.finish)),
        ]

    def _does(self, deed: Callable[[Context], object]) -> Callable[[], object]:
        return partial(deed, self.context)


def _stack(flow: Flow, old: Host, new: Host) -> dict[str, Any]:
    """What moves. Where old does not answer, or was emptied, and nobody declares it, new knows it, too.

    :raises Unreachable: nor does that (4). :raises Refused: nor has that the project (3).
    """
    try:
        return flow.stack(old)
    except (Unreachable, Refused, CommandFailed) as silent:
        try:
            return flow.stack(new)
        except MnemoError:
            raise silent from None
