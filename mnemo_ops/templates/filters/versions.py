"""Version numbers, compared in the four ways of the test ``version``."""

from __future__ import annotations

import operator
import re
from typing import Any, Callable, Optional

OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    **dict.fromkeys(("==", "=", "eq"), operator.eq),
    **dict.fromkeys(("!=", "<>", "ne"), operator.ne),
    **dict.fromkeys(("<", "lt"), operator.lt),
    **dict.fromkeys(("<=", "le"), operator.le),
    **dict.fromkeys((">", "gt"), operator.gt),
    **dict.fromkeys((">=", "ge"), operator.ge),
}
_STRICT = re.compile(r"(\d+)\.(\d+)(?:\.(\d+))?(?:([ab])(\d+))?")
_SEMANTIC = re.compile(r"(\d+)\.(\d+)\.(\d+)(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?")
_PEP440 = re.compile(
    r"v?(?:(\d+)!)?(\d+(?:\.\d+)*)(?:[-_.]?(alpha|beta|preview|pre|rc|a|b|c)[-_.]?(\d*))?"
    r"((?:-\d+)|(?:[-_.]?(?:post|rev|r)[-_.]?\d*))?(?:[-_.]?(dev)[-_.]?(\d*))?(?:\+([a-z0-9]+(?:[-_.][a-z0-9]+)*))?"
)
_STAGES = {"alpha": "a", "beta": "b", "c": "rc", "pre": "rc", "preview": "rc"}
_LAST = (2,)  # sorts behind every pre-release


def loose(text: str) -> Any:
    """Numbers as numbers, letters as letters, in a list."""
    parts = [part for part in re.split(r"(\d+|[a-z]+|\.)", text) if part not in ("", ".")]
    return [int(part) if part.isdigit() else part for part in parts]


def strict(text: str) -> Any:
    """``1.2``, ``1.2.3``, ``1.2a1``."""
    found = _match(_STRICT, text, "version number")
    return [int(part or 0) for part in found.group(1, 2, 3)], (found[4] or "z", int(found[5] or 0))


def semantic(text: str) -> Any:
    """semver.org, version 2.0.0: identifiers of a pre-release one by one, numbers below words."""
    found = _match(_SEMANTIC, text, "semantic version")
    stage: Any = [_LAST]
    if found[4]:
        stage = [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in found[4].split(".")]
    return [int(part) for part in found.group(1, 2, 3)], stage


def pep440(text: str) -> Any:
    """Python's versions: epoch, release, a < b < rc, post, dev, local."""
    found = _match(_PEP440, text.strip().lower(), "version of PEP 440")
    release = [int(part) for part in found[2].split(".")]
    while release and not release[-1]:
        release.pop()
    stage: Any = (_STAGES.get(found[3], found[3]), int(found[4] or 0)) if found[3] else ()
    early = not stage and not found[5] and found[6]  # a dev release of nothing but the release itself
    post = int(re.sub(r"\D", "", found[5]) or 0) if found[5] else -1
    local = [(1, int(part), "") if part.isdigit() else (0, 0, part) for part in re.split(r"[-_.]", found[8] or "")]
    dev = (0, int(found[7] or 0)) if found[6] else (1, 0)
    return int(found[1] or 0), release, (0,) if early else (1, *stage) if stage else _LAST, post, dev, local


def _match(pattern: re.Pattern[str], text: str, what: str) -> re.Match[str]:
    found = pattern.fullmatch(text)
    if not found:
        raise ValueError(f"'{text}' is not a {what}")
    return found


_TYPES = {"loose": loose, "strict": strict, "semver": semantic, "semantic": semantic, "pep440": pep440}


def version(
    value: Any, version: Any, operator: str = "eq", strict: Optional[bool] = None, version_type: Optional[str] = None
) -> bool:
    """Whether ``value OPERATOR version`` holds. :raises ValueError: one of them is not such a version."""
    if strict is not None and version_type:
        raise ValueError("version: give either strict or version_type")
    kind = version_type or ("strict" if strict else "loose")
    if kind not in _TYPES:
        raise ValueError(f"version: version_type is one of {', '.join(_TYPES)}, not '{kind}'")
    if operator not in OPERATORS:
        raise ValueError(f"version: unknown operator '{operator}'; it is one of {', '.join(OPERATORS)}")
    if not str(value) or not str(version):
        raise ValueError("version: nothing to compare: one of the two versions is empty")
    try:
        return OPERATORS[operator](_TYPES[kind](str(value)), _TYPES[kind](str(version)))
    except TypeError:
        hint = "try version_type='semver'"
        raise ValueError(f"version: '{value}' and '{version}' differ in shape and cannot be compared; {hint}") from None
