"""The env file as compose reads it."""

from __future__ import annotations

import re
from pathlib import Path

# quoted values may span lines; behind one that is not quoted a comment begins with a space
_ROW = re.compile(
    r"""^[ \t]*(?:export[ \t]+)?(?P<name>[\w.-]+)[ \t]*[=:][ \t]*"""
    r"""(?:'(?P<single>[^']*)'|"(?P<double>(?:\\.|[^"\\])*)"|(?P<bare>[^\n]*?)(?:[ \t]+\#[^\n]*)?[ \t]*$)""",
    re.MULTILINE | re.DOTALL,
)
_ESCAPED = {"n": "\n", "r": "\r", "t": "\t"}


def pairs(text: str) -> list[tuple[str, str]]:
    """Names and values, in order."""
    return [(row["name"], _value(row)) for row in _ROW.finditer(text)]


def templates(text: str) -> list[tuple[str, str, bool]]:
    """As :func:`pairs`; and whether variables in the value count. ``$$`` in one that they count in is a plain sign."""
    return [
        (row["name"], _value(row) if row["double"] is None else _unescaped(row["double"], "$$"), row["single"] is None)
        for row in _ROW.finditer(text)
    ]


def _value(row: re.Match[str]) -> str:
    if row["double"] is not None:
        return _unescaped(row["double"], "$")
    return row["single"] if row["single"] is not None else row["bare"] or ""


def _unescaped(text: str, dollar: str) -> str:
    escaped = {**_ESCAPED, "$": dollar}
    return re.sub(r"\\(.)", lambda found: escaped.get(found[1], found[1]), text, flags=re.DOTALL)


def read(path: str) -> list[tuple[str, str]]:
    return pairs(Path(path).read_text(errors="surrogateescape"))
