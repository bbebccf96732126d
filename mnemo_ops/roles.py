"""Roles: Ansible's directories."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Optional

from mnemo_ops import yaml_lines
from mnemo_ops.ansible_words import ROLE_KEYS
from mnemo_ops.entries import Place, become, conditions, handlers, proof, tags, task_file
from mnemo_ops.errors import PlaybookError
from mnemo_ops.inventory import load_variables, variable_files
from mnemo_ops.model import Entry
from mnemo_ops.spelling import suggest
from mnemo_ops.template import is_template
from mnemo_ops.yaml_lines import Table, shape, shown

KEYS = ("role", "name", "when", "tags", "vars", "become", "become_user")
CODE = ("library", "module_utils", "action_plugins", "filter_plugins", "lookup_plugins", "test_plugins")


@dataclass(frozen=True)
class Role:
    """A role as a play names it.

    :param params: variables given where it is named; they win over its own. :param where: that place.
    """

    name: str
    path: Path
    where: str
    defaults: Mapping[str, Any]
    vars: Mapping[str, Any]
    params: Mapping[str, Any]
    when: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()

    def _place(self, shared: Place) -> Place:
        own = {"role_name": self.name, "role_path": str(self.path)}
        return replace(
            shared,
            directories=(self.path / "tasks", self.path, *shared.directories),
            files=(self.path / "files", self.path, *shared.files),
            templates=(self.path / "templates", self.path, *shared.templates),
            defaults={**shared.defaults, **self.defaults},
            vars={**shared.vars, **self.vars, **self.params, **own},
            when=self.when,
            tags=shared.tags + self.tags,
        )

    def tasks(self, shared: Place) -> Iterator[Entry]:
        path = _main(self.path / "tasks")
        if path is not None:
            yield from task_file(path, self._place(shared), self.where)

    def handlers(self, shared: Place) -> Iterator[tuple[Entry, tuple[str, ...]]]:
        path = _main(self.path / "handlers")
        if path is not None:
            yield from handlers(yaml_lines.load(path), self._place(shared))


def roles(table: Table, home: Path, place: Place) -> list[Role]:
    """The roles of a play; the same one with the same parameters runs once, as in Ansible."""
    found: list[Role] = []
    rows = table.rows("roles")
    for index, row in enumerate(rows):
        role = _role(row, rows.where(index), home, place)
        if not any(replace(role, where=other.where) == other for other in found):
            found.append(role)
    return found


def _role(row: Any, where: str, home: Path, place: Place) -> Role:
    if isinstance(row, str):
        row, name = Table(*_split(where)), row
    elif isinstance(row, Table):
        row.only("a role", KEYS, ROLE_KEYS)
        name = row.text("role") or row.text("name")
        become(row, place.become)
    else:
        raise PlaybookError(f"a role should be a name or a mapping, not {shape(row)}", where=where)
    if not name or is_template(name):
        raise PlaybookError("a role needs a name without templates", where=where)
    path = _find(name, home, where)
    _refuse_others(path, where)
    params = row.table("vars")
    params.names("vars")
    proof(params)
    defaults, own = _variables(path / "defaults"), _variables(path / "vars")
    return Role(path.name, path, where, defaults, own, params, conditions(row), tags(row))


def _split(where: str) -> tuple[str, int]:
    file, _, line = where.rpartition(":")
    return file, int(line)


def _find(name: str, home: Path, where: str) -> Path:
    for path in (home / "roles" / name, home / name):
        if path.is_dir():
            return path
    folder = home / "roles"
    names = [path.name for path in folder.iterdir() if path.is_dir()] if folder.is_dir() else []
    hint = suggest(name, names) or f"looked in {shown(folder)}"
    raise PlaybookError(f"there is no role '{name}'", where=where, hint=hint)


def _main(directory: Path) -> Optional[Path]:
    found = [directory / name for name in ("main.yml", "main.yaml", "main") if (directory / name).is_file()]
    return found[0] if found else None


def _variables(directory: Path) -> Mapping[str, Any]:
    found: dict[str, Any] = {}
    for path in variable_files(directory, "main"):
        more = load_variables(path, PlaybookError)
        more.names(shown(path))
        proof(more)
        found.update(more)
    return found


def _refuse_others(path: Path, where: str) -> None:
    """What a role may hold in Ansible and we would have to ignore."""
    for name in CODE:
        if (path / name).is_dir():
            raise PlaybookError(f"'{name}' of role '{path.name}' is not supported yet", where=where)
    meta = _main(path / "meta")
    data = yaml_lines.load(meta) if meta else None
    if isinstance(data, Table):
        for key in ("dependencies", "allow_duplicates"):
            if data.get(key):
                raise data.fail(f"'{key}' of a role is not supported yet", key, "list the roles in the play")
