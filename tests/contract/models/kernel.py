"""A model of what sets the kernel's and the system's own settings: below /proc and /etc, as the real tools do."""

# ruff: noqa: PTH103, PTH108, PTH110, PTH119, PTH120, PTH123, PTH211
from __future__ import annotations

import os
import sys

from state import fail, options


def main(root: str, argv: list[str]) -> None:
    {
        "sysctl": sysctl,
        "modprobe": modprobe,
        "hostnamectl": hostnamectl,
        "timedatectl": timedatectl,
        "crontab": crontab,
        "locale-gen": locale_gen,
        "locale": locales,
    }[os.path.basename(argv[0])](root, argv[1:])


def put(path: str, text: str) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as file:
        file.write(text)


def text(path: str) -> str:
    try:
        with open(path) as file:
            return file.read()
    except FileNotFoundError:
        return ""


def sysctl(root: str, words: list[str]) -> None:
    found, rest = options(words, {"-p"})
    lines = rest if "-w" in found else text(found["-p"][0]).splitlines()
    for line in lines:
        name, equals, value = line.partition("=")
        path = f"{root}/proc/sys/{name.strip().replace('.', '/')}"
        if not equals or line.startswith("#"):
            continue
        if not os.path.exists(path):
            if "-e" not in found:
                fail(f"sysctl: cannot stat {path}: No such file or directory", 255)
        elif "readonly" in name:
            print(f'sysctl: setting key "{name}": Read-only file system', file=sys.stderr)
        else:
            put(path, "\t".join(value.split()) + "\n")


def modprobe(root: str, words: list[str]) -> None:
    found, (name, *_) = options(words, set())
    name = name.replace("-", "_")
    if name == "nonesuch":
        fail(f"modprobe: FATAL: Module {name} not found in directory /lib/modules/6.1.0")
    modules = [line for line in text(f"{root}/proc/modules").splitlines() if line.split()[0] != name]
    modules += [] if "-r" in found else [f"{name} 16384 0 - Live 0x0000000000000000"]
    put(f"{root}/proc/modules", "".join(line + "\n" for line in modules))


def hostnamectl(root: str, words: list[str]) -> None:
    found, (verb, name) = options(words, set())
    assert verb == "set-hostname"
    if "--static" in found:
        put(f"{root}/etc/hostname", name + "\n")
    if "--pretty" in found:
        put(f"{root}/etc/machine-info", f"PRETTY_HOSTNAME={name}\n")
    if "--transient" in found:
        put(f"{root}/proc/sys/kernel/hostname", name + "\n")


def timedatectl(root: str, words: list[str]) -> None:
    verb, value = words
    if verb == "set-timezone":
        if os.path.lexists(f"{root}/etc/localtime"):
            os.unlink(f"{root}/etc/localtime")
        os.symlink(f"../usr/share/zoneinfo/{value}", f"{root}/etc/localtime")
    elif verb == "set-local-rtc":
        put(f"{root}/etc/adjtime", f"0.0 0 0\n0\n{'LOCAL' if value == '1' else 'UTC'}\n")


def crontab(root: str, words: list[str]) -> None:
    found, rest = options(words, {"-u"})
    user = found.get("-u", ["root"])[0]
    path = f"{root}/var/spool/cron/crontabs/{user}"
    if "-l" in found:
        if not os.path.exists(path):
            fail(f"no crontab for {user}")
        print(text(path), end="")
    elif rest == ["-"]:
        put(path, sys.stdin.read())


def locale_gen(root: str, words: list[str]) -> None:
    lines = [line.split() for line in text(f"{root}/etc/locale.gen").splitlines() if not line.startswith("#")]
    names = [fields[0].replace("UTF-8", "utf8") for fields in lines if fields]
    put(f"{root}/usr/lib/locale/list", "".join(name + "\n" for name in names))


def locales(root: str, words: list[str]) -> None:
    print("C\nC.utf8\nPOSIX\n" + text(f"{root}/usr/lib/locale/list"), end="")
