"""The bench's servers: those of a lab of its own, each reachable under several names (one port each).

A name has a state directory of its own, so that the names of one server do not wait for each other's lock; everything
else they share. A play on all names is therefore honest about connections, rendering and looking, not about changes.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from rivals import Place

from mnemo_ops.lab import server
from mnemo_ops.lab.directory import LabDirectory
from mnemo_ops.lab.engine import docker

FIRST_PORT = 2201

# before and after a first converge; the play's own package, user, unit and files
_RESET = """
systemctl disable --now --quiet bench.service 2>/dev/null
rm -rf /srv/bench /etc/systemd/system/bench.service; systemctl daemon-reload
userdel bench 2>/dev/null; groupdel bench 2>/dev/null
apt-get purge -qq -y tree >/dev/null; true
"""
_LOOK = """
find /srv/bench /etc/systemd/system/bench.service -printf '%p %y %m %u %g %l\\n' | sort
find /srv/bench /etc/systemd/system/bench.service -type f | sort | xargs sha256sum
getent passwd bench; getent group bench; dpkg-query -W -f '${Status}' tree
systemctl is-active bench.service ssh.service; systemctl is-enabled bench.service ssh.service
"""
_PREPARE = """
install -d -m 700 /root/.ssh; cp /home/ops/.ssh/authorized_keys /root/.ssh/; chown root: /root/.ssh/authorized_keys
cat > /etc/ssh/sshd_config.d/bench.conf; systemctl restart ssh.service
apt-get update -qq; apt-get install -qq -y python3-apt >/dev/null  # Ansible cannot do without
"""


class Servers:
    """``count`` servers of the lab of a directory; a context manager."""

    def __init__(self, root: Path, count: int) -> None:
        self._root, self._names = root, [f"bench{number}" for number in range(1, count + 1)]
        self.lab = LabDirectory(root)

    def __enter__(self) -> Servers:
        self._root.mkdir(parents=True, exist_ok=True)
        found = server.up(self._root, self._names, lambda text: print(text, flush=True))
        self._addresses = {one.name: one.address for one in found}
        return self

    def __exit__(self, *_: object) -> None:
        server.down(self._root, lambda text: None)

    def prepare(self, hosts: int) -> None:
        """Let root in with the lab's key, under as many names as ``hosts`` need."""
        each = -(-hosts // len(self._names))
        ports = [FIRST_PORT + number for number in range(each)]
        lines = ["MaxStartups 500", "MaxSessions 500", "Port 22", *(f"Port {port}" for port in ports)]
        lines += [f"Match LocalPort {port}\n  SetEnv MNEMO_STATE_DIR=/var/lib/bench/{port}" for port in ports]
        self._everywhere(_PREPARE, "\n".join(lines) + "\n")
        self.known_hosts = self._root / "known_hosts"
        with self.known_hosts.open("w") as file:
            for line in self.lab.known_hosts.read_text().splitlines():
                names, _, key = line.partition(" ")
                file.writelines(f"[{names.split(',')[-1]}]:{port} {key}\n" for port in ports)

    def places(self, hosts: int) -> list[Place]:
        """The first ``hosts`` names, spread evenly."""
        spread = [(self._names[number % len(self._names)], number // len(self._names)) for number in range(hosts)]
        return [
            Place(f"h{number}", self._addresses[name], FIRST_PORT + row) for number, (name, row) in enumerate(spread)
        ]

    def reset(self) -> None:
        """Servers as before the first converge."""
        self._everywhere(_RESET)

    def digest(self, hosts: int) -> str:
        """What the play is about, on the first servers; one line if they are equal."""
        return "\n".join(sorted(set(self._everywhere(_LOOK)[:hosts])))

    def _everywhere(self, script: str, data: str = "") -> list[str]:
        def one(name: str) -> str:
            container = server.container(self._root, name)
            return docker("exec", "-i", container, "sh", "-c", script, input=data.encode(), timeout=600)

        with ThreadPoolExecutor(8) as pool:
            return list(pool.map(one, self._names))
