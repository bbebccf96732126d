"""What the project `notes` holds, as programs of other people say it: to compare two hosts, or one before and after.

Nothing here goes through mnemo_ops. `sh` runs a script as root on the host, as `Host.sh` of outcomes.py does.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass

Shell = Callable[[str], str]
# a word that each dump makes up, and comments of the program
_OF_THE_MOMENT = re.compile(r"^\\(un)?restrict |^--|^$")
# what no dump has: rows of materialized views
_POPULATED = "SELECT format('%s %s', matviewname, to_jsonb(ispopulated)) FROM pg_matviews; SELECT * FROM counted"
PARTS = ("postgres", "mariadb", "sqlite", "cache", "files")
_SQLITE = "import sqlite3; print(*sqlite3.connect('/var/lib/notes/notes.db').iterdump(), sep='\\n')"
_KEYS = 'valkey-cli --scan | sort | while read -r key; do echo "$key $(valkey-cli dump "$key")"; done'
_FILES = (
    "cd {} && find . -printf '%P %M %U %G %l\\n' | LC_ALL=C sort"
    " && find . -type f -printf '%P %T@\\n' | LC_ALL=C sort"
    " && find . -type f -print0 | LC_ALL=C sort -z | xargs -0r sha256sum"
)


@dataclass(frozen=True)
class Project:
    """A running `notes`, of which nothing but its project name and its directory is known."""

    sh: Shell
    directory: str
    name: str = "notes"

    def containers(self, service: str) -> list[str]:
        """Ids, also of those that have ended."""
        labels = f"label=com.docker.compose.project={self.name}", f"label=com.docker.compose.service={service}"
        return self.sh(f"docker ps -aq --filter {labels[0]} --filter {labels[1]}").split()

    def inside(self, service: str, *argv: str) -> str:
        """What a program prints in the first container of a service."""
        return self.sh(f"docker exec {self.containers(service)[0]} {shlex.join(argv)}")

    def states(self) -> dict[str, list[str]]:
        """By service: state of each container, with its health or its exit code."""
        words = '{{index .Config.Labels "com.docker.compose.service"}} {{.State.Status}} '
        words += "{{if .State.Health}}{{.State.Health.Status}}{{else}}{{.State.ExitCode}}{{end}}"
        ids = f"docker ps -aq --filter label=com.docker.compose.project={self.name}"
        found: dict[str, list[str]] = {}
        for line in self.sh(f"{ids} | xargs -r docker inspect --format {shlex.quote(words)}").splitlines():
            service, _, state = line.partition(" ")
            found.setdefault(service, []).append(state)
        return found

    def place(self, volume: str) -> str:
        """Where the host has a volume."""
        return self.sh(f"docker volume inspect --format '{{{{.Mountpoint}}}}' {shlex.quote(volume)}")

    # -- state -------------------------------------------------------------------------------------------------------

    def postgres(self) -> list[str]:
        """``pg_dumpall``: roles, grants, settings, sequences, large objects, rows; and what views hold."""
        rows = self.inside("postgres", "psql", "-XqAtU", "postgres", "-d", "notes", "-c", _POPULATED)
        return [*_lines(self.inside("postgres", "pg_dumpall", "-U", "postgres")), *rows.splitlines()]

    def mariadb(self) -> list[str]:
        """``mariadb-dump``: users with grants, tables, views, triggers, sequences, rows."""
        words = ["--databases", "notes", "--system=users", "--routines", "--events", "--order-by-primary", "--hex-blob"]
        dump = shlex.join(["mariadb-dump", "--skip-dump-date", "--single-transaction", *words])
        return _lines(
            self.inside("mariadb", "sh", "-c", f'MYSQL_PWD=$(cat "$MARIADB_ROOT_PASSWORD_FILE") exec {dump} -u root')
        )

    def sqlite(self) -> list[str]:
        """As ``sqlite3 .dump`` has it."""
        return _lines(self.inside("web", "python3", "-c", _SQLITE))

    def cache(self) -> list[str]:
        """Every key, as the server would hand it to another one."""
        return self.inside("cache", "sh", "-c", _KEYS).splitlines()

    def files(self) -> list[str]:
        """Modes, owners, times and SHA-256 of attachments and of the archive."""
        places = f"{self.directory}/data/attachments", self.place("notes-archive")
        return [line for place in places for line in self.sh(_FILES.format(shlex.quote(place))).splitlines()]

    def state(self) -> dict[str, list[str]]:
        """All of it; equal on two hosts when they hold the same."""
        return {each: getattr(self, each)() for each in PARTS}


def _lines(dump: str) -> list[str]:
    """Sorted: the order of statements follows object ids, which are of one server."""
    return sorted(line for line in dump.splitlines() if not _OF_THE_MOMENT.search(line))


# -- the witness -----------------------------------------------------------------------------------------------------
