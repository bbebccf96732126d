"""A compose project as Docker sees it: its containers, in JSON, stopped and started in a given order."""

from __future__ import annotations

import json
from typing import Any, Dict, Iterable, List, Mapping, Sequence, Tuple

from mnemo_ops.agent import docker
from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.record import dataclass
from mnemo_ops.errors import Broken, Refused

ENDING = (0.2, 0.5, 1.0, 2.0, 4.0)  # seconds between tries: a container that is just ending cannot be updated

PROJECT = "com.docker.compose.project"
SERVICE = "com.docker.compose.service"
ONEOFF = "com.docker.compose.oneoff"


@dataclass(frozen=True)
class Container:
    """``state``: created, running, exited, ...; ``health``: starting, healthy, unhealthy or empty without a check."""

    id: str
    name: str
    service: str
    state: str
    health: str
    restart: str
    image: str
    image_id: str
    env: Mapping[str, str]
    mounts: Tuple[Mapping[str, Any], ...]
    addresses: Tuple[str, ...]
    exit_code: int
    grace: int  # seconds between SIGTERM and SIGKILL that its owner gave it; 0 when none was said

    @property
    def running(self) -> bool:
        return self.state in ("running", "restarting", "paused")


def refuse_bare(machine: Machine, tools: Sequence[str] = ("docker",)) -> None:
    """:raises Refused: programs are missing that nothing works without (3)."""
    absent = [name for name in tools if machine.which(name) is None]
    if absent:
        raise Refused(f"not installed on this host: {', '.join(absent)}", hint="invoke bootstrap installs them")


def containers(machine: Machine, project: str) -> Dict[str, Container]:
    """The project's containers by service, stopped ones included; empty without Docker. :raises Broken: (6)."""
    if machine.which("docker") is None:
        return {}
    listed = machine.ask(["docker", "ps", "-aq", "--no-trunc", "--filter", f"label={PROJECT}={project}"])
    ids = listed.out.split()
    rows = json.loads(machine.ask(["docker", "inspect", "--type", "container", *ids]).out) if ids else []
    # what `docker compose run` started is none of the service's own
    found = [_container(row) for row in rows if row["Config"]["Labels"].get(ONEOFF) != "True"]
    return {container.service: container for container in sorted(found, key=lambda each: each.service)}


def volumes(machine: Machine, project: str) -> Dict[str, docker.Row]:
    """Docker's volumes of the project by name, without those of a project whose name begins as its volumes do."""

    def whose(row: docker.Row) -> str:
        labels = row.get("Labels") or {}
        return str(labels.get("mnemo.stack") or labels.get(PROJECT) or project)

    every = docker.all_of(machine, "volume")
    return {name: row for name, row in every.items() if name.startswith(project + "_") and whose(row) == project}


def _container(row: Mapping[str, Any]) -> Container:
    pairs = (text.split("=", 1) for text in row["Config"].get("Env") or [] if "=" in text)
    networks = row.get("NetworkSettings", {}).get("Networks") or {}
    return Container(
        id=row["Id"],
        name=row["Name"].lstrip("/"),
        service=row["Config"]["Labels"].get(SERVICE, row["Name"].lstrip("/")),
        state=row["State"]["Status"],
        health=(row["State"].get("Health") or {}).get("Status", ""),
        restart=row["HostConfig"]["RestartPolicy"].get("Name") or "no",
        image=row["Config"]["Image"],
        image_id=row["Image"],
        env=dict(pairs),
        mounts=tuple(row.get("Mounts") or []),
        addresses=tuple(net["IPAddress"] for net in networks.values() if net.get("IPAddress")),
        exit_code=int(row["State"].get("ExitCode", 0)),
        grace=int(row["Config"].get("StopTimeout") or 0),
    )


def ordered(found: Mapping[str, Container], order: Sequence[str]) -> List[Container]:
    """The containers named in ``order``, in that order; names without a container are left out."""
    return [found[service] for service in order if service in found]


def stop(machine: Machine, chosen: Iterable[Container], grace: int) -> List[str]:
    """Stop running containers one after the other; the names of those that were running.

    :param grace: seconds between SIGTERM and SIGKILL, where the container's owner did not ask for more.
    """
    running = [container for container in chosen if container.running]
    for container in running:
        machine.note = f"stopping {container.name}"
        longest = max(grace, container.grace)
        machine.run(["docker", "stop", "--time", str(longest), container.name], timeout=longest + 60)
    return [container.name for container in running]


def set_restart(machine: Machine, policy: str, names: Sequence[str]) -> None:
    """Set the restart policy of containers. :raises CommandFailed: Docker does not take it (6)."""
    update = ["docker", "update", "--restart", policy, *names]
    for pause in ENDING:
        if machine.run(update, check=False).rc == 0:
            return
        machine.sleep(pause)
    machine.run(update)


def remaining(machine: Machine, names: Iterable[str]) -> List[str]:
    """Those that are containers still, in this order: what somebody removed cannot be started, ever.

    :raises Broken: Docker does not answer (6).
    """
    lines = docker.ask(machine, "ps", "-a", "--format", "{{.Names}}").splitlines()
    return [name for name in names if name in lines]


def start(machine: Machine, names: Sequence[str], patience: float) -> None:
    """Start containers by name, in order, and wait until each that has a health check is healthy.

    :param patience: seconds for all of them together. :raises Broken: one did not become healthy (6).
    """
    for name in names:
        machine.note = f"starting {name}"
        machine.run(["docker", "start", name])

    def well() -> bool:
        found = _inspect(machine, names)
        down = [each.name for each in found if not each.running]
        for name in down:  # a stop that was cut short in its command still ends in the engine, after our start
            machine.run(["docker", "start", name])
        return not down and all(each.health in ("", "healthy") for each in found)

    machine.wait_until("containers are healthy: " + ", ".join(names), well, patience)


def wait_for_docker(machine: Machine, patience: float = 90.0) -> None:
    """Until the engine answers: it may be starting with the host. :raises Broken: it does not (6)."""
    version = ["docker", "version", "--format", "{{.Server.Version}}"]
    machine.wait_until("Docker answers", lambda: machine.ask(version, check=False).rc == 0, patience)


def _inspect(machine: Machine, names: Sequence[str]) -> List[Container]:
    if not names:
        return []
    rows = json.loads(machine.ask(["docker", "inspect", "--type", "container", *names]).out)
    return [_container(row) for row in rows]


def one(found: Mapping[str, Container], service: str) -> Container:
    """The container of a service. :raises Broken: there is none, or it does not run (6)."""
    container = found.get(service)
    if container is None or not container.running:
        raise Broken(f"the service {service} does not run", hint="docker compose ps -a shows the stack")
    return container
