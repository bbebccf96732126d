"""docker_engine: Docker and its compose plugin, from packages, with the settings that are declared."""

from __future__ import annotations

import json
import re
from typing import Any, ClassVar, Dict, List, Literal, Mapping, Optional, Tuple

from mnemo_ops.agent.base.lines import each_line, refuse_lines
from mnemo_ops.agent.base.record import dataclass
from mnemo_ops.agent.base.state import ABSENT, Change, State
from mnemo_ops.agent.docker import cli as docker
from mnemo_ops.agent.docker import compose_state
from mnemo_ops.agent.engine.resource import Resource
from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.resources.systemd import look
from mnemo_ops.agent.system import dpkg
from mnemo_ops.errors import Broken, Refused

SETTINGS = "/etc/docker/daemon.json"
SOURCES = "/etc/apt/sources.list.d/docker.sources"
KEYRING = "/etc/apt/keyrings/docker.asc"
OLDEST = (20, 10)
OWN = ("docker-ce", "docker-ce-cli", "containerd.io", "docker-buildx-plugin", "docker-compose-plugin")
# distribution -> first version whose archive has compose v2, and the packages that make an engine there
ARCHIVES: Dict[str, Tuple[Tuple[int, int], Tuple[str, ...]]] = {
    "debian": ((13, 0), ("docker.io", "docker-cli", "docker-compose")),
    "ubuntu": ((22, 4), ("docker.io", "docker-compose-v2")),
}
# dockerd(8), "Configuration reload behavior": read again on SIGHUP; every other setting needs a restart
RELOADED = {
    "debug", "labels", "live-restore", "max-concurrent-downloads", "max-concurrent-uploads", "max-download-attempts",
    "default-runtime", "runtimes", "authorization-plugins", "insecure-registries", "registry-mirrors",
    "shutdown-timeout", "features",
}  # fmt: skip


@dataclass(frozen=True)
class DockerEngine(Resource):
    """A running Docker engine. Snap's Docker is refused (it sees other paths), and so is changing the source.

    :param source: ``distribution`` (Debian's or Ubuntu's archive) or ``docker`` (Docker's own repository).
    :param repository_url: for ``docker``: the repository, up to and including the distribution.
    :param key: for ``docker``: the repository's public key, ASCII-armoured.
    :param suite: for ``docker``: release name; default: the host's.
    :param version: version of the engine's packages; may end in ``*``.
    :param hold: keep upgrades away from them; default: when a ``version`` is given.
    :param daemon: settings for daemon.json; other settings there are kept, ``null`` removes one.
    :param enabled: starts at boot.
    """

    kind: ClassVar[str] = "docker_engine"
    ALIASES: ClassVar[Mapping[str, str]] = {}
    EXAMPLE: ClassVar[str] = """\
- name: Docker from the distribution, with logs that cannot fill the disk
  docker_engine:
    daemon:
      live-restore: true
      log-driver: local
      log-opts: {max-size: 20m, max-file: "5"}
"""

    source: Literal["distribution", "docker"] = "distribution"
    repository_url: Optional[str] = None
    key: Optional[str] = None
    suite: Optional[str] = None
    version: Optional[str] = None
    hold: Optional[bool] = None
    daemon: Optional[Dict[str, Any]] = None
    enabled: bool = True

    def __post_init__(self) -> None:
        refuse_lines(repository_url=self.repository_url, suite=self.suite)
        if (self.source == "docker") != (self.repository_url is not None and self.key is not None):
            raise ValueError("source docker needs repository_url and key, and they go with nothing else")

    @property
    def _held(self) -> Optional[bool]:
        return True if self.hold is None and self.version is not None else self.hold

    def desired(self) -> State:
        declared: Dict[str, Any] = {
            "repository": "in place" if self.source == "docker" else None,
            "packages": "installed",
            "version": self.version,
            "hold": self._held,
            "daemon": self.daemon,
            "settings_loaded": True,
            "state": "started",
            "enabled": self.enabled,
        }
        return {key: value for key, value in declared.items() if value is not None}

    def observe(self, machine: Machine) -> State:
        names = self._packages(machine)
        known = {name: package for name, package in dpkg.packages(machine).items() if package.installed}
        self._refuse_another(machine, set(known))
        if not set(names) & set(known):
            return ABSENT
        unit = look(machine, "docker.service")
        if unit is not None and unit.running and docker.is_installed(machine):
            self._refuse_old(machine)
        engine = known.get(names[0])
        settings = self._settings(machine)
        return {
            "repository": self._repository(machine),
            "packages": ", ".join(f"{name} missing" for name in names if name not in known) or "installed",
            "version": self.version
            if engine and self.version and engine.fits(self.version)
            else engine and engine.version,
            "hold": all(known[name].held for name in names if name in known),
            "daemon": {key: settings.get(key) for key in self.daemon or {}},
            "settings_loaded": machine.read(self._pending(machine)) is None,
            "state": "started" if unit is not None and unit.running else "stopped",
            "enabled": unit is not None and unit.enabled is True,
        }

    def _packages(self, machine: Machine) -> Tuple[str, ...]:
        if self.source == "docker":
            return OWN
        release = self._release(machine)
        name, version = release.get("ID", ""), release.get("VERSION_ID", "999")
        first, names = ARCHIVES.get(name, ((1000, 0), ()))
        numbers = [int(number) for number in re.findall(r"\d+", version)]
        if (*numbers, 0, 0)[:2] < first:
            raise Refused(
                f"the archive of {name or 'this distribution'} {version} has no compose v2",
                hint="use Docker's own repository: source: docker, with repository_url and key",
            )
        return names

    def _release(self, machine: Machine) -> Dict[str, str]:
        text = machine.read_text("/etc/os-release") or machine.read_text("/usr/lib/os-release") or ""
        return {key: value.strip("\"'") for key, _, value in (line.partition("=") for line in each_line(text))}

    def _refuse_another(self, machine: Machine, known: Any) -> None:
        if machine.stat("/snap/docker") is not None:
            raise Refused(
                "Docker is installed as a snap, which sees other paths",
                hint="back its volumes up (docker volume ls), for they go with it, then remove the snap",
            )
        other = "docker.io" if self.source == "docker" else "docker-ce"
        if other in known:
            raise Refused(
                f"{other} is installed; the source of an engine is not changed under its containers",
                hint=f"set source to match, or stop the stack, back up, `apt-get remove {other}` and run again",
            )

    def _refuse_old(self, machine: Machine) -> None:
        version = str(json.loads(docker.ask(machine, "version", "--format", "{{json .Server}}"))["Version"])
        numbers = [int(number) for number in re.findall(r"\d+", version)[:2]]
        if tuple(numbers) < OLDEST:
            raise Refused(f"Docker {version} is older than {OLDEST[0]}.{OLDEST[1]}", hint="upgrade its packages first")
        compose_state.is_installed(machine)

    def _settings(self, machine: Machine) -> Dict[str, Any]:
        text = machine.read_text(SETTINGS)
        try:
            found = json.loads(text) if text and text.strip() else {}
        except ValueError as error:
            raise Refused(f"{SETTINGS} is not JSON: {error}", hint="repair it; nothing was changed") from None
        if not isinstance(found, dict):
            raise Refused(f"{SETTINGS} does not hold a JSON object", hint="repair it; nothing was changed")
        return found

    def _pending(self, machine: Machine) -> str:
        """Written before daemon.json changes under a running engine, removed when it has read it: survives a kill."""
        return machine.state_dir + "/docker-settings-pending"

    def _sources(self, machine: Machine) -> str:
        suite = self.suite or self._release(machine).get("VERSION_CODENAME", "")
        lines = ["Types: deb", f"URIs: {self.repository_url}", f"Suites: {suite}", "Components: stable"]
        return "\n".join([*lines, f"Signed-By: {KEYRING}", ""])

    def _repository(self, machine: Machine) -> str:
        if self.source != "docker":
            return "none"
        there = machine.read_text(SOURCES) == self._sources(machine) and machine.read_text(KEYRING) == self.key
        return "in place" if there else "missing"

    def apply(self, machine: Machine, change: Change) -> State:
        wrong = set(change.keys)
        if "repository" in wrong:
            self._add_repository(machine)
        if "daemon" in wrong and self.daemon is not None:
            self._write_settings(machine)
        if {"packages", "version"} & wrong:
            self._install(machine)
        now = self._left(machine)
        if "hold" in now:
            dpkg.hold(machine, self._packages(machine), bool(self._held))
        if "enabled" in now:
            machine.run(["systemctl", "enable" if self.enabled else "disable", "--", "docker.service"])
        if "state" in now:
            machine.run(["systemctl", "start", "--", "docker.service"])
        if machine.read(self._pending(machine)) is not None:
            self._load_settings(machine, started="state" in now)
        return None

    def _left(self, machine: Machine) -> Tuple[str, ...]:
        return Change.between(self.observe(machine), self.desired()).keys

    def _add_repository(self, machine: Machine) -> None:
        for path, text in ((KEYRING, str(self.key)), (SOURCES, self._sources(machine))):
            machine.mkdir(path.rpartition("/")[0])
            machine.write(path, text.encode(), fresh=0o644)

    def _install(self, machine: Machine) -> None:
        if dpkg.index_age(machine) > 60:
            dpkg.update(machine)
        names: List[str] = list(self._packages(machine))
        if self.version is not None:  # the engine and its client share a version, the others have their own
            shared = [name for name in names if name in ("docker.io", "docker-ce", "docker-ce-cli")]
            names = [f"{name}={self.version}" if name in shared else name for name in names]
        dpkg.apt_get(machine, "install", "--allow-change-held-packages", "-o", "APT::Install-Recommends=false", *names)

    def _write_settings(self, machine: Machine) -> None:
        old = self._settings(machine)
        new = {key: value for key, value in {**old, **(self.daemon or {})}.items() if value is not None}
        text = (json.dumps(new, indent=2) + "\n").encode()
        machine.mkdir("/etc/docker")
        self._validate(machine, text)
        unit = look(machine, "docker.service")
        if unit is not None and unit.running:
            changed = {key for key in {*old, *new} if old.get(key) != new.get(key)}
            how = "reload" if changed <= RELOADED and self._loaded(machine) else "restart"
            machine.mkdir(machine.state_dir, 0o700)
            machine.write(self._pending(machine), how.encode(), 0o600)
        machine.write(SETTINGS, text, fresh=0o644)

    def _validate(self, machine: Machine, text: bytes) -> None:
        """A setting the engine does not understand must not cost a running stack its engine (dockerd 23 and later)."""
        package = dpkg.packages(machine).get(self._packages(machine)[0])
        major = re.match(r"(?:\d+:)?(\d+)", package.version) if package and package.installed else None
        if major is None or int(major[1]) < 23:
            return
        try:
            machine.write(SETTINGS + ".mnemo-new", text, 0o600)
            machine.ask(["dockerd", "--validate", f"--config-file={SETTINGS}.mnemo-new"])
        finally:
            machine.remove(SETTINGS + ".mnemo-new")

    def _loaded(self, machine: Machine) -> bool:
        return machine.read(self._pending(machine)) is None

    def _load_settings(self, machine: Machine, started: bool) -> None:
        """Make the engine read them; one that has just been started has."""
        how = (machine.read(self._pending(machine)) or b"restart").decode()
        if not started:
            machine.note = f"systemctl {how} docker"
            machine.run(["systemctl", how, "--", "docker.service"])
        unit = look(machine, "docker.service")
        if unit is None or not unit.running:
            raise Broken("docker.service does not run with the new settings", hint="journalctl -u docker -n 50")
        machine.remove(self._pending(machine))
