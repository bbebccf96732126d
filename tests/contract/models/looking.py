"""A model of programs that only look: getent."""

# ruff: noqa: PTH123
from __future__ import annotations

import sys

from state import fail

DATABASES = ("passwd", "group", "shadow", "hosts")


def main(root: str, argv: list[str]) -> None:
    words = [word for word in argv[1:] if word != "--"]
    if words[0] not in DATABASES:
        fail(f"Unknown database: {words[0]}", 1)
    with open(f"{root}/etc/{words[0]}") as file:
        lines = [line for line in file if line.strip()]
    fields = [line.replace(":", " ").split() for line in lines]
    keys = words[1:]
    found = [line for line, row in zip(lines, fields) if not keys or keys[0] in (row[0], row[2])]
    print("".join(found), end="")
    sys.exit(2 if keys and not found else 0)
