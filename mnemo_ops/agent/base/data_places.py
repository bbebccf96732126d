"""Where a host may keep data: what another host or a backup says of that is not believed further."""

from __future__ import annotations

import posixpath

SYSTEM = (  # no data in them
    *("/etc", "/proc", "/sys", "/dev", "/run", "/boot", "/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64"),
    *("/var/lib/apt", "/var/lib/dpkg", "/var/lib/systemd", "/var/lib/docker", "/var/lib/containerd"),
    *("/var/run", "/var/spool", "/tmp", "/var/tmp", "/var/lib/mnemo_ops"),
)
SHARED = (  # not in these themselves
    *("/", "/home", "/root", "/srv", "/var", "/var/lib", "/var/log", "/var/cache", "/opt", "/mnt", "/media"),
    "/mnt/mnemo",
)


def not_a_place(path: str) -> str:
    """What speaks against a directory for data; empty: nothing."""
    hidden = any(part.startswith(".") for part in path.split("/"))
    inside = any((path + "/").startswith(place + "/") for place in SYSTEM)
    odd = (
        not path.startswith("/") or posixpath.normpath(path) != path or path.startswith("//") or not path.isprintable()
    )
    return f"would lie in {path!r:.60}" if odd or hidden or inside or path in SHARED else ""
