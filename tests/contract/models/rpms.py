"""A model of rpm and dnf: installed packages in rpms.json, what repositories offer in offered.json."""

from __future__ import annotations

import fnmatch
import os
import sys

from state import fail, load, options, save


def main(root: str, argv: list[str]) -> None:
    installed: dict[str, str] = load(root, "rpms", {})
    if os.path.basename(argv[0]) == "rpm":  # noqa: PTH119
        query(root, installed, argv[1:])
    else:
        dnf(root, installed, argv[1:])


def query(root: str, installed: dict[str, str], words: list[str]) -> None:
    found, names = options(words, set())
    form = found["--queryformat"][0]
    if "--package" in found:
        name, version = names[0].rsplit("/", 1)[1][: -len(".rpm")].split("-")
        print(form.replace("%{NEVRA}", f"{name}-{version}"))
        return
    if "--all" in found:
        names = list(installed)
    missing = False
    for name in names:
        fits = [each for each in installed if name in (each, f"{each}-{installed[each]}", f"/usr/bin/{each}")]
        missing = missing or not fits
        print("".join(expand(form, each, installed[each]) for each in fits) or f"no package provides {name}\n", end="")
    sys.exit(1 if missing else 0)


def expand(form: str, name: str, version: str) -> str:
    known = {"NAME": name, "VERSION": version, "RELEASE": "1.el9", "EPOCH": "(none)", "ARCH": "x86_64"}
    for key, value in known.items():
        form = form.replace("%{" + key + "}", value)
    return form


def dnf(root: str, installed: dict[str, str], words: list[str]) -> None:
    offered: dict[str, list[str]] = load(root, "offered", {})
    found, (verb, *names) = options(words, set())
    if verb == "repoquery":
        if "--upgrades" in found:
            fits = [name for name in installed if newest(offered, name) > installed[name]]
        elif "--unneeded" in found:
            fits = [name for name in installed if name.startswith("lib") and name[3:] not in installed]
        else:
            fits = fnmatch.filter(installed, names[0])
        print("\n".join(fits))
        return
    if verb == "autoremove":
        names = [name for name in installed if name.startswith("lib") and name[3:] not in installed]
    for name in names or (list(installed) if verb == "upgrade" else []):
        for each in [name] if name.endswith(".rpm") else fnmatch.filter([*offered, *installed], name):
            change(root, installed, offered, verb, each)
        if verb == "install" and not name.endswith(".rpm") and not fnmatch.filter(offered, name):
            wanted, _, version = name.partition("-")
            if version not in offered.get(wanted, []):
                fail(f"No match for argument: {name}\nError: Unable to find a match: {name}")
            installed[wanted] = version
    save(root, "rpms", installed)


def newest(offered: dict[str, list[str]], name: str) -> str:
    return offered.get(name, [""])[-1]


def change(root: str, installed: dict[str, str], offered: dict[str, list[str]], verb: str, name: str) -> None:
    if verb in ("remove", "autoremove"):
        installed.pop(name, None)
    elif name.endswith(".rpm"):
        real, version = name.rsplit("/", 1)[1][: -len(".rpm")].split("-")
        installed[real] = version
    elif verb == "upgrade" or name not in installed:
        installed[name] = newest(offered, name)
