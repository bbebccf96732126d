"""docker_network: a network; recreated only while no container is attached."""

from __future__ import annotations

import ipaddress
from typing import Any, ClassVar, Dict, List, Literal, Mapping, Optional

from mnemo_ops.agent.base.lines import refuse_keys, refuse_options
from mnemo_ops.agent.base.record import dataclass
from mnemo_ops.agent.base.state import ABSENT, Change, State
from mnemo_ops.agent.docker import cli as docker
from mnemo_ops.agent.engine.resource import Resource
from mnemo_ops.agent.machine import Machine
from mnemo_ops.errors import Refused

ADDRESSES = {"subnet": "Subnet", "gateway": "Gateway", "iprange": "IPRange"}
FLAGS = {"subnet": "--subnet", "gateway": "--gateway", "iprange": "--ip-range"}


@dataclass(frozen=True)
class DockerNetwork(Resource):
    """A network. Docker cannot change one: a difference means a new one, refused while containers use the old one.

    :param name: its name.
    :param driver: network driver.
    :param driver_options: options of the driver; others may be there, too.
    :param ipam_config: address pools, each with ``subnet`` and perhaps ``gateway`` and ``iprange``.
    :param labels: labels; others may be there, too.
    :param internal: no way out of it.
    :param attachable: containers may be attached by hand (overlay networks).
    :param enable_ipv6: IPv6 as well.
    :param ipam_driver: who gives addresses.
    :param scope: ``local`` or ``swarm``.
    :param connected: containers that are in it; needs ``appends``: none is taken out.
    :param appends: only add to ``connected``.
    :param state: ``present`` or ``absent``.
    """

    kind: ClassVar[str] = "docker_network"
    ALIASES: ClassVar[Mapping[str, str]] = {
        "network_name": "name", "containers": "connected", "incremental": "appends",
    }  # fmt: skip
    EXAMPLE: ClassVar[str] = """\
- name: a network whose addresses the firewall knows
  docker_network: {name: shop, ipam_config: [{subnet: 172.20.0.0/16}]}
"""

    name: str
    driver: str = "bridge"
    driver_options: Optional[Dict[str, Any]] = None
    ipam_config: Optional[List[Dict[str, str]]] = None
    labels: Optional[Dict[str, Any]] = None
    internal: Optional[bool] = None
    attachable: Optional[bool] = None
    enable_ipv6: Optional[bool] = None
    ipam_driver: Optional[str] = None
    scope: Optional[Literal["local", "swarm"]] = None
    connected: Optional[List[str]] = None
    appends: bool = False
    state: Literal["present", "absent"] = "present"

    def __post_init__(self) -> None:
        refuse_options(name=self.name, connected=self.connected)
        refuse_keys(driver_options=self.driver_options, labels=self.labels)
        if self.connected and not self.appends:
            raise ValueError("connected without appends would disconnect others; add appends: true")
        for pool in self.ipam_config or []:
            unknown = sorted(set(pool) - set(ADDRESSES))
            if unknown or "subnet" not in pool:
                raise ValueError(
                    f"ipam_config takes subnet (needed), gateway, iprange; not {', '.join(unknown) or pool}"
                )
            ipaddress.ip_network(pool["subnet"])  # ValueError says what is wrong with it

    def desired(self) -> State:
        if self.state == "absent":
            return ABSENT
        declared: Dict[str, Any] = {
            "driver": self.driver,
            "driver_options": None if self.driver_options is None else docker.texts(self.driver_options),
            "ipam_config": self.ipam_config,
            "labels": None if self.labels is None else docker.texts(self.labels),
            "internal": self.internal,
            "attachable": self.attachable,
            "enable_ipv6": self.enable_ipv6,
            "ipam_driver": self.ipam_driver,
            "scope": self.scope,
            "connected": sorted(self.connected) if self.connected else None,
        }
        return {key: value for key, value in declared.items() if value is not None}

    def observe(self, machine: Machine) -> State:
        if not docker.is_installed(machine):
            return ABSENT
        row = docker.all_of(machine, "network").get(self.name)
        if row is None:
            self._refuse_overlap(machine)
            return ABSENT
        options, labels = row["Options"] or {}, row["Labels"] or {}
        found = {
            "id": row["Id"],
            "driver": row["Driver"],
            "driver_options": {key: options.get(key) for key in docker.texts(self.driver_options)},
            "ipam_config": self._pools((row["IPAM"] or {}).get("Config") or []),
            "labels": {key: labels.get(key) for key in docker.texts(self.labels)},
            "internal": row["Internal"],
            "attachable": row["Attachable"],
            "enable_ipv6": row.get("EnableIPv6", False),
            "ipam_driver": (row["IPAM"] or {}).get("Driver", "default"),
            "scope": row.get("Scope", "local"),
            "connected": sorted(set(self.connected or ()) & set(self._attached(machine, row["Id"]))),
            "network": row,
        }
        change = Change.between(found, self.desired())
        if change and change.keys != ("connected",):
            self._refuse_while_used(machine, row["Id"], change)
        return found

    def _pools(self, configured: List[Dict[str, str]]) -> List[Dict[str, Any]]:
        """What Docker configured, in the order and with the keys of what is declared: it fills in the rest itself."""
        by_subnet = {pool.get("Subnet"): pool for pool in configured}
        wanted = {pool["subnet"]: pool for pool in self.ipam_config or []}
        if set(by_subnet) != set(wanted):
            return [{"subnet": subnet} for subnet in sorted(map(str, by_subnet))]
        return [{key: by_subnet[subnet].get(ADDRESSES[key]) for key in pool} for subnet, pool in wanted.items()]

    def _refuse_overlap(self, machine: Machine) -> None:
        for pool in self.ipam_config or [] if self.state == "present" else []:
            mine = ipaddress.ip_network(pool["subnet"])
            for name, row in docker.all_of(machine, "network").items():
                for other in (row["IPAM"] or {}).get("Config") or [] if name != self.name else []:
                    theirs = ipaddress.ip_network(other.get("Subnet", "0.0.0.0/32"), strict=False)
                    if mine.version == theirs.version and mine.overlaps(theirs):
                        raise Refused(
                            f"the subnet {mine} of network {self.name} overlaps {theirs} of network {name}",
                            hint=f"choose another subnet, or remove the network {name} if nothing needs it",
                        )

    @staticmethod
    def _attached(machine: Machine, id: str) -> List[str]:
        return docker.ask(machine, "ps", "-a", "--filter", f"network={id}", "--format", "{{.Names}}").split()

    def _refuse_while_used(self, machine: Machine, id: str, change: Change) -> None:
        attached = self._attached(machine, id)
        if attached:
            what = "is removed" if change.deletes else f"changes ({', '.join(change.keys)})"
            raise Refused(
                f"the network {self.name} {what} only while no container is attached; attached: {', '.join(attached)}",
                hint="take the stack down first (docker_compose_v2, state: absent keeps its volumes)",
            )

    def apply(self, machine: Machine, change: Change) -> State:
        if change.keys != ("connected",):
            self._make(machine, change)
        known = self._attached(machine, docker.all_of(machine, "network")[self.name]["Id"]) if self.connected else []
        for name in sorted(set(self.connected or ()) - set(known)) if not change.deletes else ():
            docker.run(machine, "network", "connect", self.name, name)
        return None

    def _make(self, machine: Machine, change: Change) -> None:
        if not change.deletes:
            self._refuse_overlap(machine)  # before the old one goes
        if not change.creates:
            docker.run(machine, "network", "rm", self.name)
        if not change.deletes:
            pools = [word for pool in self.ipam_config or [] for key in pool for word in (FLAGS[key], pool[key])]
            options = docker.pairs("--opt", self.driver_options) + docker.pairs("--label", self.labels)
            asked = {"--internal": self.internal, "--attachable": self.attachable, "--ipv6": self.enable_ipv6}
            flags = [flag for flag, on in asked.items() if on]
            flags += ["--ipam-driver", self.ipam_driver] if self.ipam_driver else []
            flags += ["--scope", self.scope] if self.scope else []
            docker.run(machine, "network", "create", "--driver", self.driver, *pools, *options, *flags, self.name)
