"""The stack's volumes as a host has them: what speaks against using them as declared, each with its remedy."""

from __future__ import annotations

from functools import partial
from types import MappingProxyType
from typing import Any, Callable, Dict, Iterator, List, Mapping, Sequence, Set

from mnemo_ops.agent.base.finding import REFUSES, Finding
from mnemo_ops.agent.docker import cli as docker
from mnemo_ops.agent.files import mounts
from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.resources.docker_volume import DockerVolume
from mnemo_ops.agent.stack.containers import PROJECT
from mnemo_ops.agent.stack.volume_checks import disks, network_mounts
from mnemo_ops.errors import Refused

Row = Mapping[str, Any]
WORKING_DIR = "com.docker.compose.project.working_dir"


def findings(
    machine: Machine,
    project: str,
    rows: Sequence[Row],
    kept: Sequence[str],
    used: Mapping[str, str] = MappingProxyType({}),
    directory: str = "",
) -> List[Finding]:
    """Everything that speaks against the volumes as declared; looks only.

    :param rows: of ``layout.volumes``. :param kept: keys of the volumes that must survive.
    :param used: key -> Docker's name of the volume that the stack has by now. :param directory: the stack's.
    :raises Broken: Docker is installed and does not answer (6).
    """
    found: List[Finding] = []
    for row in rows:
        found += (
            _refused("volume.disk", row, partial(disks.refuse, machine, project, row)) if row["type"] == "block" else []
        )
        found += (
            _refused("volume.network", row, partial(network_mounts.refuse, machine, row))
            if row.get("addresses")
            else []
        )
    if found and not disks.docker_runs(machine):
        return found  # to ask Docker would be to start it, and it waits for its disks
    installed = docker.is_installed(machine)  # one that does not answer is an error: whose data is there cannot be told
    there = docker.all_of(machine, "volume") if installed else {}
    for row in (row for row in rows if row["type"] == "bind" and row["name"] not in there):
        remedy = f"take a directory below it, {row['directory']}/data; or type: block, which mounts the disk itself"
        found += _refused("volume.mount-point", row, partial(mounts.refuse_point, machine, row["directory"], remedy))
    if installed:
        found += _of_docker(machine, rows, there, used) + _renamed(machine, project, rows, kept, there, directory)
    return found


def occupied(machine: Machine, rows: Sequence[Row]) -> List[Finding]:
    """Volumes with something where data are to go; those on other machines are looked into once they are made."""
    there = docker.all_of(machine, "volume")
    found: List[Finding] = []
    for row in (row for row in rows if not row.get("addresses") or row["name"] in there):
        made = there.get(row["name"])
        where = docker.content(made) if made else row.get("directory", "")
        found += _refused("volume.occupied", row, partial(refuse_filled, machine, row["key"], where)) if where else []
    return found


def refuse_filled(machine: Machine, key: str, directory: str) -> None:
    """:raises Refused: there is something where data are to go (3)."""
    names = machine.names(directory) if machine.stat(directory) is not None else []
    if names:
        raise Refused(f"{directory}, where {key} is to go, holds {', '.join(names[:3])}", hint="move it away first")


def _of_docker(
    machine: Machine, rows: Sequence[Row], there: Mapping[str, docker.Row], used: Mapping[str, str]
) -> List[Finding]:
    """What speaks against the volumes that Docker has."""
    found = [
        Finding(
            *("volume.missing", REFUSES, row["key"]),
            evidence=f"the Docker volume {row['name']} does not exist",
            remedy="make it, or choose another type",
        )
        for row in rows
        if row["type"] == "external" and row["name"] not in there
    ]
    elsewhere = list(_elsewhere(rows, there, used))
    found += elsewhere
    left = {row["key"] for row in rows if "driver_options" in row} - {one.where for one in elsewhere}
    for row in (row for row in rows if row["key"] in left):
        made = {"driver_options": row["driver_options"], "labels": row["labels"], "guard": row["type"] == "bind"}
        wanted = DockerVolume(row["name"], **made)
        found += _refused("volume.options", row, partial(wanted.observe, machine))
    return found


def _refused(id: str, row: Row, look: Callable[[], object]) -> List[Finding]:
    try:
        look()
    except Refused as error:
        return [Finding(id, REFUSES, row["key"], error.message, error.hint)]
    return []


def _elsewhere(rows: Sequence[Row], there: Mapping[str, docker.Row], used: Mapping[str, str]) -> Iterator[Finding]:
    """Volumes whose data lie in another place than declared: Docker changes no volume, and another would be empty."""
    for row in rows:
        remedy = (
            f"invoke volumes --volume {row['key']} --to {row['type']} moves its data there; or declare it as it was"
        )
        name = used.get(row["key"], row["name"])
        if name != row["name"] and (name in there or name.startswith("/")):
            yield Finding(
                "volume.elsewhere",
                REFUSES,
                row["key"],
                f"its data are in {name}, not in the volume {row['name']}",
                remedy,
            )
        elif row["name"] in there and "driver_options" in row:
            found, asked = there[row["name"]], docker.texts(row["driver_options"])
            driver, options = found["Driver"], found["Options"] or {}
            if (driver, options) != ("local", asked):
                one, other = docker.described(driver, options), docker.described("local", asked)
                other_options = f"has other options: {docker.different(options, asked)}"
                what = f"is {one}, asked for {other}" if one != other else other_options
                yield Finding("volume.elsewhere", REFUSES, row["key"], f"the volume {row['name']} {what}", remedy)


def _renamed(
    machine: Machine,
    project: str,
    rows: Sequence[Row],
    kept: Sequence[str],
    there: Mapping[str, docker.Row],
    directory: str,
) -> List[Finding]:
    """Data under another project's name, where ours has none: a renamed project would start with empty volumes.

    Another project that has containers in another directory is nobody's former name: its volumes are its own, unless
    mnemo_ops made most of what this one keeps, too, for it: then the application is the same.
    """
    missing = [row for row in rows if row["type"] == "local" and row["key"] in kept and row["name"] not in there]
    others: Dict[str, Dict[str, str]] = {}
    for row in missing:
        for name, one in there.items():
            other = _project_of(name, one, row["key"])
            if other and other != project and machine.names(one["Mountpoint"]):
                others.setdefault(other, {})[row["key"]] = name
    found = []
    for other, names in others.items():
        marked = [key for key, name in names.items() if (there[name].get("Labels") or {}).get("mnemo.role") == key]
        same = len(marked) > 1 and 2 * len(marked) > len(missing)
        places = _places(machine, other)
        ours = directory != "" and machine.realpath(directory) in places
        if ours or same or (not places and (marked or len(names) > 1)):  # one name alone may be of any application
            every = ", ".join(names.values())
            what = f"new volumes of {project} would be empty, while the data of {other} is here: {every}"
            make = "".join(f" && docker volume create --driver local{_labels(row)} {row['name']}" for row in missing)
            remedy = f"set stack.project: {other}; or, where that is another stack's, make this one's own:{make[3:]}"
            found.append(Finding("volume.renamed", REFUSES, next(iter(names)), what, remedy))
    return found


def _places(machine: Machine, project: str) -> Set[str]:
    """The directories that the containers of a project were made from."""
    rows = docker.containers(machine, f"label={PROJECT}={project}")
    return {machine.realpath((row["Config"]["Labels"] or {}).get(WORKING_DIR) or "/") for row in rows}


def _labels(row: Row) -> str:
    return "".join(f" --label {key}={value}" for key, value in row["labels"].items())


def _project_of(name: str, row: docker.Row, key: str) -> str:
    labels = row.get("Labels") or {}
    if labels.get("mnemo.role") == key:
        return str(labels.get("mnemo.stack", ""))
    return name[: -len(key) - 1] if name.endswith(f"_{key}") else ""
