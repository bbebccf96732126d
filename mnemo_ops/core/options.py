"""Which tasks of a play run: tags, and where to start."""

from __future__ import annotations

from collections.abc import Sequence

from mnemo_ops.agent.base.record import dataclass


@dataclass(frozen=True)
class Options:
    """:param tags: run only tasks with one of them. :param start_at: name of the first task to run."""

    check: bool = False
    tags: frozenset[str] = frozenset()
    skip_tags: frozenset[str] = frozenset()
    start_at: str = ""
    verbosity: int = 0
    diff: bool = False

    def wants(self, tags: Sequence[str]) -> bool:
        """Ansible's rules, ``always``, ``never``, ``tagged``, ``untagged`` and ``all`` included."""
        mine = set(tags) or {"untagged"}
        words = {*mine, *([] if mine == {"untagged"} else ["tagged"])}
        only = self.tags or {"all"}
        chosen = bool(mine & only) or "always" in mine or ("never" not in mine and bool({*words, "all"} & only))
        skipped = bool(words & self.skip_tags) or ("all" in self.skip_tags and "always" not in mine)
        return chosen and not skipped


EVERYTHING = Options()
