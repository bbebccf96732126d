"""What a migration knows: what was asked for, and how far it came. Every field is there from the start."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import IntEnum
from typing import Any, Optional

from mnemo_ops.agent.actions.journal import WriteJournal
from mnemo_ops.agent.base.record import dataclass, field
from mnemo_ops.checks.preflight import Side
from mnemo_ops.core.model import Host
from mnemo_ops.errors import StepFailed, Unreachable, reason
from mnemo_ops.flows.engine import Flow
from mnemo_ops.flows.journal import Journal
from mnemo_ops.flows.keys import Identity
from mnemo_ops.flows.migrate.images import Means, Other
from mnemo_ops.stack.settings import Settings

Provision = Callable[[Host], None]
Rows = Sequence[Mapping[str, Any]]


class Stage(IntEnum):
    """How far a run came; what is true of a stage is true of all behind it."""

    BEGUN = 0  # neither host was changed but for packages on new
    PREPARED = 1  # new may hold something of the run
    FENCED = 2  # old was told to stop
    RESTORING = 3  # new may hold a copy
    PROVEN = 4  # the copy is complete, and was compared
    SETTLING = 5  # old was told that its fence is final; whether it heard is not known
    PROMOTED = 6  # it is final: forward only
    MARKED = 7  # new itself starts everything, should nobody go on
    SERVING = 8


@dataclass
class Context:
    """One run.

    :param provision: brings a bare host to what the stack needs (the bootstrap playbook).
    :param place: makes the volumes of a host, as its inventory says, on disks of its own where it names some;
    :param rows: new's, of ``layout.volumes``.
    :param without_old: old is gone: new serves from the copy that was proven, whether or not old is fenced for good.
    :param silent: why old is done without, since new may serve. :param unsure: whether old is fenced for good.
    :param sides: both hosts as they were seen last. :param host_keys: of old, once new has a key for it.
    :param age: opens the final set; its secret is here and with new, in memory alone.
    :param means: what brings images to new; :param other: those that it runs instead of old's.
    :param outage: seconds in which nobody could write; ``None``: not measured, an earlier run stopped old.
    """

    flow: Flow
    old: Host
    new: Host
    provision: Provision
    place: Provision
    rows: Rows
    run: str
    settings: Settings
    stack: dict[str, Any]
    accept_loss: bool = False
    without_old: bool = False
    stage: Stage = Stage.BEGUN
    silent: Optional[Unreachable] = None
    unsure: bool = False
    sides: Optional[tuple[Side, Side]] = None
    host_keys: Sequence[str] = ()
    age: Optional[Identity] = None
    recipients: Sequence[str] = ()
    manifest: dict[str, Any] = field(default_factory=dict)
    strays: Sequence[str] = ()
    unknown_settings: Sequence[str] = ()
    means: Optional[Means] = None
    other: Optional[Other] = None
    proof: Mapping[str, Any] = field(default_factory=dict)
    fenced_at: Optional[float] = None
    outage: Optional[float] = None
    bytes_copied: int = 0
    bytes_in_outage: int = 0

    @property
    def names(self) -> tuple[str, str]:
        return (self.old.name, self.new.name)

    @property
    def again(self) -> str:
        return f"invoke migrate --from {self.old.name} --to {self.new.name}"

    @property
    def seen(self) -> tuple[Side, Side]:
        """Old and new as the preflight saw them."""
        assert self.sides is not None, "nothing is done before the preflight"
        return self.sides

    @property
    def there(self) -> tuple[Host, ...]:
        """The hosts that answer."""
        return (self.new,) if self.silent else (self.old, self.new)

    @property
    def journal(self) -> Journal:
        """Of the run, on this machine."""
        return Journal(self.flow.home, self.run)

    def say(self, text: str) -> None:
        self.flow.report.step(text)

    def note(self, phase: str, status: str) -> None:
        """One line in the journal of the controller and of both hosts."""
        entry = self.write_down(phase, status)
        for host in self.there:
            with self.perhaps_gone(host):
                self.flow.act(host, WriteJournal(self.run, entry))

    def write_down(self, phase: str, status: str) -> dict[str, Any]:
        """The line of :meth:`note`, on the controller alone. :raises StepFailed: it has no room for it (6)."""
        entry = self.entry(self.run, phase=phase, status=status)
        try:
            self.journal.write(entry)
        except OSError as error:
            if self.stage < Stage.PROMOTED:  # from there on it keeps nobody from serving
                raise StepFailed(f"{self.journal.path} cannot be written: {reason(error)}") from None
        return entry

    def entry(self, run: str, **line: Any) -> dict[str, Any]:
        """A line of a journal."""
        return {"run": run, **line, "at": time.time(), "from": self.old.name, "to": self.new.name}

    @contextmanager
    def perhaps_gone(self, host: Optional[Host] = None) -> Iterator[None]:
        """Once new may serve, an old that does not answer keeps nobody from it. :param host: whose deed it is."""
        try:
            yield
        except Unreachable as error:
            if self.stage < Stage.PROMOTED or host is self.new:
                raise
            self.silent = error
