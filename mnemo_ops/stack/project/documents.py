"""A compose file as plain mappings and lists whose texts know their places; later files laid over earlier ones."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mnemo_ops.agent.base.record import dataclass
from mnemo_ops.documents import yaml_lines
from mnemo_ops.documents.yaml_lines import Placed, Rows, Table, Tagged
from mnemo_ops.errors import InventoryError


@dataclass(frozen=True)
class Override:
    """A value that replaces what earlier files say (``!override``); without one it removes that (``!reset``)."""

    value: Any = None


RESET = Override()


def load(path: Path, where: str = "") -> dict[str, Any]:
    """A compose file.

    :param where: ``file:line`` that names it. :raises InventoryError: it cannot be read, or is no mapping (2).
    """
    data = yaml_lines.load(path, InventoryError, where, tags=("reset", "override"))
    if data is not None and not isinstance(data, Table):
        raise InventoryError("a compose file is a mapping with 'services'", where=f"{path}:1")
    return {} if data is None else table(_placed(data, ""))


def _placed(value: Any, where: str) -> Any:
    if isinstance(value, Tagged):
        return RESET if value.tag == "reset" else Override(_placed(value.value, where))
    if isinstance(value, Table):
        return {Placed(str(key), value.where(key)): _placed(each, value.where(key)) for key, each in value.items()}
    if isinstance(value, Rows):
        return [_placed(each, value.where(index)) for index, each in enumerate(value)]
    return value if value is None or isinstance(value, bool) else Placed(str(value), where)


def unwrapped(value: Any) -> Any:
    """Without a tag of its own."""
    return value.value if isinstance(value, Override) else value


def bare(value: Any) -> Any:
    """A value without Compose's tags within it; what one of them removes is not there."""
    if isinstance(value, Override):
        return bare(value.value)
    if isinstance(value, dict):
        return {key: bare(each) for key, each in value.items() if each is not RESET}
    return [bare(each) for each in value if each is not RESET] if isinstance(value, list) else value


def table(value: Any) -> dict[str, Any]:
    """A mapping; anything else names nothing, and Compose itself says what is wrong with it."""
    return value if isinstance(value, dict) else {}


def rows(value: Any) -> list[Any]:
    """The items of a list; a single text or mapping is a list of one."""
    items = value if isinstance(value, list) else [value]
    return [each for each in items if each is not None and not isinstance(each, Override)]


def merged(base: Mapping[str, Any], over: Mapping[str, Any], whole: bool = True) -> dict[str, Any]:
    """A mapping laid over an earlier one, as Compose merges its files.

    :param whole: ``base`` is all there is to replace; otherwise what is replaced may also be in an earlier file.
    """
    found = dict(base)
    for key, value in over.items():
        if isinstance(value, Override) and not whole:
            found[key] = value
        elif value is RESET:
            found.pop(key, None)
        elif isinstance(value, Override):
            found[key] = merged({}, value.value) if isinstance(value.value, dict) else value.value
        else:
            found[key] = merged(table(found.get(key)), value, whole) if isinstance(value, dict) else value
    return found
