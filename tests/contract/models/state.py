"""What the models share: their state in one JSON file below the root, written only when something changed.

A contract run starts thousands of stubs, so they import next to nothing: json, re, typing or pathlib would each cost
as much as all the rest.
"""

# ruff: noqa: PTH103, PTH104, PTH123
from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn


def loads(text: str) -> Any:
    """JSON that the tests wrote themselves."""
    return eval(text, {"__builtins__": {}, "true": True, "false": False, "null": None})


def dumps(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ",".join(f"{dumps(str(key))}:{dumps(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(dumps, value)) + "]"
    if isinstance(value, str):
        return '"' + "".join(ESCAPED.get(letter, letter) for letter in value) + '"'
    return (
        {None: "null", True: "true", False: "false"}[value] if value is None or isinstance(value, bool) else repr(value)
    )


ESCAPED = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}


def read(path: str) -> str:
    with open(path) as file:
        return file.read()


def load(root: str, name: str, default: Any) -> Any:
    try:
        return loads(read(f"{root}/var/lib/model/{name}.json"))
    except FileNotFoundError:
        return default


def save(root: str, name: str, value: Any) -> None:
    os.makedirs(f"{root}/var/lib/model", exist_ok=True)
    with open(f"{root}/var/lib/model/{name}.json.new", "w") as file:
        file.write(dumps(value))
    os.rename(f"{root}/var/lib/model/{name}.json.new", f"{root}/var/lib/model/{name}.json")


def fail(message: str, code: int = 1) -> NoReturn:
    print(message, file=sys.stderr)
    sys.exit(code)


def options(words: list[str], with_value: set[str]) -> tuple[dict[str, list[str]], list[str]]:
    """Options anywhere on a line (values of repeated ones in order), and the other words."""
    found: dict[str, list[str]] = {}
    rest: list[str] = []
    left = list(words)
    while left:
        word = left.pop(0)
        if word == "--":
            return found, rest + left
        if word.startswith("-") and word != "-":
            name, equals, value = word.partition("=")
            if equals:
                found.setdefault(name, []).append(value)
            elif name in with_value:
                found.setdefault(name, []).append(left.pop(0))
            else:
                found.setdefault(name, []).append("")
        else:
            rest.append(word)
    return found, rest
