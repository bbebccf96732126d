"""A model of pip and of what makes environments: packages by prefix in pips.json, what is offered in python.json."""

# ruff: noqa: PTH103, PTH119, PTH120, PTH123, PTH211, PTH115
from __future__ import annotations

import os

from state import dumps, fail, load, options, save

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def main(root: str, argv: list[str]) -> None:
    tool = os.path.basename(argv[0])
    if tool == "virtualenv":
        _, (path, *_) = options(argv[1:], {"-p"})
        os.makedirs(f"{path}/bin", exist_ok=True)
        if not os.path.lexists(f"{path}/bin/pip"):
            os.symlink(os.readlink(f"{root}/usr/bin/pip3"), f"{path}/bin/pip")
        return
    found, (verb, *names) = options(argv[1:], {"-r", "-e"})
    prefixes = load(root, "pips", {})
    installed = prefixes.setdefault(os.path.dirname(os.path.dirname(argv[0]))[len(root) :], {})
    if verb == "list":
        rows = [{"name": name, "version": version} for name, version in installed.items()]
        newest = load(root, "python", {})
        print(dumps([row for row in rows if "--outdated" not in found or newest.get(row["name"]) != row["version"]]))
        return
    for path in found.get("-r", []):
        names += lines(path)
    if verb == "install":
        wanted = dict(resolved(root, name.partition(";")[0].strip(), installed, found) for name in names)
        if "--dry-run" in found:
            new = [{"metadata": {"name": name}} for name, version in wanted.items() if installed.get(name) != version]
            print(dumps({"install": new}))
            return
        installed.update(wanted)
    else:
        for name in names:
            installed.pop(name, None)
    save(root, "pips", prefixes)


def lines(path: str) -> list[str]:
    with open(path) as file:
        found = [line.strip() for line in file if line.strip() and not line.startswith("#")]
    others = [line.split()[1] for line in found if line.startswith("-r ")]
    more = [line for other in others for line in lines(f"{os.path.dirname(path)}/{other}")]
    return [line for line in found if not line.startswith("-r ")] + more


def resolved(root: str, word: str, installed: dict[str, str], found: dict[str, Any]) -> tuple[str, str]:
    name, _, version = word.replace(">", "=").replace("==", "=").partition("=")
    offered = load(root, "python", {})
    if name not in offered:
        fail(f"ERROR: No matching distribution found for {word}")
    newest = offered[name] if "--upgrade" in found or ">" in word else installed.get(name, offered[name])
    return name, version if "==" in word else newest
