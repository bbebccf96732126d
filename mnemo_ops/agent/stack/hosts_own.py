"""What is mounted into containers and is the host's own: it comes and goes with it, and is nobody's data."""

from __future__ import annotations

import posixpath

_PLACES = ("/dev", "/proc", "/sys", "/run", "/var/run", "/boot", "/lib/modules")
_FILES = ("localtime", "timezone", "hosts", "hostname", "resolv.conf", "passwd", "group", "machine-id")


def is_hosts_own(path: str) -> bool:
    """Sockets, kernel file systems, the clock and the names of the host."""
    if posixpath.dirname(path) == "/etc" and posixpath.basename(path) in _FILES:
        return True
    return path.endswith(".sock") or any(f"{path}/".startswith(f"{each}/") for each in _PLACES)
