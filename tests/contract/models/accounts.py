"""A model of shadow's tools: /etc/passwd, /etc/group and /etc/shadow, with their exit codes for wrong calls."""

# ruff: noqa: PTH103, PTH104, PTH106, PTH112, PTH119, PTH123
from __future__ import annotations

import os
import sys

from state import fail, options

Rows = dict[str, list[str]]
WIDTH = {"passwd": 7, "group": 4, "shadow": 9}


class Accounts:
    def __init__(self, root: str) -> None:
        self.root = root
        self.rows = {name: self._read(name) for name in WIDTH}

    def _read(self, name: str) -> Rows:
        try:
            with open(f"{self.root}/etc/{name}") as file:
                rows = [line.rstrip("\n").split(":") for line in file if line.strip()]
        except FileNotFoundError:
            rows = []
        return {row[0]: row for row in rows}

    def write(self) -> None:
        for name, rows in self.rows.items():
            assert all(len(row) == WIDTH[name] for row in rows.values()), (name, rows)
            with open(f"{self.root}/etc/{name}.new", "w") as file:
                file.writelines(":".join(row) + "\n" for row in rows.values())
            os.rename(f"{self.root}/etc/{name}.new", f"{self.root}/etc/{name}")

    def free(self, database: str, system: bool) -> str:
        taken = {int(row[2]) for row in self.rows[database].values()}
        return str(
            next(number for number in (range(999, 99, -1) if system else range(1000, 60000)) if number not in taken)
        )

    def gid(self, group: str) -> str:
        for row in self.rows["group"].values():
            if group in (row[0], row[2]):
                return row[2]
        return fail(f"group '{group}' does not exist", 6)

    def join(self, user: str, groups: str, append: bool) -> None:
        wanted = [name for name in groups.split(",") if name]
        for name in wanted:
            self.gid(name)
        for row in self.rows["group"].values():
            members = [name for name in row[3].split(",") if name and (append or name != user)]
            row[3] = ",".join([*members, user] if row[0] in wanted and user not in members else members)


def main(root: str, argv: list[str]) -> None:
    tool = os.path.basename(argv[0])
    valued = {"-u", "-g", "-G", "-c", "-d", "-s", "-e", "-k", "-K", "-M", "-m", "-W", "-I"}
    if tool in ("useradd", "usermod"):  # -m is a flag there: make, or move, the home
        valued -= {"-m", "-M"}
    found, rest = options(argv[1:], set() if tool in ("userdel", "groupdel", "chpasswd") else valued)
    accounts = Accounts(root)
    if tool == "chpasswd":
        assert "-e" in found
        for line in sys.stdin.read().splitlines():
            name, _, hashed = line.partition(":")
            if name not in accounts.rows["shadow"]:
                fail(f"user '{name}' does not exist")
            accounts.rows["shadow"][name][1] = hashed
    elif tool == "chage":
        row = accounts.rows["shadow"].get(rest[0]) or fail(f"user '{rest[0]}' does not exist")
        for option, place in (("-m", 3), ("-M", 4), ("-W", 5), ("-I", 6)):
            value = found.get(option, [row[place]])[0]
            row[place] = "" if value == "-1" else value
    elif tool == "mkhomedir_helper":
        home(accounts, rest[0])
    else:
        globals()[tool](accounts, rest[-1], found)
    accounts.write()


def groupadd(accounts: Accounts, name: str, found: dict[str, list[str]]) -> None:
    if name in accounts.rows["group"]:
        fail(f"group '{name}' already exists", 9)
    number = found.get("-g", [accounts.free("group", "-r" in found)])[0]
    if any(row[2] == number for row in accounts.rows["group"].values()) and "-o" not in found:
        fail(f"GID '{number}' already exists", 4)
    accounts.rows["group"][name] = [name, "x", number, ""]


def groupmod(accounts: Accounts, name: str, found: dict[str, list[str]]) -> None:
    if name not in accounts.rows["group"]:
        fail(f"group '{name}' does not exist", 6)
    accounts.rows["group"][name][2] = found["-g"][0]


def groupdel(accounts: Accounts, name: str, found: dict[str, list[str]]) -> None:
    row = accounts.rows["group"].pop(name, None) or fail(f"group '{name}' does not exist", 6)
    if any(user[3] == row[2] for user in accounts.rows["passwd"].values()):
        fail("cannot remove the primary group of a user", 8)


def useradd(accounts: Accounts, name: str, found: dict[str, list[str]]) -> None:
    if name in accounts.rows["passwd"]:
        fail(f"user '{name}' already exists", 9)
    if "-g" in found:
        gid = accounts.gid(found["-g"][0])
    elif "-N" in found:
        gid = "100"
    else:
        groupadd(accounts, name, {"-r": [""]} if "-r" in found else {})
        gid = accounts.rows["group"][name][2]
    uid = found.get("-u", [accounts.free("passwd", "-r" in found)])[0]
    where = found.get("-d", [f"/home/{name}"])[0]
    row = [name, "x", uid, gid, found.get("-c", [""])[0], where, found.get("-s", ["/bin/sh"])[0]]
    accounts.rows["passwd"][name] = row
    accounts.rows["shadow"][name] = [name, "!", "20000", "0", "99999", "7", "", "", ""]
    accounts.rows["shadow"][name][7] = days(found.get("-e", [""])[0])
    accounts.join(name, found.get("-G", [""])[0], append=False)
    if "-m" in found:
        home(accounts, name)


def usermod(accounts: Accounts, name: str, found: dict[str, list[str]]) -> None:
    row = accounts.rows["passwd"].get(name) or fail(f"user '{name}' does not exist", 6)
    old = row[5]
    for option, place in (("-u", 2), ("-c", 4), ("-d", 5), ("-s", 6)):
        row[place] = found.get(option, [row[place]])[0]
    if "-g" in found:
        row[3] = accounts.gid(found["-g"][0])
    if "-G" in found:
        accounts.join(name, found["-G"][0], append="-a" in found)
    shadow = accounts.rows["shadow"][name]
    if "-e" in found:
        shadow[7] = days(found["-e"][0])
    if "-L" in found and not shadow[1].startswith("!"):
        shadow[1] = "!" + shadow[1]
    if "-U" in found:
        shadow[1] = shadow[1][1:] if len(shadow[1].rstrip("!")) > 1 else fail("unlocking would leave no password", 1)
    if "-m" in found and old != row[5]:
        os.rename(accounts.root + old, accounts.root + row[5])


def days(date: str) -> str:
    """A date as shadow(5) counts it."""
    if not date:
        return ""
    import calendar

    year, month, day = (int(part) for part in date.split("-"))
    return str(calendar.timegm((year, month, day, 0, 0, 0)) // 86400)


def userdel(accounts: Accounts, name: str, found: dict[str, list[str]]) -> None:
    row = accounts.rows["passwd"].pop(name, None) or fail(f"user '{name}' does not exist", 6)
    accounts.rows["shadow"].pop(name, None)
    accounts.join(name, "", append=False)
    group = accounts.rows["group"].get(name)
    if group is not None and group[2] == row[3]:
        del accounts.rows["group"][name]
    if "-r" in found:
        os.rmdir(accounts.root + row[5])


def home(accounts: Accounts, name: str) -> None:
    where = accounts.root + accounts.rows["passwd"][name][5]
    if not os.path.isdir(where):
        os.makedirs(where)
        os.chown(where, int(accounts.rows["passwd"][name][2]), int(accounts.rows["passwd"][name][3]))
