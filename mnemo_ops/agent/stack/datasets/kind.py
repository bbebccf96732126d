"""What every kind of dataset can do."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any, Callable, ContextManager, List, Mapping, Sequence

from mnemo_ops.agent.base.progress import Deed
from mnemo_ops.agent.base.record import dataclass
from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.stack.containers import Found
from mnemo_ops.agent.stack.manifest import Saved
from mnemo_ops.agent.stack.stack import Dataset, Stack

Facts = Mapping[str, Any]


@dataclass(frozen=True)
class Key:
    """What opens the secrets of a set. :param file: of age. :param headers: of files, made again for this key."""

    file: str
    headers: Mapping[str, str]


@dataclass(frozen=True)
class Kind:
    """One dataset of a stack. :param found: the stack's containers."""

    machine: Machine
    stack: Stack
    dataset: Dataset
    found: Found

    def size(self) -> int:
        """Bytes of its data. :raises Refused: it is not here, or cannot be saved (3)."""
        raise NotImplementedError

    def now(self) -> Facts:
        """What a look tells of what is here, and no more: nothing of it is read. Errors as :meth:`size`."""
        raise NotImplementedError

    def losses(self, accept: bool) -> List[str]:
        """Sentences: what is in it and would be in no set. :raises Refused: it is not accepted (3)."""
        return []

    def shut(self) -> ContextManager[Callable[[], None]]:
        """Meanwhile nobody writes to it, though what serves it goes on running. :raises Broken: it cannot be (6).

        :returns: what raises Broken where that is not so any more (6).
        """
        return nullcontext(lambda: None)

    def save(self, directory: str, recipients: Sequence[str]) -> Deed:
        """Write its files into a directory that is there. :param recipients: public keys for what is secret in it.

        :returns: its facts, for the manifest. :raises StepFailed: a program's own words (6).
        """
        raise NotImplementedError

    def seal(self, facts: Facts, directory: str, recipients: Sequence[str]) -> Deed:
        """What of :meth:`save` can wait until others write again, though what serves it still runs. Errors as there."""
        yield from ()
        return {}

    def held(self) -> ContextManager[None]:
        """Meanwhile it is asked often, and what asks it stays. :raises Refused: it does not run (3)."""
        return nullcontext()

    def place(self, facts: Facts) -> str:
        """The directory on the host that is exchanged. :raises Refused: it is not here (3)."""
        raise NotImplementedError

    def compare(self, facts: Facts) -> None:
        """:raises Refused: what is here cannot take what was saved (3)."""

    def answers(self) -> None:
        """Until what serves it does so again. :raises Broken: it does not in time (6)."""

    def load(self, saved: Saved, directory: str, stamp: str, key: Key) -> Deed:
        """Make beside its place what was saved, and compare it. :param directory: the set's.

        :param stamp: of the restore.
        :raises VerificationFailed: it is not what the set says (7). What is in place is untouched.
        """
        raise NotImplementedError
