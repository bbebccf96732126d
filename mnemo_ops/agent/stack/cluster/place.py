"""Where a throw-away server runs: which argument vectors run the programs of an image on a directory of the host."""

from __future__ import annotations

from typing import List

from mnemo_ops.agent.base.record import dataclass

# constants: coming into a container takes longer than what is done there
_MAKE = """initdb=$1 least=$2 since=$3; shift 3
said=$("$initdb" --version) || exit
echo "$said"; major=${said#*) }; major=${major%%[!0-9]*}
[ "$major" -ge "$least" ] || exit 0
[ "$major" -lt 18 ] || set -- "$@" "$since"
exec "$initdb" "$@"
"""
_AWAIT = """left=1200
until "$1" "$2" "$3" "$4"; do left=$((left - 1)); [ $left -gt 0 ] || exit 1; sleep 0.1; done
shift 4; exec "$@"
"""


@dataclass(frozen=True)
class Place:
    """Containers of one image without a network, which see one directory of the host under its own path.

    :param home: that directory; it belongs to ``uid``. :param name: of the server's container.
    :param socket: a directory in the container. :param uid: and ``gid``: of the user the image runs Postgres as.
    :param programs: the directory of Postgres' programs in the image; empty: its search path finds them.
    """

    image: str
    home: str
    name: str
    uid: int
    gid: int
    socket: str = "/tmp"
    programs: str = ""

    @property
    def data(self) -> str:
        """The data directory."""
        return f"{self.home}/data"

    @property
    def users(self) -> str:
        """A list of users with its own: a Compose file may name one that the image does not know, and initdb asks."""
        return f"{self.home}/passwd"

    def _run(self, how: List[str], program: str, *words: str) -> List[str]:
        inside = ["--network", "none", "-e", "LC_ALL=C", "-v", f"{self.home}:{self.home}"]
        inside += ["--user", f"{self.uid}:{self.gid}", "--entrypoint", program]
        return ["docker", "run", "--name", self.name, *how, *inside, self.image, *words]

    def _path(self, program: str) -> str:
        return f"{self.programs}/{program}" if self.programs else program

    def once(self, program: str, *words: str) -> List[str]:
        """A program while no server runs."""
        return self._run(["--rm"], self._path(program), *words)

    def make(self, least: int, since_18: str, *words: str) -> List[str]:
        """``initdb``, which says its version first; nothing is made where that is less than ``least``.

        :param since_18: one more word for it, from that version on.
        """
        program, *rest = ["sh", "-c", _MAKE, "sh", self._path("initdb"), str(least), since_18, *words]
        return self._run(["--rm", "-v", f"{self.users}:/etc/passwd:ro"], program, *rest)

    def start(self, *words: str) -> List[str]:
        """The server, which goes on."""
        # SIGINT ends sessions and writes everything to the disk
        return self._run(["-d", "--stop-signal", "SIGINT"], self._path("postgres"), *words)

    def inside(self, program: str, *words: str) -> List[str]:
        """A program beside the running server."""
        return ["docker", "exec", "-i", self.name, self._path(program), *words]

    def awaiting(self, program: str, *words: str) -> List[str]:
        """A program beside the server, which begins once that answers, within two minutes."""
        ready = [self._path("pg_isready"), "-q", "-h", self.socket]
        return ["docker", "exec", "-i", self.name, "sh", "-c", _AWAIT, "sh", *ready, self._path(program), *words]

    def said(self) -> List[str]:
        """What the server said."""
        return ["docker", "logs", "--tail", "20", self.name]

    def stop(self) -> List[str]:
        """The server's end, however long its last writes take."""
        return ["docker", "stop", "-t", "3600", self.name]

    def gone(self) -> List[str]:
        """Its container's end, whatever it does."""
        return ["docker", "rm", "-fv", self.name]  # the image may declare volumes
