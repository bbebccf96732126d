"""The lab's own bridge network: its addresses clash with no route of this machine and no other Docker network."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from ipaddress import IPv4Network, ip_network
from pathlib import Path

from mnemo_ops.errors import Refused
from mnemo_ops.lab.engine import cache_dir, command, docker, locked

_POOL = list(IPv4Network("10.213.0.0/16").subnets(new_prefix=24))  # far from Docker's defaults and the app's 172.20/16
_FIRST_HOST = 10


def ensure_network(name: str, label: str) -> IPv4Network:
    """The network `name`, created with `label` when missing; its subnet.

    :raises Refused: (exit code 3) no free /24 is left.
    """
    with locked(cache_dir() / "network.lock"):  # two labs must not choose the same subnet
        found = docker("network", "ls", "--filter", f"name=^{name}$", "--format", "{{.Name}}").split()
        if name in found:
            subnets = docker("network", "inspect", name, "--format", "{{(index .IPAM.Config 0).Subnet}}")
            return IPv4Network(subnets.strip())
        subnet = free_subnet(list(_taken()))
        mtu = f"com.docker.network.driver.mtu={_mtu()}"
        docker("network", "create", "--label", label, "--subnet", str(subnet), "--opt", mtu, name)
        return subnet


def free_subnet(taken: Collection[IPv4Network]) -> IPv4Network:
    """The first /24 of the lab's pool that overlaps nothing in `taken`."""
    for subnet in _POOL:
        if not any(subnet.overlaps(other) for other in taken):
            return subnet
    raise Refused("no free /24 left in 10.213.0.0/16 for the lab", hint="invoke lab.down in the other checkouts")


def free_addresses(subnet: IPv4Network, taken: Collection[str]) -> Iterator[str]:
    """The addresses of `subnet` for servers, those in `taken` left out."""
    return (str(address) for address in list(subnet.hosts())[_FIRST_HOST - 1 :] if str(address) not in taken)


def _taken() -> Iterator[IPv4Network]:
    """What this machine routes anywhere, and what its Docker networks use."""
    destinations = [route["dst"] for route in json.loads(command(["ip", "-json", "-4", "route"]) or "[]")]
    networks = json.loads(docker("network", "inspect", *docker("network", "ls", "--quiet").split()))
    for network in networks:
        destinations += [entry["Subnet"] for entry in network["IPAM"]["Config"] or []]
    for destination in destinations:
        if destination == "default":
            continue
        parsed = ip_network(destination, strict=False)
        if isinstance(parsed, IPv4Network) and parsed.prefixlen > 8:  # 10.0.0.0/8 to a gateway is no neighbour
            yield parsed


def _mtu() -> int:
    """The MTU of the interface of the default route: larger packets of a server would be lost on the way out."""
    routes = json.loads(command(["ip", "-json", "-4", "route", "show", "default"]) or "[]")
    return int(Path(f"/sys/class/net/{routes[0]['dev']}/mtu").read_text()) if routes else 1500
