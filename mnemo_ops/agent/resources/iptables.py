"""iptables: a rule, a chain or a policy of the kernel's packet filter."""

from __future__ import annotations

from typing import ClassVar, Dict, List, Literal, Mapping, Optional, Union

from mnemo_ops.agent.base.lines import each_line
from mnemo_ops.agent.base.record import dataclass
from mnemo_ops.agent.base.state import Change, State
from mnemo_ops.agent.engine.resource import Resource
from mnemo_ops.agent.machine import Completed, Machine
from mnemo_ops.errors import Broken

PROGRAMS = {"ipv4": "iptables", "ipv6": "ip6tables"}
# argument -> the option it stands for, and the extension that has to be loaded for it, in the order of a rule
PLAIN = {
    "protocol": "-p", "source": "-s", "destination": "-d", "in_interface": "-i", "out_interface": "-o",
    "fragment": "-f", "source_port": "--source-port", "destination_port": "--destination-port",
}  # fmt: skip
MATCHES = {
    "destination_ports": ("multiport", "--dports"), "ctstate": ("conntrack", "--ctstate"),
    "src_range": ("iprange", "--src-range"), "dst_range": ("iprange", "--dst-range"),
    "match_set": ("set", "--match-set"), "limit": ("limit", "--limit"), "limit_burst": ("limit", "--limit-burst"),
    "uid_owner": ("owner", "--uid-owner"), "gid_owner": ("owner", "--gid-owner"), "icmp_type": ("", ""),
    "comment": ("comment", "--comment"),
}  # fmt: skip
TARGETS = {
    "gateway": "--gateway", "log_prefix": "--log-prefix", "log_level": "--log-level", "to_ports": "--to-ports",
    "to_destination": "--to-destination", "to_source": "--to-source", "reject_with": "--reject-with",
    "set_dscp_mark": "--set-dscp", "set_dscp_mark_class": "--set-dscp-class",
}  # fmt: skip


@dataclass(frozen=True)
class Iptables(Resource):
    """A rule that is in a chain, wherever in it; a ``!`` before a value means everything else. Lost with a reboot.

    :param chain: chain.
    :param table: table.
    :param ip_version: whose rules; ``both``: the same rule in each.
    :param state: ``present`` or ``absent``.
    :param action: where a missing rule goes: ``append`` (the end) or ``insert`` (the beginning, or ``rule_num``).
    :param rule_num: number it is inserted as.
    :param flush: no rules in this chain, or in the whole table; everything else is left aside.
    :param policy: what becomes of packets no rule of a built-in chain took; everything else is left aside.
    :param chain_management: make the chain when it is missing; with ``absent`` and nothing else: remove it.
    :param protocol: tcp, udp, icmp, ...
    :param source: address, network or name.
    :param destination: address, network or name.
    :param source_port: port or range ``first:last``.
    :param destination_port: port or range ``first:last``.
    :param destination_ports: several of them.
    :param in_interface: interface it came by; ``eth+`` means any that begins so.
    :param out_interface: interface it leaves by.
    :param fragment: only later fragments (any text); ``!``: only first ones and whole packets.
    :param match: extensions to load.
    :param ctstate: connection states: NEW, ESTABLISHED, RELATED, ...
    :param src_range: source addresses ``first-last``.
    :param dst_range: destination addresses ``first-last``.
    :param match_set: name of an ipset.
    :param match_set_flags: src, dst or both, for ``match_set``.
    :param limit: how often it matches, ``5/minute``.
    :param limit_burst: how often at once before that.
    :param uid_owner: user the packet comes from.
    :param gid_owner: group the packet comes from.
    :param icmp_type: ICMP type, by number or name.
    :param syn: ``match``: opens a connection; ``negate``: does not.
    :param tcp_flags: ``flags`` to look at and ``flags_set`` among them.
    :param comment: a comment.
    :param jump: target: ACCEPT, DROP, a chain, ...
    :param goto: chain it continues in, without coming back.
    :param gateway: where TEE sends copies.
    :param log_prefix: for LOG.
    :param log_level: for LOG.
    :param to_ports: for REDIRECT and MASQUERADE.
    :param to_destination: for DNAT.
    :param to_source: for SNAT.
    :param reject_with: answer of REJECT, which it implies.
    :param set_dscp_mark: for DSCP, which it implies.
    :param set_dscp_mark_class: for DSCP, which it implies.
    :param set_counters: packets and bytes a new rule begins with.
    :param numeric: accepted: names are never looked up here.
    :param wait: seconds to wait for the lock other programs may hold.
    """

    kind: ClassVar[str] = "iptables"
    ALIASES: ClassVar[Mapping[str, str]] = {}
    EXAMPLE: ClassVar[str] = """\
- name: what was begun may go on
  iptables: {chain: INPUT, ctstate: [ESTABLISHED, RELATED], jump: ACCEPT}
- name: the database, for the other host only
  iptables: {chain: INPUT, protocol: tcp, destination_port: "5432", source: 10.0.0.7, jump: ACCEPT, comment: postgres}
"""

    chain: Optional[str] = None
    table: Literal["filter", "nat", "mangle", "raw", "security"] = "filter"
    ip_version: Literal["ipv4", "ipv6", "both"] = "ipv4"
    state: Literal["present", "absent"] = "present"
    action: Literal["append", "insert"] = "append"
    rule_num: Optional[str] = None
    flush: bool = False
    policy: Optional[Literal["ACCEPT", "DROP", "QUEUE", "RETURN"]] = None
    chain_management: bool = False
    protocol: Optional[str] = None
    source: Optional[str] = None
    destination: Optional[str] = None
    source_port: Optional[str] = None
    destination_port: Optional[str] = None
    destination_ports: Optional[List[str]] = None
    in_interface: Optional[str] = None
    out_interface: Optional[str] = None
    fragment: Optional[str] = None
    match: Optional[List[str]] = None
    ctstate: Optional[List[str]] = None
    src_range: Optional[str] = None
    dst_range: Optional[str] = None
    match_set: Optional[str] = None
    match_set_flags: Optional[Literal["src", "dst", "src,dst", "dst,src", "dst,dst", "src,src"]] = None
    limit: Optional[str] = None
    limit_burst: Optional[str] = None
    uid_owner: Optional[str] = None
    gid_owner: Optional[str] = None
    icmp_type: Optional[str] = None
    syn: Literal["ignore", "match", "negate"] = "ignore"
    tcp_flags: Optional[Dict[str, List[str]]] = None
    comment: Optional[str] = None
    jump: Optional[str] = None
    goto: Optional[str] = None
    gateway: Optional[str] = None
    log_prefix: Optional[str] = None
    log_level: Optional[Union[str, int]] = None
    to_ports: Optional[str] = None
    to_destination: Optional[str] = None
    to_source: Optional[str] = None
    reject_with: Optional[str] = None
    set_dscp_mark: Optional[str] = None
    set_dscp_mark_class: Optional[str] = None
    set_counters: Optional[str] = None
    numeric: bool = False
    wait: Optional[str] = None

    def __post_init__(self) -> None:
        if self.chain is None and not self.flush:
            raise ValueError("chain is missing")
        if self.flush and self.policy is not None:
            raise ValueError("flush and policy exclude each other")
        if self.jump is not None and self.goto is not None:
            raise ValueError("jump and goto exclude each other")
        if self.rule_num is not None and self.action != "insert":
            raise ValueError("rule_num goes with action insert")
        if (self.match_set is None) != (self.match_set_flags is None):
            raise ValueError("match_set and match_set_flags go together")

    # -- the rule as options -----------------------------------------------------------------------------------------

    def _rule(self) -> List[str]:
        words: List[str] = []
        for name, option in PLAIN.items():
            words += _option(option, getattr(self, name), bare=name == "fragment")
        loaded = list(self.match or ())
        words += [word for name in loaded for word in ("-m", name)]
        words += self._tcp()
        for name, (extension, option) in MATCHES.items():
            value = getattr(self, name)
            if not value:
                continue
            if extension and extension not in loaded:
                loaded.append(extension)
                words += ["-m", extension]
            option = option or ("--icmpv6-type" if self.ip_version == "ipv6" else "--icmp-type")
            words += _option(option, ",".join(value) if isinstance(value, list) else value)
            words += [self.match_set_flags] if name == "match_set" and self.match_set_flags else []
        return words + self._target()

    def _tcp(self) -> List[str]:
        words = {"ignore": [], "match": ["--syn"], "negate": ["!", "--syn"]}[self.syn]
        if self.tcp_flags is None:
            return words
        return [*words, "--tcp-flags", *(",".join(self.tcp_flags.get(key, [])) for key in ("flags", "flags_set"))]

    def _target(self) -> List[str]:
        implied = "REJECT" if self.reject_with else "DSCP" if self.set_dscp_mark or self.set_dscp_mark_class else None
        words = _option("-j", self.jump or implied) + _option("-g", self.goto)
        for name, option in TARGETS.items():
            words += _option(option, getattr(self, name))
        return words

    # -- states ------------------------------------------------------------------------------------------------------

    def _versions(self) -> List[str]:
        return list(PROGRAMS) if self.ip_version == "both" else [self.ip_version]

    def desired(self) -> State:
        word = "flushed" if self.flush else self.policy or self.state
        return {version: word for version in self._versions()}

    def observe(self, machine: Machine) -> State:
        found = {version: self._look(machine, PROGRAMS[version]) for version in self._versions()}
        return {**found, "chain": self.chain, "table": self.table, "rule": " ".join(self._rule()), "state": self.state}

    def _look(self, machine: Machine, program: str) -> str:
        if machine.which(program) is None:
            return "absent"
        if self.flush or self.policy is not None:
            listed = self._ask(machine, program, "-S", *([self.chain] if self.chain else []))
            lines = each_line(listed.out) if listed.rc == 0 else []
            if self.flush:
                return "full" if any(line.startswith("-A ") for line in lines) or listed.rc != 0 else "flushed"
            return next((line.split()[2] for line in lines if line.startswith(f"-P {self.chain} ")), "absent")
        question = ["-C", str(self.chain), *self._rule()] if self._rule() else ["-S", str(self.chain)]
        return "present" if self._ask(machine, program, *question).rc == 0 else "absent"

    def _base(self, program: str) -> List[str]:
        return [program, *(["-w", self.wait] if self.wait is not None else ["-w"]), "-t", self.table]

    def _ask(self, machine: Machine, program: str, *words: str) -> Completed:
        """:raises Broken: neither yes (0) nor no (1) (6)."""
        done = machine.ask([*self._base(program), *words], check=False)
        if done.rc not in (0, 1):
            raise Broken(f"{program} does not answer: {done.err.strip()[:500]}")
        return done

    def apply(self, machine: Machine, change: Change) -> State:
        for version in change.keys:
            self._put(machine, PROGRAMS[version])
        return None

    def _put(self, machine: Machine, program: str) -> None:
        def run(*words: str) -> None:
            machine.run([*self._base(program), *words])

        chain, rule = self.chain or "", self._rule()
        if self.flush:
            run("-F", *([chain] if chain else []))
        elif self.policy is not None:
            run("-P", chain, self.policy)
        elif self.state == "absent":
            run("-D" if rule else "-X", chain, *rule)
        else:
            if self.chain_management and self._ask(machine, program, "-S", chain).rc != 0:
                run("-N", chain)
            counters = ["-c", *self.set_counters.split()] if self.set_counters else []
            number = [self.rule_num] if self.rule_num else []
            where = ["-A", chain] if self.action == "append" else ["-I", chain, *number]
            if rule:
                run(*where, *rule, *counters)


def _option(option: str, value: Optional[Union[str, int]], bare: bool = False) -> List[str]:
    if value is None:
        return []
    text = str(value)
    inverted = ["!"] if text.startswith("!") else []
    return [*inverted, option] if bare else [*inverted, option, text.lstrip("! ") if inverted else text]
