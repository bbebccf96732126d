"""State as data: what is, what should be, and the difference. Pure."""

from __future__ import annotations

from typing import Any, Dict, Optional, Tuple

from mnemo_ops.agent.base.record import dataclass

State = Optional[Dict[str, Any]]
ABSENT: State = None


@dataclass(frozen=True)
class Change:
    """What is left to do: falsy when nothing is.

    It is at once the diff, the dry run, the "changed" flag and, computed again after applying, the check.

    :param before: what was observed, restricted to the keys that are declared; ``None`` when it does not exist.
    :param after: what is declared; ``None`` when it must not exist.
    """

    before: State
    after: State

    @classmethod
    def between(cls, observed: State, desired: State) -> Change:
        """Only declared keys are compared: what nobody declared is nobody's business."""
        if observed is None or desired is None:
            return cls(observed, desired)
        return cls({key: observed.get(key) for key in desired}, desired)

    def __bool__(self) -> bool:
        return self.before != self.after

    @property
    def creates(self) -> bool:
        return self.before is None and self.after is not None

    @property
    def deletes(self) -> bool:
        return self.before is not None and self.after is None

    @property
    def keys(self) -> Tuple[str, ...]:
        """The keys that differ, in declared order; all declared keys when something is created."""
        if self.after is None:
            return ()
        before = self.before or {}
        return tuple(key for key, value in self.after.items() if self.before is None or before.get(key) != value)

    def reduced(self) -> Change:
        """The same change with only the differing keys: what an event carries."""
        if self.before is None or self.after is None:
            return self
        return Change({key: self.before[key] for key in self.keys}, {key: self.after[key] for key in self.keys})
