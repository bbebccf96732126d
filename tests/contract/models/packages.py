"""A model of apt and dpkg: an archive in archive.json, the index in /var/lib/apt/lists, dpkg's own status file."""

# ruff: noqa: PTH103, PTH115, PTH211, PTH104, PTH108, PTH110, PTH112, PTH119, PTH123, PTH208
from __future__ import annotations

import os
import sys

import units
from state import fail, load, loads, options

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
    found, rest = options(argv[1:], {"-o", "-t"})
    if tool == "apt-mark":
        status = read_status(root)
        for name in rest[1:]:
            if rest[0] != "manual" and name in status:
                status[name]["Status"] = ("hold" if rest[0] == "hold" else "install") + " ok installed"
        write_status(root, status)
    elif tool == "apt-cache" and rest == ["pkgnames"]:
        print("\n".join(known(root)))
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
    elif tool == "dpkg-deb":
        with open(rest[0]) as file:
            control = loads(file.read())
        print(control["Package"], control["Version"])
    elif tool == "dpkg" and "--compare-versions" in found:
        sys.exit(0 if rest[0] >= rest[2] else 1)
    elif tool == "dpkg" and "--set-selections" in found:
        select(root, [line.split() for line in sys.stdin])
    elif tool == "dpkg":
        for name in os.listdir(f"{root}/var/lib/dpkg/updates"):
            os.unlink(f"{root}/var/lib/dpkg/updates/{name}")


def select(root: str, lines: list[list[str]]) -> None:
    status = read_status(root)
    for name, selection in lines:
        if name in status:  # others are only warned about
            status[name]["Status"] = " ".join([selection, *status[name]["Status"].split()[1:]])
    write_status(root, status)


def show(root: str, names: list[str]) -> None:
    archive = known(root)
    for name in names:
        if name in archive:
            print(f"Package: {name}\nVersion: {archive[name]['versions'][-1]}\nArchitecture: amd64\n")
    sys.exit(0 if all(name in archive for name in names) else 100)


def change(root: str, verb: str, words: list[str], found: dict[str, list[str]]) -> None:
    """Do it, or (-s) say what would be done."""
    old = read_status(root)
    status, archive = {name: dict(block) for name, block in old.items()}, known(root)
    if verb == "upgrade" or verb == "dist-upgrade":
        words = [name for name, block in status.items() if is_installed(block) and name in archive]
        words = [name for name in words if not status[name]["Status"].startswith("hold")]
    elif verb == "build-dep":
        words = [other for name in words for other in archive[name]["builds"]]
    for word in words:
        name, _, version = word.partition("=")
        if verb in ("install", "upgrade", "dist-upgrade", "build-dep"):
            if word.endswith(".deb"):
                with open(word) as file:
                    control = loads(file.read())
                name = control["Package"]
                archive = {**archive, name: {"versions": [control["Version"]]}}
            if name not in archive:
                fail(f"E: Unable to locate package {name}", 100)
            install(root, status, archive, name, version, found, simulate="-s" in found)
        elif name in status and verb == "remove":
            status[name]["Status"] = "deinstall ok config-files"
        elif verb == "purge":
            status.pop(name, None)
    if "-f" in found:
        for block in status.values():
            block["Status"] = block["Status"].replace("unpacked", "installed")
    if verb == "autoremove" or "--auto-remove" in found:
        for name in unneeded(status, archive):
            status.pop(name)
    if "-s" in found:
        simulated(root, verb, old, status)
    else:
        clean(root, verb)
        write_status(root, status)


def is_installed(block: dict[str, str]) -> bool:
    return block["Status"].endswith(" installed")


def unneeded(status: Status, archive: dict[str, Any]) -> list[str]:
    """Installed for others that are gone."""
    needed = {
        other
        for name, block in status.items()
        if is_installed(block)
        for other in archive.get(name, {}).get("depends", [])
    }
    return [name for name, block in status.items() if "Auto" in block and is_installed(block) and name not in needed]


def simulated(root: str, verb: str, old: Status, new: Status) -> None:
    print("Reading package lists...")
    for name, block in new.items():
        if is_installed(block) and old.get(name) != block:
            print(f"Inst {name} ({block['Version']} Debian:13/stable [amd64])")
    for name in old:
        if is_installed(old[name]) and not is_installed(new.get(name, {"Status": ""})):
            print(f"Remv {name} [{old[name]['Version']}]")
    for name in outdated(root) if verb == "autoclean" else []:
        print(f"Del {name} [600 kB]")


def outdated(root: str) -> list[str]:
    """Package files of versions the archive has no more."""
    where, archive = f"{root}/var/cache/apt/archives", known(root)
    files = [name for name in os.listdir(where) if name.endswith(".deb")] if os.path.isdir(where) else []
    return [file for file in files if file.split("_")[1] not in archive.get(file.split("_")[0], {}).get("versions", [])]


def clean(root: str, verb: str) -> None:
    where = f"{root}/var/cache/apt/archives"
    for name in outdated(root) if verb == "autoclean" else os.listdir(where) if verb == "clean" else []:
        os.unlink(f"{where}/{name}")


def install(
    root: str,
    status: Status,
    archive: dict[str, Any],
    name: str,
    version: str,
    found: dict[str, list[str]],
    *,
    simulate: bool = False,
    auto: bool = False,
) -> None:
    entry, there = archive[name], name in status and is_installed(status[name])
    if not there and "--only-upgrade" in found:
        return
    matching = [
        each for each in entry["versions"] if not version or each == version or each.startswith(version.rstrip("*"))
    ]
    if not matching:
        fail(f"E: Version '{version}' for '{name}' was not found", 100)
    if (
        status.get(name, {}).get("Status", "").startswith("hold")
        and status[name]["Version"] != matching[-1]
        and "--allow-change-held-packages" not in found
    ):
        fail("E: Held packages were changed and -y was used without --allow-change-held-packages.", 100)
    if there and matching[-1] < status[name]["Version"] and "--allow-downgrades" not in found:
        fail("E: Packages were downgraded and -y was used without --allow-downgrades.", 100)
    for other in entry.get("depends", []):
        install(root, status, archive, other, "", found, simulate=simulate, auto=other not in status)
    mark = status.get(name, {}).get("Status", "").split(" ")[0]
    status[name] = {
        "Package": name,
        "Status": f"{'hold' if mark == 'hold' else 'install'} ok installed",
        "Architecture": "amd64",
        "Version": matching[-1],
        **({"Provides": entry["provides"]} if "provides" in entry else {}),
        **({"Auto": "yes"} if auto or (there and "Auto" in status[name]) else {}),
    }
    if simulate:
        return
    if entry.get("units"):
        start = not os.path.exists(f"{root}/usr/sbin/policy-rc.d")
    for program in entry.get("programs", []):
        if not os.path.lexists(f"{root}/usr/bin/{program}"):
            os.symlink(os.readlink(f"{root}/usr/share/model/{program}"), f"{root}/usr/bin/{program}")
    for unit in entry.get("units", []):
        units.install(root, unit, start)
