"""Which variables a template reads: what can be known of it without rendering."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Optional

from jinja2 import TemplateAssertionError, TemplateSyntaxError, meta, nodes
from jinja2 import TemplateError as JinjaError

from mnemo_ops.agent.base.record import dataclass
from mnemo_ops.core.paths import shown
from mnemo_ops.errors import TemplateError
from mnemo_ops.templates.engine import literal, parsed_file
from mnemo_ops.templates.file_search import look_for
from mnemo_ops.templates.lookups.table import LOOKUPS, short
from mnemo_ops.templates.render import ENVIRONMENT, LOOKED, misspelt

NO_OPTIONS: Mapping[str, Any] = MappingProxyType({})
GUARDS = ("default", "d", "defined", "undefined")  # filters and tests that take a variable nobody defined


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
    return _uses_of(ENVIRONMENT.parse(text))


@functools.lru_cache(maxsize=256)
def _uses_of(tree: nodes.Template) -> tuple[Use, ...]:
    found = list(tree.find_all((nodes.Name, nodes.Filter, nodes.Test, nodes.Stmt, nodes.Call)))
    names = [node for node in found if isinstance(node, nodes.Name)]
    if any(isinstance(node, nodes.Stmt) and not isinstance(node, (nodes.Output, nodes.If)) for node in found):
        wanted = meta.find_undeclared_variables(tree)  # it knows loops, macros and assignments
    else:
        _refuse_unknown(found)
        wanted = {node.name for node in names}
    _refuse_lookups(node for node in found if isinstance(node, nodes.Call))
    lines = {node.name: node.lineno for node in reversed(names)}
    guarded = {
        _root(node.node) for node in found if isinstance(node, (nodes.Filter, nodes.Test)) and node.name in GUARDS
    }
    return tuple(Use(name, lines.get(name, 1), name in guarded) for name in sorted(wanted - ENVIRONMENT.globals.keys()))


def _refuse_unknown(found: Iterable[nodes.Node]) -> None:
    for node in found:
        if isinstance(node, nodes.Filter) and node.name not in ENVIRONMENT.filters:
            raise TemplateAssertionError(f"No filter named '{node.name}'.", node.lineno)
        if isinstance(node, nodes.Test) and node.name not in ENVIRONMENT.tests:
            raise TemplateAssertionError(f"No test named '{node.name}'.", node.lineno)


def _refuse_lookups(calls: Iterable[nodes.Call]) -> None:
    """A lookup that is named by a text can be checked here; one named by a variable when it runs."""
    for call in calls:
        first = call.args[0] if call.args else None
        if not isinstance(call.node, nodes.Name) or call.node.name not in ("lookup", "query", "q"):
            continue
        if isinstance(first, nodes.Const) and short(str(first.value)) not in LOOKUPS:
            raise TemplateAssertionError(f"No lookup named '{first.value}'.", first.lineno)


def _root(node: Optional[nodes.Node]) -> str:
    """The variable an attribute path starts at."""
    while isinstance(node, (nodes.Getattr, nodes.Getitem)):
        node = node.node
    return node.name if isinstance(node, nodes.Name) else ""


def uses(text: str, where: str = "") -> tuple[Use, ...]:
    """Every variable a template reads, by name. :raises TemplateError: it is not a valid template (2)."""
    try:
        return _uses(literal(text))
    except JinjaError as problem:
        raise misspelt(problem, where) from None
    except RecursionError:
        raise TemplateError("not a valid template: too many brackets in each other", where=where) from None


def uses_of_file(path: Path, options: Mapping[str, Any] = NO_OPTIONS) -> tuple[Use, ...]:
    """As :func:`uses` for a template file; errors name its own line. :param options: as of ``render_file``."""
    try:
        return _uses_of(parsed_file(path, options))
    except TemplateSyntaxError as problem:
        raise misspelt(problem, f"{shown(path)}:{problem.lineno}") from None


def check_file(
    path: Path, options: Mapping[str, Any], directories: Sequence[Path], within: Sequence[Path] = ()
) -> None:
    """Whether a template file, and every file it names with ``include``, ``import`` or ``extends``, is a template.

    :param directories: where they are looked for, besides the first one's own.
    :raises TemplateError: one of them is missing or is not a template; with its line (2).
    """
    uses_of_file(path, options)
    places = (*directories, (within or (path,))[0].parent)
    for node in parsed_file(path, options).find_all((nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends)):
        wanted: nodes.Expr = getattr(node, "template")  # noqa: B009  (of each of the four)
        named = wanted.items if isinstance(wanted, (nodes.List, nodes.Tuple)) else [wanted]
        names = [str(one.value) for one in named if isinstance(one, nodes.Const)]
        found = next((one for one in (look_for(name, places) for name in names) if one), None)
        if found is not None and found not in (path, *within):
            check_file(found, {}, directories, (*within, path))
        elif found is None and len(names) == len(named) and not getattr(node, "ignore_missing", False):
            where = f"{shown(path)}:{node.lineno}"
            raise TemplateError(f"the template '{names[0]}' to include does not exist", where=where, hint=LOOKED)


def variables_of(text: str) -> set[str]:
    """Names of the variables a template reads."""
    return {use.name for use in uses(text)}
