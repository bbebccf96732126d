"""What ends a line on a host: a newline, and nothing that a user may write into his name (AST)."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import mnemo_ops
from mnemo_ops.agent.base.lines import each_line

AGENT = Path(mnemo_ops.__file__).parent / "agent"
MAY = {
    "base/secrecy.py": "parts of a secret, whatever ends them where it is printed",
    "files/text_edit.py": "of bytes, which know CR and LF alone",
}
SOURCES = {str(path.relative_to(AGENT)): path for path in sorted(AGENT.rglob("*.py"))}


def splitting(tree: ast.AST) -> Iterator[int]:
    """Lines that call ``splitlines``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr == "splitlines":
            yield node.lineno


@pytest.mark.parametrize("name", sorted(SOURCES.keys() - MAY.keys()))
def test_nobody_else_says_where_a_line_ends(name: str) -> None:
    assert not list(splitting(ast.parse(SOURCES[name].read_text())))


def test_the_exceptions_are_still_needed() -> None:
    assert all(list(splitting(ast.parse(SOURCES[name].read_text()))) for name in MAY)


@pytest.mark.parametrize("text", ["", "a", "a\n", "a\n\nb", "\n", "a\n\n"])
def test_newlines_end_lines_as_everywhere(text: str) -> None:
    assert each_line(text) == text.splitlines()
