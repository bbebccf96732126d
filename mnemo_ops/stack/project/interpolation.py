"""Variables in a compose file, replaced as Compose replaces them: ``$A``, ``${A:-b}``, ``${A?why}``, ``${A:+b}``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from mnemo_ops.stack import env_file

_NAME = r"[A-Za-z_][A-Za-z0-9_]*"
_START = re.compile(rf"\$(?:(?P<escaped>\$)|(?P<plain>{_NAME})|\{{(?P<braced>{_NAME}))")
_RULE = re.compile(r"(?P<empty>:?)(?P<kind>[-?+])(?P<text>.*)", re.DOTALL)


def environment(files: Iterable[Path]) -> dict[str, str]:
    """The variables of env files, later ones first; a value may use those above it, unless in single quotes."""
    found: dict[str, str] = {}
    for path in files:
        text = path.read_text(errors="surrogateescape")
        plain = dict(env_file.pairs(text))
        for name, value, counts in env_file.templates(text):
            found[name] = plain[name]
            if counts:
                with suppress(ValueError):  # a password may hold any sign
                    found[name] = interpolated(value, found)
    return found


def interpolated(text: str, variables: Mapping[str, str]) -> str:
    """:raises ValueError: a variable that must be set is not, or a ``$`` begins none; the remedy after a semicolon."""
    done, at = "", 0
    while (sign := text.find("$", at)) >= 0:
        done += text[at:sign]
        found = _START.match(text, sign)
        if found is None:
            raise ValueError(f"{text!r}: this '$' begins no variable; write $$ for the sign itself")
        at = found.end()
        if found["braced"]:
            end = _end(text, at)
            done += _ruled(found["braced"], text[at:end], variables)
            at = end + 1
        else:
            done += "$" if found["escaped"] else _plain(found["plain"], variables)
    return done + text[at:]


def _end(text: str, at: int) -> int:
    """Where the brace closes that was opened before ``at``."""
    depth = 1
    for found in re.finditer(r"\$\{|\}", text[at:]):
        depth += -1 if found[0] == "}" else 1
        if not depth:
            return at + found.start()
    raise ValueError(f"{text!r}: a brace is not closed; write ${{NAME}}")


def _plain(name: str, variables: Mapping[str, str]) -> str:
    if name == "PWD" and name not in variables:
        raise ValueError("PWD is the directory of a shell, which a host does not have; write ./ instead of ${PWD}/")
    return variables.get(name, "~" if name == "HOME" else "")


def _ruled(name: str, rest: str, variables: Mapping[str, str]) -> str:
    if not rest:
        return _plain(name, variables)
    rule = _RULE.fullmatch(rest)
    if rule is None:
        raise ValueError(f"${{{name}{rest}}} is no form of a variable; write ${{{name}:-default}} or ${{{name}}}")
    value = variables.get(name)
    absent = value is None or (rule["empty"] and not value)
    if rule["kind"] == "?" and absent:
        raise ValueError(f"{name} is not set: {rule['text'] or 'it must be'}; set {name} in the env file")
    if rule["kind"] == "+":
        return "" if absent else interpolated(rule["text"], variables)
    return interpolated(rule["text"], variables) if absent else str(value)
