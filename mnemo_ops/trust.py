"""Accepting a host key: only the one whose fingerprint a person compared."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import paramiko

from mnemo_ops.errors import HostKeyChanged, Refused, Unreachable
from mnemo_ops.model import Host
from mnemo_ops.ssh import CONNECT_TIMEOUT, fingerprint, known_hosts_file


def _offered(host: Host) -> Any:
    try:
        with socket.create_connection((host.address, host.port), CONNECT_TIMEOUT) as connection:
            transport = paramiko.Transport(connection)
            try:
                transport.start_client(timeout=CONNECT_TIMEOUT)
                return transport.get_remote_server_key()
            finally:
                transport.close()
    except (OSError, paramiko.SSHException) as error:
        raise Unreachable(f"{host.name} ({host.address} port {host.port}) cannot be reached: {error}") from None


def offered_key(host: Host) -> tuple[str, str]:
    """Type and ``SHA256:`` fingerprint of the key the host shows now. :raises Unreachable: (4)."""
    key = _offered(host)
    return key.get_name(), fingerprint(key)


def accept(host: Host, wanted: str) -> Path:
    """Add the host's key to its known_hosts file, if it is the one with this fingerprint.

    :raises Refused: the host shows another key (3). :raises HostKeyChanged: another key is already accepted (4).
    """
    key = _offered(host)
    if fingerprint(key) != wanted:
        raise Refused(
            f"{host.name} shows {fingerprint(key)}, not {wanted}", hint="compare again on the server's console"
        )
    path = known_hosts_file(host)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    name = host.address if host.port == 22 else f"[{host.address}]:{host.port}"
    known = paramiko.HostKeys(str(path)) if path.exists() else paramiko.HostKeys()
    old = (known.lookup(name) or {}).get(key.get_name())
    if old is not None and fingerprint(old) != wanted:
        raise HostKeyChanged(
            f"{path} holds another key of {host.name}: {fingerprint(old)}",
            hint=f"if the server was really reinstalled: ssh-keygen -R '{name}' -f {path}, then this command again",
        )
    if old is None:
        with path.open("a") as file:
            file.write(f"{name} {key.get_name()} {key.get_base64()}\n")
    return path
