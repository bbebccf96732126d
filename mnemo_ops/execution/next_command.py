"""Advice: the next command, as whoever reads it has to type it."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

from mnemo_ops.agent.base.record import dataclass

# our tasks as advice writes them, and nothing else somebody may have written about invoking
_COMMAND = re.compile(
    r"\binvoke (?P<task>--help|--list|(?:backup|bootstrap|deploy|docker-install|docs|explain|migrate|nfs-setup|play"
    r"|restore|schema|volumes|(?:hosts|lab|lock|secrets)(?=\.))(?:\.[\w-]+)?(?![\w-]))(?P<rest>[^;`\n]*)"
)
_LIMITED = (
    "backup",
    "bootstrap",
    "deploy",
    "docker-install",
    "hosts",
    "lock",
    "play",
    "restore",
    "volumes",
)  # they take --limit
_OF_HOSTS = (*_LIMITED, "migrate", "nfs-setup")


@dataclass(frozen=True)
class Advice:
    """What the operator said that the next command needs, too. :param inventory: path. :param limit: pattern."""

    inventory: str = ""
    limit: str = ""

    def spoken(self, text: str) -> str:
        """With the program that was started, as ``invoke`` finds its tasks in a checkout only, and those options."""
        return _COMMAND.sub(self._typed, text)

    def _typed(self, found: re.Match[str]) -> str:
        program = "mnemo-ops" if Path(sys.argv[0]).name == "mnemo-ops" else "invoke"
        task, rest = found["task"], found["rest"]
        more = ""
        if self.inventory and task.partition(".")[0] in _OF_HOSTS and not re.search(r" (-i|--inventory)\b", rest):
            more += f" -i {shlex.quote(self.inventory)}"
        if self.limit and task.partition(".")[0] in _LIMITED and not re.search(r" (-l|--limit)\b", rest):
            more += f" --limit {shlex.quote(self.limit)}"
        return f"{program} {task}{more}{self.spoken(rest)}"
