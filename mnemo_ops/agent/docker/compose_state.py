"""A compose project: what its files describe, what the engine runs, and where the two differ.

The label ``com.docker.compose.config-hash`` of a container is the hash of its resolved service. ``config --hash`` of
the files themselves leaves out what ``env_file`` adds, so the resolved configuration is piped back into it: then the
two agree (compose 2.26, tried with env_file, secrets, replicas, depends_on).
"""

from __future__ import annotations

import json
import re
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from mnemo_ops.agent.base import secrecy
from mnemo_ops.agent.base.lines import each_line
from mnemo_ops.agent.base.record import dataclass, replace
from mnemo_ops.agent.docker import cli as docker
from mnemo_ops.agent.machine import Machine
from mnemo_ops.errors import CommandFailed, Refused

LABEL = "com.docker.compose."
OLDEST = (2, 20)
LAST_LINES = "20"  # of a failed container's log


def is_installed(machine: Machine) -> bool:
    """Whether docker has its compose plugin. :raises Refused: it is older than we can work with (3)."""
    if not docker.is_installed(machine):
        return False

    def read() -> str:
        done = machine.ask(["docker", "compose", "version", "--format", "json"], check=False)
        if done.rc == 0:
            return str(json.loads(done.out)["version"])
        docker.ask(
            machine, "version", "--format", "{{.Server.Version}}"
        )  # broken altogether, or only without the plugin?
        return ""

    version: str = machine.once("docker/compose", read)
    numbers = [int(number) for number in re.findall(r"\d+", version)[:2]]
    if version and tuple(numbers) < OLDEST:
        raise Refused(
            f"compose {version} is older than {OLDEST[0]}.{OLDEST[1]}",
            hint="the module docker_engine installs a newer one",
        )
    return bool(version)


def exists(machine: Machine, name: str) -> bool:
    """Whether anything of a project is left: a container or a network; volumes stay and do not count."""
    label = f"label={LABEL}project={name}"
    return any(
        docker.ask(machine, *words, "-q", "--filter", label).strip() for words in (("ps", "-a"), ("network", "ls"))
    )


@dataclass(frozen=True)
class Service:
    """A described service and its containers.

    :param hash: the label of a container that fits; ``None``: any does.
    :param image_id: what the name of its image means on this host now; ``None``: unknown.
    :param scale: how many containers there should be.
    :param ends: others wait for its successful end: then exit code 0 is as good as running.
    """

    hash: Optional[str]
    image_id: Optional[str]
    scale: int
    ends: bool
    containers: Tuple[docker.Row, ...]

    def word(self, ignore_differences: bool = False) -> str:
        """absent, ``1 of 2``, outdated, stopped, unhealthy, starting or up: the worst that is true."""
        if len(self.containers) != self.scale:
            return f"{len(self.containers)} of {self.scale}" if self.containers else "absent"
        if not ignore_differences and any(self._differs(row) for row in self.containers):
            return "outdated"
        words = {self._condition(row) for row in self.containers}
        return next((word for word in ("stopped", "unhealthy", "starting") if word in words), "up")

    @property
    def running(self) -> bool:
        return any(row["State"]["Status"] in ("running", "restarting", "paused") for row in self.containers)

    def _differs(self, row: docker.Row) -> bool:
        another = self.image_id is not None and row["Image"] != self.image_id
        return another or (self.hash is not None and row["Config"]["Labels"].get(LABEL + "config-hash") != self.hash)

    def _condition(self, row: docker.Row) -> str:
        state = row["State"]
        if state["Status"] == "restarting":
            return "starting"
        if state["Status"] != "running":
            return "up" if self.ends and state["Status"] == "exited" and state["ExitCode"] == 0 else "stopped"
        health = (state.get("Health") or {}).get("Status", "")
        return health if health in ("unhealthy", "starting") else "up"


class Project:
    """A project's files under one name.

    :param options: where it lies and what applies to it, without its files: ``--project-directory``, ``--profile``, ...
    :param files: ``--file`` and ``--env-file`` options.
    """

    def __init__(self, machine: Machine, options: Sequence[str], files: Sequence[str]) -> None:
        self._machine = machine
        self._options = ["docker", "compose", "--ansi", "never", *options]
        self._files = list(files)

    def config(self) -> Mapping[str, Any]:
        """Everything resolved, values of the environment included: never to be printed."""
        config: Mapping[str, Any] = json.loads(self._config_text())
        return config

    def _config_text(self) -> str:
        argv = [*self._options, *self._files, "config", "--format", "json"]
        return str(self._machine.once(" ".join(argv), lambda: self._machine.ask(argv).out))

    def name(self) -> str:
        return str(self.config()["name"])

    def hashes(self) -> Dict[str, str]:
        """Of each described service the label that a container of it gets."""
        text = self._config_text()
        argv = [*self._options, "--file", "-", "--project-name", self.name(), "config", "--hash", "*"]

        def read() -> Dict[str, str]:
            out = self._machine.ask(argv, data=text.encode()).out
            return {name: hash for name, hash in (line.split() for line in each_line(out) if line.strip())}

        hashes: Dict[str, str] = self._machine.once(" ".join(argv), read)
        return hashes

    def look(self) -> Tuple[Dict[str, Service], List[str]]:
        """Each described service with its containers; and the services of containers nobody describes any more."""
        described, hashes = self.config().get("services") or {}, self.hashes()
        ids = docker.image_ids(self._machine)
        waits = [wait for each in described.values() for wait in (each.get("depends_on") or {}).items()]
        ends = {name for name, wait in waits if wait.get("condition") == "service_completed_successfully"}
        rows = docker.containers(self._machine, f"label={LABEL}project={self.name()}")
        mine: Dict[str, List[docker.Row]] = {}
        for row in rows:
            if row["Config"]["Labels"].get(LABEL + "oneoff") != "True":
                mine.setdefault(row["Config"]["Labels"].get(LABEL + "service", ""), []).append(row)
        found = {
            name: Service(
                hash=hashes.get(name),
                image_id=ids.get(docker.reference(each.get("image") or f"{self.name()}-{name}")),
                scale=int(each.get("scale") or (each.get("deploy") or {}).get("replicas", 1)),
                ends=name in ends,
                containers=tuple(mine.get(name, ())),
            )
            for name, each in described.items()
        }
        return found, sorted(set(mine) - set(described))

    def run(self, *words: str, timeout: float = 7200.0) -> None:
        """A compose command that changes something. :raises CommandFailed: it failed; secrets are masked (6)."""
        self._machine.note = f"docker compose {words[0]}"
        done = self._machine.run(
            [*self._options, *self._files, *words], timeout=timeout, cwd=self._machine.path("/"), check=False
        )
        if done.rc != 0:
            said = "\n".join(each_line(self._masked(done.err).strip())[-10:])
            failing = (
                {} if words[0] == "down" else {name: each for name, each in self.look()[0].items() if _failed(each)}
            )
            parts = [f"docker compose {words[0]} ended with {done.rc}: {said}", self.last_words(failing)]
            raise CommandFailed("\n".join(part for part in parts if part))

    def last_words(self, services: Mapping[str, Service]) -> str:
        """What each of these services is and the end of its log, without its secrets: masked before it is cut."""
        parts = []
        for name, service in services.items():
            parts.append(f"{name} is {service.word(ignore_differences=True)}")
            for row in [row for row in service.containers if _is_bad(row)][:1]:
                done = self._machine.ask(["docker", "logs", "--tail", LAST_LINES, row["Id"]], check=False)
                log = (row["State"].get("Health") or {}).get("Log") or []
                checked = self._masked(log[-1].get("Output", "")).strip()[-300:] if log else ""
                said = self._masked(f"{done.out}{done.err}").strip()[-1500:]
                ended = [f"exit code {row['State']['ExitCode']}"] if row["State"]["Status"] == "exited" else []
                health = [f"its healthcheck said: {checked}"] if log else []
                parts += [*ended, *health, *([f"its last lines:\n{said}"] if said else [])]
        return "\n".join(parts)

    def _masked(self, text: str) -> str:
        try:
            return secrecy.hide(text, secrecy.of_compose(self.config()))
        except CommandFailed:  # nothing was resolved, so nothing can show
            return text


def _is_bad(row: docker.Row) -> bool:
    state = row["State"]
    unwell = (state.get("Health") or {}).get("Status") == "unhealthy"
    return bool(unwell or state["Status"] == "restarting" or (state["Status"] == "exited" and state["ExitCode"]))


def _failed(service: Service) -> bool:
    return any(_is_bad(row) for row in service.containers)


def as_compose_left_it(service: Service) -> Service:
    """Right after ``up``, compose's own judgement of what differs is the one that counts."""
    return replace(service, hash=None, image_id=None)
