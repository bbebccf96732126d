"""The network as this host sees it.

Facts need a few system calls of every start: they take them from ``_socket``, where they are; ``socket`` spends 6 ms on
making enumerations of its numbers, and is imported by what connects.
"""

from __future__ import annotations

import _socket
import fcntl
import struct
from typing import IO, Callable, Dict, Iterator, List, NamedTuple, Optional, Tuple

from mnemo_ops.agent.machine.reading import CHUNK
from mnemo_ops.errors import Broken, reason


class Address(NamedTuple):
    """An address of an interface; ``version`` 4 or 6, ``scope`` as rtnetlink(7) numbers it."""

    version: int
    address: str
    prefix: int
    scope: int
    broadcast: str


class Network:
    """Addresses, open ports, one HTTP request."""

    def addresses(self) -> Dict[str, List[Address]]:
        """Every address of every interface, in the kernel's order (RTM_GETADDR, rtnetlink(7))."""
        names = dict(_socket.if_nameindex())
        found: Dict[str, List[Address]] = {}
        for index, one in _answers():
            found.setdefault(names.get(index, ""), []).append(one)
        return found

    def ipv6_text(self, packed: bytes) -> str:
        return _socket.inet_ntop(_socket.AF_INET6, packed)

    def numbers(self, name: str) -> List[str]:
        """Every address a name stands for; none when it cannot be resolved."""
        import socket

        try:
            return sorted({str(found[4][0]) for found in socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)})
        except OSError:
            return []

    def ipv4_of(self, interface: str) -> Optional[str]:
        """First IPv4 address of a network interface (SIOCGIFADDR, netdevice(7)); ``None`` when it has none."""
        import socket

        request = struct.pack("256s", interface.encode()[:15])
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                return socket.inet_ntoa(fcntl.ioctl(probe.fileno(), 0x8915, request)[20:24])
            except OSError:
                return None

    def reaches(self, address: str, port: int, timeout: float) -> bool:
        """Whether a TCP connection can be made from here; ``timeout`` in seconds."""
        return not self.unreachable(address, port, timeout)

    def unreachable(self, address: str, port: int, timeout: float) -> str:
        """Why no TCP connection can be made from here within ``timeout`` seconds; empty when one can."""
        import socket

        try:
            with socket.create_connection((address, port), timeout):
                return ""
        except OSError as error:
            return reason(error)

    def connections(self) -> Iterator[Tuple[str, int, str, int]]:
        """Address and port here, address there, and state (a number) of every TCP socket (proc_net_tcp(5))."""
        for name in ("tcp", "tcp6"):
            try:
                with open(f"/proc/net/{name}") as file:
                    lines = file.readlines()[1:]
            except FileNotFoundError:  # no IPv6
                continue
            for line in lines:
                here, there, state = line.split()[1:4]
                yield _endpoint(here), int(here.partition(":")[2], 16), _endpoint(there), int(state, 16)

    def hears(self, address: str, port: int, timeout: float, enough: Callable[[bytes], bool]) -> bool:
        """Whether what a TCP service says by itself is ``enough``; ``timeout`` in seconds for each silence."""
        import socket

        said = b""
        try:
            with socket.create_connection((address, port), timeout) as connection:
                while not enough(said):
                    more = connection.recv(1024)
                    if not more or len(said) > CHUNK:
                        return False
                    said += more
            return True
        except OSError:
            return False

    def http_get(self, url: str, timeout: float) -> Tuple[int, bytes]:
        """Status and body (at most 1 MiB); redirects are not followed. :raises Broken: no answer at all (6)."""
        import http.client  # slow to import, seldom needed

        address, _, path = url.partition("://")[2].partition("/")
        connection = http.client.HTTPConnection(address, timeout=timeout)
        try:
            connection.request("GET", "/" + path)
            answer = connection.getresponse()
            return answer.status, answer.read(CHUNK)
        except (OSError, http.client.HTTPException) as error:
            raise Broken(f"{url} does not answer: {reason(error)}") from None
        finally:
            connection.close()

    def download(self, url: str, into: IO[bytes], timeout: float = 30.0) -> None:
        """The content behind an http, https, ftp or file URL; redirects are followed, ``timeout`` in seconds.

        :raises Broken: no answer, or not the file (6).
        """
        import http.client
        import urllib.request  # slow to import, seldom needed

        try:
            asked = urllib.request.Request(url, headers={"User-Agent": "mnemo_ops"})
            with urllib.request.urlopen(asked, timeout=timeout) as answer:
                while chunk := answer.read(CHUNK):
                    into.write(chunk)
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise Broken(f"cannot load {url}: {reason(error)}") from None


def _answers() -> Iterator[Tuple[int, Address]]:
    """Interface number and address, from the kernel's routing socket."""
    line = _socket.socket(_socket.AF_NETLINK, _socket.SOCK_RAW, 0)
    try:
        line.send(struct.pack("=IHHIIBBBBI", 24, 22, 0x301, 1, 0, 0, 0, 0, 0, 0))  # RTM_GETADDR, REQUEST | DUMP
        while True:
            data = line.recv(1 << 18)
            while len(data) >= 16:
                length, kind = struct.unpack_from("=IH", data)
                if kind in (2, 3):  # NLMSG_ERROR, NLMSG_DONE
                    return
                family, prefix, _, scope, index = struct.unpack_from("=BBBBI", data, 16)
                if family in (_socket.AF_INET, _socket.AF_INET6):
                    fields = _fields(data[24:length])
                    texts = {key: _socket.inet_ntop(family, fields[key]) for key in (1, 2, 4) if key in fields}
                    version = 4 if family == _socket.AF_INET else 6
                    address = texts.get(2) or texts.get(1, "")  # IFA_LOCAL before IFA_ADDRESS: the peer's
                    yield index, Address(version, address, prefix, scope, texts.get(4, ""))
                data = data[(length + 3) & ~3 :]
    finally:
        line.close()


def _fields(data: bytes) -> Dict[int, bytes]:
    found = {}
    while len(data) >= 4:
        length, kind = struct.unpack_from("=HH", data)
        found[kind] = data[4:length]
        data = data[max((length + 3) & ~3, 4) :]
    return found


def _endpoint(text: str) -> str:
    """An address as /proc writes it: words of 32 bit, hexadecimal, in the host's byte order."""
    words = text.partition(":")[0]
    packed = b"".join(struct.pack("=I", int(words[at : at + 8], 16)) for at in range(0, len(words), 8))
    if packed.startswith(b"\0" * 10 + b"\xff\xff"):  # IPv4 through an IPv6 socket
        packed = packed[12:]
    return _socket.inet_ntop(_socket.AF_INET if len(packed) == 4 else _socket.AF_INET6, packed)
