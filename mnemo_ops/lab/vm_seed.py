"""What makes one virtual machine differ from the next: name, identity, keys, addresses; an archive for its initrd."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from dataclasses import dataclass

from mnemo_ops.lab.directory import USER
from mnemo_ops.lab.vm_image import UID


def link_address(number: int) -> str:
    """A machine's address on the cable."""
    return f"192.168.77.{number}"


def mac(network: int, number: int) -> str:
    """A machine's hardware address. :param network: 0 is the one to the outside, 1 the cable."""
    return f"52:54:00:4d:0{network}:0{number}"


@dataclass(frozen=True)
class Seed:
    """A machine's own.

    :param number: 1 or 2, its place on the cable.
    :param identity: 32 hex digits, its ``/etc/machine-id``.
    :param host_key: the private key of its sshd, and
    :param host_public: the public half.
    :param authorized: the public key that may log in.
    """

    name: str
    number: int
    identity: str
    host_key: str
    host_public: str
    authorized: str

    def archive(self) -> bytes:
        """A cpio archive with everything below ``seed/``, to be appended to the image's initrd."""
        hosts = f"127.0.0.1 localhost\n127.0.1.1 {self.name}\n"
        key = "etc/ssh/ssh_host_ed25519_key"
        rows = (
            ("etc/hostname", f"{self.name}\n", 0o644, 0),
            ("etc/hosts", hosts, 0o644, 0),
            ("etc/machine-id", f"{self.identity}\n", 0o444, 0),
            ("etc/resolv.conf", "nameserver 10.0.2.3\n", 0o644, 0),
            (key, self.host_key, 0o600, 0),
            (f"{key}.pub", self.host_public, 0o644, 0),
            ("etc/systemd/network/10-outside.network", self._network(0, "10.0.2.15", "10.0.2.2"), 0o644, 0),
            ("etc/systemd/network/20-link.network", self._network(1, link_address(self.number), ""), 0o644, 0),
            (f"home/{USER}", None, 0o700, UID),
            (f"home/{USER}/.ssh", None, 0o700, UID),
            (f"home/{USER}/.ssh/authorized_keys", f"{self.authorized}\n", 0o600, UID),
        )
        parents = {str(part) for path, *_ in rows for part in _parents(path)} - {path for path, *_ in rows}
        directories = [("seed", None, 0o755, 0), *((f"seed/{path}", None, 0o755, 0) for path in sorted(parents))]
        entries = [*directories, *((f"seed/{path}", *rest) for path, *rest in rows), ("TRAILER!!!", "", 0, 0)]
        return b"".join(_entry(*entry) for entry in entries)

    def _network(self, network: int, address: str, gateway: str) -> str:
        # nothing to wait for: no router advertisements, no duplicate address detection
        lines = ["[Match]", f"MACAddress={mac(network, self.number)}", "[Network]", f"Address={address}/24"]
        lines += ["LinkLocalAddressing=no", "IPv6AcceptRA=no", *([f"Gateway={gateway}"] if gateway else []), ""]
        return "\n".join(lines)


def _parents(path: str) -> Iterator[str]:
    parts = path.split("/")
    return ("/".join(parts[:count]) for count in range(1, len(parts)))


def _entry(path: str, text: str | None, mode: int, owner: int) -> bytes:
    """One file, or a directory when there is no text, in the form of cpio's ``newc`` (cpio(5))."""
    content = (text or "").encode()
    kind = stat.S_IFDIR if text is None else stat.S_IFREG
    name = path.encode() + b"\0"
    # inode, mode, uid, gid, links, time, size, device and special device (major, minor), length of the name, checksum
    numbers = (0, kind | mode, owner, owner, 1, 0, len(content), 0, 0, 0, 0, len(name), 0)
    header = b"070701" + b"".join(b"%08X" % number for number in numbers)
    return _padded(header + name) + _padded(content)


def _padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % 4)
