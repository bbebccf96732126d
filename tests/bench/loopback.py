"""A real OpenSSH server on loopback, and a proxy in front of it that makes the way longer.

Needs sshd and ssh-keygen (Debian: openssh-server, openssh-client).
"""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import os
import secrets
import shutil
import socket
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

from pace import PATIENCE

from mnemo_ops.core.model import Host

SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
PRIVSEP = Path("/run/sshd")  # compiled into Debian's sshd; its unit makes it, and so do we

CONFIG = """
ListenAddress [::1]:{port}
ListenAddress 127.0.0.1:{port}
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/user_key.pub
PidFile none
UsePAM no
StrictModes no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
MaxStartups 100
SetEnv MNEMO_STATE_DIR={folder}/state
LogLevel VERBOSE
"""


def free_port() -> int:
    """One that no connection of whoever tests beside us takes meanwhile: below those that the kernel gives away."""
    first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    while True:
        port = secrets.randbelow(max(first, 10_000) - 5_000) + 5_000
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def make_key(path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)


class Sshd:
    """A server for this user with keys of its own; a context manager."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.known_hosts = folder / "known_hosts"
        self.trust(self.port)

    def trust(self, *ports: int) -> None:
        """Know the server's key at these ports of loopback."""
        if not (self.folder / "host_key").exists():
            make_key(self.folder / "host_key")
            make_key(self.folder / "user_key")
        key = " ".join((self.folder / "host_key.pub").read_text().split()[:2])
        with self.known_hosts.open("a") as file:
            file.writelines(f"[{address}]:{port} {key}\n" for port in ports for address in ("127.0.0.1", "::1"))

    def host(self, port: int = 0, **more: Any) -> Host:
        options: dict[str, Any] = {
            "user": getpass.getuser(),
            "key_file": str(self.folder / "user_key"),
            "known_hosts": str(self.known_hosts),
        }
        return Host("loopback", "127.0.0.1", port or self.port, **{**options, **more})

    def ssh(self, *command: str, port: int = 0) -> list[str]:
        """Arguments that run a command through OpenSSH's own client."""
        options = ["-F", "none", "-o", f"UserKnownHostsFile={self.known_hosts}", "-o", "BatchMode=yes"]
        where = ["-i", str(self.folder / "user_key"), "-p", str(port or self.port), f"{getpass.getuser()}@127.0.0.1"]
        return ["ssh", *options, *where, *command]

    def __enter__(self) -> Sshd:
        assert SSHD, "sshd is missing: apt-get install openssh-server"
        if os.geteuid() == 0:
            PRIVSEP.mkdir(mode=0o755, exist_ok=True)
        config = self.folder / "sshd_config"
        config.write_text(CONFIG.format(port=self.port, folder=self.folder))
        with (self.folder / "sshd.log").open("wb") as log:
            self._process = subprocess.Popen([SSHD, "-D", "-e", "-f", str(config)], stderr=log)
        end = time.monotonic() + PATIENCE
        while "Server listening on 127.0.0.1" not in self.log():  # the last
            assert self._process.poll() is None and time.monotonic() < end, self.log()
            time.sleep(0.01)
        return self

    def log(self) -> str:
        return (self.folder / "sshd.log").read_text()

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(PATIENCE)


class DelayProxy:
    """Passes bytes on ``one_way`` seconds after they came, in both directions, however many; a context manager.

    A connection itself is accepted at once, so the round trip of TCP's own handshake is not in what it adds.
    """

    def __init__(self, target: int, one_way: float = 0.0) -> None:
        self.one_way = one_way
        self.port = 0
        self._target = target
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy")
        self._writers: set[asyncio.StreamWriter] = set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        onward_reader, onward_writer = await asyncio.open_connection("127.0.0.1", self._target)
        self._writers |= {writer, onward_writer}
        await asyncio.gather(self._pump(reader, onward_writer), self._pump(onward_reader, writer))

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(1 << 16):
                self._loop.call_later(self.one_way, writer.write, data)
        except ConnectionError:
            pass
        finally:
            self._loop.call_later(self.one_way, writer.close)

    def cut(self) -> None:
        """Break every connection, as a firewall or a reboot in between does."""

        async def abort() -> None:
            for writer in self._writers:
                writer.transport.abort()
            self._writers.clear()

        asyncio.run_coroutine_threadsafe(abort(), self._loop).result(PATIENCE)

    def __enter__(self) -> DelayProxy:
        self._thread.start()
        start = asyncio.start_server(self._serve, "127.0.0.1", 0)
        self._server = asyncio.run_coroutine_threadsafe(start, self._loop).result(PATIENCE)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()
        self._loop.call_soon_threadsafe(self._server.close)
        asyncio.run_coroutine_threadsafe(asyncio.sleep(self.one_way + 0.05), self._loop).result(PATIENCE)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE)
        self._loop.close()
