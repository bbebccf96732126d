"""Debian's packages: what is installed (read from dpkg's own file, no process), and apt-get run without questions."""

from __future__ import annotations

import contextlib
import fnmatch
from typing import Dict, Iterator, List, Optional, Sequence, Set, Tuple

from mnemo_ops.agent.base.lines import each_line
from mnemo_ops.agent.base.record import dataclass
from mnemo_ops.agent.machine import Machine

STATUS = "/var/lib/dpkg/status"
LISTS = "/var/lib/apt/lists"
SOURCES = "/etc/apt/sources.list"
FIELDS = tuple(f"{name}: " for name in ("Package", "Status", "Version", "Architecture", "Provides", "Section"))
LOCKS = (
    "/var/lib/dpkg/lock-frontend",
    "/var/lib/dpkg/lock",
    "/var/lib/apt/lists/lock",
    "/var/cache/apt/archives/lock",
)
PATIENCE = 300  # seconds to wait for another package manager
CONFFILES = ("force-confdef", "force-confold")  # the admin's configuration files stay
POLICY = "/usr/sbin/policy-rc.d"
KEPT = POLICY + ".mnemo-kept"
OURS = "#!/bin/sh\n# mnemo_ops: gone when its task ends\n"


@dataclass(frozen=True)
class Package:
    """``selection`` and ``state``: dpkg's first and third word (install, hold; installed, config-files, ...)."""

    version: str
    state: str
    selection: str

    @property
    def held(self) -> bool:
        """apt leaves it alone."""
        return self.selection == "hold"

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


def blocks(machine: Machine) -> Iterator[Dict[str, str]]:
    """The :data:`FIELDS` of each package in dpkg's status file."""
    for block in (machine.read_text(STATUS) or "").split("\n\n"):
        yield dict(line.split(": ", 1) for line in each_line(block) if line.startswith(FIELDS))


def _read(machine: Machine) -> Tuple[Dict[str, Package], Set[str]]:
    def read() -> Tuple[Dict[str, Package], Set[str]]:
        found: Dict[str, Package] = {}
        names: Set[str] = set()
        for fields in blocks(machine):
            words = fields.get("Status", "").split()
            if len(words) != 3 or "Package" not in fields:
                continue
            package = Package(fields.get("Version", ""), words[2], words[0])
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


def apt_get(
    machine: Machine, verb: str, *words: str, patience: float = PATIENCE, conffiles: Sequence[str] = CONFFILES
) -> None:
    """Run apt-get without questions.

    :param conffiles: options of dpkg, without their dashes.
    :raises Broken: another package manager works for longer than ``patience`` seconds, or apt-get is missing (6).
    :raises CommandFailed: it failed (6).
    """
    wait_for_locks(machine, patience)
    quiet = {"DEBIAN_FRONTEND": "noninteractive", "APT_LISTCHANGES_FRONTEND": "none", "NEEDRESTART_SUSPEND": "1"}
    keep = ["--" + option for option in conffiles]
    if machine.names("/var/lib/dpkg/updates"):  # a run of dpkg was cut: apt refuses to work before this
        machine.note = "dpkg --configure -a"
        machine.run(["dpkg", *keep, "--configure", "-a"], env=quiet)
    options = [f"DPkg::Lock::Timeout={patience:.0f}", *(f"Dpkg::Options::={option}" for option in keep)]
    machine.note = f"apt-get {verb} " + " ".join(
        word for word in words if not word.startswith("-") and "::" not in word
    )
    machine.run(["apt-get", "-y", "-q", *_options(options), verb, *words], env=quiet)


def _options(values: Sequence[str]) -> List[str]:
    return [word for value in values for word in ("-o", value)]


def simulated(machine: Machine, verb: str, *words: str) -> Dict[str, List[str]]:
    """What apt-get would do: ``Inst``, ``Remv``, ``Purg`` or ``Del`` -> packages. Asks for no lock."""
    found: Dict[str, List[str]] = {}
    for line in each_line(machine.ask(["apt-get", "-s", "-q", "-y", verb, *words]).out):
        deed, _, rest = line.strip().partition(" ")
        if deed in ("Inst", "Remv", "Purg", "Del") and rest:
            found.setdefault(deed, []).append(rest.split()[0])
    return found


def update(machine: Machine, patience: float = PATIENCE, retries: Optional[int] = None, delay: int = 0) -> None:
    """Refresh the index of packages; an index that could not be loaded is an error, not a warning.

    :param retries: how often apt asks again, at most ``delay`` seconds later; ``None``: as it is configured to.
    """
    options = ["APT::Update::Error-Mode=any"]
    if retries is not None:
        options += [f"Acquire::Retries={retries}", f"Acquire::Retries::Delay::Maximum={delay}"]
    apt_get(machine, "update", *_options(options), patience=patience)
    machine.utime(LISTS)  # apt leaves its time alone when nothing was new


def index_age(machine: Machine) -> float:
    """Seconds since the index was refreshed; infinite when it never was, or not since a source changed."""
    lists = machine.stat(LISTS, follow=True)
    if lists is None or not any(name not in ("lock", "partial", "auxfiles") for name in machine.names(LISTS)):
        return float("inf")
    paths = [SOURCES, *(f"{SOURCES}.d/{name}" for name in machine.names(SOURCES + ".d"))]
    sources = [stat.mtime_ns for stat in (machine.stat(path, follow=True) for path in paths) if stat is not None]
    return machine.now() - lists.mtime_ns / 1e9 if lists.mtime_ns >= max(sources, default=0) else float("inf")


def manual(machine: Machine, names: Sequence[str]) -> None:
    """Packages somebody asked for: never removed as no longer needed (apt-mark(8))."""
    if names:
        machine.run(["apt-mark", "manual", *names])


def hold(machine: Machine, names: Sequence[str], held: bool) -> None:
    """Keep upgrades away from packages, or no longer."""
    machine.run(["apt-mark", "hold" if held else "unhold", *names])


def matching(machine: Machine, pattern: str, installed: bool) -> List[str]:
    """Sorted names that fit a pattern of the shell: of installed packages, or of all that apt knows."""
    if installed:
        names = [name for name, package in packages(machine).items() if package.installed and ":" not in name]
    else:
        names = machine.once("pkgnames", lambda: machine.ask(["apt-cache", "pkgnames"]).out.split())
    return sorted(name for name in names if fnmatch.fnmatchcase(name, pattern))


def policy_left(machine: Machine) -> bool:
    """A run was cut while it told services not to start."""
    return machine.stat(KEPT) is not None or (machine.read_text(POLICY) or "").startswith(OURS)


def restore_policy(machine: Machine) -> None:
    if machine.stat(KEPT) is not None:
        machine.rename(KEPT, POLICY)
        machine.remove(KEPT)  # two names of one file: rename(2) leaves both
    elif policy_left(machine):
        machine.remove(POLICY)


@contextlib.contextmanager
def policy(machine: Machine, code: Optional[int]) -> Iterator[None]:
    """While it lasts, packages that want to start a service are told ``code`` (invoke-rc.d(8)); 101 forbids it."""
    if code is None:
        yield
        return
    restore_policy(machine)
    machine.mkdir("/usr/sbin")
    if machine.stat(POLICY) is not None:
        machine.hardlink(POLICY, KEPT)
    try:
        machine.write(POLICY, f"{OURS}exit {code}\n".encode(), 0o755)
        yield
    finally:
        restore_policy(machine)


def candidates(machine: Machine, names: Sequence[str], release: str = "") -> Dict[str, str]:
    """The version apt would install of each; a package apt does not know is missing."""
    if not names:
        return {}
    prefer = _options([f"APT::Default-Release={release}"] if release else [])
    done = machine.ask(["apt-cache", *prefer, "--no-all-versions", "show", *names], check=False)  # 100: one is unknown
    found: Dict[str, str] = {}
    for block in done.out.split("\n\n"):
        fields: List[List[str]] = [line.split(": ", 1) for line in each_line(block) if ": " in line]
        known = {pair[0]: pair[1] for pair in fields}
        if "Package" in known:
            found[known["Package"]] = known.get("Version", "")
    return found
