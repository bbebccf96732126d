"""Ansible's INI inventory, read into the tree the YAML form has: one reader decides what it means."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Collection
from typing import Any

from mnemo_ops.core.secret_text import SecretText, revealed, seal
from mnemo_ops.core.suggest import suggest
from mnemo_ops.documents.yaml_lines import Table
from mnemo_ops.errors import InventoryError
from mnemo_ops.vault.cipher import keyring

_SECTION = re.compile(r"\[\s*([^\[\]:\s]+)\s*(?::(\w+))?\]\s*(?:[#;].*)?$")


def loads(text: str, file: str, groups: Collection[str] = ("all", "ungrouped")) -> Table:
    """The groups of an INI inventory as a YAML inventory's tree; of an encrypted one, secrets have their type.

    :param groups: those that are known besides. :raises InventoryError: (2).
    """
    tree = _tree(revealed(text), file, groups)
    if isinstance(text, SecretText):
        keyring().learn(seal(tree))
    return tree


def _tree(text: str, file: str, groups: Collection[str]) -> Table:
    tree = Table(file, 1, InventoryError)
    named: dict[str, int] = {}  # groups other sections speak of -> line
    group, part = "ungrouped", "hosts"
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if not line or line[0] in "#;":
            continue
        where = f"{file}:{number}"
        if line[0] == "[":
            group, part = _section(line, where)
            if part == "vars":
                named.setdefault(group, number)
            _below(_below(tree, group, number), part, number)
            continue
        table = _below(_below(tree, group, number), part, number)
        if part == "vars":
            name, value = _pair(line, where)
            table[name], table.lines[name] = value, number
        else:
            name, variables = _host(line, number, file) if part == "hosts" else (_child(line), None)
            if part == "children":
                named.setdefault(name, number)
            known = table.get(name)
            table.lines.setdefault(name, number)
            table[name] = known if known and not variables else variables
    known = {*groups, *(name for name, body in tree.items() if body.keys() & {"hosts", "children"})}
    for name, number in named.items():
        if name not in known:
            raise InventoryError(f"there is no group '{name}'", where=f"{file}:{number}", hint=suggest(name, known))
    return tree


def _child(line: str) -> str:
    return re.split(r"\s+[#;]", line)[0].strip()


def _section(line: str, where: str) -> tuple[str, str]:
    found = _SECTION.match(line)
    if found is None or (found[2] or "vars") not in ("vars", "children", "hosts"):
        hint = "write [group], [group:vars] or [group:children]"
        raise InventoryError(f"{line!r} is not the header of a section", where=where, hint=hint)
    return found[1], found[2] or "hosts"


def _below(table: Table, name: str, number: int) -> Table:
    if not isinstance(table.get(name), Table):
        table[name] = Table(table.file, number, InventoryError)
        table.lines.setdefault(name, number)
    found: Table = table[name]
    return found


def _host(line: str, number: int, file: str) -> tuple[str, Any]:
    where = f"{file}:{number}"
    try:
        name, *words = shlex.split(line, comments=True)
    except ValueError as problem:
        raise InventoryError(f"not a host line: {problem}", where=where) from None
    variables = Table(file, number, InventoryError)
    for word in words:
        key, value = _pair(word, where)
        variables[key], variables.lines[key] = value, number
    return name, variables or None


def _pair(text: str, where: str) -> tuple[str, Any]:
    name, sign, value = text.partition("=")
    if not sign or not name.strip():
        raise InventoryError(f"{text!r} is not name=value", where=where, hint="write name=value")
    return name.strip(), _value(value.strip())


def _value(text: str) -> Any:
    """A Python literal keeps its type, as in Ansible; everything else is text."""
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError):
        return text
    return value if isinstance(value, (bool, int, float, str, list, dict, type(None))) else text
