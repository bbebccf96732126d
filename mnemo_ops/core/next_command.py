"""Advice: the next command, as whoever reads it has to type it."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from mnemo_ops.agent.base.record import dataclass

# our tasks as advice writes them, and nothing else somebody may have written about invoking
_COMMAND = re.compile(
    r"\binvoke (?P<task>--help|--list|(?:adopt|backup|bootstrap|deploy|docker-install|docs|explain|migrate|nfs-setup"
    r"|play|restore|runs|schema|volumes|(?:hosts|lab|lock|secrets|stack)(?=\.))(?:\.[\w-]+)?(?![\w-]))(?P<rest>[^;`\n]*)"
)
_LIMITED = (
    "adopt",
    "backup",
    "bootstrap",
    "deploy",
    "docker-install",
    "hosts",
    "lock",
    "stack",
    "play",
    "restore",
    "runs",
    "volumes",
)  # they take --limit
_HAS_LIMIT = re.compile(r" (-l|--limit)\b").search
_VARS = ("--vars", "-e")
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
        if self.limit and task.partition(".")[0] in _LIMITED and not _HAS_LIMIT(rest):
            more += f" --limit {shlex.quote(self.limit)}"
        return f"{program} {task}{more}{self.spoken(rest)}"


def on_host(host: str, text: str) -> str:
    """A hint of a host's, with the host named in each command that may need one: whoever reads it may not have."""

    def named(found: re.Match[str]) -> str:
        task, rest = found["task"], found["rest"]
        where = "" if task.partition(".")[0] not in _LIMITED or _HAS_LIMIT(rest) else f" --limit {shlex.quote(host)}"
        return f"invoke {task}{where}{on_host(host, rest)}"

    return _COMMAND.sub(named, text)


def again(task: str, name: str, values: Sequence[str], but: Sequence[str] = ()) -> str:
    """The command that was typed, once for each value of an option that is to have another.

    :param task: by its full name. :param name: of the option, as ``--limit``; no values: the command without it.
    :param but: other words for it, which are left out.
    """
    typed = list(_without(sys.argv[1:], (name, *but)))
    begin = next((at for at, word in enumerate(typed) if word in (task, task.partition(".")[0])), None)
    words = [task] if begin is None else typed[begin:]
    said = " ".join(["invoke", *map(shlex.quote, words)])
    return "; or ".join([f"{said} {name} {shlex.quote(value)}" for value in values]) or said


def _without(words: Sequence[str], options: Sequence[str]) -> Iterator[str]:
    """Words of a command line without some options; of variables the names alone, their values may be secret."""
    before = ""
    for word in words:
        option, equals, value = word.partition("=")
        if before in options:
            before = ""
        elif word in options:
            before = word
        elif before in _VARS:
            before = ""
            yield _hidden(word)
        elif option in _VARS and equals:
            yield f"{option}={_hidden(value)}"
        elif option not in options:
            before = word
            yield word


def _hidden(text: str) -> str:
    return text if text.startswith("@") else re.sub(r"=.*", "=...", text) if "=" in text else "..."
