"""A set beside the stack of today: what of the set goes where, and what only one of the two knows."""

from __future__ import annotations

from typing import List, Tuple

from mnemo_ops.agent.base.record import dataclass
from mnemo_ops.agent.stack.manifest import OTHER, Manifest, Saved
from mnemo_ops.agent.stack.stack import Dataset, Stack
from mnemo_ops.errors import Refused

ALIKE = {"redis": "files"}  # both are archives of a directory that nobody writes to


@dataclass(frozen=True)
class Match:
    """:param placed: in both by name and kind: each goes where the stack has it today.
    :param untouched: of the stack alone: what is there of it stays. :param homeless: of the set alone.
    """

    placed: Tuple[Dataset, ...]
    untouched: Tuple[Dataset, ...]
    homeless: Tuple[Saved, ...]

    @property
    def directories(self) -> List[Dataset]:
        """Those that are put in place by renaming."""
        return [each for each in self.placed if each.kind != "config"]

    def refuse_partial(self, id: str) -> None:
        """For a host where nothing of the stack is yet. :raises Refused: the two do not hold the same (3)."""
        if self.untouched:
            names = ", ".join(each.name for each in self.untouched)
            raise Refused(f"the backup {id} does not hold {names} of the stack", hint=OTHER)
        if self.homeless:
            names = ", ".join(each.name for each in self.homeless)
            raise Refused(f"the backup {id} holds {names}, which stack.datasets does not name", hint=OTHER)

    def refuse_headless(self, id: str) -> None:
        """:raises Refused: the database would stay, and what is around it be exchanged (3)."""
        for each in self.untouched:
            if each.kind == "postgres":
                raise Refused(f"the backup {id} does not hold {each.name}, the database of the stack", hint=OTHER)

    def refuse_torn(self, manifest: Manifest) -> None:
        """:raises Refused: a file of what is to be put in place is no part of the set (3)."""
        parts = {part.name for part in manifest.parts}
        files = [name for each in self.placed for name in manifest.saved(each.name).files]
        if absent := [name for name in files if name not in parts]:
            raise Refused(f"the backup {manifest.id} does not hold {', '.join(absent)}", hint=OTHER)


def match(stack: Stack, manifest: Manifest, config: bool) -> Match:
    """:param config: also what holds the stack's own files."""
    ours = [each for each in stack.datasets if config or each.kind != "config"]
    theirs = [each for each in manifest.datasets if config or each.kind != "config"]
    declared, held = ({(each.name, ALIKE.get(each.kind, each.kind)) for each in side} for side in (ours, theirs))
    return Match(
        placed=tuple(each for each in ours if (each.name, ALIKE.get(each.kind, each.kind)) in held),
        untouched=tuple(each for each in ours if (each.name, ALIKE.get(each.kind, each.kind)) not in held),
        homeless=tuple(each for each in theirs if (each.name, ALIKE.get(each.kind, each.kind)) not in declared),
    )
