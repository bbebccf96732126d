"""Survey: what a preflight wants to know of a host, in one read-only look."""

from __future__ import annotations

import json
import posixpath
import re
from typing import Any, ClassVar, Dict, Iterator, List, Mapping, Optional

from mnemo_ops.agent.actions.backup import TOOLS
from mnemo_ops.agent.actions.journal import steps
from mnemo_ops.agent.base.lines import each_line
from mnemo_ops.agent.base.progress import Report
from mnemo_ops.agent.base.record import dataclass, field
from mnemo_ops.agent.docker import cli as docker
from mnemo_ops.agent.docker.images import contents
from mnemo_ops.agent.engine.action import Action
from mnemo_ops.agent.files import mounts
from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.process import lease
from mnemo_ops.agent.stack import containers, copy_marker, exclusivity, room, volume_options
from mnemo_ops.agent.stack.cluster import facts as cluster_facts
from mnemo_ops.agent.stack.cluster.dump import compression
from mnemo_ops.agent.stack.cluster.entrance import enter
from mnemo_ops.agent.stack.cluster.home import Home
from mnemo_ops.agent.stack.datasets import kind_of
from mnemo_ops.agent.stack.fence import read_fence
from mnemo_ops.agent.stack.stack import Stack, forgotten
from mnemo_ops.errors import MnemoError, Refused

_PORTS = re.compile(r":(\d{1,5})(?:-(\d{1,5}))?->[\d-]+/(\w+)")


@dataclass(frozen=True)
class Survey(Action):
    """Docker, the stack's containers, volumes and sizes, the database, space, ports, names, fence and leases.

    What is absent is reported as absent (``None`` or empty); what is broken is reported under ``troubles``.

    Ports are ``80/tcp``: ``published`` those of the stack's containers, ``listening`` those of others here.

    :param directories: as of :func:`~mnemo_ops.agent.stack.room.disks`.
    """

    stack: Mapping[str, Any]
    directories: Mapping[str, str] = field(default_factory=dict)
    kind: ClassVar[str] = "survey"

    def ready(self, machine: Machine) -> Report:
        stack = Stack.from_json(self.stack)
        troubles: List[str] = []
        mark = copy_marker.read(machine, stack.project)
        report: Dict[str, Any] = {
            "machine_id": (machine.read_text("/etc/machine-id") or "").strip(),
            "clock": machine.now(),
            "tools": {name: machine.which(name) is not None for name in ("docker", "rsync", *TOOLS)},
            "directory": machine.names(stack.directory),
            "occupied": {path: ", ".join(names[:3]) for path in _outside(stack) if (names := machine.names(path))},
            "absent": [_short(stack, path) for path in stack.own_files if machine.stat(path) is None],
            "mounted": machine.realpath(stack.directory) in mounts.mounted(machine),
            "fence": read_fence(machine, stack.project),
            "target": mark,
            "steps": steps(machine, mark["run"]) if mark is not None else [],
            "leases": {name: each["run"] for name, each in lease.names(machine).items()},
            "listening": _listening(machine),
            "published": [],
            "containers": {},
            "docker": None,
        }
        if report["tools"]["docker"]:
            try:
                found = _docker(machine, stack, troubles)
                found["listening"] = sorted({*report["listening"], *found.get("listening", ())})
                report.update(found)
            except MnemoError as error:
                troubles.append(str(error))
        known = report["docker"] or {}  # one that does not answer is among the troubles
        there = docker.all_of(machine, "volume") if known else {}
        disks = room.disks(machine, stack, there, known.get("root", "/var/lib/docker"), self.directories)
        return {**report, "disks": disks, "troubles": troubles}


def _outside(stack: Stack) -> List[str]:
    """Directories of datasets that lie beside the stack's own."""
    return [each.path for each in stack.datasets if each.path.startswith("/") and not each.volume]


def _short(stack: Stack, path: str) -> str:
    return posixpath.relpath(path, stack.directory) if path.startswith(stack.directory + "/") else path


def _docker(machine: Machine, stack: Stack, troubles: List[str]) -> Dict[str, Any]:
    info = json.loads(machine.ask(["docker", "info", "--format", "json"]).out)
    if info.get("ServerErrors"):
        troubles.append(f"Docker does not answer: {info['ServerErrors'][0]}")
        return {}
    found = containers.containers(machine, stack.project)
    try:
        exclusivity.refuse_others(machine, stack)
    except Refused as error:
        troubles.append(f"{error.message}: {error.hint}")
    volumes = machine.ask(["docker", "volume", "ls", "-q"]).out.split()
    model = _model(machine, stack)
    if found and model is None:
        troubles.append("Compose cannot read the project's files: docker compose config says why")
    model = model or {}
    troubles += _within(machine, stack)
    others = each_line(machine.ask(["docker", "ps", "-a", "--format", "json"]).out)
    rows = [json.loads(line) for line in others]
    mine, theirs = (
        {port for row in rows if (f"={stack.project}," in row.get("Labels", "") + ",") is own for port in _ports(row)}
        for own in (True, False)
    )
    return {
        "docker": {"version": info["ServerVersion"], "root": info["DockerRootDir"], "id": info["ID"]},
        "compose": machine.ask(["docker", "compose", "version", "--short"], check=False).out.strip(),
        "volumes": sorted(containers.volumes(machine, stack.project)),
        "all_volumes": volumes,
        "odd_volumes": {
            name: what
            for name, row in containers.volumes(machine, stack.project).items()
            if (what := volume_options.problem(row["Driver"], row.get("Options") or {}))
        },
        "names": sorted({row["Names"] for row in rows if f"={stack.project}," not in row.get("Labels", "") + ","}),
        "subnets": _subnets(machine, stack.project, own=False),
        "own_subnets": _fixed(model),
        "networks": sorted(docker.all_of(machine, "network")),
        "outer_networks": sorted(
            {str(row.get("name")) for row in (model.get("networks") or {}).values() if row and row.get("external")}
        ),
        "emptied": sorted(_emptied(model, found)),
        "unnamed": sorted({each.service for each in found if each.running and each.service not in model["services"]})
        if model.get("services")
        else [],
        "containers": {
            each.service: {
                **{"state": each.state, "health": each.health, "image": each.image},
                "content": contents(machine).get(each.image_id, ""),
            }
            for each in found
        },
        "published": sorted(mine),
        "listening": theirs,  # without a proxy of Docker's nothing listens there
        "container_names": sorted(each.name for each in found),
        "forgotten": forgotten(stack, found),
        "sizes": _sizes(machine, stack, volumes, troubles),
        "postgres": {
            each.name: _postgres(machine, stack, each.service, found, troubles) for each in stack.of_kind("postgres")
        },
    }


def _model(machine: Machine, stack: Stack) -> Optional[Dict[str, Any]]:
    """What a start of the project would start, as Compose has it; none where it cannot say. It holds secrets."""
    done = machine.ask(stack.compose("config", "--format", "json"), check=False)
    return dict(json.loads(done.out)) if done.rc == 0 and done.out.strip() else None


def _emptied(model: Mapping[str, Any], found: containers.Found) -> Iterator[str]:
    """``SERVICE: VARIABLE`` of those with a value which the project's files do not give: it came from a shell."""
    for each in found:
        told = (model.get("services") or {}).get(each.service) or {}
        for key, value in (told.get("environment") or {}).items():
            if value == "" and each.env.get(key) and each.running:
                yield f"{each.service}: {key}"


def _fixed(model: Mapping[str, Any]) -> List[str]:
    """Subnets that the compose files say: of the others Docker chooses one that is free."""
    plans = [(row or {}).get("ipam") or {} for row in (model.get("networks") or {}).values()]
    return [str(each["subnet"]) for plan in plans for each in plan.get("config") or [] if each.get("subnet")]


def _within(machine: Machine, stack: Stack) -> List[str]:
    """Volumes that are a directory of the project's own: on new the configuration would fill them first."""
    found = []
    for name, row in sorted(containers.volumes(machine, stack.project).items()):
        where = docker.content(row)
        if f"{machine.realpath(where)}/".startswith(f"{machine.realpath(stack.directory)}/"):
            how = "mount that directory itself in the compose file"
            found.append(
                f"the volume {name} is {where}, within the project's directory, which no migration carries: {how}"
            )
    return found


def _listening(machine: Machine) -> List[str]:
    """Ports that somebody has here, on whatever address: ``80/tcp``, ``53/udp`` (proc_net(5))."""
    found = set()
    for protocol, state in (("tcp", "0A"), ("udp", "07")):
        for end in ("", "6"):
            for line in each_line(machine.read_text(f"/proc/net/{protocol}{end}") or "")[1:]:
                fields = line.split()
                if fields[3:4] == [state]:
                    found.add(f"{int(fields[1].rpartition(':')[2], 16)}/{protocol}")
    return sorted(found)


def _ports(row: Mapping[str, Any]) -> List[str]:
    """Of ``0.0.0.0:80->80/tcp, [::]:8000-8001->8000-8001/tcp, 5432/tcp``: those of the host."""
    found: List[str] = []
    for first, last, protocol in _PORTS.findall(row.get("Ports", "")):
        found += [f"{port}/{protocol}" for port in range(int(first), int(last or first) + 1)]
    return found


def _subnets(machine: Machine, name: str, own: bool) -> Dict[str, List[str]]:
    """Subnets by network: those of the project, or all others."""
    ids = machine.ask(["docker", "network", "ls", "-q", "--filter", "driver=bridge"]).out.split()
    rows = json.loads(machine.ask(["docker", "network", "inspect", *ids]).out) if ids else []
    return {
        row["Name"]: [each["Subnet"] for each in row["IPAM"].get("Config") or [] if each.get("Subnet")]
        for row in rows
        if ((row.get("Labels") or {}).get(containers.PROJECT) == name) is own
    }


def _sizes(machine: Machine, stack: Stack, volumes: List[str], troubles: List[str]) -> Dict[str, int]:
    sizes = {}
    for dataset in stack.datasets:
        if dataset.kind == "postgres" or (dataset.volume and stack.volume(dataset.volume) not in volumes):
            continue
        try:
            sizes[dataset.name] = kind_of(machine, stack, dataset, ()).size()
        except MnemoError as error:
            troubles.append(str(error))
    return sizes


def _postgres(machine: Machine, stack: Stack, service: str, found: containers.Found, troubles: List[str]) -> Any:
    """What the server of a service says; nothing where it does not answer."""
    mine = [each for each in found if each.running and each.service == service]
    if not mine:
        return None
    try:
        entrance = enter(machine, mine[0])
        facts = cluster_facts.look(entrance.server)
        told = {name: facts[name] for name in ("version", "major", "bytes")}
        like = {name: facts[name] for name in ("superuser", "segment", "mode", "checksums", "preloaded")}
        like["template0"] = {name: facts["databases"]["template0"].get(name) for name in _LIKE}
        like["locales"] = _locales(facts)
        like["zstd"] = compression(facts) != "3"
        like.update(_declared(machine, stack, mine[0], entrance.home))
        like["extensions"] = sorted({one["name"] for each in facts["databases"].values() for one in _extensions(each)})
        like = {**like, "programs": entrance.home.programs, "version": facts["version"], "major": facts["major"]}
        return {
            **told,
            "cluster": like,
            "losses": cluster_facts.losses(facts),
            "obstacles": cluster_facts.obstacles(facts),
        }
    except MnemoError as error:
        troubles.append(str(error))
        return None


_LIKE = ("encoding", "collate", "ctype", "provider", "locale", "rules")  # what initdb is told


def _locales(facts: Mapping[str, Any]) -> List[Dict[str, Any]]:
    """Each that a carried database has, once."""
    every = [{name: facts["databases"][each].get(name) for name in _LIKE} for each in cluster_facts.carried(facts)]
    return list({json.dumps(one): one for one in every}.values())


def _declared(machine: Machine, stack: Stack, there: containers.Container, home: Home) -> Dict[str, Any]:
    """Where its volume is mounted, and whose its data are: nothing where the compose files say so for any image."""
    said = machine.ask(stack.compose("config", "--format", "json"), check=False)
    service = json.loads(said.out)["services"].get(there.service, {}) if said.rc == 0 else {}
    places = [str(each["Destination"]).rstrip("/") for each in there.mounts]
    around = max((each for each in places if f"{home.data}/".startswith(f"{each}/")), key=len, default="")
    return {
        "mount": "" if "PGDATA" in (service.get("environment") or ()) else around,
        "uid": None if service.get("user") else home.uid,
    }


def _extensions(database: Mapping[str, Any]) -> Any:
    return database.get("extensions", {}).values()
