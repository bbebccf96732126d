"""Filters on lists: sets, products, pairs, chance."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Mapping
from typing import Any, Callable, Optional, Union

from jinja2 import Environment, pass_environment
from jinja2.filters import make_attrgetter


def flatten(value: Iterable[Any], levels: Optional[int] = None, skip_nulls: bool = True) -> list[Any]:
    flat: list[Any] = []
    for item in value:
        if skip_nulls and item in (None, "None", "null"):
            continue
        if isinstance(item, (list, tuple)) and levels != 0:
            flat.extend(flatten(item, None if levels is None else levels - 1, skip_nulls))
        else:
            flat.append(item)
    return flat


def _distinct(values: Iterable[Any], key: Callable[[Any], Any] = lambda value: value) -> list[Any]:
    """The first of each, in order; also of what cannot be hashed."""
    found: list[Any] = []
    keys: list[Any] = []
    for value in values:
        if (mark := key(value)) not in keys:
            keys.append(mark)
            found.append(value)
    return found


@pass_environment
def unique(
    environment: Environment, values: Iterable[Any], case_sensitive: bool = False, attribute: Optional[str] = None
) -> list[Any]:
    read = make_attrgetter(environment, attribute)

    def key(value: Any) -> Any:
        mark = read(value)
        return mark.lower() if isinstance(mark, str) and not case_sensitive else mark

    return _distinct(values, key)


def union(one: Iterable[Any], other: Iterable[Any]) -> list[Any]:
    return _distinct([*one, *other])


def intersect(one: Iterable[Any], other: Iterable[Any]) -> list[Any]:
    known = list(other)
    return [item for item in _distinct(one) if item in known]


def difference(one: Iterable[Any], other: Iterable[Any]) -> list[Any]:
    known = list(other)
    return [item for item in _distinct(one) if item not in known]


def symmetric_difference(one: Iterable[Any], other: Iterable[Any]) -> list[Any]:
    first, second = list(one), list(other)
    return difference(first, second) + difference(second, first)


def subelements(value: Any, subelements: Union[str, list[str]], skip_missing: bool = False) -> list[tuple[Any, Any]]:
    """Pairs of an item and each element of the list it holds at a path (``authorized.keys``)."""
    path = subelements.split(".") if isinstance(subelements, str) else list(subelements)
    found = []
    for item in value.values() if isinstance(value, Mapping) else value:
        inner = item
        for name in path:
            if not isinstance(inner, Mapping):
                raise TypeError(f"subelements: '{name}' is read from {type(inner).__name__}, not from a mapping")
            if name not in inner:
                if not skip_missing:
                    raise KeyError(f"subelements: an item has no '{name}'; skip_missing=true leaves it out")
                inner = []
                break
            inner = inner[name]
        if not isinstance(inner, (list, tuple)):
            raise TypeError(f"subelements: '{'.'.join(path)}' should be a list, not {type(inner).__name__}")
        found += [(item, one) for one in inner]
    return found


def chosen(end: Any, start: Optional[int] = None, step: Optional[int] = None, seed: Any = None) -> Any:
    """A number below ``end``, or an item of a list; the same one each time for the same ``seed``."""
    source = random.SystemRandom() if seed is None else random.Random(seed)
    if isinstance(end, int):
        return source.randrange(start or 0, end, step or 1)
    if start is not None or step is not None:
        raise TypeError("random: start and step go with a number, not with a list")
    return source.choice(end if hasattr(end, "__getitem__") else list(end))


def shuffled(values: Iterable[Any], seed: Any = None) -> list[Any]:
    items = list(values)
    (random.SystemRandom() if seed is None else random.Random(seed)).shuffle(items)
    return items


FILTERS: dict[str, Callable[..., Any]] = {
    "combinations": lambda values, size: list(itertools.combinations(values, size)),
    "difference": difference,
    "flatten": flatten,
    "intersect": intersect,
    "permutations": lambda values, size=None: list(itertools.permutations(values, size)),
    "product": lambda *lists, repeat=1: list(itertools.product(*lists, repeat=repeat)),
    "random": chosen,
    "shuffle": shuffled,
    "subelements": subelements,
    "symmetric_difference": symmetric_difference,
    "union": union,
    "unique": unique,
    "zip": lambda *lists: list(zip(*lists)),
    "zip_longest": lambda *lists, fillvalue=None: list(itertools.zip_longest(*lists, fillvalue=fillvalue)),
}
