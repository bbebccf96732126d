"""The project of a stranger starts as its files say; other people's programs say what it holds."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from nested import Engine, engine
from pace import eventually
from strangers import PARTS, Project

from mnemo_ops.lab.notes import ARCHIVE, ensure_notes, prepare_notes
from mnemo_ops.lab.notes_client import ask, lost, write

pytestmark = [pytest.mark.soak]  # the first time makes two root file systems: three minutes

BODIES = ("milk", "", "Größe: 'ß' \"\\ %s\n\tlast", "🥛" * 40000)


@dataclass(frozen=True)
class Running:
    """The project on an engine of its own."""

    engine: Engine
    project: Project
    url: str

    def compose(self, words: str) -> str:
        return self.engine.sh(f"cd {self.project.directory} && docker compose {words} 2>&1")

    def healthy(self) -> bool:
        """Whether everything runs that is to run."""
        states = self.project.states()
        return states["setup"] == ["exited 0"] and states["web"] == ["running healthy"]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    home = tmp_path_factory.mktemp("srv")
    prepare_notes(home / "notes")
    with engine(home, ensure_notes(print)) as made:
        project = Project(made.sh, "/srv/notes")
        found = Running(made, project, f"http://{made.address}:8080")
        made.sh(f"docker volume create {ARCHIVE}")
        print(found.compose("up --detach --build"))
        eventually(found.healthy)
        yield found


def test_it_starts_as_its_files_say(running: Running) -> None:
    states = running.project.states()
    assert states == {
        "setup": ["exited 0"],
        "web": ["running healthy"],
        "worker": ["running 0", "running 0"],
        "postgres": ["running healthy"],
        "mariadb": ["running healthy"],
        "cache": ["running 0"],
    }
    assert ask(f"{running.url}/health") == (200, {"greeting": "hello, it's you"})
    assert "42" in running.project.inside("mariadb", *MARIADB, "SELECT @@max_connections")


def test_it_has_every_kind_of_mount(running: Running) -> None:
    """By service: kind, name (of an anonymous one nothing), place, and what is mounted read-only."""
    words = '{{index .Config.Labels "com.docker.compose.service"}}{{range .Mounts}}'
    words += "\n{{.Type}} {{.Name}} {{.Destination}} {{if not .RW}}ro{{end}}{{end}}"
    ids = running.project.sh("docker ps -aq").split()
    found = {}
    for each in ids:
        service, *mounts = running.project.sh(f"docker inspect --format '{words}' {each}").splitlines()
        found[service] = sorted(re.sub(r"[0-9a-f]{64}", "?", " ".join(mount.split())) for mount in mounts)
    secret = "bind /run/secrets/"
    assert found == {
        "setup": ["bind /attachments", "volume notes-archive /archive", "volume notes_data /data"],
        "web": [
            *("bind /attachments", "bind /etc/notes.toml ro", f"{secret}mariadb_app ro", f"{secret}postgres_app ro"),
            "volume notes_data /var/lib/notes",
        ],
        "worker": ["volume notes-archive /archive"],
        "cache": ["volume ? /data"],
        "postgres": [
            *("bind /docker-entrypoint-initdb.d ro", f"{secret}postgres_app ro", f"{secret}postgres_superuser ro"),
            "volume notes_postgres /var/lib/postgresql/data",
        ],
        "mariadb": [
            *("bind /docker-entrypoint-initdb.d ro", "bind /etc/mysql/conf.d/notes.cnf ro"),
            *(f"{secret}mariadb_app ro", f"{secret}mariadb_root ro", "volume notes_mariadb /var/lib/mysql"),
        ],
    }
    assert running.project.inside("web", "stat", "-f", "-c", "%T", "/tmp") == "tmpfs"
    assert running.project.sh(f"ls {running.project.place('notes_data')}") == "sqlite"


def test_what_is_written_is_read_from_every_store_and_after_a_restart(running: Running) -> None:
    kept = write(running.url, BODIES)
    assert ask(f"{running.url}/notes/{'0' * 8}-0000-0000-0000-{'0' * 12}")[0] == 404
    assert lost(running.url, kept) == []
    running.compose("restart")
    eventually(running.healthy)
    assert lost(running.url, kept) == []


PSQL = ("postgres", "psql", "-XqAtU", "postgres", "-c")
JOURNAL = (*PSQL[:-1], "-d", "Журнал", "-c")
CLIENT = "mariadb --default-character-set=utf8mb4 -uroot -Dnotes -Ne"
MARIADB = ("sh", "-c", f'MYSQL_PWD=$(cat "$MARIADB_ROOT_PASSWORD_FILE") exec {CLIENT} "$1"', "sh")
SQLITE = "import sqlite3; c = sqlite3.connect('/var/lib/notes/notes.db'); c.execute(\"{}\"); c.commit()"
# part of the state -> what changes it: service and argv
CHANGES: list[tuple[str, tuple[str, ...]]] = [
    ("postgres", (*PSQL, "ALTER ROLE readers LOGIN")),
    ("postgres", (*PSQL, 'REVOKE readers FROM "Лена"')),
    ("postgres", (*PSQL, "ALTER DATABASE notes SET work_mem = '7MB'")),
    ("postgres", (*PSQL, 'ALTER ROLE "Лена" IN DATABASE "Журнал" RESET ALL')),
    ("postgres", (*PSQL, 'COMMENT ON DATABASE "Журнал" IS NULL')),
    ("postgres", (*JOURNAL, "SELECT lo_put(700001, 0, 'x')")),
    ("postgres", (*JOURNAL, "REVOKE SELECT ON LARGE OBJECT 700001 FROM readers")),
    ("postgres", (*JOURNAL, 'SELECT nextval(\'"Größe"."Таблица ""1""_Ключ_seq"\')')),
    ("postgres", (*JOURNAL, 'ALTER TYPE "Größe"."Farbe" ADD VALUE \'ñ\'')),
    ("mariadb", ("mariadb", *MARIADB, 'DELETE FROM `Größe "1"` LIMIT 1')),
    ("mariadb", ("mariadb", *MARIADB, "SELECT NEXTVAL(tickets)")),
    ("mariadb", ("mariadb", *MARIADB, "DROP TRIGGER measured")),
    ("mariadb", ("mariadb", *MARIADB, "REVOKE DELETE ON notes.* FROM notes@'%'")),
    ("sqlite", ("web", "python3", "-c", SQLITE.format("INSERT INTO notes VALUES ('x', '')"))),
    ("cache", ("cache", "valkey-cli", "set", "kept", "0")),
    ("files", ("web", "sh", "-c", "chmod 600 /attachments/*")),
    ("files", ("web", "touch", "/attachments/empty")),
    ("files", ("worker", "sh", "-c", "for file in /archive/*; do echo x >$file; done")),
]


def test_its_state_is_the_same_until_something_changes(running: Running) -> None:
    write(running.url, ["one"])
    state = running.project.state()
    assert running.project.state() == state and min(len(state[part]) for part in PARTS) > 0
    running.compose("restart postgres mariadb web")
    eventually(running.healthy)
    assert running.project.state() == state
    for part, (service, *argv) in CHANGES:
        running.project.inside(service, *argv)
        after = getattr(running.project, part)()
        assert after != state[part], argv
        state[part] = after
    assert running.project.state() == state
