"""Which variables a template reads: what can be known of it without rendering."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from jinja2 import TemplateError as JinjaError
from jinja2 import TemplateSyntaxError, meta, nodes

from mnemo_ops.errors import TemplateError
from mnemo_ops.template import ENVIRONMENT, misspelt
from mnemo_ops.yaml_lines import read, shown


@dataclass(frozen=True)
class Use:
    """A variable a template reads.

    :param line: of the template, from 1. :param guarded: the template asks whether it is defined, or has a default.
    """

    name: str
    line: int
    guarded: bool


@functools.lru_cache(maxsize=8192)
def _uses(text: str) -> tuple[Use, ...]:
    tree = ENVIRONMENT.parse(text)
    wanted = meta.find_undeclared_variables(tree) - ENVIRONMENT.globals.keys()
    defaults = [node for node in tree.find_all(nodes.Filter) if node.name in ("default", "d")]
    asked = [node for node in tree.find_all(nodes.Test) if node.name in ("defined", "undefined")]
    guarded = {_root(node.node) for node in [*defaults, *asked]}
    lines = {node.name: node.lineno for node in reversed(list(tree.find_all(nodes.Name)))}
    return tuple(Use(name, lines.get(name, 1), name in guarded) for name in sorted(wanted))


def _root(node: Optional[nodes.Node]) -> str:
    """The variable an attribute path starts at."""
    while isinstance(node, (nodes.Getattr, nodes.Getitem)):
        node = node.node
    return node.name if isinstance(node, nodes.Name) else ""


def uses(text: str, where: str = "") -> tuple[Use, ...]:
    """Every variable a template reads, by name. :raises TemplateError: it is not a valid template (2)."""
    try:
        return _uses(text)
    except JinjaError as problem:
        raise misspelt(problem, where) from None


def uses_of_file(path: Path) -> tuple[Use, ...]:
    """As :func:`uses` for a template file; errors name its own line."""
    text = read(path, TemplateError)
    try:
        return _uses(text)
    except TemplateSyntaxError as problem:
        raise misspelt(problem, f"{shown(path)}:{problem.lineno}") from None


def variables_of(text: str) -> set[str]:
    """Names of the variables a template reads."""
    return {use.name for use in uses(text)}
