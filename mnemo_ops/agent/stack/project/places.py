"""Where services keep data: each place on the host once, whoever mounts it; and what is mounted and is no data."""

from __future__ import annotations

from typing import Dict, List, Mapping, Optional, Sequence, Tuple

from mnemo_ops.agent.base.data_places import not_a_place
from mnemo_ops.agent.base.record import dataclass, replace
from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.stack.containers import Container, Found
from mnemo_ops.agent.stack.hosts_own import is_hosts_own
from mnemo_ops.agent.stack.project.model import Model
from mnemo_ops.agent.stack.project.rows import Row
from mnemo_ops.agent.stack.stack import mountpoint
from mnemo_ops.errors import Refused

# what in them is whose, nobody can say
_SYSTEM = ("/etc", "/home", "/media", "/mnt", "/opt", "/root", "/srv", "/tmp", "/usr", "/var", "/var/lib", "/var/log")
_DOCKERS = ("/var/lib/docker", "/var/lib/docker/volumes", "/var/lib/docker/containers")
_OWN = "mount a directory of its own for data, or stack.datasets"


@dataclass(frozen=True)
class Use:
    """A mount of a service. :param target: in its containers."""

    service: str
    target: str
    read_only: bool


@dataclass(frozen=True)
class Place:
    """:param origin: key of a volume, or a path, relative where it is below the project's directory.
    :param real: its directory on the host, behind every link; empty: it is not there, or not on this host.
    :param docker: name of its volume. :param ours: Compose names that volume.
    :param why: it has no directory here. :param inner: other places in it.
    """

    origin: str
    real: str
    uses: Tuple[Use, ...]
    volume: str = ""
    docker: str = ""
    ours: bool = True
    why: str = ""
    inner: Tuple[str, ...] = ()

    @property
    def path(self) -> str:
        return "" if self.volume else self.origin

    @property
    def writers(self) -> List[str]:
        """Services that may write to it."""
        return sorted({each.service for each in self.uses if not each.read_only})


def places(machine: Machine, model: Model, directory: str) -> Tuple[List[Place], List[Row]]:
    """Each outermost place that some service may write to; and rows of what is none.

    :param directory: the project's.
    """
    found: Dict[Tuple[str, str], List[Use]] = {}
    for service in model.services.values():
        for mount in service.mounts:
            if mount.source and mount.type in ("volume", "bind"):
                use = Use(service.name, mount.target, mount.read_only)
                found.setdefault((mount.type, mount.source), []).append(use)
    base = machine.realpath(directory)
    every, rows = [], []
    for (type_, name), uses in sorted(found.items()):
        place = _volume(machine, model, name, uses) if type_ == "volume" else _bind(machine, name, uses, base)
        writable = any(not each.read_only for each in uses)
        if why := _no_data(machine, place, type_, base, writable):
            rows.append(Row("not data", place.origin, ", ".join(sorted({each.service for each in uses})), *why))
        else:
            every.append(place)
    return _outermost(every), rows


def _volume(machine: Machine, model: Model, key: str, uses: Sequence[Use]) -> Place:
    volume = model.volumes[key]
    real = why = ""
    try:
        real = machine.realpath(mountpoint(machine, volume.name))
    except Refused as error:
        why = error.message
    ours = volume.name == f"{model.name}_{key}"
    return Place(key, real, tuple(uses), key, volume.name, ours, why)


def _bind(machine: Machine, source: str, uses: Sequence[Use], base: str) -> Place:
    real = machine.realpath(source)
    inside = real.startswith(base + "/")
    why = "" if machine.stat(real) else f"{source} does not exist"
    return Place(real[len(base) + 1 :] if inside else source, "" if why else real, tuple(uses), why=why)


def _no_data(machine: Machine, place: Place, type_: str, base: str, writable: bool) -> Optional[Tuple[str, str]]:
    """Why a place is no dataset, and what to do where it is meant to be one; nothing where it is one."""
    if type_ == "volume":
        if not place.real and "does not exist" in place.why:
            return "the volume is not there: no container of its services was made", "nothing: it becomes a dataset"
        return None if writable else ("no service writes to the volume", _named(place))
    source = place.origin if place.origin.startswith("/") else f"{base}/{place.origin}"
    within = source.startswith(base + "/")
    if not within and (_is_hosts(source) or _is_hosts(machine.realpath(source))):
        return "it is the host's own", "stack.datasets names a directory in it that must survive"
    kind = getattr(machine.stat(machine.realpath(source)), "kind", "")
    if not writable:
        where = "the project's own files" if within else "files of the host"
        return f"mounted read-only: {where}", "" if within else _named(place)
    if not kind:
        return f"{source} is not there: its services never ran", "nothing: it becomes a dataset"
    if kind != "directory":
        held = "the dataset config holds it" if within else "no dataset can be a single file"
        return f"a {kind}; {held}", "" if within else "mount its directory instead"
    if f"{base}/".startswith(machine.realpath(source).rstrip("/") + "/"):
        return "the project's own directory lies in it; config holds that, and a restore leaves it", _OWN
    if not within and not_a_place(machine.realpath(source)):
        return "no backup puts anything among the system's files", _OWN
    return None


def _is_hosts(path: str) -> bool:
    return path == "/" or path in (*_SYSTEM, *_DOCKERS) or path.startswith("/tmp/") or is_hosts_own(path)


def _named(place: Place) -> str:
    kind = "volume" if place.volume else "path"
    return f"stack.datasets, where each is named then: [{{name: NAME, {kind}: {place.origin}}}, ...]"


def _outermost(every: Sequence[Place]) -> List[Place]:
    """Places that lie in no other; those that do are part of it."""
    found: List[Place] = []
    for place in sorted(every, key=lambda each: (each.real.count("/"), not each.volume, each.origin)):
        at = next((n for n, each in enumerate(found) if place.real and _holds(each.real, place.real)), None)
        if at is None:
            found.append(place)
        else:
            outer = found[at]
            inner = (*outer.inner, place.origin)
            found[at] = replace(outer, uses=(*outer.uses, *place.uses), inner=inner)
    # a place that is only read is part of what others write, or no data at all
    return sorted((each for each in found if each.writers), key=lambda each: each.origin)


def _holds(outer: str, inner: str) -> bool:
    return bool(outer) and f"{inner}/".startswith(f"{outer.rstrip('/')}/")


def mounted(container: Container, place: Place) -> bool:
    """Whether a container may write to a place."""
    for each in container.mounts:
        same = place.docker and each.get("Name") == place.docker
        if each.get("RW", True) and (same or _holds(place.real, str(each.get("Source") or ""))):
            return True
    return False


def nameless(found: Found) -> Dict[str, Mapping[str, str]]:
    """``SERVICE:/TARGET`` of each volume without a name -> its mount, as Docker has it."""
    return {
        f"{each.service}:{mount['Destination']}": mount
        for each in found
        for mount in each.mounts
        if mount.get("Type") == "volume" and len(str(mount.get("Name"))) == 64 and str(mount["Name"]).isalnum()
    }
