"""apt: Debian packages."""

from __future__ import annotations

import json
import re
from typing import Any, ClassVar, Dict, List, Literal, Mapping, Optional, Tuple, Union

from mnemo_ops.agent.base.lines import refuse_options
from mnemo_ops.agent.base.record import dataclass
from mnemo_ops.agent.base.state import ABSENT, Change, State
from mnemo_ops.agent.engine.resource import Resource
from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.system import dpkg
from mnemo_ops.errors import NotYet

INDEX = "package index"
JUST_NOW = 60  # seconds; an index refreshed a moment ago is fresh, whatever cache_valid_time says
ARCHIVES = "/var/cache/apt/archives"
WORDS = {"latest": "latest", "absent": "absent", "build-dep": "can be built"}
_SPEC = re.compile(r"([^>=]+)(>?=)(.+)")

Spec = Tuple[str, str]  # comparison (=, >= or none) and version


@dataclass(frozen=True)
class Apt(Resource):
    """Packages that are installed, or not; the package manager is waited for and never disturbed.

    :param name: packages, each ``NAME``, a pattern (``php*``), ``NAME=VERSION`` (the version may end in ``*``) or
        ``NAME>=VERSION``.
    :param state: ``present``, ``latest`` (what apt would install now), ``absent``, ``build-dep`` (what is needed to
        build it) or ``fixed`` (present, and broken dependencies put right).
    :param update_cache: refresh the package index before something is installed; alone, refresh it when it is old.
    :param cache_valid_time: seconds for which the index counts as fresh (at least 60); implies ``update_cache``.
    :param update_cache_retries: how often apt asks a server again.
    :param update_cache_retry_max_delay: seconds it waits at most before it does.
    :param deb: path on the host, or URL, of one package file to install; what a URL gave is not loaded again while
        it is installed.
    :param upgrade: ``safe`` or ``yes`` (no package is removed), ``full`` or ``dist``: everything to its newest version.
    :param autoremove: remove packages that were only installed for others and are not needed any more.
    :param autoclean: remove package files from the cache that cannot be downloaded any more.
    :param clean: remove all package files from the cache.
    :param install_recommends: install recommended packages as well; default: what apt is configured to.
    :param default_release: release to prefer.
    :param purge: with ``absent`` and ``autoremove``, remove configuration files, too.
    :param only_upgrade: leave alone what is not installed.
    :param allow_downgrade: install an older version than the one that is there.
    :param allow_change_held_packages: change packages that are held.
    :param allow_unauthenticated: install packages whose signature cannot be checked.
    :param force: all three of them, and remove essential packages.
    :param fail_on_autoremove: fail rather than remove any package.
    :param dpkg_options: options of dpkg, without dashes, separated by commas.
    :param policy_rc_d: exit code services get that want to start while packages are installed; 101 forbids it.
    :param lock_timeout: seconds to wait for another package manager; it is never killed.
    :param force_apt_get: apt-get is what is used, either way.
    :param auto_install_module_deps: nothing is needed on the host, either way.
    """

    kind: ClassVar[str] = "apt"
    ALIASES: ClassVar[Mapping[str, str]] = {
        "pkg": "name",
        "package": "name",
        "allow_downgrades": "allow_downgrade",
        "allow-downgrades": "allow_downgrade",
        "allow-downgrade": "allow_downgrade",
        "allow-unauthenticated": "allow_unauthenticated",
        "default-release": "default_release",
        "install-recommends": "install_recommends",
        "update-cache": "update_cache",
    }
    EXAMPLE: ClassVar[str] = """\
- name: what the host needs
  apt: {name: [nfs-common, zstd], update_cache: true, cache_valid_time: 3600}
- name: everything up to date, nothing left over
  apt: {upgrade: full, update_cache: true, autoremove: true}
"""

    name: Optional[Union[List[str], str]] = None
    state: Literal["present", "latest", "absent", "build-dep", "fixed"] = "present"
    update_cache: bool = False
    cache_valid_time: int = 0
    update_cache_retries: int = 5
    update_cache_retry_max_delay: int = 12
    deb: Optional[str] = None
    upgrade: Union[bool, Literal["no", "yes", "safe", "full", "dist"]] = "no"
    autoremove: bool = False
    autoclean: bool = False
    clean: bool = False
    install_recommends: Optional[bool] = None
    default_release: Optional[str] = None
    purge: bool = False
    only_upgrade: bool = False
    allow_downgrade: bool = False
    allow_change_held_packages: bool = False
    allow_unauthenticated: bool = False
    force: bool = False
    fail_on_autoremove: bool = False
    dpkg_options: str = ",".join(dpkg.CONFFILES)
    policy_rc_d: Optional[int] = None
    lock_timeout: int = dpkg.PATIENCE
    force_apt_get: bool = False
    auto_install_module_deps: bool = True

    def __post_init__(self) -> None:
        refuse_options(name=self.name)
        given = [self.name is not None, self.deb is not None, self._upgrade != ""]
        if sum(given) > 1:
            raise ValueError("name, deb and upgrade exclude each other")
        if not (any(given) or self._updates or self.autoremove or self.autoclean or self.clean):
            raise ValueError("name is missing")
        if self.deb is not None and self.state != "present":
            raise ValueError("deb can only be present; to remove it say the name of its package")

    @property
    def _updates(self) -> bool:
        return self.update_cache or self.cache_valid_time > 0

    @property
    def _upgrade(self) -> str:
        """apt-get's word for it."""
        return {"full": "dist-upgrade", "dist": "dist-upgrade", "no": "", False: ""}.get(self.upgrade, "upgrade")

    def _specs(self) -> Dict[str, Spec]:
        words = self.name.split(",") if isinstance(self.name, str) else self.name or []
        found: Dict[str, Spec] = {}
        for word in (word.strip() for word in words):
            spec = _SPEC.fullmatch(word)
            if word:
                found[spec[1] if spec else word] = (spec[2], spec[3]) if spec else ("", "")
        return found

    def _wanted(self, spec: Spec) -> str:
        word = WORDS.get(self.state, "installed")
        return word if word == "absent" or not spec[1] else "".join(spec).lstrip("=")

    def desired(self) -> State:
        declared: Dict[str, Any] = {
            INDEX: "fresh" if self._updates else None,
            "policy": "as before" if self.policy_rc_d is not None else None,
            **{name: self._wanted(spec) for name, spec in self._specs().items()},
            "dependencies": "whole" if self.state == "fixed" else None,
            "deb": "installed" if self.deb else None,
            "upgradable": [] if self._upgrade else None,
            "unneeded": [] if self.autoremove else None,
            "outdated files": [] if self.autoclean else None,
            "package files": 0 if self.clean else None,
        }
        return {key: value for key, value in declared.items() if value is not None}

    def observe(self, machine: Machine) -> State:
        if machine.which("apt-get") is None:
            return ABSENT
        lists = machine.stat(dpkg.LISTS, follow=True)
        found: Dict[str, Any] = {
            INDEX: "fresh" if self._is_fresh(machine) else "old",
            "policy": "left by a run that was cut" if dpkg.policy_left(machine) else "as before",
            "cache_updated": False,
            "cache_update_time": int(lists.mtime_ns / 1e9) if lists else 0,
            **self._packages(machine),
        }
        if self.state == "fixed":
            found["dependencies"] = "broken" if dpkg.simulated(machine, "install", "-f") else "whole"
        if self.deb:
            found["deb"] = self._deb(machine, self.deb)
        if self._upgrade:
            found["upgradable"] = dpkg.simulated(machine, *self._upgrading()).get("Inst", [])
        if self.autoremove:
            unneeded = dpkg.simulated(machine, "autoremove")
            found["unneeded"] = unneeded.get("Remv", []) + unneeded.get("Purg", [])
        if self.autoclean:
            found["outdated files"] = dpkg.simulated(machine, "autoclean").get("Del", [])
        if self.clean:
            found["package files"] = sum(name.endswith(".deb") for name in machine.names(ARCHIVES))
        return found

    def _is_fresh(self, machine: Machine) -> bool:
        """For what must only be there, an index that has been loaded since the sources changed is fresh enough."""
        newest = self.state == "latest" or self._upgrade or not (self.deb or self._specs())
        age = dpkg.index_age(machine)
        return age <= max(self.cache_valid_time, JUST_NOW) if newest else age != float("inf")

    # -- what is there ---------------------------------------------------------------------------------------------

    def _packages(self, machine: Machine) -> Dict[str, str]:
        specs = self._specs()
        if self.state == "build-dep":
            return {name: self._built(machine, name) for name in specs}
        names = {name: self._names(machine, name) for name in specs}
        every = [each for some in names.values() for each in some]
        newest = dpkg.candidates(machine, every, self.default_release or "") if self.state == "latest" else {}
        found: Dict[str, str] = {}
        for name, some in names.items():
            wanted = self._wanted(specs[name])
            seen = {each: self._seen(machine, each, specs[name], newest.get(each)) for each in some}
            wrong = [f"{each} {state}" if some != [name] else state for each, state in seen.items() if state != wanted]
            found[name] = ", ".join(wrong) or (wanted if some or wanted == "absent" else "unknown")
        return found

    def _built(self, machine: Machine, name: str) -> str:
        missing = dpkg.simulated(machine, "build-dep", name).get("Inst", [])
        return "needs " + ", ".join(missing) if missing else WORDS["build-dep"]

    def _names(self, machine: Machine, name: str) -> List[str]:
        if not set(name) & set("*?["):
            return [name]
        return dpkg.matching(machine, name, installed=self.state == "absent" or self.only_upgrade)

    def _seen(self, machine: Machine, name: str, spec: Spec, newest: Optional[str]) -> str:
        """What a package is, in the word of :meth:`desired` when that is what it should be."""
        package, wanted = dpkg.packages(machine).get(name), self._wanted(spec)
        if package is not None and package.installed:
            return wanted if self._fits(machine, package, spec, newest) else package.version
        if self.only_upgrade or (wanted == "installed" and name in dpkg.provided(machine)):
            return wanted
        state = package.state if package else "not-installed"
        kept = state == "config-files" and not (self.purge and self.state == "absent")
        return "absent" if kept or state == "not-installed" else state

    def _fits(self, machine: Machine, package: dpkg.Package, spec: Spec, newest: Optional[str]) -> bool:
        if self.state == "absent":
            return False
        if spec[0] == ">=":
            return machine.ask(["dpkg", "--compare-versions", package.version, "ge", spec[1]], check=False).rc == 0
        if spec[1]:
            return package.fits(spec[1])
        return self.state != "latest" or newest in (None, package.version)

    def _deb(self, machine: Machine, deb: str) -> str:
        name, version = self._contents(machine, deb)
        package = dpkg.packages(machine).get(name)
        there = package is not None and package.installed and package.version == version
        return "installed" if there else f"{name} {version}".strip() or "not loaded yet"

    def _contents(self, machine: Machine, deb: str) -> Tuple[str, str]:
        """Name and version of the package in a file; of a URL, what it was found to hold."""
        if "://" in deb:
            name, version = json.loads(machine.read_text(self._loaded(machine)) or "{}").get(deb, ("", ""))
            return name, version
        if machine.stat(deb, follow=True) is None:
            raise NotYet(f"there is no file {deb}")
        shown = machine.ask(["dpkg-deb", "--show", "--showformat=${Package} ${Version}", machine.path(deb)]).out.split()
        return shown[0], shown[1]

    def _loaded(self, machine: Machine) -> str:
        return machine.state_dir + "/debs.json"

    # -- what is done ----------------------------------------------------------------------------------------------

    def apply(self, machine: Machine, change: Change) -> State:
        with dpkg.policy(machine, self.policy_rc_d):
            updated = INDEX in change.keys and not self._is_fresh(machine)
            if updated:
                dpkg.update(machine, self.lock_timeout, self.update_cache_retries, self.update_cache_retry_max_delay)
            self._change(machine)
        return {**(self.observe(machine) or {}), "cache_updated": updated}

    def _change(self, machine: Machine) -> None:
        left = self._left(machine)  # "latest" is known only now
        specs = {name: spec for name, spec in self._specs().items() if name in left}
        if specs or "dependencies" in left:
            self._install_or_remove(machine, specs)
        if specs and self.state in ("present", "latest", "fixed"):
            there = dpkg.packages(machine)  # what was there already is named, too: asked for from now on
            dpkg.manual(machine, [name for name in self._specs() if name in there and there[name].installed])
        if "deb" in left and self.deb:
            self._install_file(machine, self.deb)
        if "upgradable" in left:
            self._get(machine, *self._upgrading(), *self._flags())
        if self.autoremove and "unneeded" in self._left(machine):
            self._get(machine, "autoremove", *(["--purge"] if self.purge else []))
        for verb, key in (("autoclean", "outdated files"), ("clean", "package files")):
            if key in left:
                self._get(machine, verb)

    def _left(self, machine: Machine) -> Tuple[str, ...]:
        return Change.between(self.observe(machine), self.desired()).keys

    def _get(self, machine: Machine, verb: str, *words: str) -> None:
        options = [option for option in self.dpkg_options.split(",") if option]
        dpkg.apt_get(machine, verb, *words, patience=self.lock_timeout, conffiles=options)

    def _upgrading(self) -> List[str]:
        new = ["--with-new-pkgs"] if self._upgrade == "upgrade" else []
        return [self._upgrade, *new, *(["-t", self.default_release] if self.default_release else [])]

    def _flags(self) -> List[str]:
        chosen = {
            "--allow-downgrades": self.allow_downgrade or self.force,
            "--allow-change-held-packages": self.allow_change_held_packages or self.force,
            "--allow-unauthenticated": self.allow_unauthenticated or self.force,
            "--allow-remove-essential": self.force,
            "--no-remove": self.fail_on_autoremove,
            "--only-upgrade": self.only_upgrade,
            "--auto-remove": self.autoremove,
        }
        recommends = [] if self.install_recommends is None else [f"APT::Install-Recommends={self.install_recommends}"]
        return [flag for flag, given in chosen.items() if given] + [w for one in recommends for w in ("-o", one)]

    def _install_or_remove(self, machine: Machine, specs: Mapping[str, Spec]) -> None:
        if self.state == "absent":
            names = [each for name in specs for each in self._names(machine, name)]
            return self._get(machine, "purge" if self.purge else "remove", *self._flags(), *names)
        release = ["-t", self.default_release] if self.default_release else []
        words = ["-f"] if self.state == "fixed" else []
        for name, (comparison, version) in specs.items():
            exact = f"={version}" if comparison == "=" else ""
            words += [each + exact for each in self._names(machine, name) or [name]]
        return self._get(
            machine, "build-dep" if self.state == "build-dep" else "install", *release, *self._flags(), *words
        )

    def _install_file(self, machine: Machine, deb: str) -> None:
        path = deb
        if "://" in deb:
            path = machine.state_dir + "/package.deb"
            machine.mkdir(machine.state_dir, 0o700)
            with machine.replacing(path, 0o644) as file:
                machine.note = f"loading {deb}"
                machine.download(deb, file)
            known = json.loads(machine.read_text(self._loaded(machine)) or "{}")
            known[deb] = self._contents(machine, path)
            machine.write(self._loaded(machine), json.dumps(known).encode(), 0o600)
        if self._deb(machine, path) != "installed":
            self._get(machine, "install", *self._flags(), machine.path(path))
        if path != deb:
            machine.remove(path)
