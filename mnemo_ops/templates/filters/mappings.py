"""Filters on mappings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Callable

from jinja2 import Environment, pass_environment

from mnemo_ops.templates.filters.lists import flatten

LIST_MERGES: dict[str, Callable[[list[Any], list[Any]], list[Any]]] = {
    "replace": lambda old, new: new,
    "keep": lambda old, new: old,
    "append": lambda old, new: old + new,
    "prepend": lambda old, new: new + old,
    "append_rp": lambda old, new: [item for item in old if item not in new] + new,  # "rp": what is in both moves
    "prepend_rp": lambda old, new: new + [item for item in old if item not in new],
}


def combine(*mappings: Any, recursive: bool = False, list_merge: str = "replace") -> dict[Any, Any]:
    """Later ones win; ``recursive`` merges the mappings inside, ``list_merge`` says what becomes of lists."""
    if list_merge not in LIST_MERGES:
        raise ValueError(f"combine: list_merge is one of {', '.join(LIST_MERGES)}, not '{list_merge}'")
    merged: dict[Any, Any] = {}
    for one in flatten(mappings):
        if not isinstance(one, Mapping):
            raise TypeError(f"combine needs mappings, not {type(one).__name__}")
        for key, value in one.items():
            old = merged.get(key)
            if recursive and isinstance(old, Mapping) and isinstance(value, Mapping):
                merged[key] = combine(old, value, recursive=True, list_merge=list_merge)
            elif isinstance(old, list) and isinstance(value, list):
                merged[key] = LIST_MERGES[list_merge](old, value)
            elif key not in merged or list_merge != "keep" or not isinstance(old, list):
                merged[key] = value
    return merged


def dict2items(value: Mapping[Any, Any], key_name: str = "key", value_name: str = "value") -> list[dict[str, Any]]:
    if not isinstance(value, Mapping):
        raise TypeError(f"dict2items needs a mapping, not {type(value).__name__}")
    return [{key_name: key, value_name: item} for key, item in value.items()]


def items2dict(value: Iterable[Any], key_name: Any = "key", value_name: Any = "value") -> dict[Any, Any]:
    if isinstance(value, (str, Mapping)):
        raise TypeError(f"items2dict needs a list, not {type(value).__name__}")
    return {item[key_name]: item[value_name] for item in value}


def rekey_on_member(data: Any, key: str, duplicates: str = "error") -> dict[Any, Any]:
    """Mappings by the value each has under ``key``."""
    if duplicates not in ("error", "overwrite"):
        raise ValueError(f"rekey_on_member: duplicates is error or overwrite, not '{duplicates}'")
    found: dict[Any, Any] = {}
    for item in data.values() if isinstance(data, Mapping) else data:
        if item[key] in found and duplicates == "error":
            raise ValueError(f"rekey_on_member: {item[key]!r} is there twice; duplicates='overwrite' keeps the last")
        found[item[key]] = item
    return found


@pass_environment
def extract(environment: Environment, key: Any, container: Any, morekeys: Any = None) -> Any:
    for one in [key, *(morekeys if isinstance(morekeys, list) else [] if morekeys is None else [morekeys])]:
        container = environment.getitem(container, one)
    return container


FILTERS: dict[str, Callable[..., Any]] = {
    "combine": combine,
    "dict2items": dict2items,
    "extract": extract,
    "items2dict": items2dict,
    "rekey_on_member": rekey_on_member,
}
