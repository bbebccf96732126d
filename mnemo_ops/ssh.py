"""The SSH end of a session: one Fabric connection, host keys checked, one channel for the agent."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import io
import shlex
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import paramiko
from fabric import Config, Connection

from mnemo_ops import bundle
from mnemo_ops.errors import (
    AuthenticationFailed,
    HostKeyChanged,
    HostKeyUnknown,
    MnemoError,
    SudoRefused,
    Unreachable,
)
from mnemo_ops.model import Host

CONNECT_TIMEOUT = 10  # seconds
KEEPALIVE = 15  # seconds
SILENCE = 45.0  # seconds without a byte from a busy agent (it beats every second) before the channel counts as lost


def fingerprint(key: Any) -> str:
    """``SHA256:...`` as ``ssh-keygen -l`` prints it."""
    digest = hashlib.sha256(key.asbytes()).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


class SshPipe:
    """:class:`~mnemo_ops.channel.Pipe` over one SSH channel to a program (``argv``), as root when ``become``."""

    def __init__(self, host: Host, become: bool, argv: Sequence[str]) -> None:
        self._host = host
        self._become = become
        self._connection = _open(host)
        try:
            transport = self._connection.transport
            transport.set_keepalive(KEEPALIVE)
            self._channel = transport.open_session(window_size=8 << 20, timeout=CONNECT_TIMEOUT)
            self._channel.settimeout(SILENCE)
            ask = become and host.become_password is not None
            self._channel.exec_command(shlex.join(bundle.through_sudo(argv, ask) if become else argv))
            if ask and host.become_password is not None:
                self._channel.sendall(host.become_password.reveal().encode() + b"\n")
        except (paramiko.SSHException, OSError, EOFError) as error:
            self._connection.close()
            raise Unreachable(f"{_target(host)} accepted the connection but no channel: {error}") from None
        self.source: IO[bytes] = io.BufferedReader(_Incoming(self._channel), 65536)

    def write(self, data: bytes) -> None:
        try:
            self._channel.sendall(data)
        except (EOFError, paramiko.SSHException) as error:  # paramiko's words for a socket that went away
            raise BrokenPipeError(str(error)) from None

    def why_it_ended(self) -> MnemoError:
        """Why there was no hello: sudo, python3, or something else; asked of the host, not guessed from its words."""
        host = self._host
        if self._become and not self._may_sudo():
            how = "without a password" if host.become_password is None else "with the password we have"
            return SudoRefused(
                f"{host.user or 'the user'} on {host.name} may not use sudo {how}",
                hint="give the user NOPASSWD in sudoers, or set ansible_become_password for the host",
            )
        if self._exit_code(f"command -v {shlex.quote(host.python)}") != 0:
            return Unreachable(
                f"{host.name} has no {host.python}",
                hint=f"ssh {_target(host)} sudo apt-get install -y python3; or set ansible_python_interpreter",
            )
        said = ""
        with contextlib.suppress(OSError, paramiko.SSHException):
            self._channel.settimeout(5)
            said = self._channel.makefile_stderr("rb").read(4000).decode("utf-8", "replace").strip()
        return Unreachable(f"the agent on {host.name} did not start: {said[-800:] or 'it said nothing'}")

    def _may_sudo(self) -> bool:
        password = self._host.become_password
        if password is None:
            return self._exit_code("sudo -n true") == 0
        return self._exit_code("sudo -k -S -p '' true", password.reveal().encode() + b"\n") == 0

    def _exit_code(self, line: str, data: bytes = b"") -> int:
        try:
            channel = self._connection.transport.open_session(timeout=CONNECT_TIMEOUT)
            channel.settimeout(CONNECT_TIMEOUT)
            channel.exec_command(line)
            channel.sendall(data)
            channel.shutdown_write()
            code: int = channel.recv_exit_status()
            channel.close()
        except (paramiko.SSHException, OSError):
            return -1
        return code

    def close(self) -> None:
        with contextlib.suppress(Exception):  # a broken transport may complain in many ways; we are leaving anyway
            self._channel.close()
        with contextlib.suppress(Exception):
            self._connection.close()


class _Incoming(io.RawIOBase):
    """A channel's stdout, for :class:`io.BufferedReader`: paramiko's own reader copies a long line again and again."""

    def __init__(self, channel: paramiko.Channel) -> None:
        self._channel = channel

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._channel.recv(len(buffer))
        buffer[: len(data)] = data
        return len(data)


def _target(host: Host) -> str:
    return f"{host.user + '@' if host.user else ''}{host.address}" + (f" (port {host.port})" if host.port != 22 else "")


def _known_as(host: Host) -> str:
    """The host's name in known_hosts."""
    return host.address if host.port == 22 else f"[{host.address}]:{host.port}"


class _Strict(paramiko.MissingHostKeyPolicy):
    """Unknown keys are refused with their fingerprint (Fabric's own default accepts anything)."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def missing_host_key(self, client: Any, hostname: str, key: Any) -> None:
        found = fingerprint(key)
        raise HostKeyUnknown(
            f"the host key of {self._host.name} ({hostname}) is not known: {key.get_name()} {found}",
            hint="compare it on the server's console, then: "
            f"invoke hosts.trust --limit {self._host.name} --accept-host-key {found}",
        )


def known_hosts_file(host: Host) -> Path:
    """Where accepted keys of this host are kept."""
    return Path(host.known_hosts) if host.known_hosts else Path.home() / ".ssh" / "known_hosts"


def _nodelay(sock: Any, **options: Any) -> paramiko.Transport:
    # small messages both ways: Nagle's algorithm would cost 40 ms for each
    with contextlib.suppress(AttributeError, OSError):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return paramiko.Transport(sock, **options)


def _drop(connection: Connection) -> None:
    """Close what failed half way: Fabric closes only what it counts as connected, and paramiko's thread would stay."""
    connection.close()
    connection.client.close()


def _open(host: Host) -> Connection:
    options: dict[str, Any] = {"transport_factory": _nodelay, "banner_timeout": 15, "auth_timeout": 15}
    if host.key_file:
        options.update(key_filename=host.key_file, look_for_keys=False, allow_agent=False)
    if host.password is not None:
        options.update(password=host.password.reveal())
    connection = Connection(
        host.address,
        user=host.user,
        port=host.port,
        connect_timeout=CONNECT_TIMEOUT,
        connect_kwargs=options,
        config=Config(),
    )
    user = host.user or connection.user
    client = connection.client
    client.set_missing_host_key_policy(_Strict(host))
    if known_hosts_file(host).exists():
        client.load_host_keys(str(known_hosts_file(host)))
    try:
        connection.open()
    except HostKeyUnknown:
        _drop(connection)
        raise
    except paramiko.BadHostKeyException as error:
        _drop(connection)
        raise HostKeyChanged(
            f"the host key of {host.name} has CHANGED: {fingerprint(error.key)} now, "
            f"{fingerprint(error.expected_key)} when it was accepted",
            hint="somebody may sit in between. If the server was really reinstalled: "
            f"ssh-keygen -R {shlex.quote(_known_as(host))} -f {known_hosts_file(host)}, then connect again",
        ) from None
    except paramiko.AuthenticationException:
        _drop(connection)
        raise AuthenticationFailed(
            f"{host.name} does not let {user} in",
            hint=f"check ansible_user and ansible_ssh_private_key_file; try: ssh -p {host.port} {user}@{host.address}",
        ) from None
    except (OSError, paramiko.SSHException, EOFError) as error:
        _drop(connection)
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        if isinstance(error, FileNotFoundError):
            raise Unreachable(
                f"the key of {host.name} is not there: {error.filename}", hint="check ansible_ssh_private_key_file"
            ) from None
        raise Unreachable(
            f"{host.name} ({host.address} port {host.port}) cannot be reached: {reason}",
            hint="is the server up, and are ansible_host and ansible_port right?",
        ) from None
    return connection
