"""Filters and tests of Ansible's templates, with Ansible's meaning (ansible.builtin, plugins/filter/core.py)."""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import posixpath
import re
import shlex
from typing import Any, Callable, Iterable, Mapping, Optional, Union

import yaml
from jinja2 import Undefined
from jinja2.exceptions import UndefinedError

TRUE = frozenset({"true", "yes", "on", "1", "y", "t"})


def to_bool(value: Any) -> bool:
    return value if isinstance(value, bool) else str(value).lower() in TRUE


def combine(*mappings: Any, recursive: bool = False, list_merge: str = "replace") -> dict[Any, Any]:
    if list_merge != "replace":
        raise ValueError(f"combine: list_merge='{list_merge}' is not supported yet")
    merged: dict[Any, Any] = {}
    for mapping in mappings:
        for one in mapping if isinstance(mapping, list) else [mapping]:
            if not isinstance(one, Mapping):
                raise TypeError(f"combine needs mappings, not {type(one).__name__}")
            for key, value in one.items():
                both = recursive and isinstance(merged.get(key), Mapping) and isinstance(value, Mapping)
                merged[key] = combine(merged[key], value, recursive=True) if both else value
    return merged


def dict2items(value: Mapping[Any, Any], key_name: str = "key", value_name: str = "value") -> list[dict[str, Any]]:
    if not isinstance(value, Mapping):
        raise TypeError(f"dict2items needs a mapping, not {type(value).__name__}")
    return [{key_name: key, value_name: item} for key, item in value.items()]


def items2dict(value: Iterable[Any], key_name: str = "key", value_name: str = "value") -> dict[Any, Any]:
    return {item[key_name]: item[value_name] for item in value}


def _flags(ignorecase: bool, multiline: bool) -> re.RegexFlag:
    return (re.IGNORECASE if ignorecase else re.NOFLAG) | (re.MULTILINE if multiline else re.NOFLAG)


def regex_replace(
    value: Any, pattern: str = "", replacement: str = "", ignorecase: bool = False, multiline: bool = False
) -> str:
    return re.sub(pattern, replacement, str(value), flags=_flags(ignorecase, multiline))


def regex_search(value: Any, pattern: str, *groups: str, ignorecase: bool = False, multiline: bool = False) -> Any:
    """The match, or a list of the named (``\\g<name>``) and numbered (``\\1``) groups; ``None`` without a match."""
    found = re.search(pattern, str(value), _flags(ignorecase, multiline))
    if not found or not groups:
        return found.group() if found else None
    names = [group[3:-1] if group.startswith("\\g<") else int(group.lstrip("\\")) for group in groups]
    return [found.group(name) for name in names]


def regex_findall(value: Any, pattern: str, ignorecase: bool = False, multiline: bool = False) -> list[Any]:
    return re.findall(pattern, str(value), _flags(ignorecase, multiline))


def b64encode(value: Any, encoding: str = "utf-8") -> str:
    return base64.b64encode(str(value).encode(encoding)).decode("ascii")


def b64decode(value: str, encoding: str = "utf-8") -> str:
    return base64.b64decode(value).decode(encoding)


def digest(value: Any, hashtype: str = "sha1") -> str:
    return hashlib.new(hashtype, str(value).encode()).hexdigest()


def ternary(value: Any, true: Any, false: Any, none: Any = None) -> Any:
    if value is None and none is not None:
        return none
    return true if bool(value) else false


def mandatory(value: Any, msg: Optional[str] = None) -> Any:
    if isinstance(value, Undefined):
        raise UndefinedError(msg or f"mandatory variable {value._undefined_name!r} is not defined")
    return value


def flatten(value: Iterable[Any], levels: Optional[int] = None, skip_nulls: bool = True) -> list[Any]:
    flat: list[Any] = []
    for item in value:
        if skip_nulls and item is None:
            continue
        if isinstance(item, list) and levels != 0:
            flat.extend(flatten(item, None if levels is None else levels - 1, skip_nulls))
        else:
            flat.append(item)
    return flat


def _unique(values: Iterable[Any]) -> list[Any]:
    found: list[Any] = []
    for value in values:
        if value not in found:
            found.append(value)
    return found


def extract(key: Any, container: Any, morekeys: Any = None) -> Any:
    for one in [key, *(morekeys if isinstance(morekeys, list) else [] if morekeys is None else [morekeys])]:
        container = container[one]
    return container


def to_json(value: Any, **options: Any) -> str:
    return json.dumps(value, **options)


def to_nice_json(value: Any, indent: int = 4, sort_keys: bool = True) -> str:
    return json.dumps(value, indent=indent, sort_keys=sort_keys, separators=(",", ": "))


class _Dumper(yaml.SafeDumper):
    """Indents lists below their key, as Ansible's does; lists and mappings of a file are plain data."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


_Dumper.add_multi_representer(dict, yaml.SafeDumper.represent_dict)
_Dumper.add_multi_representer(list, yaml.SafeDumper.represent_list)
_Dumper.add_multi_representer(str, yaml.SafeDumper.represent_str)


def to_yaml(value: Any, default_flow_style: Optional[bool] = None, **options: Any) -> str:
    style = {"allow_unicode": True, "default_flow_style": default_flow_style, **options}
    text: str = yaml.dump(value, Dumper=_Dumper, **style)
    return text


def to_nice_yaml(value: Any, indent: int = 4, **options: Any) -> str:
    return to_yaml(value, default_flow_style=False, indent=indent, **options)


FILTERS: dict[str, Callable[..., Any]] = {
    "b64decode": b64decode,
    "b64encode": b64encode,
    "basename": posixpath.basename,
    "bool": to_bool,
    "checksum": digest,
    "combine": combine,
    "dict2items": dict2items,
    "difference": lambda one, other: [item for item in _unique(one) if item not in other],
    "dirname": posixpath.dirname,
    "extract": extract,
    "flatten": flatten,
    "from_json": json.loads,
    "from_yaml": yaml.safe_load,
    "hash": digest,
    "intersect": lambda one, other: [item for item in _unique(one) if item in other],
    "items2dict": items2dict,
    "mandatory": mandatory,
    "path_join": lambda parts: posixpath.join(*([parts] if isinstance(parts, str) else parts)),
    "product": lambda *lists: [list(row) for row in itertools.product(*lists)],
    "quote": lambda value: shlex.quote("" if value is None else str(value)),
    "regex_escape": re.escape,
    "regex_findall": regex_findall,
    "regex_replace": regex_replace,
    "regex_search": regex_search,
    "splitext": posixpath.splitext,
    "splitlines": lambda value: str(value).splitlines(),
    "split": lambda value, separator=None, count=-1: str(value).split(separator, count),
    "ternary": ternary,
    "to_json": to_json,
    "to_nice_json": to_nice_json,
    "to_nice_yaml": to_nice_yaml,
    "to_yaml": to_yaml,
    "type_debug": lambda value: type(value).__name__,
    "union": lambda one, other: _unique([*one, *other]),
    "zip": lambda *lists: [list(row) for row in zip(*lists)],
}


def _result(name: str) -> Callable[[Any], bool]:
    """A test on what a task registered."""

    def test(value: Any) -> bool:
        try:
            return bool(value[name])
        except (TypeError, LookupError):
            raise TypeError(f"'is {name}' needs a registered result, not {type(value).__name__}") from None

    return test


def _parts(version: str) -> list[tuple[int, Union[int, str]]]:
    """Numbers compare as numbers, words as words, and a word sorts below a number (1.0rc1 < 1.0.0)."""
    return [(1, int(part)) if part.isdigit() else (0, part) for part in re.findall(r"\d+|[a-zA-Z]+", version)]


OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    **dict.fromkeys(("==", "=", "eq"), lambda a, b: a == b),
    **dict.fromkeys(("!=", "<>", "ne"), lambda a, b: a != b),
    **dict.fromkeys(("<", "lt"), lambda a, b: a < b),
    **dict.fromkeys(("<=", "le"), lambda a, b: a <= b),
    **dict.fromkeys((">", "gt"), lambda a, b: a > b),
    **dict.fromkeys((">=", "ge"), lambda a, b: a >= b),
}


def version(value: Any, other: Any, operator: str = "eq") -> bool:
    if operator not in OPERATORS:
        raise ValueError(f"version: unknown operator '{operator}'")
    return OPERATORS[operator](_parts(str(value)), _parts(str(other)))


def search(value: Any, pattern: str, ignorecase: bool = False, multiline: bool = False) -> bool:
    return bool(re.search(pattern, str(value), _flags(ignorecase, multiline)))


def match(value: Any, pattern: str, ignorecase: bool = False, multiline: bool = False) -> bool:
    return bool(re.match(pattern, str(value), _flags(ignorecase, multiline)))


_failed, _skipped, _changed = _result("failed"), _result("skipped"), _result("changed")

TESTS: dict[str, Callable[..., Any]] = {
    **dict.fromkeys(("changed", "change"), _changed),
    **dict.fromkeys(("failed", "failure"), _failed),
    **dict.fromkeys(("succeeded", "success", "successful"), lambda value: not _failed(value)),
    **dict.fromkeys(("skipped", "skip"), _skipped),
    "contains": lambda value, item: item in value,
    "match": match,
    "regex": search,
    "search": search,
    "subset": lambda one, other: set(one) <= set(other),
    "superset": lambda one, other: set(one) >= set(other),
    **dict.fromkeys(("version", "version_compare"), version),
}
