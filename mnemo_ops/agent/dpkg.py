"""Debian's packages: what is installed (read from dpkg's own file, no process), and apt-get run without questions."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass
from typing import Dict, List, Sequence, Set, Tuple

from mnemo_ops.agent.machine import Machine

STATUS = "/var/lib/dpkg/status"
LISTS = "/var/lib/apt/lists"
SOURCES = "/etc/apt/sources.list"
FIELDS = tuple(f"{name}: " for name in ("Package", "Status", "Version", "Architecture", "Provides"))
LOCKS = (
    "/var/lib/dpkg/lock-frontend",
    "/var/lib/dpkg/lock",
    "/var/lib/apt/lists/lock",
    "/var/cache/apt/archives/lock",
)
PATIENCE = 300  # seconds to wait for another package manager


@dataclass(frozen=True)
class Package:
    """``state``: dpkg's third word (installed, config-files, half-installed, ...); ``held``: apt leaves it alone."""

    version: str
    state: str
    held: bool

    @property
    def installed(self) -> bool:
        return self.state == "installed"

    def fits(self, version: str) -> bool:
        """True for the version itself or for a pattern with ``*``."""
        return fnmatch.fnmatchcase(self.version, version)


def packages(machine: Machine) -> Dict[str, Package]:
    """Every package dpkg knows, under ``name`` and ``name:architecture``."""
    return _read(machine)[0]


def provided(machine: Machine) -> Set[str]:
    """Virtual packages that an installed one stands for."""
    return _read(machine)[1]


def _read(machine: Machine) -> Tuple[Dict[str, Package], Set[str]]:
    def read() -> Tuple[Dict[str, Package], Set[str]]:
        found: Dict[str, Package] = {}
        names: Set[str] = set()
        for block in (machine.read_text(STATUS) or "").split("\n\n"):
            fields = dict(line.split(": ", 1) for line in block.splitlines() if line.startswith(FIELDS))
            words = fields.get("Status", "").split()
            if len(words) != 3 or "Package" not in fields:
                continue
            package = Package(fields.get("Version", ""), words[2], words[0] == "hold")
            found[f"{fields['Package']}:{fields.get('Architecture', '')}"] = package
            if package.installed or fields["Package"] not in found:  # of several architectures, the installed one
                found[fields["Package"]] = package
            if package.installed:
                names.update(name.split()[0] for name in fields.get("Provides", "").split(",") if name.strip())
        return found, names

    known: Tuple[Dict[str, Package], Set[str]] = machine.once("dpkg", read)
    return known


def wait_for_locks(machine: Machine, patience: float = PATIENCE) -> None:
    """Wait until no other package manager works; never disturb it. :raises Broken: it did not end in time (6)."""
    holders = [pid for pid in map(machine.locked_by, LOCKS) if pid is not None]
    if holders:
        name = (machine.read_text(f"/proc/{holders[0]}/comm") or "a package manager").strip()
        what = f"the end of {name} (process {holders[0]}), which holds the package manager's lock"
        machine.wait_until(what, lambda: all(machine.locked_by(path) is None for path in LOCKS), patience, pause=0.5)


def apt_get(machine: Machine, verb: str, *words: str, patience: float = PATIENCE) -> None:
    """Run apt-get without questions, keeping the admin's configuration files.

    :raises Broken: another package manager works for longer than ``patience`` seconds, or apt-get is missing (6).
    :raises CommandFailed: it failed (6).
    """
    wait_for_locks(machine, patience)
    quiet = {"DEBIAN_FRONTEND": "noninteractive", "APT_LISTCHANGES_FRONTEND": "none", "NEEDRESTART_SUSPEND": "1"}
    keep = ["--force-confdef", "--force-confold"]
    if machine.names("/var/lib/dpkg/updates"):  # a run of dpkg was cut: apt refuses to work before this
        machine.note = "dpkg --configure -a"
        machine.run(["dpkg", *keep, "--configure", "-a"], env=quiet)
    options = [f"DPkg::Lock::Timeout={patience:.0f}", *(f"Dpkg::Options::={option}" for option in keep)]
    machine.note = f"apt-get {verb} " + " ".join(
        word for word in words if not word.startswith("-") and "::" not in word
    )
    machine.run(
        ["apt-get", "-y", "-q", *(word for option in options for word in ("-o", option)), verb, *words], env=quiet
    )


def update(machine: Machine, patience: float = PATIENCE) -> None:
    """Refresh the index of packages; an index that could not be loaded is an error, not a warning."""
    apt_get(machine, "update", "-o", "APT::Update::Error-Mode=any", patience=patience)
    machine.utime(LISTS)  # apt leaves its time alone when nothing was new


def index_age(machine: Machine) -> float:
    """Seconds since the index was refreshed; infinite when it never was, or not since a source changed."""
    lists = machine.stat(LISTS, follow=True)
    if lists is None or not any(name not in ("lock", "partial", "auxfiles") for name in machine.names(LISTS)):
        return float("inf")
    paths = [SOURCES, *(f"{SOURCES}.d/{name}" for name in machine.names(SOURCES + ".d"))]
    sources = [stat.mtime_ns for stat in (machine.stat(path, follow=True) for path in paths) if stat is not None]
    return machine.now() - lists.mtime_ns / 1e9 if lists.mtime_ns >= max(sources, default=0) else float("inf")


def hold(machine: Machine, names: Sequence[str], held: bool) -> None:
    """Keep upgrades away from packages, or no longer."""
    machine.run(["apt-mark", "hold" if held else "unhold", *names])


def candidates(machine: Machine, names: Sequence[str]) -> Dict[str, str]:
    """The version apt would install of each; a package apt does not know is missing."""
    if not names:
        return {}
    done = machine.ask(["apt-cache", "--no-all-versions", "show", *names], check=False)  # 100 when one is unknown
    found: Dict[str, str] = {}
    for block in done.out.split("\n\n"):
        fields: List[List[str]] = [line.split(": ", 1) for line in block.splitlines() if ": " in line]
        known = {pair[0]: pair[1] for pair in fields}
        if "Package" in known:
            found[known["Package"]] = known.get("Version", "")
    return found
