"""Filters on text: regular expressions, quoting, comments."""

from __future__ import annotations

import re
import shlex
from typing import Any, Callable, Optional

_COMMENTS = {
    "plain": ("", "# ", ""),
    "erlang": ("", "% ", ""),
    "c": ("", "// ", ""),
    "cblock": ("/*", " * ", " */"),
    "xml": ("<!--", " - ", "-->"),
}


def flags(ignorecase: bool, multiline: bool) -> re.RegexFlag:
    return (re.IGNORECASE if ignorecase else re.NOFLAG) | (re.MULTILINE if multiline else re.NOFLAG)


def regex_replace(
    value: Any = "",
    pattern: str = "",
    replacement: str = "",
    ignorecase: bool = False,
    multiline: bool = False,
    count: int = 0,
    mandatory_count: int = 0,
) -> str:
    text, times = re.subn(pattern, replacement, str(value), count=count, flags=flags(ignorecase, multiline))
    if mandatory_count and times != mandatory_count:
        raise ValueError(f"regex_replace: {pattern!r} should match {mandatory_count} times, but matches {times} times")
    return text


def regex_search(value: Any, pattern: str, *groups: str, ignorecase: bool = False, multiline: bool = False) -> Any:
    """The match, or a list of the named (``\\g<name>``) and numbered (``\\1``) groups; ``None`` without a match."""
    names: list[Any] = []
    for group in groups:
        known = re.fullmatch(r"\\g<(\w+)>|\\(\d+)", group)
        if not known:
            raise ValueError(f"regex_search: {group!r} should be '\\\\1' or '\\\\g<name>'")
        names.append(known[1] or int(known[2]))
    found = re.search(pattern, str(value), flags(ignorecase, multiline))
    if not found or not groups:
        return found.group() if found else None
    return [found.group(name) for name in names]


def regex_findall(value: Any, regex: str, multiline: bool = False, ignorecase: bool = False) -> list[Any]:
    return re.findall(regex, str(value), flags(ignorecase, multiline))


def regex_escape(value: Any, re_type: str = "python") -> str:
    if re_type == "python":
        return re.escape(str(value))
    if re_type == "posix_basic":
        return re.sub(r"([].[^$*\\])", r"\\\1", str(value))
    raise ValueError(f"regex_escape: re_type is python or posix_basic, not '{re_type}'")


def comment(
    text: str,
    style: str = "plain",
    *,
    newline: str = "\n",
    beginning: Optional[str] = None,
    prefix: Optional[str] = None,
    prefix_count: int = 1,
    decoration: Optional[str] = None,
    postfix: Optional[str] = None,
    postfix_count: int = 1,
    end: Optional[str] = None,
) -> str:
    """A text as a comment, with a line before and after it."""
    if style not in _COMMENTS:
        raise ValueError(f"comment: the style is one of {', '.join(_COMMENTS)}, not '{style}'")
    first, mark, last = _COMMENTS[style]
    mark = mark if decoration is None else decoration
    before = mark.rstrip() if prefix is None else prefix
    after = mark.rstrip() if postfix is None else postfix
    body = mark + text.replace(newline, newline + mark)
    lines = [
        first if beginning is None else beginning,
        *[before] * prefix_count,
        body.replace(newline + mark + newline, newline + mark.rstrip() + newline),
        *[after] * postfix_count,
        last if end is None else end,
    ]
    return newline.join(line for number, line in enumerate(lines) if line or 0 < number < len(lines) - 1)


FILTERS: dict[str, Callable[..., Any]] = {
    "comment": comment,
    "quote": lambda value: shlex.quote("" if value is None else str(value)),
    "regex_escape": regex_escape,
    "regex_findall": regex_findall,
    "regex_replace": regex_replace,
    "regex_search": regex_search,
    "split": lambda value, separator=None, count=-1: str(value).split(separator, count),
    "splitlines": lambda value: str(value).splitlines(),
}
