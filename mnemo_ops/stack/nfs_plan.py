"""What ``invoke nfs-setup`` is to set up: the inventory's words as hosts, addresses and directories."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from typing import Any

from mnemo_ops.agent.base.record import dataclass, replace
from mnemo_ops.core.model import Host
from mnemo_ops.core.suggest import suggest
from mnemo_ops.errors import InventoryError, UsageError
from mnemo_ops.inventory.load import Inventory
from mnemo_ops.stack import definition
from mnemo_ops.stack.addresses import peer_addresses
from mnemo_ops.stack.nfs_options import DIRECTORY
from mnemo_ops.stack.nfs_schema import WORLD, Export, Nfs, network, settings
from mnemo_ops.stack.settings import settings as stack_settings


@dataclass(frozen=True)
class Plan:
    """Who lends what to whom.

    :param clients: hosts of the inventory that are set up and prove it. :param allowed: every client's addresses and
        networks. :param exports: by name, each with its path.
    """

    server: Host
    address: str
    clients: tuple[Host, ...]
    allowed: tuple[str, ...]
    exports: Mapping[str, Export]
    allow_world: bool

    @property
    def present(self) -> dict[str, Export]:
        return {name: one for name, one in self.exports.items() if one.state == "present"}

    def words(self) -> dict[str, Any]:
        """The variables ``playbooks/nfs.yml`` is written with."""
        rows = [{**vars(one), "name": name, "group": group_of(one)} for name, one in self.exports.items()]
        made = [one.path for one in self.present.values() if _is_made(one)]
        return {
            "nfs_server": self.server.name,
            "nfs_clients": ",".join(host.name for host in self.clients) or "all,!all",
            "nfs_exports": rows,
            "nfs_made": made,
            "nfs_allowed": list(self.allowed),
            "nfs_allow_world": self.allow_world,
        }

    def warnings(self) -> list[str]:
        """What NFS sends in clear text through networks that are not private."""
        public = [text for text in (self.address, *self.allowed) if not _is_private(text)]
        if not public:
            return []
        return [
            f"NFS is clear text, and {', '.join(public)} is not a private network: anyone on the path can read and "
            "change it; use a private network or a tunnel (WireGuard), and set mnemo_peer_address to its addresses"
        ]


def plan(inventory: Inventory, server: str = "", clients: Sequence[str] = (), volume: str = "") -> Plan:
    """What the inventory declares; ``server`` and ``clients`` instead of what it says, ``volume``: this one only.

    :raises InventoryError: it is not declared, or cannot be meant (2). :raises UsageError: an option is wrong (2).
    """
    declared = _declared(inventory, server)
    host = _host(inventory, server or declared.server)
    stored = _volumes(inventory, host)
    exports = _exports(declared.exports, {key: path for rows in stored.values() for key, path in rows.items()})
    if volume and volume not in exports:
        raise UsageError(f"{host.name} exports no '{volume}'", hint=suggest(volume, exports))
    exports = {volume: exports[volume]} if volume else exports
    if not exports:
        raise InventoryError(
            "nfs.exports is empty: there is nothing to export", hint="docs/storage.md shows an example"
        )
    _check_paths(exports)
    hosts, allowed = _clients(inventory, clients or declared.clients or list(stored), host, declared.allow_world)
    return Plan(host, peer_addresses(host)[0], hosts, allowed, exports, declared.allow_world)


def _declared(inventory: Inventory, server: str) -> Nfs:
    """The ``nfs`` variable: that of the server, else the one all hosts that have one agree on."""
    if server in inventory.hosts:
        return settings(inventory.hosts[server])
    found = {host.name: settings(host) for host in inventory.hosts.values() if host.vars.get("nfs")}
    if any(one != next(iter(found.values())) for one in found.values()):
        raise InventoryError(
            f"the hosts {', '.join(found)} declare different values of nfs", hint="choose one with --server"
        )
    return next(iter(found.values()), Nfs())


def _host(inventory: Inventory, name: str) -> Host:
    if not name:
        raise InventoryError(
            "nfs.server is not set; it names the host that exports directories", hint="docs/storage.md"
        )
    if name not in inventory.hosts:
        raise InventoryError(
            f"the NFS server '{name}' is not a host of the inventory", hint=suggest(name, inventory.hosts)
        )
    return inventory.select(name)[0]


def _volumes(inventory: Inventory, server: Host) -> dict[str, dict[str, str]]:
    """By host the volumes of its stack that are stored on the server, each with its path there."""
    found: dict[str, dict[str, str]] = {}
    for host in inventory.hosts.values():
        rows = definition.volumes(stack_settings(host)) if host.name != server.name else []
        mine = [row for row in rows if (row["type"], row.get("server")) == ("nfs", server.name)]
        if mine:
            found[host.name] = {row["key"]: row["path"] for row in mine}
    return found


def _exports(declared: Mapping[str, Export], stored: Mapping[str, str]) -> dict[str, Export]:
    """Those that are declared and those of volumes, each with its path."""
    for key, path in stored.items():
        if key not in declared:
            raise InventoryError(
                f"the volume {key} is on the NFS server, and nfs.exports does not name its owner",
                hint=f"nfs: {{exports: {{{key}: {{owner: NUMBER}}}}}}",
            )
        if declared[key].path not in ("", path):
            raise InventoryError(f"nfs.exports.{key}.path is {declared[key].path}, stack.volumes.{key}.path is {path}")
    usual = {name: stored.get(name, f"{DIRECTORY}/{name}") for name in declared}
    return {name: replace(one, path=one.path or usual[name]) for name, one in declared.items()}


def _is_made(one: Export) -> bool:
    return one.path.startswith(DIRECTORY + "/")


def group_of(one: Export) -> int:
    return one.owner if one.group is None else one.group


def _check_paths(exports: Mapping[str, Export]) -> None:
    """Two exports of one directory would each undo what the other says."""
    seen: dict[str, str] = {}
    for name, one in exports.items():
        if one.path in seen:
            raise InventoryError(f"nfs.exports: {seen[one.path]} and {name} are the same directory, {one.path}")
        seen[one.path] = name


def _clients(
    inventory: Inventory, texts: Sequence[str], server: Host, allow_world: bool
) -> tuple[tuple[Host, ...], tuple[str, ...]]:
    """Hosts of the inventory among the clients, and the addresses and networks of all."""
    hosts: list[Host] = []
    allowed: list[str] = []
    for text in texts:
        if text == server.name:
            raise InventoryError(
                f"nfs.clients: {text} is the server: a host that mounts its own export hangs when memory is short",
                hint="on the server itself use the directory with type bind",
            )
        if text in inventory.hosts or text in inventory.groups:
            found = [host for host in inventory.select(text) if host not in hosts and host.name != server.name]
            hosts += found
            allowed += [address for host in found for address in peer_addresses(host)]
        else:
            allowed.append(network(text, "nfs.clients", allow_world))
    if not allowed:
        raise InventoryError(
            "nfs.clients is empty: no host could mount the exports", hint="name hosts of the inventory"
        )
    return tuple(hosts), tuple(dict.fromkeys(allowed))


def _is_private(text: str) -> bool:
    return text != WORLD and ipaddress.ip_network(text).is_private
