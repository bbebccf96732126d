"""A model of exportfs: what the files under /etc/exports.d ask for becomes what is exported."""

# ruff: noqa: PTH112, PTH123, PTH208
from __future__ import annotations

import os
import re

from state import fail, load, save

DEFAULTS = ("ro", "root_squash", "sync", "wdelay", "no_subtree_check")


def main(root: str, argv: list[str]) -> None:
    if argv[1] == "-v":
        for path, client, words in load(root, "exports", []):
            print(f"{path:15} {client}({','.join(words)})")
        return
    found = []
    directory = f"{root}/etc/exports.d"
    for name in sorted(os.listdir(directory)):
        if not name.endswith(".exports"):
            continue
        with open(f"{directory}/{name}") as file:
            for line in file:
                found += exports(root, line)
    save(root, "exports", found)


def exports(root: str, line: str) -> list[list[object]]:
    words = line.partition("#")[0].split()
    rows: list[list[object]] = []
    for client in words[1:]:
        match = re.fullmatch(r"([^(]+)\(([^)]*)\)", client) or fail(
            f"exportfs: syntax error: bad option list: {client}"
        )
        given = match[2].split(",")
        if "nonsense" in given:
            fail('exportfs: unknown keyword "nonsense"')
        if not os.path.isdir(root + words[0]):
            fail(f"exportfs: Failed to stat {words[0]}: No such file or directory")
        rows.append(
            [
                words[0],
                match[1],
                [*given, *(one for one in DEFAULTS if opposite(one) not in given and one not in given)],
            ]
        )
    return rows


def opposite(word: str) -> str:
    pairs = {"ro": "rw", "sync": "async", "root_squash": "no_root_squash", "wdelay": "no_wdelay"}
    return pairs.get(word, word.removeprefix("no_"))
