"""Postgres inside its container: SQL in, JSON out; facts, table digests, dump and load."""

from __future__ import annotations

import json
from typing import IO, Any, Dict, List, Optional

from mnemo_ops.agent.machine import Conversation, Machine, Tick
from mnemo_ops.agent.project import Container
from mnemo_ops.agent.record import dataclass

# the text form of a row must not depend on settings of the server or the database
SETTINGS = (
    "SET client_min_messages = error; SET DateStyle = 'ISO, YMD'; SET IntervalStyle = 'iso_8601'; SET TimeZone = 'UTC';"
    " SET extra_float_digits = 3; SET bytea_output = 'hex'; SET xmloption = 'content'; SET statement_timeout = 0;"
)

FACTS = """SELECT json_build_object(
 'version', current_setting('server_version'),
 'major', current_setting('server_version_num')::int / 10000,
 'bytes', pg_database_size(current_database()),
 'encoding', pg_encoding_to_char(d.encoding), 'collate', d.datcollate, 'ctype', d.datctype,
 'provider', d.datlocprovider, 'collation_version', d.datcollversion,
 'collation_actual', pg_database_collation_actual_version(d.oid),
 'largest_table', (SELECT coalesce(max(pg_total_relation_size(oid)), 0) FROM pg_class WHERE relkind IN ('r', 'm')),
 'extensions', (SELECT json_object_agg(extname, extversion) FROM pg_extension),
 'available', (SELECT json_object_agg(name, default_version) FROM pg_available_extensions
               WHERE name IN ('vector', 'uuid-ossp', 'pg_trgm') OR installed_version IS NOT NULL),
 'roles', (SELECT coalesce(json_agg(rolname ORDER BY rolname), '[]') FROM pg_roles
           WHERE rolname NOT LIKE 'pg\\_%' AND rolname <> current_user),
 'databases', (SELECT json_agg(datname ORDER BY datname) FROM pg_database WHERE NOT datistemplate)
) FROM pg_database d WHERE d.datname = current_database();"""

# NUL-free names of every table a user can have made, children of partitioned tables included
TABLES = """SELECT coalesce(json_agg(format('%I.%I', n.nspname, c.relname) ORDER BY n.nspname, c.relname), '[]')
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'm') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema';"""

# order does not matter in a sum; two seeds make 128 bits of it
TABLE_DIGEST = """SELECT json_build_object('rows', count(*),
 'hash', md5(coalesce(sum(hashtextextended(t::text, 0)::numeric), 0)::text || ':' ||
             coalesce(sum(hashtextextended(t::text, 1)::numeric), 0)::text)) FROM {table} t;"""

SEQUENCES = """SELECT coalesce(json_object_agg(format('%I.%I', schemaname, sequencename), last_value), '{}')
FROM pg_sequences WHERE schemaname !~ '^pg_';"""

CLIENTS = """SELECT coalesce(json_agg(json_build_object('user', usename, 'application', application_name,
 'address', client_addr)), '[]') FROM pg_stat_activity
WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND datname = current_database();"""


@dataclass(frozen=True)
class Postgres:
    """The server in a container; ``user`` and ``database`` are those the image was told."""

    machine: Machine
    container: str
    user: str
    database: str

    @classmethod
    def of(cls, machine: Machine, container: Container) -> Postgres:
        user = container.env.get("POSTGRES_USER", "postgres")
        return cls(machine, container.name, user, container.env.get("POSTGRES_DB", user))

    def argv(self, *words: str) -> List[str]:
        """A program inside the container; the local socket needs no password."""
        return ["docker", "exec", "-i", self.container, *words]

    def _psql(self, database: str) -> List[str]:
        return self.argv("psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-U", self.user, "-d", database)

    def sql(self, text: str, database: Optional[str] = None) -> str:
        """Run SQL; what it prints. :raises CommandFailed: Postgres' own words (6)."""
        return self.machine.run(self._psql(database or self.database), data=text.encode()).out.strip()

    def query(self, text: str, database: Optional[str] = None) -> Any:
        """The JSON value a query returns; the query only reads."""
        said = self.machine.ask(self._psql(database or self.database), data=(SETTINGS + text).encode(), timeout=3600)
        return json.loads(said.out.strip() or "null")

    def facts(self) -> Dict[str, Any]:
        """Version, locale, extensions, sizes in bytes, other roles and databases."""
        return dict(self.query(FACTS))

    def clients(self) -> List[Dict[str, Any]]:
        """Other sessions on the database: who could still write."""
        return list(self.query(CLIENTS))

    def digest(self, database: Optional[str] = None) -> Dict[str, Any]:
        """``tables`` (name -> rows and hash) and ``sequences``, in one snapshot."""
        with self.snapshot(database) as talk:
            return digest(talk)

    def snapshot(self, database: Optional[str] = None) -> Conversation:
        """A conversation inside one repeatable-read transaction."""
        talk = self.machine.talk(self._psql(database or self.database))
        talk.ask(SETTINGS + "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;")
        return talk

    def dump(self, snapshot: str, into: IO[bytes], tick: Tick) -> None:
        """``pg_dump`` in the custom format, compressed with zstd, of an exported snapshot."""
        words = ["pg_dump", "-U", self.user, "-d", self.database, "-Fc", "-Z", "zstd:3", f"--snapshot={snapshot}"]
        self.machine.pipe(self.argv(*words), sink=into, tick=tick)

    def restore(self, database: str, source: IO[bytes], tick: Tick) -> None:
        """``pg_restore`` into an empty database; the first error ends it. :raises CommandFailed: (6)."""
        words = ["pg_restore", "-U", self.user, "-d", database, "--exit-on-error", "--no-owner", "--no-acl"]
        self.machine.pipe(self.argv(*words), source=source, tick=tick)

    def exists(self, database: str) -> bool:
        return bool(
            self.query(f"SELECT to_json(count(*)) FROM pg_database WHERE datname = {literal(database)};", "postgres")
        )

    def wait(self, patience: float) -> None:
        """Until the final server (not the one of a first initialisation) answers over TCP. :raises Broken: (6)."""

        def answers() -> bool:
            words = self.argv("pg_isready", "-q", "-h", "127.0.0.1", "-U", self.user)
            return self.machine.ask(words, check=False).rc == 0

        self.machine.wait_until(f"Postgres in {self.container} answers", answers, patience)


def digest(talk: Conversation) -> Dict[str, Any]:
    """Counts and hashes of every table, and sequences, as the open transaction sees them."""
    tables = json.loads(talk.ask(TABLES))
    rows = {name: json.loads(talk.ask(TABLE_DIGEST.format(table=name))) for name in tables}
    return {"tables": rows, "sequences": json.loads(talk.ask(SEQUENCES))}


def literal(text: str) -> str:
    """A string as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def identifier(text: str) -> str:
    """A name as an SQL identifier."""
    return '"' + text.replace('"', '""') + '"'


def compare(before: Dict[str, Any], after: Dict[str, Any]) -> List[str]:
    """Differences between two digests, one line a table or sequence."""
    lines = []
    for name in sorted({*before["tables"], *after["tables"]}):
        old, new = before["tables"].get(name), after["tables"].get(name)
        if old != new:
            lines.append(f"table {name}: {_rows(old)} -> {_rows(new)}")
    if before["sequences"] != after["sequences"]:
        lines.append(f"sequences: {before['sequences']} -> {after['sequences']}")
    return lines


def _rows(row: Optional[Dict[str, Any]]) -> str:
    return "absent" if row is None else f"{row['rows']} rows ({row['hash'][:8]})"
