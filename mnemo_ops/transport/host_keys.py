"""Accepting host keys: only those whose fingerprints a person compared."""

from __future__ import annotations

import socket
from collections.abc import Collection
from contextlib import closing
from pathlib import Path
from typing import Any, Optional

import paramiko

from mnemo_ops.agent.base.record import dataclass, replace
from mnemo_ops.core.model import Host
from mnemo_ops.errors import HostKeyChanged, Refused, Unreachable, reason
from mnemo_ops.transport import known_hosts, ssh_pipe
from mnemo_ops.transport.ssh_route import Route, route


@dataclass(frozen=True)
class Offered:
    """The key of one hop on the way to a host. :param new: it is not accepted yet."""

    hop: Route
    key: Any
    new: bool

    @property
    def fingerprint(self) -> str:
        return ssh_pipe.fingerprint(self.key)


def offered_keys(host: Host) -> list[Offered]:
    """The keys of the hosts on the way and of the host itself, as far as one gets: behind a key that is not accepted
    yet nobody is asked. :raises Unreachable: (4). :raises HostKeyChanged: another key is already accepted (4).
    """
    way = route(host)
    found: list[Offered] = []
    for number, hop in enumerate((*way.jumps, way)):
        found.append(_offer(hop, way.jumps[:number]))
        if found[-1].new:
            break
    return found


def _offer(hop: Route, before: tuple[Route, ...]) -> Offered:
    """:param before: the hops before it, whose keys are accepted."""
    gateway = ssh_pipe.open_route(replace(before[-1], jumps=before[:-1])) if before else None
    try:
        with closing(_socket(hop, gateway)) as sock:
            transport = paramiko.Transport(sock)
            try:
                transport.start_client(timeout=hop.timeout)
                key = transport.get_remote_server_key()
            finally:
                transport.close()
                ssh_pipe.end_proxy(sock)
    except (OSError, paramiko.SSHException, EOFError) as error:
        raise Unreachable(f"{hop.name} ({hop.address} port {hop.port}) cannot be reached: {reason(error)}") from None
    finally:
        if gateway is not None:
            ssh_pipe.close(gateway)
    return Offered(hop, key, _is_new(hop, key))


def _socket(hop: Route, gateway: Optional[Any]) -> Any:
    if hop.proxy:
        return ssh_pipe.ends_quietly(paramiko.ProxyCommand(hop.proxy))
    if gateway is None:
        return socket.create_connection((hop.address, hop.port), hop.timeout)
    return gateway.transport.open_channel("direct-tcpip", (hop.address, hop.port), ("", 0), timeout=hop.timeout)


def _is_new(hop: Route, key: Any) -> bool:
    """Whether no file knows a key of this kind. :raises HostKeyChanged: one knows another (4)."""
    for path in hop.known_hosts:
        old = known_hosts.keys(path, hop.known_as).get(key.get_name())
        if old is not None and old != key:
            raise HostKeyChanged(
                f"{path} holds another key of {hop.name}: {ssh_pipe.fingerprint(old)}, not {ssh_pipe.fingerprint(key)}",
                hint="if the server was reinstalled: "
                f"ssh-keygen -R '{hop.known_as}' -f {path}, then this command again",
            )
        if old is not None:
            return False
    return True


def accept(offered: Offered, wanted: Collection[str]) -> Path:
    """Add a key to the known_hosts file of its hop, if its fingerprint is one of those a person compared.

    :raises Refused: it is not (3).
    """
    if offered.fingerprint not in wanted:
        raise Refused(
            f"{offered.hop.name} shows {offered.fingerprint}, not {' or '.join(wanted)}",
            hint="compare it again with the server's console",
        )
    path = offered.hop.known_hosts[0]
    if offered.new:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        text = path.read_text() if path.exists() else ""
        start = "" if not text or text.endswith("\n") else "\n"
        with path.open("a") as file:
            file.write(f"{start}{offered.hop.known_as} {offered.key.get_name()} {offered.key.get_base64()}\n")
    return path
