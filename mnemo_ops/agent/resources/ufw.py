"""ufw: the uncomplicated firewall: on, off, its defaults and its rules."""

from __future__ import annotations

import re
from typing import Any, ClassVar, Dict, List, Literal, Mapping, Optional

from mnemo_ops.agent.base.lines import each_line
from mnemo_ops.agent.base.record import dataclass
from mnemo_ops.agent.base.state import Change, State
from mnemo_ops.agent.engine.resource import Resource
from mnemo_ops.agent.machine import Machine
from mnemo_ops.errors import Broken

POLICIES = {"allow": "ACCEPT", "deny": "DROP", "reject": "REJECT"}
CHAINS = {"in": "INPUT", "incoming": "INPUT", "out": "OUTPUT", "outgoing": "OUTPUT", "routed": "FORWARD"}
DIRECTIONS = {"INPUT": "incoming", "OUTPUT": "outgoing", "FORWARD": "routed"}
RULES = "### RULES ###"  # where the rules begin in the files ufw writes, and shows with --dry-run
DEEDS = ("reloaded", "reset")


@dataclass(frozen=True)
class Ufw(Resource):
    """Rules are put in before the firewall is switched on, so that a task with both locks nobody out.

    :param state: ``enabled`` (now and at boot), ``disabled``, or the deeds ``reloaded`` and ``reset`` (every rule goes;
        ufw keeps a copy of its files).
    :param default: what becomes of what no rule is about.
    :param direction: of ``default`` (incoming without it), or of ``rule``.
    :param logging: how much is logged.
    :param rule: what to do with what fits the rest.
    :param delete: the rule must not be there.
    :param insert: number the rule gets when it is new; default: the last.
    :param route: about what passes through, not what is for this host.
    :param from_ip: source address or network.
    :param from_port: source port or ports.
    :param to_ip: destination address or network.
    :param to_port: destination port, ports ``80,443`` or range ``8000:8010``.
    :param proto: protocol.
    :param name: a profile of /etc/ufw/applications.d, instead of a port.
    :param interface: interface, with ``direction``.
    :param interface_in: interface it comes by.
    :param interface_out: interface it leaves by.
    :param log: log new connections that fit.
    :param comment: a comment.
    """

    kind: ClassVar[str] = "ufw"
    ALIASES: ClassVar[Mapping[str, str]] = {
        "policy": "default", "from": "from_ip", "src": "from_ip", "dest": "to_ip", "to": "to_ip", "port": "to_port",
        "protocol": "proto", "app": "name", "if": "interface", "if_in": "interface_in", "if_out": "interface_out",
    }  # fmt: skip
    EXAMPLE: ClassVar[str] = """\
- name: who may log in
  ufw: {rule: limit, port: "22", proto: tcp, comment: ssh}
- name: nobody may anything else
  ufw: {state: enabled, policy: deny}
"""

    state: Optional[Literal["enabled", "disabled", "reloaded", "reset"]] = None
    default: Optional[Literal["allow", "deny", "reject"]] = None
    direction: Optional[Literal["in", "incoming", "out", "outgoing", "routed"]] = None
    logging: Optional[Literal["on", "off", "low", "medium", "high", "full"]] = None
    rule: Optional[Literal["allow", "deny", "limit", "reject"]] = None
    delete: bool = False
    insert: Optional[int] = None
    route: bool = False
    from_ip: str = "any"
    from_port: Optional[str] = None
    to_ip: str = "any"
    to_port: Optional[str] = None
    proto: Optional[Literal["any", "tcp", "udp", "ipv6", "esp", "ah", "gre", "igmp", "vrrp"]] = None
    name: Optional[str] = None
    interface: Optional[str] = None
    interface_in: Optional[str] = None
    interface_out: Optional[str] = None
    log: bool = False
    comment: Optional[str] = None

    def __post_init__(self) -> None:
        if self.state is None and self.default is None and self.rule is None and self.logging is None:
            raise ValueError("give at least one of state, default, rule and logging")
        if self.name is not None and self.to_port is not None:
            raise ValueError("name and to_port exclude each other")
        if self.interface is not None and self.direction is None:
            raise ValueError("interface needs a direction")
        if (self.interface_in or self.interface_out) and (self.interface or self.direction):
            raise ValueError("interface_in and interface_out exclude interface and direction")
        if self.rule is not None and self.direction == "routed":
            raise ValueError("direction routed goes with default; a rule says route: true")

    def desired(self) -> State:
        policy = {"default": self.default} if self.default else {}
        rule = {"rule": "absent" if self.delete else "present"} if self.rule else {}
        return {**policy, **rule, **({"logging": self.logging} if self.logging else {}), **self._switch()}

    def _switch(self) -> Dict[str, Any]:
        return {"state": self.state} if self.state else {}

    def observe(self, machine: Machine) -> State:
        """From its files, and for a rule from what ufw itself would make of them."""
        config = _settings(machine, "/etc/ufw/ufw.conf")
        chain = CHAINS[self.direction or "incoming"]
        policy = _settings(machine, "/etc/default/ufw").get(f"DEFAULT_{chain}_POLICY")
        level = config.get("LOGLEVEL")
        return {
            "state": "enabled" if config.get("ENABLED") == "yes" else "disabled" if config else None,
            "default": next((word for word, target in POLICIES.items() if target == policy), None),
            "logging": "on" if self.logging == "on" and level not in (None, "off") else level,
            "rule": self._rule_state(machine),
        }

    def _rule_state(self, machine: Machine) -> str:
        if self.rule is None or machine.which("ufw") is None:
            return "absent"
        done = machine.ask(["ufw", "--dry-run", *self._words()], check=False)
        if done.rc != 0 and not self.delete:
            raise Broken(f"ufw does not take the rule: {(done.err or done.out).strip()[-500:]}")
        is_same = RULES not in done.out or _rules(done.out) == self._current(machine, done.out)
        if self.delete:
            return "absent" if is_same else "present"
        return "present" if is_same else "absent"

    @staticmethod
    def _current(machine: Machine, shown: str) -> List[str]:
        """Rules of the files that the dry run shows: IPv4 alone, IPv6 alone, or both."""
        parts = []
        for path, mark in (("/etc/ufw/user.rules", "ufw-user-input"), ("/etc/ufw/user6.rules", "ufw6-user-input")):
            if mark in shown:
                parts.append(machine.read_text(path) or "")
        return _rules("\n".join(parts))

    def _words(self) -> List[str]:
        words = ["route"] if self.route else []
        words += ["delete"] if self.delete else ["insert", str(self.insert)] if self.insert is not None else []
        words.append(str(self.rule))
        if self.direction:
            words.append("in" if self.direction.startswith("in") else "out")
            words += ["on", self.interface] if self.interface else []
        for side, interface in (("in", self.interface_in), ("out", self.interface_out)):
            words += [side, "on", interface] if interface else []
        words += ["log"] if self.log else []
        words += ["proto", self.proto] if self.proto else []
        words += ["from", self.from_ip, *(["port", self.from_port] if self.from_port else [])]
        words += ["to", self.to_ip, *(["port", self.to_port] if self.to_port else [])]
        words += ["app", self.name] if self.name else []
        return [*words, *(["comment", self.comment] if self.comment and not self.delete else [])]

    def apply(self, machine: Machine, change: Change) -> State:
        deed = self.state in DEEDS
        if self.state == "reset":
            machine.run(["ufw", "--force", "reset"])
            change = Change(None, change.after)  # everything else has to be put in again
        if "default" in change.keys and self.default:
            machine.run(["ufw", "default", self.default, DIRECTIONS[CHAINS[self.direction or "in"]]])
        if "rule" in change.keys and self.rule:
            machine.run(["ufw", *self._words()])
        if "logging" in change.keys and self.logging:
            machine.run(["ufw", "logging", self.logging])
        if self.state == "reloaded":
            machine.run(["ufw", "reload"])
        elif "state" in change.keys and not deed:
            machine.run(["ufw", "--force", "enable" if self.state == "enabled" else "disable"])
        return {**(self.observe(machine) or {}), "state": self.state} if deed else None


def _rules(text: str) -> List[str]:
    return sorted(line for line in each_line(text) if line.startswith("### tuple ###"))


def _settings(machine: Machine, path: str) -> Dict[str, str]:
    return dict(re.findall(r'^(\w+)="?([^"\n]*)"?$', machine.read_text(path) or "", re.MULTILINE))
