"""The network as this host sees it."""

from __future__ import annotations

import fcntl
import shutil
import socket
import struct
from typing import IO, Optional, Tuple

from mnemo_ops.agent.machine.reading import CHUNK
from mnemo_ops.errors import Broken


class Network:
    """Addresses, open ports, one HTTP request."""

    def ipv4_of(self, interface: str) -> Optional[str]:
        """First IPv4 address of a network interface (SIOCGIFADDR, netdevice(7)); ``None`` when it has none."""
        request = struct.pack("256s", interface.encode()[:15])
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                return socket.inet_ntoa(fcntl.ioctl(probe.fileno(), 0x8915, request)[20:24])
            except OSError:
                return None

    def reaches(self, address: str, port: int, timeout: float) -> bool:
        """Whether a TCP connection can be made from here; ``timeout`` in seconds."""
        try:
            with socket.create_connection((address, port), timeout):
                return True
        except OSError:
            return False

    def listens(self, port: int) -> bool:
        """Whether something accepts connections on a local TCP port."""
        return self.reaches("127.0.0.1", port, 1.0)

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
            raise Broken(f"{url} does not answer: {error}") from None
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
                shutil.copyfileobj(answer, into, CHUNK)
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise Broken(f"{url} could not be loaded: {error}") from None
