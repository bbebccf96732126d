"""Facts on interfaces, addresses, default routes and name servers."""

from __future__ import annotations

import contextlib
import struct
from typing import Any, Dict, List

from mnemo_ops.agent.base.lines import each_line
from mnemo_ops.agent.machine import Address, Machine

KINDS = {"1": "ether", "772": "loopback", "776": "sit", "778": "gre", "32": "infiniband", "512": "ppp"}
SCOPES = {0: "global", 200: "site", 253: "link", 254: "host"}
PROMISCUOUS = 0x100  # netdevice(7)


def gather(machine: Machine) -> Dict[str, Any]:
    """Interfaces each under their own name, ``-`` as ``_``, and what they have together."""
    addresses = machine.addresses()
    names = [name for name in machine.names("/sys/class/net") if machine.stat(f"/sys/class/net/{name}/.")]
    interfaces = {name: _interface(machine, name, addresses.get(name, [])) for name in names}
    every = [(name, one) for name in interfaces for one in addresses.get(name, []) if name != "lo"]
    return {
        "interfaces": list(interfaces),
        "all_ipv4_addresses": [one.address for _, one in every if one.version == 4],
        "all_ipv6_addresses": [one.address for _, one in every if one.version == 6],
        "default_ipv4": _default(machine, interfaces, "ipv4", _route4(machine)),
        "default_ipv6": _default(machine, interfaces, "ipv6", _route6(machine)),
        "dns": _dns(machine),
        **{name.replace("-", "_"): one for name, one in interfaces.items()},
    }


def _interface(machine: Machine, name: str, addresses: List[Address]) -> Dict[str, Any]:
    def told(what: str) -> str:
        with contextlib.suppress(OSError):  # EINVAL: the interface of a container that ends just now
            return (machine.read_text(f"/sys/class/net/{name}/{what}") or "").strip()
        return ""

    flags = int(told("flags") or "0", 16)
    kind = KINDS.get(told("type"), "unknown")
    members = machine.names(f"/sys/class/net/{name}/brif")
    found: Dict[str, Any] = {
        "device": name,
        "active": told("operstate") != "down",
        "promisc": bool(flags & PROMISCUOUS),
    }
    if machine.stat(f"/sys/class/net/{name}/bridge"):
        kind, found["interfaces"] = "bridge", members
    found.update(type=kind, mtu=int(told("mtu") or "0"))
    if kind in ("ether", "bridge"):
        found["macaddress"] = told("address")
    fours = [_ipv4(one) for one in addresses if one.version == 4]
    sixes = [one for one in addresses if one.version == 6]
    if fours:
        found["ipv4"] = fours[0]
    if fours[1:]:
        found["ipv4_secondaries"] = fours[1:]
    if sixes:
        found["ipv6"] = [
            {"address": one.address, "prefix": str(one.prefix), "scope": SCOPES.get(one.scope, str(one.scope))}
            for one in sixes
        ]
    return found


def _ipv4(one: Address) -> Dict[str, str]:
    mask = 0xFFFFFFFF << 32 - one.prefix & 0xFFFFFFFF
    number = struct.unpack("!I", bytes(int(part) for part in one.address.split(".")))[0]
    return {
        "address": one.address,
        "broadcast": one.broadcast,
        "netmask": _dotted(mask),
        "network": _dotted(number & mask),
        "prefix": str(one.prefix),
    }


def _dotted(number: int) -> str:
    return ".".join(str(byte) for byte in struct.pack("!I", number))


def _default(machine: Machine, interfaces: Dict[str, Any], family: str, route: Dict[str, str]) -> Dict[str, Any]:
    """The interface of the default route, with the address others see; empty without a route."""
    interface = interfaces.get(route.get("interface", ""))
    if interface is None:
        return {}
    found = interface.get(family) or {}
    if family == "ipv6":
        found = next((one for one in found or () if one["scope"] == "global"), {})
    shown = {key: interface[key] for key in ("macaddress", "mtu", "type") if key in interface}
    return {**route, **found, **shown, **({"alias": route["interface"]} if family == "ipv4" else {})}


def _route4(machine: Machine) -> Dict[str, str]:
    """proc_net(5): addresses are hexadecimal in the host's byte order; the lowest metric wins."""
    rows = [line.split() for line in each_line(machine.read_text("/proc/net/route") or "")[1:]]
    best = min((row for row in rows if row[1] == row[7] == "00000000"), key=lambda row: int(row[6]), default=None)
    if best is None:
        return {}
    return {"interface": best[0], "gateway": ".".join(str(byte) for byte in struct.pack("=I", int(best[2], 16)))}


def _route6(machine: Machine) -> Dict[str, str]:
    for line in each_line(machine.read_text("/proc/net/ipv6_route") or ""):
        row = line.split()
        if row[0] == "0" * 32 and row[1] == "00" and row[9] != "lo":
            return {"interface": row[9], "gateway": machine.ipv6_text(bytes.fromhex(row[4]))}
    return {}


def _dns(machine: Machine) -> Dict[str, Any]:
    found: Dict[str, Any] = {}
    for line in each_line(machine.read_text("/etc/resolv.conf") or ""):
        words = line.split()
        if words[:1] == ["nameserver"] and len(words) > 1:
            found.setdefault("nameservers", []).append(words[1])
        elif words[:1] in (["search"], ["domain"]):
            found[words[0]] = words[1:] if words[0] == "search" else " ".join(words[1:])
    return found
