"""A model of debconf: answers as paragraphs in its databases."""

# ruff: noqa: PTH103, PTH123
from __future__ import annotations

import os
import sys

from state import fail


def main(root: str, argv: list[str]) -> None:
    for line in sys.stdin:
        words = line.rstrip("\n").split(" ", 3)
        if len(words) < 3:
            fail(f"error: Cannot parse line: {line}")
        answer(root, *words[:3], words[3] if len(words) > 3 else "", "-u" not in argv)


def answer(root: str, owner: str, question: str, kind: str, value: str, seen: bool) -> None:
    path = f"{root}/var/cache/debconf/{'passwords' if kind == 'password' else 'config'}.dat"
    os.makedirs(os.path.dirname(path), exist_ok=True)  # noqa: PTH120
    try:
        with open(path) as file:
            blocks = file.read().split("\n\n")
    except FileNotFoundError:
        blocks = []
    blocks = [block.strip() for block in blocks if block.strip() and f"Name: {question}" not in block.splitlines()]
    flags = "Flags: seen\n" if seen else ""
    blocks.append(f"Name: {question}\nTemplate: {question}\nValue: {value}\nOwners: {owner}\n{flags}".strip())
    with open(path, "w") as file:
        file.write("\n\n".join(blocks) + "\n\n")
