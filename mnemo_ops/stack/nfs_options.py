"""Where exports lie, and how every client mounts one."""

from __future__ import annotations

DIRECTORY = "/srv/nfs"
# hard: an application waits for its server and never gets an I/O error for what it wrote; noresvport: a client that
# comes back after a broken connection may take any port, which is why the exports say insecure
CLIENT_OPTIONS = "nfsvers=4.2,hard,timeo=600,retrans=2,noresvport"


def mount_options(address: str) -> str:
    """How every client mounts an export, Docker's ``o=`` included; ``address``: of the server, an IP address."""
    return f"addr={address},{CLIENT_OPTIONS}"
