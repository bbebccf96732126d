"""What ``docker compose config --format json`` says of a project, as plain records (Compose 2.20 and newer).

Its text holds every secret of the project: a model keeps none but the words of commands, which no record shows.
"""

from __future__ import annotations

import json
import re
from typing import Any, Dict, List, Mapping, Optional, Tuple

from mnemo_ops.agent.base.record import dataclass, field, replace

_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}


@dataclass(frozen=True)
class Mount:
    """:param type: volume, bind, tmpfs, ...
    :param source: key of a volume, or an absolute path; empty for a volume without a name.
    :param target: in containers. :param subpath: the part of the volume that is mounted.
    """

    type: str
    source: str
    target: str
    read_only: bool = False
    subpath: str = ""


@dataclass(frozen=True)
class Port:
    """:param address: of the host; empty: all of them. :param published: a port or a range; empty: Docker chooses."""

    address: str
    published: str
    target: int
    protocol: str


@dataclass(frozen=True)
class Service:
    """:param command: entrypoint and command, which may hold secrets. :param depends: service -> what is waited for.
    :param check: whether the files have a health check; ``None``: the image's counts.
    :param grace: seconds between SIGTERM and SIGKILL; 0: not said.
    :param variables: names of its environment, without their values.
    """

    name: str
    image: str = ""
    build: str = ""
    command: Tuple[str, ...] = field(default=(), repr=False)
    mounts: Tuple[Mount, ...] = ()
    tmpfs: Tuple[str, ...] = ()
    ports: Tuple[Port, ...] = ()
    depends: Mapping[str, str] = field(default_factory=dict)
    check: Optional[bool] = None
    profiles: Tuple[str, ...] = ()
    restart: str = "no"
    replicas: int = 1
    container_name: str = ""
    grace: float = 0.0
    configs: Tuple[str, ...] = ()
    secrets: Tuple[str, ...] = ()
    network_mode: str = ""
    networks: Tuple[str, ...] = ()
    variables: Tuple[str, ...] = ()


@dataclass(frozen=True)
class Volume:
    """:param name: Docker's."""

    key: str
    name: str
    external: bool = False
    driver: str = "local"
    options: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class Network:
    """:param name: Docker's."""

    key: str
    name: str
    external: bool = False
    subnets: Tuple[str, ...] = ()


@dataclass(frozen=True)
class Model:
    """A project with all its profiles."""

    name: str
    services: Mapping[str, Service]
    volumes: Mapping[str, Volume]
    networks: Mapping[str, Network]


def parse(text: str) -> Model:
    """:raises ValueError: it is no project of Compose."""
    found = json.loads(text)
    services = {name: _service(name, row) for name, row in _map(found.get("services")).items()}
    borrowed = {name: _list(row.get("volumes_from")) for name, row in _map(found.get("services")).items()}
    return Model(
        name=str(found["name"]),
        services={name: _with_borrowed(services, each, borrowed[name]) for name, each in services.items()},
        volumes={key: _volume(key, row or {}, found["name"]) for key, row in _map(found.get("volumes")).items()},
        networks={key: _network(key, row or {}, found["name"]) for key, row in _map(found.get("networks")).items()},
    )


def _service(name: str, row: Mapping[str, Any]) -> Service:
    deploy = _map(row.get("deploy"))
    replicas = deploy.get("replicas", row.get("scale", 1))
    depends = row.get("depends_on") or {}
    if not isinstance(depends, Mapping):
        depends = {each: {} for each in depends}
    return Service(
        name=name,
        image=str(row.get("image") or ""),
        build=str(_map(row.get("build")).get("context") or ""),
        command=tuple(word for key in ("entrypoint", "command") for word in _words(row.get(key))),
        mounts=tuple(_mount(each) for each in _list(row.get("volumes"))),
        tmpfs=tuple(str(each).partition(":")[0] for each in _words(row.get("tmpfs"))),
        ports=tuple(_port(each) for each in _list(row.get("ports"))),
        depends={key: str(_map(each).get("condition") or "service_started") for key, each in depends.items()},
        check=_check(_map(row.get("healthcheck"))),
        profiles=tuple(_list(row.get("profiles"))),
        restart=str(row.get("restart") or "no"),
        replicas=1 if replicas is None else int(replicas),
        container_name=str(row.get("container_name") or ""),
        grace=seconds(str(row.get("stop_grace_period") or "")),
        configs=_sources(row.get("configs")),
        secrets=_sources(row.get("secrets")),
        network_mode=str(row.get("network_mode") or ""),
        networks=tuple(_map(row.get("networks"))),
        variables=tuple(_map(row.get("environment"))),
    )


def _mount(row: Mapping[str, Any]) -> Mount:
    subpath = str(_map(row.get("volume")).get("subpath") or "")
    named = (str(row.get("type") or "volume"), str(row.get("source") or ""), str(row.get("target") or ""))
    return Mount(*named, bool(row.get("read_only")), subpath)


def _port(row: Mapping[str, Any]) -> Port:
    inside = (int(row.get("target") or 0), str(row.get("protocol") or "tcp"))
    return Port(str(row.get("host_ip") or ""), str(row.get("published") or ""), *inside)


def _check(row: Mapping[str, Any]) -> Optional[bool]:
    test = row.get("test")
    if row.get("disable") or test == ["NONE"]:
        return False
    return True if test else None


def _with_borrowed(services: Mapping[str, Service], service: Service, names: List[str]) -> Service:
    """With the mounts of services that ``volumes_from`` names."""
    more: List[Mount] = []
    for name in names:
        other, _, mode = name.partition(":")
        for each in services[other].mounts if other in services else ():
            more.append(replace(each, read_only=each.read_only or mode == "ro"))
    return replace(service, mounts=(*service.mounts, *more)) if more else service


def _volume(key: str, row: Mapping[str, Any], project: str) -> Volume:
    external = row.get("external")  # older ones have {"name": ...}
    name = row.get("name") or _map(external).get("name") or (key if external else f"{project}_{key}")
    options = {str(each): str(value) for each, value in _map(row.get("driver_opts")).items()}
    return Volume(key, str(name), bool(external), str(row.get("driver") or "local"), options)


def _network(key: str, row: Mapping[str, Any], project: str) -> Network:
    external = row.get("external")
    name = row.get("name") or (key if external else f"{project}_{key}")
    pools = _list(_map(row.get("ipam")).get("config"))
    return Network(key, str(name), bool(external), tuple(str(each["subnet"]) for each in pools if each.get("subnet")))


def seconds(text: str) -> float:
    """Of a duration as Go writes it (``1m30s``)."""
    return sum(float(number) * _UNITS[unit] for number, unit in re.findall(r"([\d.]+)(ms|us|ns|[hms])", text))


def _map(given: Any) -> Dict[str, Any]:
    return dict(given) if isinstance(given, Mapping) else {}


def _list(given: Any) -> List[Any]:
    return list(given) if isinstance(given, (list, tuple)) else []


def _words(given: Any) -> List[str]:
    return given.split() if isinstance(given, str) else [str(each) for each in _list(given)]


def _sources(given: Any) -> Tuple[str, ...]:
    return tuple(str(each.get("source") if isinstance(each, Mapping) else each) for each in _list(given))
