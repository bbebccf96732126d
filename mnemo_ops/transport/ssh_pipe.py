"""The SSH end of a session: a Fabric connection through the hosts before it, keys checked, channels to programs."""

from __future__ import annotations

import base64
import contextlib
import functools
import hashlib
import io
import shlex
import socket
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Optional

import paramiko
from fabric import Config, Connection

from mnemo_ops.core.model import Host
from mnemo_ops.errors import (
    AuthenticationFailed,
    HostKeyChanged,
    HostKeyUnknown,
    MnemoError,
    PythonMissing,
    Unreachable,
    reason,
)
from mnemo_ops.transport import known_hosts
from mnemo_ops.transport.ssh_route import Route, route
from mnemo_ops.transport.sudo import Ask, as_root, refusal

KEEPALIVE = 15  # seconds
SILENCE = 45.0  # seconds without a byte from a busy agent (it beats every second) before the channel counts as lost
ANSWER = 30.0  # seconds a small question to a host may take
MOST = 64 << 20  # bytes such an answer may have
WINDOW = 8 << 20  # bytes that may be on their way to us


def fingerprint(key: Any) -> str:
    """``SHA256:...`` as ``ssh-keygen -l`` prints it."""
    digest = hashlib.sha256(key.asbytes()).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


# -- connections -------------------------------------------------------------------------------------------------------


def _open(host: Host) -> Connection:
    """A connection to a host; errors as :func:`open_route`."""
    return open_route(route(host))


def open_route(way: Route) -> Connection:
    """A connection to the end of a way. :raises Unreachable: a hop is away, or not the one we know (4)."""
    last: Optional[Connection] = None
    try:
        for hop in (*way.jumps, way):
            last = _hop(hop, last)
    except BaseException:
        if last is not None:
            close(last)
        raise
    assert last is not None
    return last


def close(connection: Connection) -> None:
    """Close a connection, also one that failed half way, and those it goes through."""
    transport = connection.client.get_transport()
    with contextlib.suppress(Exception):  # a broken transport may complain in many ways; we are leaving anyway
        connection.close()
    with contextlib.suppress(Exception):  # Fabric closes only what it counts as connected
        connection.client.close()
    if transport is not None:
        end_proxy(transport.sock)
    if isinstance(connection.gateway, Connection):
        close(connection.gateway)


def ends_quietly(sock: Any) -> Any:
    """The socket; a ProxyCommand as one that may be closed after its process has ended, of which paramiko complains."""
    if isinstance(sock, paramiko.ProxyCommand):
        signal_it = sock.close

        def close_proxy() -> None:
            with contextlib.suppress(ProcessLookupError):
                signal_it()

        sock.close = close_proxy  # type: ignore[method-assign]
    return sock


def end_proxy(sock: Any) -> None:
    """Wait for the end of a ProxyCommand, which paramiko only signals."""
    if isinstance(sock, paramiko.ProxyCommand):
        with sock.process as process:
            process.kill()


@functools.cache
def _settings() -> Config:
    return Config(ssh_config=paramiko.SSHConfig())  # empty: the way says everything


def _hop(hop: Route, gateway: Optional[Connection]) -> Connection:
    connection = Connection(
        hop.address,
        user=hop.user,
        port=hop.port,
        gateway=gateway or hop.proxy or False,
        connect_timeout=hop.timeout,
        connect_kwargs=_credentials(hop),
        config=_settings(),
    )
    connection.client.set_missing_host_key_policy(_Strict(hop))
    try:
        for file in reversed(hop.known_hosts):  # the first file that knows a kind of key counts
            for kind, key in known_hosts.keys(file, hop.known_as).items():
                connection.client.get_host_keys().add(hop.known_as, kind, key)
        connection.open()
    except (OSError, paramiko.SSHException, EOFError, HostKeyUnknown) as error:
        connection.gateway = None  # whoever opened that closes it
        close(connection)
        raise _why(hop, error) from None
    return connection


def _credentials(hop: Route) -> dict[str, Any]:
    """What we show, in paramiko's order: key files, the agent's keys, the usual files, the password."""
    options: dict[str, Any] = {
        "transport_factory": functools.partial(_transport, compress=hop.compress),
        "banner_timeout": max(15, hop.timeout),
        "auth_timeout": max(15, hop.timeout),
        "key_filename": list(hop.keys),
        "look_for_keys": not hop.keys and hop.password is None,
        "allow_agent": not hop.only_these and (bool(hop.keys) or hop.password is None),
    }
    if hop.password is not None:
        options["password"] = hop.password.reveal()
    if hop.passphrase is not None:
        options["passphrase"] = hop.passphrase.reveal()
    return options


def _transport(sock: Any, compress: bool = False, **options: Any) -> paramiko.Transport:
    # small messages both ways: Nagle's algorithm would cost 40 ms for each
    with contextlib.suppress(AttributeError, OSError):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    transport = paramiko.Transport(ends_quietly(sock), **options)
    transport.use_compression(compress)
    return transport


class _Strict(paramiko.MissingHostKeyPolicy):
    """Unknown keys are refused with their fingerprint (Fabric's own default accepts anything)."""

    def __init__(self, hop: Route) -> None:
        self._hop = hop

    def missing_host_key(self, client: Any, hostname: str, key: Any) -> None:
        found = fingerprint(key)
        raise HostKeyUnknown(
            f"the host key of {self._hop.name} ({hostname}) is unknown: {key.get_name()} {found}",
            hint="compare it with the server's console, then: "
            f"invoke hosts.trust --limit {self._hop.inventory_name} --accept-host-key {found}",
        )


def _why(hop: Route, error: Exception) -> MnemoError:
    """The error of a hop that could not be opened, in our words."""
    if isinstance(error, MnemoError):
        return error
    if isinstance(error, paramiko.BadHostKeyException):
        return HostKeyChanged(
            f"the host key of {hop.name} has CHANGED: {fingerprint(error.key)} now, "
            f"{fingerprint(error.expected_key)} when it was accepted",
            hint="another machine may answer in its place. If the server was reinstalled: "
            f"ssh-keygen -R {shlex.quote(hop.known_as)} -f {hop.known_hosts[0]}, then connect again",
        )
    if isinstance(error, paramiko.AuthenticationException):
        locked = next((key for key in hop.keys if hop.passphrase is None and _is_encrypted(key)), "")
        if locked:
            return AuthenticationFailed(
                f"the key {locked} of {hop.name} is locked with a passphrase, and no agent holds it",
                hint=f"ssh-add {locked}; or set ansible_ssh_private_key_passphrase",
            )
        return AuthenticationFailed(
            f"{hop.name} does not let {hop.user} in",
            hint="check ansible_user, ansible_ssh_private_key_file and ansible_password; "
            f"try: ssh -p {hop.port} {hop.user}@{hop.address}",
        )
    if isinstance(error, FileNotFoundError) and error.filename in hop.keys:
        return Unreachable(
            f"the key file of {hop.name} does not exist: {error.filename}", hint="check ansible_ssh_private_key_file"
        )
    return Unreachable(
        f"{hop.name} ({hop.address} port {hop.port}) cannot be reached: {reason(error)}",
        hint="is the server up, and are ansible_host and ansible_port right?",
    )


def _is_encrypted(key: str) -> bool:
    try:
        paramiko.PKey.from_path(key)
    except (paramiko.PasswordRequiredException, TypeError):  # cryptography's word for it
        return True
    except Exception:  # not a key at all, or one we cannot read: another sentence says so
        return False
    return False


# -- programs on the host ----------------------------------------------------------------------------------------------


@contextmanager
def connected(host: Host) -> Iterator[Connection]:
    """A connection of one's own, closed at the end; errors as :func:`open_route`."""
    connection = _open(host)
    try:
        yield connection
    finally:
        close(connection)


def ask(connection: Connection, line: str, data: bytes = b"", timeout: float = ANSWER) -> tuple[int, bytes, bytes]:
    """Run a line in the login user's shell: exit code, stdout, stderr. :raises Unreachable: no answer in time (4)."""
    try:
        with contextlib.closing(connection.transport.open_session(timeout=timeout)) as channel:
            channel.settimeout(timeout)
            channel.exec_command(line)
            with contextlib.suppress(OSError):  # it may end without reading what it is told
                channel.sendall(data)
                channel.shutdown_write()
            with ThreadPoolExecutor(1) as beside:  # a program that fills one of them must not wait for the other
                err = beside.submit(_all, channel, channel.recv_stderr)
                out = _all(channel, channel.recv)
                return channel.recv_exit_status(), out, err.result()
    except (paramiko.SSHException, OSError, EOFError) as error:
        raise Unreachable(f"{connection.host} does not answer: {reason(error)}") from None


def _all(channel: paramiko.Channel, receive: Callable[[int], bytes]) -> bytes:
    """:raises OSError: it does not end."""
    found = bytearray()
    while data := receive(65536):
        found += data
        if len(found) > MOST:
            channel.close()  # who reads the other stream would wait for more
            raise OSError(f"its answer is longer than {MOST >> 20} MiB")
    return bytes(found)


def small(connection: Connection) -> Ask:
    """:data:`~mnemo_ops.transport.sudo.Ask` over a connection."""

    def question(argv: Sequence[str], data: bytes) -> tuple[int, str]:
        code, _, err = ask(connection, shlex.join(argv), data)
        return code, err.decode("utf-8", "replace")

    return question


class SshPipe:
    """``Pipe`` (agent_channel) over one SSH channel to a program (``argv``), as root when ``become``."""

    def __init__(self, host: Host, become: bool, argv: Sequence[str]) -> None:
        self._host = host
        self._become = become
        self._connection = _open(host)
        try:
            transport = self._connection.transport
            transport.set_keepalive(KEEPALIVE)
            self._channel = transport.open_session(window_size=WINDOW, timeout=self._connection.connect_timeout)
            self._channel.settimeout(SILENCE)
            command, first = as_root(argv, host, self._connection.user) if become else (argv, b"")
            self._channel.exec_command(shlex.join(command))
            self._channel.sendall(first)
        except (paramiko.SSHException, OSError, EOFError) as error:
            close(self._connection)
            raise Unreachable(f"{host.name} accepted the connection but refused a channel: {reason(error)}") from None
        self.source = io.BufferedReader(_Incoming(self._channel), 65536)

    def write(self, data: bytes) -> None:
        try:
            self._channel.sendall(data)
        except (EOFError, paramiko.SSHException) as error:  # paramiko's words for a socket that went away
            raise BrokenPipeError(reason(error)) from None

    def why_it_ended(self) -> MnemoError:
        """Why there was no hello: sudo, python3, or something else; asked of the host, not guessed from its words."""
        host = self._host
        try:
            question = small(self._connection)
            refused = refusal(host, self._connection.user, question) if self._become else None
            if refused is not None:
                return refused
            if question(["command", "-v", host.python], b"")[0] != 0:
                return PythonMissing(
                    f"{host.name} has no {host.python}",
                    hint=f"ssh {self._connection.user}@{host.address} sudo apt-get install -y python3; a play can do "
                    "that with a first task `raw`; or set ansible_python_interpreter",
                )
        except Unreachable as error:
            return error
        said = ""
        with contextlib.suppress(OSError, paramiko.SSHException):
            self._channel.settimeout(5)
            said = self._channel.makefile_stderr("rb").read(4000).decode("utf-8", "replace").strip()
        return Unreachable(f"the agent on {host.name} did not start: {said[-800:] or 'it printed nothing'}")

    def close(self) -> None:
        with contextlib.suppress(Exception):
            self._channel.close()
        close(self._connection)


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
