"""A model of apt and dpkg: an archive in archive.json, the index in /var/lib/apt/lists, dpkg's own status file."""

# ruff: noqa: PTH103, PTH115, PTH211, PTH104, PTH108, PTH110, PTH112, PTH119, PTH123, PTH208
from __future__ import annotations

import os
import sys

import units
from state import fail, load, options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

Status = dict[str, dict[str, str]]


def read_status(root: str) -> Status:
    try:
        with open(f"{root}/var/lib/dpkg/status") as file:
            blocks = [
                dict(line.split(": ", 1) for line in block.splitlines()) for block in file.read().split("\n\n") if block
            ]
    except FileNotFoundError:
        blocks = []
    return {block["Package"]: block for block in blocks}


def write_status(root: str, status: Status) -> None:
    os.makedirs(f"{root}/var/lib/dpkg", exist_ok=True)
    with open(f"{root}/var/lib/dpkg/status-new", "w") as file:
        file.write("\n".join("".join(f"{key}: {value}\n" for key, value in block.items()) for block in status.values()))
    os.rename(f"{root}/var/lib/dpkg/status-new", f"{root}/var/lib/dpkg/status")


def known(root: str) -> dict[str, Any]:
    """What the index holds: nothing before an update."""
    lists = f"{root}/var/lib/apt/lists/index"
    return load(root, "archive", {}) if os.path.exists(lists) else {}


def main(root: str, argv: list[str]) -> None:
    tool = os.path.basename(argv[0])
    found, rest = options(argv[1:], {"-o"})
    if tool == "apt-mark":
        status = read_status(root)
        for name in rest[1:]:
            status[name]["Status"] = ("hold" if rest[0] == "hold" else "install") + " ok installed"
        write_status(root, status)
    elif tool == "apt-cache":
        show(root, rest[1:])
    elif tool == "apt-get" and rest[0] == "update":
        os.makedirs(f"{root}/var/lib/apt/lists", exist_ok=True)
        with open(f"{root}/var/lib/apt/lists/index", "w") as file:
            file.write("index\n")
    elif tool == "apt-get":
        if os.listdir(f"{root}/var/lib/dpkg/updates") if os.path.isdir(f"{root}/var/lib/dpkg/updates") else []:
            fail("E: dpkg was interrupted, you must manually run 'dpkg --configure -a' to correct the problem.", 100)
        change(root, rest[0], rest[1:], found)
    elif tool == "dpkg":
        for name in os.listdir(f"{root}/var/lib/dpkg/updates"):
            os.unlink(f"{root}/var/lib/dpkg/updates/{name}")


def show(root: str, names: list[str]) -> None:
    archive = known(root)
    for name in names:
        if name in archive:
            print(f"Package: {name}\nVersion: {archive[name]['versions'][-1]}\nArchitecture: amd64\n")
    sys.exit(0 if all(name in archive for name in names) else 100)


def change(root: str, verb: str, words: list[str], found: dict[str, list[str]]) -> None:
    status, archive = read_status(root), known(root)
    for word in words:
        name, _, version = word.partition("=")
        if verb == "install":
            if name not in archive:
                fail(f"E: Unable to locate package {name}", 100)
            install(root, status, archive, name, version, "--allow-change-held-packages" in found)
        elif name in status and verb == "remove":
            status[name]["Status"] = "deinstall ok config-files"
        elif verb == "purge":
            status.pop(name, None)
    write_status(root, status)


def install(root: str, status: Status, archive: dict[str, Any], name: str, version: str, free: bool) -> None:
    entry = archive[name]
    matching = [
        each for each in entry["versions"] if not version or each == version or each.startswith(version.rstrip("*"))
    ]
    if not matching:
        fail(f"E: Version '{version}' for '{name}' was not found", 100)
    if (
        status.get(name, {}).get("Status", "").startswith("hold")
        and status[name]["Version"] != matching[-1]
        and not free
    ):
        fail("E: Held packages were changed and -y was used without --allow-change-held-packages.", 100)
    for other in entry.get("depends", []):
        install(root, status, archive, other, "", free)
    mark = status.get(name, {}).get("Status", "").split(" ")[0]
    status[name] = {
        "Package": name,
        "Status": f"{'hold' if mark == 'hold' else 'install'} ok installed",
        "Architecture": "amd64",
        "Version": matching[-1],
        **({"Provides": entry["provides"]} if "provides" in entry else {}),
    }
    for program in entry.get("programs", []):
        if not os.path.lexists(f"{root}/usr/bin/{program}"):
            os.symlink(os.readlink(f"{root}/usr/share/model/{program}"), f"{root}/usr/bin/{program}")
    for unit in entry.get("units", []):
        units.install(root, unit)
