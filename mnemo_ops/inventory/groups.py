"""The tree of groups while inventory files are read: what the files say, before it means anything for a host."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mnemo_ops.agent.base.record import dataclass, field
from mnemo_ops.core.paths import shown
from mnemo_ops.documents import yaml_lines
from mnemo_ops.documents.yaml_lines import Table
from mnemo_ops.errors import InventoryError
from mnemo_ops.inventory import ini as inventory_ini

_RANGE = re.compile(r"\[(\w+):(\w+)(?::(\d+))?\]")


@dataclass
class Group:
    hosts: dict[str, None] = field(default_factory=dict)  # ordered sets
    children: dict[str, None] = field(default_factory=dict)
    vars: dict[str, Any] = field(default_factory=dict)
    origin: dict[str, str] = field(default_factory=dict)  # variable -> file:line

    def merge(self, table: Table) -> None:
        """These variables win over those already there."""
        for key, value in table.items():
            if not isinstance(key, str):
                raise table.fail(f"the name of a variable should be a text, not {key!r}", key)
            self.vars[key], self.origin[key] = value, table.where(key)


class Tree:
    """Groups and hosts while the files are read."""

    def __init__(self) -> None:
        self.groups: dict[str, Group] = {"all": Group(), "ungrouped": Group()}
        self.hosts: dict[str, Group] = {}  # only vars and origin are used

    def add(self, name: str, body: Table) -> None:
        """A group as the YAML form writes it."""
        group = self.groups.setdefault(name, Group())
        body.only("a group", ("hosts", "children", "vars"))
        group.merge(body.table("vars"))
        for pattern, variables in _hosts(body):
            for host in _expand(pattern):
                group.hosts[host] = None
                self.hosts.setdefault(host, Group()).merge(variables)
        children = body.table("children")
        for child in children:
            if not isinstance(child, str):
                raise children.fail(f"the name of a group should be a text, not {child!r}", child)
            group.children[child] = None
            self.add(child, children.table(child))

    def close(self, file: str) -> None:
        """Hosts of no group belong to ``ungrouped``, groups of no group to ``all``. :raises InventoryError: a loop."""
        top = self.groups["all"]
        grouped = {
            host for name, group in self.groups.items() if name not in ("all", "ungrouped") for host in group.hosts
        }
        self.groups["ungrouped"].hosts = {host: None for host in self.hosts if host not in grouped}
        inner = {child for name, group in self.groups.items() if name != "all" for child in group.children}
        top.children.update({name: None for name in self.groups if name != "all" and name not in inner})
        for name in self.groups:
            self._refuse_loop(name, (), file)

    def _refuse_loop(self, name: str, above: tuple[str, ...], file: str) -> None:
        if name in above:
            raise InventoryError(f"group '{name}' contains itself: {' → '.join([*above, name])}", where=file)
        for child in self.groups[name].children:
            self._refuse_loop(child, (*above, name), file)

    def members(self, name: str) -> dict[str, None]:
        """Hosts of a group and of all groups below it, in file order."""
        found = dict(self.groups[name].hosts)
        for child in self.groups[name].children:
            found.update(self.members(child))
        return found

    def groups_of(self, host: str) -> list[str]:
        """Groups of a host, outermost first, those of one depth by name: the order in which variables win."""
        depth = {"all": 0}
        waiting = ["all"]
        for name in waiting:  # grows while it is read
            for child in self.groups[name].children:
                depth[child] = max(depth.get(child, 0), depth[name] + 1)
                waiting.append(child)
        mine = [name for name in self.groups if name == "all" or host in self.members(name)]
        return sorted(mine, key=lambda name: (depth.get(name, 0), name))


def _hosts(body: Table) -> Iterator[tuple[str, Table]]:
    if isinstance(body.get("hosts"), str):
        yield body["hosts"], Table(body.file, body.lines["hosts"], body.error)
        return
    table = body.table("hosts")
    for name in table:
        if not isinstance(name, str) or not name:
            raise table.fail(f"the name of a host should be a text, not {name!r}", name)
        yield name, table.table(name)


def _expand(pattern: str) -> list[str]:
    """``web[01:03].example`` -> web01.example, web02.example, web03.example."""
    found = _RANGE.search(pattern)
    if found is None:
        return [pattern]
    first, last, step = found[1], found[2], int(found[3] or 1)
    if first.isdigit() and last.isdigit():
        names = [str(number).zfill(len(first)) for number in range(int(first), int(last) + 1, max(step, 1))]
    elif len(first) == len(last) == 1:
        names = [chr(code) for code in range(ord(first), ord(last) + 1, max(step, 1))]
    else:
        return [pattern]
    return [host for name in names for host in _expand(pattern[: found.start()] + name + pattern[found.end() :])]


def _is_yaml(text: str) -> bool:
    """Whether a file without a telling suffix begins as YAML does."""
    lines = [line.split(" #")[0].rstrip() for line in text.splitlines() if line.strip() and line[0] not in "#;"]
    return bool(lines) and (lines[0].endswith(":") or lines[0] == "---")


def read(source: Path, tree: Tree) -> None:
    """Add what a file says. :raises InventoryError: it is not valid; with file and line (2)."""
    text = yaml_lines.read(source, InventoryError)
    ini = source.suffix not in (".yml", ".yaml") and not _is_yaml(text)
    data = (
        inventory_ini.loads(text, shown(source), tree.groups)
        if ini
        else yaml_lines.loads(text, shown(source), InventoryError)
    )
    if data is None:
        return
    if not isinstance(data, Table):
        raise InventoryError("an inventory is a mapping of groups", where=f"{shown(source)}:1", hint="begin with all:")
    for name in data:
        if not isinstance(name, str):
            raise data.fail(f"the name of a group should be a text, not {name!r}", name)
        tree.add(name, data.table(name))
