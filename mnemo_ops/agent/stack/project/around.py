"""What is around a project: ports, subnets and names that clash elsewhere, and what of the host leans on it."""

from __future__ import annotations

import re
from typing import Any, Dict, Iterator, List, Mapping, Set

from mnemo_ops.agent.docker import cli as docker
from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.stack.containers import PROJECT, Found
from mnemo_ops.agent.stack.project.model import Model
from mnemo_ops.agent.stack.project.rows import Row

_PROXIES = (
    *("/etc/nginx/*.conf", "/etc/nginx/conf.d/*", "/etc/nginx/sites-enabled/*", "/etc/caddy/*", "/etc/traefik/*"),
    *("/etc/apache2/sites-enabled/*", "/etc/haproxy/*.cfg"),
)
_JOBS = (
    *("/etc/crontab", "/etc/cron.*/*", "/var/spool/cron/crontabs/*", "/etc/letsencrypt/renewal/*"),
    *("/etc/systemd/system/*.service", "/etc/systemd/system/*.timer", "/etc/logrotate.d/*"),
)
_LARGEST = 1 << 20  # bytes of such a file
_CARRIED = "nothing: it is named, not carried"


def fixed(model: Model) -> List[Row]:
    """What can be on a host but once."""
    rows = []
    for name, service in sorted(model.services.items()):
        for port in service.ports:
            if port.published:
                where = f"{port.address or 'every address'}, {port.protocol}"
                why = f"{name} publishes its port {port.target}"
                rows.append(Row("port", port.published, where, why, "ports in the compose file"))
        if service.container_name:
            why = "container_name; drills replace it"
            rows.append(Row("fixed name", service.container_name, f"the container of {name}", why, "the compose file"))
    for network in model.networks.values():
        for subnet in network.subnets:
            why = f"ipam of the network {network.key}; drills replace it"
            rows.append(Row("subnet", subnet, network.name, why, "ipam in the compose file"))
    return rows


def around(machine: Machine, model: Model, found: Found, directory: str) -> List[Row]:
    """What is not of the project and needs it, or is left of it."""
    return [*_neighbours(machine, model, found), *_orphans(machine, model), *_host(machine, model, directory)]


def _neighbours(machine: Machine, model: Model, found: Found) -> Iterator[Row]:
    mine, networks = {each.name for each in found}, {each.name for each in model.networks.values()}
    for name, row in sorted(docker.all_of(machine, "network").items()):
        ours = name in networks or (row.get("Labels") or {}).get(PROJECT) == model.name
        others = sorted({str(each.get("Name")) for each in _values(row.get("Containers")) if ours} - mine)
        if others:
            why = f"containers of others on the network {name}"
            yield Row("around it", ", ".join(others), "other containers", why, _CARRIED)


def _values(given: Any) -> List[Mapping[str, Any]]:
    return list(given.values()) if isinstance(given, Mapping) else []


def _orphans(machine: Machine, model: Model) -> Iterator[Row]:
    known = {each.name for each in model.volumes.values()}
    for name, row in sorted(docker.all_of(machine, "volume").items()):
        if (row.get("Labels") or {}).get(PROJECT) == model.name and name not in known:
            why = "its label names the project, and no compose file names it"
            look = f"docker volume inspect {name} shows it; stack.datasets keeps it"
            yield Row("around it", name, "an orphaned volume", why, look)


def _host(machine: Machine, model: Model, directory: str) -> Iterator[Row]:
    """Files of the host's own services that name the project: its directory, and to proxies its ports, too."""
    every = [port.published for each in model.services.values() for port in each.ports if port.published.isdigit()]
    ports: Dict[str, re.Pattern[str]] = {port: re.compile(rf"(?m)^[^#\n]*:{port}\b") for port in sorted(set(every))}
    for path, text in _texts(machine, (*_PROXIES, *_JOBS)):
        words: Set[str] = {directory} if re.search(rf"{re.escape(directory)}(?![\w.-])", text) else set()
        if path.startswith(tuple(each.rpartition("/")[0] for each in _PROXIES)):
            words |= {f"port {port}" for port, form in ports.items() if form.search(text)}
        if words:
            yield Row("around it", path, "of the host", f"names {', '.join(sorted(words))}", _CARRIED)


def _texts(machine: Machine, patterns: Any) -> Iterator[Any]:
    for path in sorted({path for each in patterns for path in machine.glob(each)}):
        found = machine.stat(path, follow=True)
        if found is not None and found.kind == "file" and found.size <= _LARGEST:
            yield path, (machine.read(path) or b"").decode("utf-8", "replace")
