"""Roles: Ansible's directories, found and read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Optional

from mnemo_ops.agent.base.record import dataclass
from mnemo_ops.core.paths import shown
from mnemo_ops.core.suggest import suggest
from mnemo_ops.documents import yaml_lines
from mnemo_ops.documents.yaml_lines import Rows, Table, shape
from mnemo_ops.errors import PlaybookError
from mnemo_ops.inventory.load import load_variables, variable_files

CODE = ("library", "module_utils", "action_plugins", "filter_plugins", "lookup_plugins", "test_plugins")


@dataclass(frozen=True)
class Role:
    """A role on disk.

    :param dependencies: as its ``meta/main.yml`` lists them. :param duplicates: it may run twice with the same words.
    """

    name: str
    path: Path
    defaults: Mapping[str, Any]
    vars: Mapping[str, Any]
    dependencies: Rows
    duplicates: bool

    def file(self, folder: str, name: str = "main") -> Optional[Path]:
        """``tasks/main.yml`` and its like; ``None`` when there is none."""
        stem = self.path / folder / name
        found = [stem, *(stem.with_name(stem.name + suffix) for suffix in (".yml", ".yaml"))]
        return next((path for path in found if path.is_file()), None)


def find(name: str, places: tuple[Path, ...], where: str, defaults: str = "main", vars: str = "main") -> Role:
    """Read a role.

    :param places: directories that hold roles. :param defaults, vars: names of its files (``defaults_from``).
    :raises PlaybookError: there is no such role, or it holds what we would have to ignore (2).
    """
    path = _path(name, places, where)
    for code in CODE:
        if (path / code).is_dir():
            raise PlaybookError(f"'{code}' of role '{path.name}' is not supported yet", where=where)
    meta = next((file for file in (path / "meta" / one for one in ("main.yml", "main.yaml")) if file.is_file()), None)
    data = yaml_lines.load(meta) if meta else None
    if not isinstance(data, Table):
        data = Table(shown(path), 1)
    return Role(
        path.name,
        path,
        _variables(path / "defaults", defaults),
        _variables(path / "vars", vars),
        data.rows("dependencies"),
        data.flag("allow_duplicates"),
    )


def _path(name: str, places: tuple[Path, ...], where: str) -> Path:
    if Path(name).is_absolute() and Path(name).is_dir():
        return Path(name)
    for place in places:
        if (place / name).is_dir():
            return place / name
    names = [path.name for place in places if place.is_dir() for path in place.iterdir() if path.is_dir()]
    hint = suggest(name, names) or f"looked in {', '.join(shown(place) for place in places)}"
    raise PlaybookError(f"there is no role '{name}'", where=where, hint=hint)


def _variables(directory: Path, name: str) -> Mapping[str, Any]:
    found: dict[str, Any] = {}
    for path in variable_files(directory, name.removesuffix(".yml").removesuffix(".yaml")):
        more = load_variables(path, PlaybookError)
        more.names(shown(path))
        found.update(more)
    return found


def name_of(row: Any, where: str) -> tuple[str, Table]:
    """The name and the words of a role, as a list of roles writes it."""
    if isinstance(row, str):
        file, _, line = where.rpartition(":")
        return row, Table(file, int(line))
    if not isinstance(row, Table):
        raise PlaybookError(f"a role should be a name or a mapping, not {shape(row)}", where=where)
    return row.text("role") or row.text("name"), row
