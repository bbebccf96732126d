"""Including: which contents an include stands for now, of those that were read before the run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mnemo_ops.core.model import Include, Node
from mnemo_ops.core.secret_text import hidden
from mnemo_ops.errors import TemplateError
from mnemo_ops.execution.task_renderer import Renderer, items, loop_variables
from mnemo_ops.templates.render import Scope, condition, render

Contents = Sequence[Node]


def chosen(node: Include, renderer: Renderer) -> list[tuple[Contents, Mapping[str, Any]]]:
    """Contents to run, each with the variables of its item.

    :raises TemplateError: no such file was read (2). :raises Unready: a check cannot know.
    :raises Pending: the batch goes first.
    """
    entry, scope = node.entry, renderer.scope(node.entry)
    if entry.loop is None:
        holds = all(condition(text, scope, entry.where) for text in entry.when)
        return [(_choice(node, scope), {})] if holds else []
    found = items(entry.loop, scope, entry.where)
    contents: list[tuple[Contents, Mapping[str, Any]]] = []
    for number in range(len(found)):
        row = loop_variables(entry.loop, found, number)
        inner = scope.plus(row, final=True)
        if all(condition(text, inner, entry.where) for text in entry.when):
            contents.append((_choice(node, inner), row))
    return contents


def _choice(node: Include, scope: Scope) -> Contents:
    found = render(node.entry.args["file"], scope, node.entry.where)
    name = str(found)
    for known in (name, name.removeprefix("./")):
        if known in node.choices:
            return node.choices[known]
    hint = f"read before the run: {', '.join(sorted(node.choices))}"
    raise TemplateError(f"the file of tasks '{hidden(found)}' does not exist", where=node.entry.where, hint=hint)
