"""Where a throw-away server runs: which argument vectors run the programs of an image on a directory of the host."""

from __future__ import annotations

from typing import List

from mnemo_ops.agent.base.record import dataclass


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

    def _run(self, how: List[str], program: str, words: List[str]) -> List[str]:
        inside = [
            "--network",
            "none",
            "-e",
            "LC_ALL=C",
            "-v",
            f"{self.home}:{self.home}",
            "--user",
            f"{self.uid}:{self.gid}",
        ]
        inside += ["-v", f"{self.users}:/etc/passwd:ro"] if program == "initdb" else []
        return ["docker", "run", *how, *inside, "--entrypoint", self._path(program), self.image, *words]

    def _path(self, program: str) -> str:
        return f"{self.programs}/{program}" if self.programs else program

    def once(self, program: str, *words: str) -> List[str]:
        """A program while no server runs."""
        return self._run(["--rm", "--name", self.name], program, list(words))

    def start(self, *words: str) -> List[str]:
        """The server, which goes on."""
        # SIGINT ends sessions and writes everything to the disk
        return self._run(["-d", "--name", self.name, "--stop-signal", "SIGINT"], "postgres", list(words))

    def inside(self, program: str, *words: str) -> List[str]:
        """A program beside the running server."""
        return ["docker", "exec", "-i", self.name, self._path(program), *words]

    def lives(self) -> List[str]:
        """Whether the server still runs: ``true``."""
        return ["docker", "inspect", "--format={{.State.Running}}", self.name]

    def said(self) -> List[str]:
        """What the server said."""
        return ["docker", "logs", "--tail", "20", self.name]

    def stop(self) -> List[str]:
        """The server's end, however long its last writes take."""
        return ["docker", "stop", "-t", "3600", self.name]

    def gone(self) -> List[str]:
        """Its container's end, whatever it does."""
        return ["docker", "rm", "-fv", self.name]  # the image may declare volumes
