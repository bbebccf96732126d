"""Lookups that make lists of what they are given; older playbooks loop over them."""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Mapping
from typing import Any, Callable

from mnemo_ops.errors import TemplateError
from mnemo_ops.templates.filters.lists import flatten, subelements
from mnemo_ops.templates.lookups.scope import LookupScope

_SEQUENCE = re.compile(
    r"(?:(?P<start>0?x?[0-9a-f]+)\s*-\s*)?(?P<end>0?x?[0-9a-f]+)(?:\s*/\s*(?P<stride>0?x?[0-9a-f]+))?(?::(?P<format>.+))?",
    re.IGNORECASE,
)


def _lists(terms: list[Any]) -> list[list[Any]]:
    return [term if isinstance(term, list) else [term] for term in terms]


def _dict(scope: LookupScope, terms: list[Any]) -> list[Any]:
    for term in terms:
        if not isinstance(term, Mapping):
            raise TemplateError(f"lookup 'dict' needs a mapping, not {type(term).__name__}")
    return [{"key": key, "value": value} for term in terms for key, value in term.items()]


def _subelements(scope: LookupScope, terms: list[Any]) -> list[Any]:
    if len(terms) not in (2, 3):
        raise TemplateError("lookup 'subelements' takes a list, the name of a list inside its items, and flags")
    flags: Mapping[str, Any] = terms[2] if len(terms) == 3 else {}
    items = terms[0].values() if isinstance(terms[0], Mapping) else terms[0]
    rows = [item for item in items if not item.get("skipped", False)]
    return [list(pair) for pair in subelements(rows, terms[1], bool(flags.get("skip_missing", False)))]


def _sequence(scope: LookupScope, terms: list[Any], **options: Any) -> list[Any]:
    """Numbers as texts. A term is ``start=1 end=9 stride=2 format=n%02d``, or ``1-9/2:n%02d``."""
    return [text for term in terms or [""] for text in _count(str(term), dict(options))]


def _count(term: str, given: dict[str, Any]) -> list[str]:
    shape = _SEQUENCE.fullmatch(term.strip())
    if shape:
        given.update({name: value for name, value in shape.groupdict().items() if value is not None})
    else:
        given.update({pair.partition("=")[0]: pair.partition("=")[2] for pair in term.split() if "=" in pair})
    unknown = given.keys() - {"start", "end", "count", "stride", "format"}
    if unknown or ("end" not in given and "count" not in given) or ("end" in given and "count" in given):
        raise TemplateError(f"lookup 'sequence' takes start, stride, format, and either end or count, not '{term}'")
    number = {name: int(str(given[name]), 0) for name in ("start", "end", "count", "stride") if name in given}
    start, stride = number.get("start", 1), number.get("stride", 1)
    end = number["end"] if "end" in number else start + (number["count"] - 1) * stride
    if not stride or number.get("count") == 0:
        return []
    if (end - start) * stride < 0:
        raise TemplateError(f"lookup 'sequence' cannot count from {start} to {end} in steps of {stride}")
    return [str(given.get("format", "%d")) % value for value in range(start, end + (1 if stride > 0 else -1), stride)]


def _vars(scope: LookupScope, terms: list[Any], default: Any = None) -> list[Any]:
    found = []
    for name in terms:
        if name not in scope and default is None:
            raise TemplateError(f"lookup 'vars': the variable '{name}' is undefined")
        found.append(scope.get(name, default))
    return found


def _names(scope: LookupScope, terms: list[Any]) -> list[Any]:
    return [name for pattern in terms for name in scope if re.search(pattern, name)]


def _indexed(scope: LookupScope, terms: list[Any]) -> list[Any]:
    return [list(pair) for pair in enumerate(flatten(terms, levels=1, skip_nulls=False))]


def _chance(scope: LookupScope, terms: list[Any]) -> list[Any]:
    return [random.choice(terms)] if terms else []  # of the terms, as Ansible does


def _product(scope: LookupScope, terms: list[Any]) -> list[Any]:
    return [flatten(row, levels=1) for row in itertools.product(*_lists(terms))]


def _together(scope: LookupScope, terms: list[Any]) -> list[Any]:
    return [list(row) for row in itertools.zip_longest(*_lists(terms))]


LOOKUPS: dict[str, Callable[..., list[Any]]] = {
    "cartesian": _product,
    "dict": _dict,
    "flattened": lambda scope, terms: flatten(terms),
    "indexed_items": _indexed,
    "items": lambda scope, terms: flatten(terms, levels=1, skip_nulls=False),
    "list": lambda scope, terms: terms,
    "nested": _product,
    "random_choice": _chance,
    "sequence": _sequence,
    "subelements": _subelements,
    "together": _together,
    "varnames": _names,
    "vars": _vars,
}
