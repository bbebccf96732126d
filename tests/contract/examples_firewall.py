"""The packet filter."""

from __future__ import annotations

from collections.abc import Callable

from example import Example
from world import World

IPTABLES = ("iptables",)
UFW = ("ufw",)
SSH = {"rule": "allow", "to_port": "22", "proto": "tcp", "comment": "ssh"}


def rules(*lines: list[str], **policies: str) -> Callable[[World], None]:
    """Rules of the chain INPUT."""

    def prepare(world: World) -> None:
        names = ("INPUT", "FORWARD", "OUTPUT")
        chains = {name: {"policy": policies.get(name, "ACCEPT"), "rules": []} for name in names}
        world.model("iptables", {"filter": {**chains, "INPUT": {"policy": "ACCEPT", "rules": list(lines)}}})

    return prepare


def firewall(*commands: list[str], enabled: str = "no") -> Callable[[World], None]:
    """ufw as its package leaves it, and what was done with it since."""

    def prepare(world: World) -> None:
        world.write("etc/ufw/ufw.conf", f"# settings\nLOGLEVEL=low\nENABLED={enabled}\n")
        policies = {"INPUT": "DROP", "OUTPUT": "ACCEPT", "FORWARD": "DROP"}
        world.write("etc/default/ufw", "".join(f'DEFAULT_{name}_POLICY="{word}"\n' for name, word in policies.items()))
        world.write("etc/ufw/user.rules", "*filter\n### RULES ###\n### END RULES ###\n")
        for words in commands:
            world.machine().run(["ufw", *words])

    return prepare


WITH_SSH = firewall(["allow", *["proto", "tcp", "from", "any", "to", "any", "port", "22", "comment", "ssh"]])

EXAMPLES: tuple[Example, ...] = (
    Example(
        "appended",
        "iptables",
        {"chain": "INPUT", "protocol": "tcp", "destination_port": "5432", "source": "!10.0.0.7", "jump": "DROP"},
        rules(["-j", "LOG"]),
        tools=IPTABLES,
    ),
    Example(
        "inserted",
        "iptables",
        {"chain": "INPUT", "ctstate": ["NEW"], "comment": "a b", "jump": "ACCEPT", "action": "insert", "wait": "5"},
        rules(["-j", "LOG"]),
        tools=IPTABLES,
    ),
    Example(
        "both",
        "iptables",
        {"chain": "MINE", "chain_management": True, "jump": "DROP", "ip_version": "both"},
        tools=("iptables", "ip6tables"),
    ),
    Example("absent", "iptables", {"chain": "INPUT", "jump": "LOG", "state": "absent"}, rules(["-j", "LOG"])),
    Example("policy", "iptables", {"chain": "FORWARD", "policy": "DROP"}, rules(), tools=IPTABLES),
    Example(
        "flushed", "iptables", {"chain": "INPUT", "flush": True}, rules(["-j", "LOG"], ["-j", "DROP"]), tools=IPTABLES
    ),
    Example("chain", "iptables", {"chain": "MINE", "table": "nat", "chain_management": True}, tools=IPTABLES),
    Example("rule", "ufw", SSH, firewall(), tools=UFW),
    Example(
        "other-action", "ufw", {**SSH, "rule": "limit"}, firewall(["allow", "proto", "tcp", "to", "any"]), tools=UFW
    ),
    Example(
        "deleted",
        "ufw",
        {"rule": "allow", "to_port": "23", "delete": True},
        firewall(["allow", "from", "any", "to", "any", "port", "23"]),
    ),
    Example("on", "ufw", {"state": "enabled", "default": "reject", **SSH}, firewall(), tools=UFW),
    Example("off", "ufw", {"state": "disabled", "logging": "full"}, firewall(enabled="yes"), tools=UFW),
    Example("outgoing", "ufw", {"default": "deny", "direction": "out"}, firewall(), tools=UFW),
    Example("routed", "ufw", {"rule": "allow", "route": True, "interface_in": "a", "interface_out": "b"}, firewall()),
    Example("reloaded", "ufw", {"state": "reloaded"}, firewall(enabled="yes"), deed=True, tools=UFW),
    Example("reset", "ufw", {"state": "reset", **SSH}, firewall(["deny", "from", "any"]), deed=True, tools=UFW),
)
