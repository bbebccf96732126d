"""How a project runs: in which order it stops, what says that it is well, what its containers keep to themselves."""

from __future__ import annotations

import json
from typing import Any, Dict, List, Sequence

from mnemo_ops.agent.base.lines import each_line
from mnemo_ops.agent.docker import cli as docker
from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.stack.containers import LOCAL, Container, Found, layers
from mnemo_ops.agent.stack.project.model import Model, Service
from mnemo_ops.agent.stack.project.places import nameless
from mnemo_ops.agent.stack.project.rows import Row

NO_BACKUP = "no backup holds"
_COMES_AND_GOES = (
    *("/tmp", "/var/tmp", "/run", "/var/run", "/root/.cache", "/var/cache", "/dev", "/proc", "/sys"),
    *("/sbin/docker-init", "/usr/sbin/docker-init"),  # put there by Docker where a service has `init`
)


def order(model: Model, found: Found, stores: Sequence[str]) -> List[Row]:
    """:param stores: services that keep the data of others."""
    steps = layers(found or [_as_container(each) for each in model.services.values()], stores)
    names = [" ".join(sorted({each.service for each in step})) for step in steps]
    told = "  ".join(f"{number}. {step}" for number, step in enumerate(names, 1))
    why = "who publishes ports first, then depends_on from the outside in, databases last; started the other way round"
    return [Row("stop order", model.name, told or "nothing", why, "depends_on in the compose file")]


def _as_container(service: Service) -> Container:
    """One as Compose would make it, for a project that does not run."""
    none: Dict[str, Any] = {"health": "", "image": service.image, "image_id": "", "env": {}, "mounts": ()}
    published = any(each.address not in LOCAL for each in service.ports)
    return Container(
        id=service.name, name=service.name, service=service.name, state="created", restart=service.restart,
        addresses=(), exit_code=0, grace=int(service.grace), depends=service.depends, published=published, started="",
        **none,
    )  # fmt: skip


def health(model: Model, found: Found) -> List[Row]:
    checked = {each.service for each in found if each.health}
    waits = [wait for each in model.services.values() for wait in each.depends.items()]
    ends = {name for name, how in waits if how == "service_completed_successfully"}
    groups: Dict[str, List[str]] = {}
    for name, service in sorted(model.services.items()):
        own = "its own check" if service.check else "its image's check" if name in checked else ""
        groups.setdefault(own or ("ends with 0" if name in ends else "runs for ten seconds"), []).append(name)
    why = {
        "its own check": "the compose file has a healthcheck",
        "its image's check": "its container has one that the compose file does not name",
        "ends with 0": "others wait until it has completed",
        "runs for ten seconds": "no check: it must run so long without a restart, which proves little",
    }
    over = "stack.checks, or a healthcheck in the compose file"
    return [Row("health", ", ".join(names), how, why[how], over) for how, names in groups.items()]


def kept_inside(machine: Machine, found: Found) -> List[Row]:
    """What is in volumes without a name, and in the containers' own layers: it goes with the container."""
    rows = []
    for key, mount in sorted(nameless(found).items()):
        names = _names(machine, str(mount.get("Source")))
        what = "a cluster of Postgres" if "PG_VERSION" in names else f"{len(names)} at its top" if names else "empty"
        over = f"a named volume there, or stack.waived: {json.dumps({key: 'REASON'})}"
        rows.append(Row(NO_BACKUP, key, what, "a volume without a name: a new container gets a new one", over))
    for each in found:
        rows += _layer(machine, each)
    return rows


def _names(machine: Machine, path: str) -> List[str]:
    try:
        return machine.names(path)
    except OSError:
        return []


def _layer(machine: Machine, container: Container) -> List[Row]:
    mine = [str(each.get("Destination")) for each in container.mounts]
    lines = each_line(docker.ask(machine, "diff", container.name))
    every = [line[2:] for line in lines if line[:2] in ("A ", "C ")]
    above = {path.rpartition("/")[0] for path in (*every, *mine)}
    above |= {part for path in above for part in _parents(path)}
    paths = [path for path in every if path not in above and path not in mine and not _goes(path)]
    if not paths:
        return []
    row = json.loads(docker.ask(machine, "container", "inspect", "--size", container.name))[0]
    size = f"{row['SizeRw']} bytes" if isinstance(row.get("SizeRw"), int) else "an unknown size"
    more = f" and {len(paths) - 3} more" if len(paths) > 3 else ""
    why = f"written into its own layer, which goes with it: {', '.join(paths[:3])}{more}"
    place = json.dumps({f"{container.service}:{paths[0]}": "REASON"})
    return [Row(NO_BACKUP, container.name, size, why, f"a volume there, or stack.waived: {place}")]


def _goes(path: str) -> bool:
    return any(path == each or path.startswith(each + "/") for each in _COMES_AND_GOES)


def _parents(path: str) -> List[str]:
    parts = path.split("/")
    return ["/".join(parts[:end]) for end in range(2, len(parts))]
