"""dnf: packages of the Red Hat family."""

from __future__ import annotations

import re
from typing import Any, ClassVar, Dict, List, Literal, Mapping, Optional, Union

from mnemo_ops.agent.base.lines import refuse_options
from mnemo_ops.agent.base.record import dataclass
from mnemo_ops.agent.base.state import ABSENT, Change, State
from mnemo_ops.agent.engine.resource import Resource
from mnemo_ops.agent.machine import Machine

INDEX = "package index"
JUST_NOW = 60  # seconds
PIDS = ("/run/dnf.pid", "/run/yum.pid", "/var/lib/dnf/rpmdb_lock.pid", "/var/cache/dnf/metadata_lock.pid")
WORDS = {"latest": "latest", "absent": "absent", "removed": "absent"}
_PLAIN = re.compile(r"[\w.+:~/^-]+")


@dataclass(frozen=True)
class Dnf(Resource):
    """Packages that are installed, or not, by rpm and dnf. Groups (``@name``) are not offered.

    :param name: packages as dnf writes them: ``NAME``, ``NAME-VERSION``, a pattern, a file they bring, ``NAME >= 1``,
        path or URL of an rpm file; ``*`` with ``latest`` is all of them.
    :param state: ``present`` (or ``installed``), ``latest`` or ``absent`` (or ``removed``).
    :param update_cache: load what repositories offer first; alone, unless that was done within a minute.
    :param autoremove: remove what was only installed for others and is not needed any more.
    :param enablerepo: repositories to use besides.
    :param disablerepo: repositories not to use.
    :param exclude: packages to leave alone.
    :param disable_excludes: ``all``, ``main`` or a repository whose own exclusions do not count.
    :param enable_plugin: plugins to use.
    :param disable_plugin: plugins not to use.
    :param disable_gpg_check: install what is not signed.
    :param allowerasing: remove installed packages that are in the way.
    :param best: fail rather than install an older version; ``nobest`` is the reverse.
    :param nobest: be content with an older version when the newest cannot be installed.
    :param skip_broken: leave out what cannot be installed.
    :param update_only: with ``latest``, leave alone what is not installed.
    :param security: with ``latest``, only what mends security.
    :param bugfix: with ``latest``, only what mends mistakes.
    :param install_weak_deps: install recommended packages as well.
    :param cacheonly: ask no server.
    :param releasever: release to install from.
    :param conf_file: another configuration of dnf.
    :param sslverify: check the certificates of repositories.
    :param validate_certs: check the certificate of an rpm file's server.
    :param lock_timeout: seconds to wait for another package manager; it is never killed.
    """

    kind: ClassVar[str] = "dnf"
    ALIASES: ClassVar[Mapping[str, str]] = {"pkg": "name", "expire-cache": "update_cache"}
    EXAMPLE: ClassVar[str] = """\
- name: what the host needs
  dnf: {name: [nfs-utils, zstd], state: present}
"""

    name: Optional[Union[List[str], str]] = None
    state: Optional[Literal["present", "installed", "latest", "absent", "removed"]] = None
    update_cache: bool = False
    autoremove: bool = False
    enablerepo: Optional[List[str]] = None
    disablerepo: Optional[List[str]] = None
    exclude: Optional[List[str]] = None
    disable_excludes: Optional[str] = None
    enable_plugin: Optional[List[str]] = None
    disable_plugin: Optional[List[str]] = None
    disable_gpg_check: bool = False
    allowerasing: bool = False
    best: Optional[bool] = None
    nobest: Optional[bool] = None
    skip_broken: bool = False
    update_only: bool = False
    security: bool = False
    bugfix: bool = False
    install_weak_deps: bool = True
    cacheonly: bool = False
    releasever: Optional[str] = None
    conf_file: Optional[str] = None
    sslverify: bool = True
    validate_certs: bool = True
    lock_timeout: int = 30

    def __post_init__(self) -> None:
        refuse_options(name=self.name)
        if self.name is None and not (self.update_cache or self.autoremove):
            raise ValueError("name is missing")
        if any(name.startswith("@") for name in self._names()):
            raise ValueError("groups and modules (@name) are not supported; give the packages, or use command")
        if "*" in self._names() and self.state != "latest":
            raise ValueError("name '*' goes with state latest only")
        if self.best is not None and self.nobest is not None:
            raise ValueError("best and nobest exclude each other")
        if self.autoremove and self._names() and self._word != "absent":
            raise ValueError("autoremove goes with state absent, or alone")

    def _names(self) -> List[str]:
        words = self.name.split(",") if isinstance(self.name, str) else self.name or []
        return [word.strip() for word in words if word.strip()]

    @property
    def _word(self) -> str:
        return WORDS.get(str(self.state), "installed")

    def desired(self) -> State:
        alone = {INDEX: "fresh"} if self.update_cache and not self._names() else {}
        leaves: Dict[str, Any] = {"unneeded": []} if self.autoremove else {}
        return {**alone, **{name: self._word for name in self._names()}, **leaves}

    def observe(self, machine: Machine) -> State:
        if machine.which("dnf") is None or machine.which("rpm") is None:
            return ABSENT
        stamp = machine.stat(self._stamp(machine))
        fresh = stamp is not None and machine.now() - stamp.mtime_ns / 1e9 <= JUST_NOW
        found: Dict[str, Any] = {INDEX: "fresh" if fresh else "old"}
        newer = self._repoquery(machine, "--upgrades", *self._only()) if self._word == "latest" else []
        for name in self._names():
            found[name] = self._seen(machine, name, newer)
        if self.autoremove:
            found["unneeded"] = self._repoquery(machine, "--unneeded")
        return found

    def _stamp(self, machine: Machine) -> str:
        return machine.state_dir + "/dnf-index"

    def _seen(self, machine: Machine, name: str, newer: List[str]) -> str:
        if name == "*":
            return "older than " + ", ".join(newer) if newer else "latest"
        there = self._installed(machine, name)
        if not there:
            return "latest" if self._word == "latest" and self.update_only else "absent"
        older = [each for each in there if each in newer]
        return ("older than offered" if older else "latest") if self._word == "latest" else "installed"

    def _installed(self, machine: Machine, name: str) -> List[str]:
        """Names of the installed packages that fit."""
        form = "--queryformat=%{NAME}\n"
        if name.endswith(".rpm"):
            exact = machine.ask(["rpm", "--query", "--package", "--nosignature", "--queryformat=%{NEVRA}", name]).out
            done = machine.ask(["rpm", "--query", form, exact.strip()], check=False)
            return done.out.split() if done.rc == 0 else []
        if not _PLAIN.fullmatch(name):
            return self._repoquery(machine, "--installed", name)
        if name.startswith("/") and machine.stat(name) is None:
            return []
        for how in (["--whatprovides"], []):  # the second understands NAME-VERSION
            done = machine.ask(["rpm", "--query", *how, form, name], check=False)
            if done.rc == 0:
                return done.out.split()
            if not done.out.strip():  # a missing package is said on stdout, trouble on stderr
                machine.ask(list(done.argv))
        return []

    def _repoquery(self, machine: Machine, *words: str) -> List[str]:
        asked = ["dnf", "--quiet", *self._options(), "repoquery", "--queryformat=%{name}\n", *words]
        return sorted(set(machine.ask(asked, timeout=600).out.split()))

    def _options(self) -> List[str]:
        lists = {"enablerepo": self.enablerepo, "disablerepo": self.disablerepo, "exclude": self.exclude}
        lists = {**lists, "enableplugin": self.enable_plugin, "disableplugin": self.disable_plugin}
        texts = {"disableexcludes": self.disable_excludes, "releasever": self.releasever, "config": self.conf_file}
        flags = {
            "--refresh": self.update_cache and bool(self._names()),
            "--nogpgcheck": self.disable_gpg_check,
            "--cacheonly": self.cacheonly,
            "--setopt=install_weak_deps=False": not self.install_weak_deps,
            "--setopt=sslverify=False": not (self.sslverify and self.validate_certs),
        }
        found = [f"--{option}={','.join(values)}" for option, values in lists.items() if values]
        found += [f"--{option}={value}" for option, value in texts.items() if value is not None]
        return found + [flag for flag, given in flags.items() if given]

    def _only(self) -> List[str]:
        return [flag for flag, given in (("--security", self.security), ("--bugfix", self.bugfix)) if given]

    def _resolving(self) -> List[str]:
        best = self.best is True or self.nobest is False
        flags = {
            "--allowerasing": self.allowerasing,
            "--best": best,
            "--nobest": not best and (self.best, self.nobest) != (None, None),
            "--skip-broken": self.skip_broken,
        }
        return [flag for flag, given in flags.items() if given]

    def apply(self, machine: Machine, change: Change) -> State:
        wrong = [name for name in self._names() if name in change.keys]
        self._wait(machine)
        if INDEX in change.keys:
            self._dnf(machine, "makecache", "--refresh")
            machine.mkdir(machine.state_dir, 0o700)
            machine.write(self._stamp(machine), b"")
        if wrong and self._word == "absent":
            self._dnf(machine, f"--setopt=clean_requirements_on_remove={self.autoremove}", "remove", *wrong)
        elif wrong:
            new = wrong
            if self._word == "latest":
                new = [name for name in wrong if name != "*" and not self._installed(machine, name)]
                old = [name for name in wrong if name not in new]
                if old:
                    every = [name for name in old if name != "*"]
                    self._dnf(machine, "upgrade", *self._resolving(), *self._only(), *([] if "*" in old else every))
            if new:
                self._dnf(machine, "install", *self._resolving(), *new)
        if self.autoremove and (self.observe(machine) or {}).get("unneeded", True):
            self._dnf(machine, "autoremove")
        return None

    def _dnf(self, machine: Machine, *words: str) -> None:
        machine.note = "dnf " + " ".join(word for word in words if not word.startswith("-"))
        machine.run(["dnf", "--assumeyes", "--quiet", *self._options(), *words])

    def _wait(self, machine: Machine) -> None:
        def holder() -> Optional[str]:
            pids = ((machine.read_text(path) or "").strip() for path in PIDS)
            return next((pid for pid in pids if pid.isdigit() and machine.stat(f"/proc/{pid}") is not None), None)

        pid = holder()
        if pid is not None:
            name = (machine.read_text(f"/proc/{pid}/comm") or "a package manager").strip()
            what = f"the end of {name} (process {pid}), which holds the package manager's lock"
            machine.wait_until(what, lambda: holder() is None, self.lock_timeout, pause=0.5)
