"""docker_login: who Docker is to a registry."""

from __future__ import annotations

import base64
import binascii
import json
import posixpath
from typing import ClassVar, Dict, Literal, Mapping, Optional

from mnemo_ops.agent.base.lines import refuse_options
from mnemo_ops.agent.base.record import dataclass
from mnemo_ops.agent.base.state import ABSENT, Change, State
from mnemo_ops.agent.docker.container_spec import digest
from mnemo_ops.agent.engine.resource import Resource
from mnemo_ops.agent.machine import Machine
from mnemo_ops.errors import Broken

HUB = "https://index.docker.io/v1/"


@dataclass(frozen=True)
class DockerLogin(Resource):
    """A login kept in Docker's configuration file; asked of the registry only when it is new or another.

    :param registry_url: registry; default: Docker's own.
    :param username: user.
    :param password: password or token; goes to docker's standard input, and is reported as a sha256 of it.
    :param reauthorize: log in each time.
    :param config_path: Docker's configuration file, a ``config.json``.
    :param state: ``present`` or ``absent`` (logged out).
    """

    kind: ClassVar[str] = "docker_login"
    ALIASES: ClassVar[Mapping[str, str]] = {
        "registry": "registry_url", "url": "registry_url", "reauth": "reauthorize", "dockercfg_path": "config_path",
    }  # fmt: skip
    EXAMPLE: ClassVar[str] = """\
- name: our registry
  docker_login: {registry_url: registry.example.org, username: deploy, password: "{{ registry_token }}"}
"""

    registry_url: str = HUB
    username: Optional[str] = None
    password: Optional[str] = None
    reauthorize: bool = False
    config_path: str = "~/.docker/config.json"
    state: Literal["present", "absent"] = "present"

    def __post_init__(self) -> None:
        refuse_options(registry_url=self.registry_url)
        if self.state == "present" and (self.username is None or self.password is None):
            raise ValueError("username and password are needed to log in")
        if posixpath.basename(self.config_path) != "config.json":
            raise ValueError("config_path must end in /config.json: docker knows the directory only")

    @property
    def _key(self) -> str:
        """As docker files it: a host name, except for its own registry."""
        if self.registry_url.rstrip("/") in (HUB.rstrip("/"), "docker.io", "https://docker.io"):
            return HUB
        return self.registry_url.partition("://")[2].partition("/")[0] or self.registry_url.partition("/")[0]

    def desired(self) -> State:
        if self.state == "absent":
            return ABSENT
        again = {"logged_in": "now"} if self.reauthorize else {}
        return {"username": self.username, "password": digest(self.password), **again}

    def observe(self, machine: Machine) -> State:
        config = self._config(machine)
        entry = (config.get("auths") or {}).get(self._key)
        if entry is None:
            return ABSENT
        try:
            name, _, password = base64.b64decode(entry.get("auth") or "").decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            name = password = ""
        if not name:  # a helper program keeps it: what it holds cannot be compared
            return {"username": self.username, "password": None, "registry_url": self.registry_url}
        login = {"username": name, "serveraddress": self._key}
        return {"username": name, "password": digest(password), "login_result": login}

    def _config(self, machine: Machine) -> Dict[str, Dict[str, Dict[str, str]]]:
        text = machine.read_text(machine.expanded(self.config_path))
        try:
            return dict(json.loads(text or "{}"))
        except ValueError as error:
            raise Broken(f"{self.config_path} is not JSON: {error}") from None

    def apply(self, machine: Machine, change: Change) -> State:
        directory = posixpath.dirname(machine.expanded(self.config_path))
        base = ["docker", "--config", machine.for_program(directory)]
        server = [] if self._key == HUB else [self._key]
        if change.deletes:
            machine.run([*base, "logout", *server])
            return None
        words = [*base, "login", "--username", str(self.username), "--password-stdin", *server]
        machine.run(words, data=str(self.password).encode(), timeout=120.0)
        found = self.observe(machine) or {}
        if found.get("password") is None:  # kept by a helper program
            found = {**found, "password": digest(self.password)}
        return {**found, **({"logged_in": "now"} if self.reauthorize else {})}
