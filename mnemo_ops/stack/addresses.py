"""Where other hosts reach a host: not always where this machine does (forwarded ports, a private network)."""

from __future__ import annotations

import ipaddress
import socket

from mnemo_ops.agent.base import validators
from mnemo_ops.core.model import Host
from mnemo_ops.errors import InventoryError, reason


def addresses(name: str) -> set[str]:
    """The IP addresses of a name; an address is its own. :raises InventoryError: it does not resolve here (2)."""
    try:
        return {str(ipaddress.ip_address(name))}
    except ValueError:
        pass
    try:
        return {validators.address(row[4][0]) for row in socket.getaddrinfo(name, None)}
    except OSError as error:
        raise InventoryError(
            f"'{name}' does not resolve: {reason(error)}",
            hint="set ansible_host to its address, or mnemo_peer_address if other hosts use another address",
        ) from None


def peer_name(host: Host) -> str:
    """The name or address by which other hosts reach a host."""
    return str(host.vars.get("mnemo_peer_address") or host.address)


def peer_addresses(host: Host) -> list[str]:
    """The addresses other hosts know a host by, IPv4 first.

    :raises InventoryError: its name does not resolve, or stands for this machine only (2).
    """
    found = sorted(addresses(peer_name(host)), key=lambda one: (":" in one, one))
    if all(ipaddress.ip_address(one).is_loopback for one in found):
        raise InventoryError(
            f"{host.name}: other hosts cannot reach it at {found[0]}",
            hint=f"set mnemo_peer_address of {host.name} to its address in the network of the others",
        )
    return found
