"""A compose project as Docker sees it: its containers, in JSON, and the order in which they stop and start."""

from __future__ import annotations

import calendar
import json
import re
import time
from typing import Any, Collection, Dict, Iterable, List, Mapping, Sequence, Set, Tuple

from mnemo_ops.agent.base.lines import each_line
from mnemo_ops.agent.base.record import dataclass, field
from mnemo_ops.agent.docker import cli as docker
from mnemo_ops.agent.machine import Machine
from mnemo_ops.errors import Broken, Refused

PROJECT = "com.docker.compose.project"
SERVICE = "com.docker.compose.service"
ONEOFF = "com.docker.compose.oneoff"
DEPENDS = "com.docker.compose.depends_on"  # service:condition:restart, separated by commas
LOCAL = ("127.0.0.1", "::1")
_TIME = re.compile(r"(\d+-\d+-\d+T\d+:\d+:\d+)(?:\.(\d{1,9}))?\d*Z")

Found = Sequence["Container"]


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
    depends: Mapping[str, str]  # service -> the condition it waits for
    published: bool  # it takes connections from other machines
    started: str  # when it was started last, in Docker's words
    labels: Mapping[str, str] = field(default_factory=dict)
    command: Tuple[str, ...] = field(default=(), repr=False)  # what it runs, which may hold a secret
    pid: int = 0  # of its first process, as the host counts; 0 when it does not run

    @property
    def running(self) -> bool:
        return self.state in ("running", "restarting", "paused")

    @property
    def ended(self) -> bool:
        """It did what it was for: no policy starts it again."""
        return self.state == "exited" and self.exit_code == 0 and self.restart in ("no", "on-failure")


def refuse_bare(machine: Machine, tools: Sequence[str] = ("docker",)) -> None:
    """:raises Refused: programs are missing that nothing works without (3)."""
    absent = [name for name in tools if machine.which(name) is None]
    if absent:
        raise Refused(f"not installed on this host: {', '.join(absent)}", hint="`invoke bootstrap` installs them")


def containers(machine: Machine, project: str) -> List[Container]:
    """The project's containers by service and name, stopped ones too; none without Docker. :raises Broken: (6)."""
    if machine.which("docker") is None:
        return []
    listed = machine.ask(["docker", "ps", "-aq", "--no-trunc", "--filter", f"label={PROJECT}={project}"])
    found = [_container(row) for row in inspected(machine, listed.out.split()) if is_of(row, project)]
    return sorted(found, key=lambda each: (each.service, each.name))


def inspected(machine: Machine, names: Sequence[str]) -> List[docker.Row]:
    """What Docker knows of containers; those that somebody removes meanwhile are left out."""
    if not names:
        return []
    done = machine.ask(["docker", "inspect", "--type", "container", *names], check=False)
    if done.rc != 0:  # one that is gone is no error, an engine that does not answer is
        docker.ask(machine, "version", "--format", "{{.Server.Version}}")
    rows: List[docker.Row] = json.loads(done.out or "[]")
    return rows


def is_of(row: docker.Row, project: str) -> bool:
    """Whether a container is one of the project's services: what `docker compose run` started is none."""
    labels = row["Config"].get("Labels") or {}
    return bool(labels.get(PROJECT) == project and labels.get(ONEOFF) != "True")


def refuse_stopped(found: Found, service: str) -> None:
    """:raises Refused: the service does not run, and without it nothing can be done (3)."""
    mine = [each for each in found if each.service == service]
    if any(each.running for each in mine):
        return
    stopped = " ".join(each.name for each in found if not each.running and not each.ended)
    if mine:
        raise Refused(
            "the stack is stopped on this host; nothing was changed",
            hint=f"docker start {stopped}, as root on the host",
        )
    raise Refused(f"the service {service} has no container on this host", hint="`invoke deploy` creates it")


def volumes(machine: Machine, project: str) -> Dict[str, docker.Row]:
    """Docker's volumes of the project by name: those that Compose labelled so, whatever they are called, and those that
    are named after it, without those of a project whose name begins as its volumes do."""

    def whose(row: docker.Row) -> str:
        labels = row.get("Labels") or {}
        return str(labels.get("mnemo.stack") or labels.get(PROJECT) or project)

    every = docker.all_of(machine, "volume")
    return {
        name: row
        for name, row in every.items()
        if whose(row) == project and (name.startswith(project + "_") or key_of(row, ""))
    }


def nanoseconds(text: str) -> float:
    """Docker's time; what is none lies in the future: nothing is newer."""
    found = _TIME.match(text)
    if found is None:
        return float("inf")
    seconds = calendar.timegm(time.strptime(found[1], "%Y-%m-%dT%H:%M:%S"))
    return seconds * 10**9 + int((found[2] or "0").ljust(9, "0"))


def key_of(row: docker.Row, project: str) -> str:
    """What the compose file calls a volume; without a label of Compose, its name without the project's."""
    label = (row.get("Labels") or {}).get("com.docker.compose.volume")
    return str(label or (row["Name"][len(project) + 1 :] if project else ""))


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
        depends=_depends(row["Config"]["Labels"].get(DEPENDS, "")),
        published=_published(row["HostConfig"].get("PortBindings") or {}),
        started=str(row["State"].get("StartedAt", "")),
        labels=row["Config"].get("Labels") or {},
        command=(str(row.get("Path") or ""), *map(str, row.get("Args") or ())),
        pid=int(row["State"].get("Pid") or 0),
    )


def _depends(label: str) -> Dict[str, str]:
    rows = [part.split(":") for part in label.split(",") if part]
    return {row[0]: row[1] if len(row) > 1 else "" for row in rows}


def _published(bindings: Mapping[str, Any]) -> bool:
    return any(one.get("HostIp", "") not in LOCAL for rows in bindings.values() for one in rows or ())


def layers(found: Found, stores: Collection[str]) -> List[List[Container]]:
    """Containers in the order in which they are stopped, those side by side that may stop at once.

    Who lets clients in goes first, so that nobody is answered half way; then ``depends_on`` from the outside in; what
    stores goes last. The other way round they are started.

    :param stores: services that keep data; what writes to them need not say so.
    """
    needed = {name: set().union(*(each.depends for each in found if each.service == name)) for name in _services(found)}
    before = {name: _reached(needed, name) for name in needed}  # service -> what it needs, directly or not
    fronts = {each.service for each in found if each.published and each.service not in stores}
    for name in needed:
        after = {other for other in needed if name not in _reached(needed, other)} - {name}
        if name in fronts:
            before[name] |= after - fronts
        if name not in stores:
            before[name] |= after & set(stores)
    left, ordered = set(needed), []
    while left:
        free = {name for name in left if not any(name in before[other] for other in left - {name})} or left
        ordered.append([each for each in found if each.service in free])
        left -= free
    return ordered


def _services(found: Found) -> List[str]:
    return sorted({each.service for each in found})


def _reached(needed: Mapping[str, Set[str]], name: str) -> Set[str]:
    seen: Set[str] = set()
    ahead = {name}
    while ahead:
        ahead = {one for each in ahead for one in needed.get(each, ()) if one in needed} - seen
        seen |= ahead
    return seen


def remaining(machine: Machine, names: Iterable[str]) -> List[str]:
    """Those that are containers still, in this order: what somebody removed cannot be started, ever.

    :raises Broken: Docker does not answer (6).
    """
    lines = each_line(docker.ask(machine, "ps", "-a", "--format", "{{.Names}}"))
    return [name for name in names if name in lines]


def wait_for_docker(machine: Machine, patience: float = 90.0) -> None:
    """Until the engine answers: it may be starting with the host. :raises Broken: it does not (6)."""
    version = ["docker", "version", "--format", "{{.Server.Version}}"]
    machine.wait_until("Docker answers", lambda: machine.ask(version, check=False).rc == 0, patience)


def named(machine: Machine, names: Sequence[str]) -> List[Container]:
    """Containers by their names, without those that somebody removed meanwhile."""
    return [_container(row) for row in inspected(machine, names)]


def one(found: Found, service: str) -> Container:
    """The first container of a service. :raises Broken: there is none, or it does not run (6)."""
    for container in found:
        if container.service == service and container.running:
            return container
    raise Broken(f"the service {service} does not run", hint="docker compose ps -a shows the stack")


def running(machine: Machine, names: Sequence[str]) -> List[str]:
    """Those of them that run, or ended as they should."""
    return [each.name for each in named(machine, names) if each.running or each.ended]


def healthy(found: Found) -> List[str]:
    """Names of those that are well by their own check."""
    return [each.name for each in found if each.health == "healthy"]


def described(wrong: Mapping[str, str]) -> str:
    """What is wrong with containers, for people. :param wrong: name -> what."""
    return "; ".join(f"{name}: {what}" for name, what in wrong.items())
