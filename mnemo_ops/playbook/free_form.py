"""Arguments written in one line, Ansible's oldest form: ``command: make all chdir=/srv``, ``apt: name=nginx``."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

# a run of characters without a space outside of quotes and templates; an unclosed quote is a character like any other
_WORD = re.compile(r"""(?:\{\{.*?\}\}|\{%.*?%\}|"(?:\\.|[^"\\])*"|'[^']*'|\\.|\S)+""", re.DOTALL)
_PAIR = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL)


def split(text: str, names: Collection[str]) -> tuple[str, dict[str, str]]:
    """A command and the arguments in it: every word ``name=value`` with one of the ``names`` is taken out."""
    found: dict[str, str] = {}
    rest, kept = 0, []
    for word, pair in _words(text):
        if pair and pair[1] in names:
            kept.append(text[rest : word.start()].rstrip(" \t"))
            found[pair[1]], rest = _unquoted(pair[2]), word.end()
    return "".join([*kept, text[rest:]]).strip(), found


def pairs(text: str) -> dict[str, str] | None:
    """The arguments of a line that holds nothing else; ``None`` when it does."""
    words = [pair for _, pair in _words(text)]
    return {pair[1]: _unquoted(pair[2]) for pair in words if pair} if words and all(words) else None


def _words(text: str) -> Iterator[tuple[re.Match[str], re.Match[str] | None]]:
    for word in _WORD.finditer(text):
        yield word, _PAIR.fullmatch(word[0])


def _unquoted(value: str) -> str:
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'" else value
