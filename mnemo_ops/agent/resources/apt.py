"""apt: Debian packages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Dict, List, Literal, Mapping, Optional, Union

from mnemo_ops.agent import dpkg
from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.resource import Resource
from mnemo_ops.agent.state import ABSENT, Change, State

INDEX = "package index"
JUST_NOW = 60  # seconds; an index refreshed a moment ago is fresh, whatever cache_valid_time says


@dataclass(frozen=True)
class Apt(Resource):
    """Packages that are installed, or not.

    :param name: packages, each ``NAME`` or ``NAME=VERSION`` (the version may end in ``*``).
    :param state: ``present``, ``latest`` (what apt would install now) or ``absent``.
    :param update_cache: refresh the package index before something is installed; alone, refresh it when it is old.
    :param cache_valid_time: seconds for which the index counts as fresh (at least 60); implies ``update_cache``.
    :param install_recommends: install recommended packages as well; default: what apt is configured to.
    :param purge: with ``absent``, remove configuration files, too.
    :param lock_timeout: seconds to wait for another package manager; it is never killed.
    """

    kind: ClassVar[str] = "apt"
    ALIASES: ClassVar[Mapping[str, str]] = {"pkg": "name", "package": "name"}
    EXAMPLE: ClassVar[str] = """\
- name: what the host needs
  apt: {name: [nfs-common, zstd], update_cache: true, cache_valid_time: 3600}
"""

    name: Optional[Union[List[str], str]] = None
    state: Literal["present", "latest", "absent"] = "present"
    update_cache: bool = False
    cache_valid_time: int = 0
    install_recommends: Optional[bool] = None
    purge: bool = False
    lock_timeout: int = dpkg.PATIENCE

    def __post_init__(self) -> None:
        if not self._versions() and not self._updates:
            raise ValueError("name is missing")

    @property
    def _updates(self) -> bool:
        return self.update_cache or self.cache_valid_time > 0

    def _versions(self) -> Dict[str, str]:
        """Package -> version, empty for any."""
        words = self.name.split(",") if isinstance(self.name, str) else self.name or []
        return {name: version for name, _, version in (word.strip().partition("=") for word in words) if name}

    def desired(self) -> State:
        versions = self._versions()
        index = {INDEX: "fresh"} if self._updates and (not versions or self.state == "latest") else {}
        if self.state == "absent":
            return {**index, **{name: "absent" for name in versions}}
        word = "installed" if self.state == "present" else "latest"
        return {**index, **{name: version or word for name, version in versions.items()}}

    def observe(self, machine: Machine) -> State:
        if machine.which("apt-get") is None:
            return ABSENT
        found: Dict[str, str] = {INDEX: "fresh" if self._is_fresh(machine) else "old"}
        known, versions = dpkg.packages(machine), self._versions()
        newest = dpkg.candidates(machine, list(versions)) if self.state == "latest" else {}
        for name, version in versions.items():
            package = known.get(name)
            if package is not None and package.installed:
                found[name] = self._fit(package, version, newest.get(name))
            elif self.state == "present" and name in dpkg.provided(machine):
                found[name] = "installed"
            else:
                state = package.state if package else "not-installed"
                kept = state == "config-files" and not (self.purge and self.state == "absent")
                found[name] = "absent" if kept or state == "not-installed" else state
        return found

    def _fit(self, package: dpkg.Package, version: str, newest: Optional[str]) -> str:
        """What an installed package is, in the words of :meth:`desired` when that is what it should be."""
        if version:
            return version if package.fits(version) else package.version
        if self.state == "latest":
            return "latest" if newest in (None, package.version) else package.version
        return "installed"

    def _is_fresh(self, machine: Machine) -> bool:
        return dpkg.index_age(machine) <= max(self.cache_valid_time, JUST_NOW)

    def apply(self, machine: Machine, change: Change) -> State:
        if self.state == "absent":
            names = [name for name in self._versions() if name in change.keys]
            if names:
                dpkg.apt_get(machine, "purge" if self.purge else "remove", *names, patience=self.lock_timeout)
            return None
        if self._updates and not self._is_fresh(machine):
            dpkg.update(machine, self.lock_timeout)
        left = Change.between(self.observe(machine), self.desired())  # "latest" is known only now
        names = [
            f"{name}={version}" if version else name for name, version in self._versions().items() if name in left.keys
        ]
        if names:
            choice = [] if self.install_recommends is None else [f"APT::Install-Recommends={self.install_recommends}"]
            options = [word for option in choice for word in ("-o", option)]
            dpkg.apt_get(machine, "install", *options, *names, patience=self.lock_timeout)
        return None
