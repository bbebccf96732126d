"""Inventory: hosts, groups and their variables, from Ansible's YAML and INI files."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Optional, Type

from mnemo_ops.agent.base.record import replace
from mnemo_ops.core.model import Host
from mnemo_ops.core.paths import shown
from mnemo_ops.core.secret import Secret
from mnemo_ops.core.suggest import suggest
from mnemo_ops.documents import yaml_lines
from mnemo_ops.documents.yaml_lines import Table
from mnemo_ops.errors import InventoryError, UsageError
from mnemo_ops.inventory.connection_vars import ALIASES, NAMES, connection
from mnemo_ops.inventory.groups import Group, Tree, read

NOTHING: Mapping[str, Any] = MappingProxyType({})
_SUFFIXES = ("", ".yml", ".yaml", ".json")
_LOCAL = ("localhost", "127.0.0.1", "::1")


class Inventory:
    """Use :func:`load`.

    :param hosts: by name, in file order. :param groups: group -> names of its hosts, groups below included.
    """

    def __init__(self, path: Path, hosts: Mapping[str, Host], groups: Mapping[str, Sequence[str]]) -> None:
        self.path, self.hosts, self.groups = path, hosts, groups
        self.become_password: Optional[Secret] = None  # of hosts whose variables name none

    def select(self, pattern: str, limit: str = "", where: str = "") -> list[Host]:
        """Hosts of a pattern in inventory order, those of ``limit`` only when it is given.

        Names, groups, ``all``, globs; ``a:b`` or ``a,b`` unites, ``&x`` intersects, ``!x`` excludes.

        :param where: who names the pattern, for the error.
        :raises InventoryError: a part matches no host and no group (2).
        """
        chosen = self._match(pattern, where)
        if limit:
            chosen &= self._match(limit, "--limit")
        known = [host for name, host in self.hosts.items() if name in chosen]
        known += [_localhost(name, self) for name in sorted(chosen - self.hosts.keys())]
        asked = self.become_password
        return [
            host if asked is None or host.become_password else replace(host, become_password=asked) for host in known
        ]

    def _match(self, pattern: str, where: str) -> set[str]:
        whole = pattern.strip() in {*self.hosts, *self.groups, *_LOCAL}
        parts = [pattern.strip()] if whole else [part.strip() for part in re.split(r"[,:]", pattern)]
        plain = [part for part in parts if part and part[0] not in "!&"]
        if not any(parts):
            raise InventoryError("the pattern names no host", where=where, hint="name a host, a group, or all")
        chosen = {name for part in plain or ["all"] for name in self._one(part, where)}
        for part in parts:
            if part.startswith("&"):
                chosen &= self._one(part[1:], where)
        for part in parts:
            if part.startswith("!"):
                chosen -= self._one(part[1:], where)
        return chosen

    def _one(self, name: str, where: str) -> set[str]:
        if name in ("all", "*"):
            return set(self.hosts)
        found = {host for host in self.hosts if fnmatch.fnmatchcase(host, name)}
        found.update(*(hosts for group, hosts in self.groups.items() if fnmatch.fnmatchcase(group, name)))
        if found or name in self.groups:
            return found
        if name in _LOCAL:
            return {name}
        hint = suggest(name, [*self.hosts, *(group for group in self.groups if group not in ("all", "ungrouped"))])
        raise InventoryError(f"no host or group '{name}' in {shown(self.path)}", where=where, hint=hint)


def _localhost(name: str, inventory: Inventory) -> Host:
    """This machine, which need not be in the inventory."""
    groups = {group: list(hosts) for group, hosts in inventory.groups.items()}
    magic = {"inventory_hostname": name, "inventory_hostname_short": name, "group_names": [], "groups": groups}
    return Host(name, name, local=True, vars=magic)


def _sources(path: Path) -> list[Path]:
    if not path.exists():
        raise InventoryError(f"the inventory {shown(path)} does not exist", hint="name another with --inventory PATH")
    if not path.is_dir():
        return [path]
    names = [one for one in sorted(path.iterdir()) if one.is_file() and one.suffix in ("", ".yml", ".yaml", ".ini")]
    found = [one for one in names if not one.name.startswith(".")]
    if not found:
        raise InventoryError(f"the inventory {shown(path)} holds no inventory file", hint="add hosts.yml")
    return found


def variable_files(directory: Path, name: str) -> list[Path]:
    """Files with the variables of a group, host or role: ``name``, ``name.yml``, or all files below ``name/``."""
    found: list[Path] = []
    for path in (directory / (name + suffix) for suffix in _SUFFIXES):
        if path.is_dir():
            below = sorted(one for one in path.rglob("*") if one.is_file() and one.suffix in _SUFFIXES)
            found.extend(one for one in below if not one.name.startswith("."))
        elif path.is_file():
            found.append(path)
    return found


def load_variables(path: Path, error: Type[UsageError], where: str = "") -> Table:
    """A file of variables, named at ``where``. :raises UsageError: (``error``) it is not a mapping (2)."""
    data = yaml_lines.load(path, error, where)
    if data is None:
        return Table(shown(path), 1, error)
    if not isinstance(data, Table):
        raise error("a file of variables is a mapping", where=f"{shown(path)}:1")
    return data


def _beside(directories: Sequence[Path], folder: str, name: str) -> Group:
    found = Group()
    for directory in directories:
        for path in variable_files(directory / folder, name):
            found.merge(load_variables(path, InventoryError))
    return found


def _host(
    name: str,
    tree: Tree,
    beside: Sequence[Path],
    group_vars: Mapping[str, Group],
    magic: Mapping[str, Any],
    home: Path,
    extra: Mapping[str, Any],
) -> Host:
    """A host with its variables in Ansible's order: groups inline, group_vars, host inline, host_vars."""
    groups = tree.groups_of(name)
    mine = Group()
    layers = [tree.groups[group] for group in groups]
    layers += [group_vars[group] for group in groups]
    layers += [tree.hosts[name], _beside(beside, "host_vars", name)]
    for layer in layers:
        mine.vars.update(layer.vars)
        mine.origin.update(layer.origin)
    names = sorted(group for group in groups if group != "all")
    own = {"inventory_hostname": name, "inventory_hostname_short": name.split(".")[0], "group_names": names}
    mine.vars.update({**magic, **own})
    said = {ALIASES.get(key, key): value for key, value in extra.items() if key in NAMES}
    origin = {**mine.origin, **dict.fromkeys(said, "--vars")}
    reached = connection(name, {**mine.vars, **said}, origin, home)
    return Host(name=name, groups=tuple(names), vars=mine.vars, **reached)


def load(path: Path, playbook_dir: Optional[Path] = None, extra: Mapping[str, Any] = NOTHING) -> Inventory:
    """Read an inventory file, or every file of an inventory directory.

    :param playbook_dir: where more ``group_vars`` and ``host_vars`` may lie, as in Ansible.
    :param extra: of ``--vars``: those that say how a host is reached win over its own.
    :raises InventoryError: missing, not valid, or a variable of a connection is wrong; with file and line (2).
    """
    tree = Tree()
    for source in _sources(path):
        read(source, tree)
    tree.close(shown(path))
    home = path if path.is_dir() else path.parent
    beside = [home]
    if playbook_dir is not None and playbook_dir.resolve() != home.resolve():
        beside.append(playbook_dir)
    groups = {name: list(tree.members(name)) for name in tree.groups}
    magic = {"groups": groups, "inventory_dir": str(home.absolute()), "inventory_file": str(path.absolute())}
    order = tree.members("all")
    group_vars = {name: _beside(beside, "group_vars", name) for name in tree.groups}
    return Inventory(path, {name: _host(name, tree, beside, group_vars, magic, home, extra) for name in order}, groups)
