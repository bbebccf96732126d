"""Tests (``is ...``): on registered results, texts, lists, versions, and files of the controller."""

from __future__ import annotations

import math
import os.path
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Callable, Optional
from urllib.parse import urlsplit

from mnemo_ops.templates.filters.encodings import to_bool
from mnemo_ops.templates.filters.texts import flags
from mnemo_ops.templates.filters.versions import version
from mnemo_ops.vault.cipher import HEADER


def _result(name: str, otherwise: bool = False) -> Callable[[Any], bool]:
    """A test on what a task registered; ``otherwise`` when it says nothing of it."""

    def test(value: Any) -> bool:
        try:
            return bool(value[name])
        except KeyError:
            return otherwise
        except (TypeError, IndexError):
            raise TypeError(f"'is {name}' needs a registered result, not {type(value).__name__}") from None

    return test


_failed, _skipped, _unreachable = _result("failed"), _result("skipped"), _result("unreachable")


def _changed(value: Any) -> bool:
    if isinstance(value, Mapping) and "changed" not in value and isinstance(value.get("results"), list):
        return any(isinstance(one, Mapping) and one.get("changed", False) for one in value["results"])
    return _result("changed")(value)


def _regex(how: str) -> Callable[..., bool]:
    def test(
        value: Any, pattern: str = "", ignorecase: bool = False, multiline: bool = False, match_type: str = how
    ) -> bool:
        if match_type not in ("search", "match", "fullmatch"):
            raise ValueError(f"match_type is search, match or fullmatch, not '{match_type}'")
        return bool(getattr(re, match_type)(pattern, str(value), flags(ignorecase, multiline)))

    return test


def truthy(value: Any, convert_bool: bool = False) -> bool:
    word = str(value).lower() if convert_bool and isinstance(value, (str, int)) else ""
    return to_bool(value) if word in ("true", "false", "yes", "no", "on", "off", "1", "0") else bool(value)


def _is_uri(value: Any, schemes: Optional[list[str]] = None) -> bool:
    parts = urlsplit(str(value))
    return bool(parts.scheme) and (not schemes or parts.scheme in schemes)


def _is_url(value: Any, schemes: Optional[list[str]] = None) -> bool:
    return _is_uri(value, schemes) and bool(urlsplit(str(value)).netloc)


def _is_nan(value: Any) -> bool:
    return math.isnan(value) if isinstance(value, (int, float)) else False


def _is_vaulted_file(value: str) -> bool:
    with Path(value).open("rb") as file:
        return file.read(len(HEADER)) == HEADER.encode()


TESTS: dict[str, Callable[..., Any]] = {
    **dict.fromkeys(("abs", "is_abs"), os.path.isabs),
    "all": all,
    "any": any,
    **dict.fromkeys(("changed", "change"), _changed),
    "contains": lambda value, item: item in value,
    **dict.fromkeys(("directory", "is_dir"), os.path.isdir),
    "exists": os.path.exists,
    **dict.fromkeys(("failed", "failure"), _failed),
    "falsy": lambda value, convert_bool=False: not truthy(value, convert_bool),
    **dict.fromkeys(("file", "is_file"), os.path.isfile),
    "finished": _result("finished", otherwise=True),
    **dict.fromkeys(("link", "is_link"), os.path.islink),
    "link_exists": os.path.lexists,
    "match": _regex("match"),
    **dict.fromkeys(("mount", "is_mount"), os.path.ismount),
    **dict.fromkeys(("nan", "isnan"), _is_nan),
    "reachable": lambda value: not _unreachable(value),
    "regex": _regex("search"),
    **dict.fromkeys(("same_file", "is_same_file"), os.path.samefile),
    "search": _regex("search"),
    **dict.fromkeys(("skipped", "skip"), _skipped),
    "started": _result("started", otherwise=True),
    **dict.fromkeys(("subset", "issubset"), lambda one, other: all(item in other for item in one)),
    **dict.fromkeys(("succeeded", "success", "successful"), lambda value: not _failed(value)),
    **dict.fromkeys(("superset", "issuperset"), lambda one, other: all(item in one for item in other)),
    "timedout": lambda value: bool(value.get("timedout") or False) and bool(value["timedout"].get("period")),
    "truthy": truthy,
    "unreachable": _unreachable,
    "uri": _is_uri,
    "url": _is_url,
    "urn": lambda value: _is_uri(value, ["urn"]),
    "vault_encrypted": lambda value: str(value).startswith(HEADER),
    "vaulted_file": _is_vaulted_file,
    **dict.fromkeys(("version", "version_compare"), version),
}
