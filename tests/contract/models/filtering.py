"""Models of iptables (rules in tables and chains, compared word by word) and of ufw (its files, its dry run)."""

# ruff: noqa: PTH104, PTH119, PTH123
from __future__ import annotations

import os
import sys

from state import fail, load, save

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

BUILT_IN = {"filter": ("INPUT", "FORWARD", "OUTPUT"), "nat": ("PREROUTING", "INPUT", "OUTPUT", "POSTROUTING")}
POLICIES = {"allow": "ACCEPT", "deny": "DROP", "reject": "REJECT"}
CHAINS = {"incoming": "INPUT", "outgoing": "OUTPUT", "routed": "FORWARD"}


def main(root: str, argv: list[str]) -> None:
    tool = os.path.basename(argv[0])
    if tool == "ufw":
        ufw(root, argv[1:])
        return
    tables = load(root, tool, {})
    words = [word for word in argv[1:] if word not in ("-w", "5")]
    assert words[0] == "-t"
    table = tables.setdefault(
        words[1], {name: {"policy": "ACCEPT", "rules": []} for name in BUILT_IN.get(words[1], ())}
    )
    change(table, words[2], words[3:])
    if words[2] not in ("-C", "-S"):
        save(root, tool, tables)


def change(table: Any, verb: str, words: list[str]) -> None:
    name = words[0] if words else ""
    if verb == "-N":
        if name in table:
            fail("iptables: Chain already exists.")
        table[name] = {"policy": "-", "rules": []}
        return
    if name and name not in table:
        fail("iptables: No chain/target/match by that name.")
    chains = [table[name]] if name else list(table.values())
    if verb == "-S":
        for each, chain in table.items():
            if name in ("", each):
                print(f"-N {each}" if chain["policy"] == "-" else f"-P {each} {chain['policy']}")
                print("".join(f"-A {each} {' '.join(rule)}\n" for rule in chain["rules"]), end="")
    elif verb == "-F":
        for chain in chains:
            chain["rules"] = []
    elif verb == "-P":
        chains[0]["policy"] = words[1]
    elif verb == "-X":
        if chains[0]["rules"]:
            fail("iptables: Directory not empty.")
        del table[name]
    else:
        rule(chains[0]["rules"], verb, words[1:])


def rule(rules: list[list[str]], verb: str, words: list[str]) -> None:
    if verb == "-C":
        sys.exit(0 if words in rules else 1)
    elif verb == "-A":
        rules.append(words)
    elif verb == "-D":
        rules.remove(words) if words in rules else fail(
            "iptables: Bad rule (does a matching rule exist in that chain?)."
        )
    elif verb == "-I":
        place = int(words.pop(0)) if words[0].isdigit() else 1
        rules.insert(place - 1, words)


def ufw(root: str, words: list[str]) -> None:
    dry = "--dry-run" in words
    words = [word for word in words if word not in ("--dry-run", "--force")]
    config, defaults = f"{root}/etc/ufw/ufw.conf", f"{root}/etc/default/ufw"
    if words[0] in ("enable", "disable"):
        setting(config, "ENABLED", "yes" if words[0] == "enable" else "no")
    elif words[0] == "logging":
        setting(config, "LOGLEVEL", "low" if words[1] == "on" else words[1])
    elif words[0] == "default":
        setting(defaults, f"DEFAULT_{CHAINS[words[2]]}_POLICY", f'"{POLICIES[words[1]]}"')
    elif words[0] == "reset":
        setting(config, "ENABLED", "no")
        write(f"{root}/etc/ufw/user.rules", [])
    elif words[0] != "reload":
        ufw_rule(f"{root}/etc/ufw/user.rules", words, dry)


def ufw_rule(path: str, words: list[str], dry: bool) -> None:
    deletes = "delete" in words
    words = [word for word in words if word != "delete"]
    if "insert" in words:
        place = words.index("insert")
        words = words[:place] + words[place + 2 :]
    with open(path) as file:
        rules = [line[14:].rstrip("\n") for line in file if line.startswith("### tuple ### ")]
    about = " ".join(words[1:]).partition(" comment ")[0]  # what a rule is about: one action, one comment
    same = [one for one in rules if one.split(" ", 1)[1].partition(" comment ")[0] == about]
    if not deletes and same == [" ".join(words)]:
        print("Skipping adding existing rule")
        return
    kept = [one for one in rules if one not in same]
    rules = kept if deletes else [*kept, " ".join(words)]
    if dry:
        print(text(rules))
    else:
        write(path, rules)


def text(rules: list[str]) -> str:
    lines = "".join(f"### tuple ### {one}\n" for one in rules)
    return f"*filter\n:ufw-user-input - [0:0]\n### RULES ###\n{lines}### END RULES ###\n"


def write(path: str, rules: list[str]) -> None:
    replace(path, text(rules))


def setting(path: str, name: str, value: str) -> None:
    with open(path) as file:
        lines = [line for line in file if not line.startswith(name + "=")]
    replace(path, "".join([*lines, f"{name}={value}\n"]))


def replace(path: str, content: str) -> None:
    with open(path + ".new", "w") as file:
        file.write(content)
    os.rename(path + ".new", path)
