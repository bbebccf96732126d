"""A model of systemd: unit files below /etc/systemd/system, what was read of them, what runs."""

# ruff: noqa: PTH103, PTH110, PTH112, PTH116, PTH123, PTH208
from __future__ import annotations

import os
import sys
import time

import state
from state import fail, load, options, save

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def path(root: str, name: str) -> str:
    return f"{root}/etc/systemd/system/{name}"


def install(root: str, name: str, start: bool) -> None:
    """What a package's scripts do: the unit's file, enabled, started if the policy lets them."""
    os.makedirs(f"{root}/etc/systemd/system", exist_ok=True)
    if not os.path.exists(path(root, name)):
        with open(path(root, name), "w") as file:
            file.write("[Service]\n")
        units = load(root, "units", {})
        units[name] = {**fresh(root, name), "enabled": True, "active": "active" if start else "inactive"}
        started(root, name, units[name])
        save(root, "units", units)


def fresh(root: str, name: str) -> dict[str, Any]:
    return {"active": "inactive", "enabled": False, "masked": False, "read": read(root, name), "deeds": []}


def read(root: str, name: str) -> str:
    with open(path(root, name)) as file:
        return file.read()


def started(root: str, name: str, unit: dict[str, Any]) -> None:
    """An engine reads its settings when it starts or is reloaded."""
    settings = f"{root}/etc/docker/daemon.json"
    if name == "docker.service":
        unit["settings"] = state.read(settings) if os.path.exists(settings) else None


def main(root: str, argv: list[str]) -> None:
    if argv[0].endswith("systemd-run"):
        return  # what it is to look at later, the tests look at themselves
    found, rest = options(argv[1:], {"--property"})
    verbs = {
        "daemon-reload",
        "daemon-reexec",
        "show",
        "start",
        "stop",
        "restart",
        "reload",
        "enable",
        "disable",
        "mask",
    }
    verb = next(
        word
        for word in argv[1:]
        if word in verbs | {"unmask", "is-enabled", "is-active", "list-units", "list-unit-files"}
    )
    names = [word if "." in word or word == "*" else word + ".service" for word in rest if word != verb]
    units = load(root, "units", {})
    if verb == "show":
        show(root, units, names, found.get("--property", [""])[0])
        return
    if verb.startswith("list"):
        listing(root, units, verb)
        return
    if verb == "is-enabled":
        print(properties(root, units, names[0])["UnitFileState"] or "not-found")
        return
    if verb == "is-active":
        sys.exit(0 if units.get(names[0], {}).get("active") == "active" else 3)
    if verb in ("daemon-reload", "daemon-reexec"):
        for name, unit in units.items():
            unit["read"] = read(root, name)
        with open(f"{root}/var/lib/model/loaded", "w"):
            pass
    for name in names:
        if verb == "mask" and not os.path.exists(path(root, name)):
            with open(path(root, name), "w"):
                units[name] = fresh(root, name)
        if not os.path.exists(path(root, name)):
            fail(f"Failed to {verb} {name}: Unit {name} not found.", 5)
        unit = units.setdefault(name, fresh(root, name))
        act(root, name, unit, verb)
        if "--now" in found:
            act(root, name, unit, {"enable": "start", "disable": "stop"}[verb])
    save(root, "units", units)


def act(root: str, name: str, unit: dict[str, Any], verb: str) -> None:
    oneshot = "Type=oneshot" in unit["read"]
    if verb in ("start", "restart", "reload"):
        if unit["masked"]:
            fail(f"Failed to {verb} {name}: Unit {name} is masked.")
        if verb == "reload" and unit["active"] != "active":
            fail(f"Failed to reload {name}: Unit is not active.")
        if verb != "start" or unit["active"] != "active":
            started(root, name, unit)
        unit["active"] = "inactive" if oneshot else "active"
        unit["deeds"].append(verb)
    elif verb == "stop":
        unit["active"] = "inactive"
    elif verb in ("enable", "disable"):
        unit["enabled"] = verb == "enable"
    elif verb in ("mask", "unmask"):
        unit["masked"] = verb == "mask"


def properties(root: str, units: dict[str, Any], name: str) -> dict[str, str]:
    there = os.path.exists(path(root, name))
    unit = units.get(name) or (fresh(root, name) if there else {})
    static = there and "[Install]" not in unit["read"] and name.startswith("static")
    state = "masked" if unit.get("masked") else "static" if static else "enabled" if unit.get("enabled") else "disabled"
    return {
        "LoadState": "not-found" if not there else "masked" if unit["masked"] else "loaded",
        "ActiveState": unit.get("active", "inactive"),
        "SubState": "running" if unit.get("active") == "active" else "dead",
        "UnitFileState": state if there else "",
        "NeedDaemonReload": "yes" if there and unit["read"] != read(root, name) else "no",
        "Type": "oneshot" if there and "Type=oneshot" in unit["read"] else "simple",
        "RemainAfterExit": "no",
        "Environment": "PASSWORD=a-secret",
        "ExecStart": "{ path=/bin/x ; argv[]=/bin/x\n  y }",
    }


def show(root: str, units: dict[str, Any], names: list[str], wanted: str) -> None:
    if names == ["*"]:
        found = [
            {"NeedDaemonReload": "yes" if unit["read"] != read(root, each) else "no"} for each, unit in units.items()
        ]
    elif names:
        if any(name.endswith("@.service") for name in names):
            fail(f"Failed to get properties: Unit name {names[-1]} is neither a valid invocation ID nor unit name.")
        found = [properties(root, units, name) for name in names]
    else:
        found = [{"UnitsLoadTimestampMonotonic": str(int(loaded(root) * 1e6))}]
    shown = [[f"{key}={known[key]}" for key in (wanted.split(",") if wanted else known)] for known in found]
    print("\n\n".join("\n".join(lines) for lines in shown))


def loaded(root: str) -> float:
    """When unit files were read last, on the monotonic clock; just now, when nobody asked for it."""
    try:
        ago = time.time() - os.stat(f"{root}/var/lib/model/loaded").st_mtime
    except FileNotFoundError:
        ago = 0.0
    return time.monotonic() - ago


def listing(root: str, units: dict[str, Any], what: str) -> None:
    directory = f"{root}/etc/systemd/system"
    for name in sorted(os.listdir(directory)) if os.path.isdir(directory) else []:
        found = properties(root, units, name)
        if what == "list-unit-files":
            print(f"{name} {found['UnitFileState']} enabled")
        elif name in units:
            print(f"{name} {found['LoadState']} {found['ActiveState']} {found['SubState']} What it does")
