"""Databases of one running cluster, and sets of them as earlier versions made them, put in place beside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine import Engine, returned

from mnemo_ops.agent.base.record import dataclass as record
from mnemo_ops.agent.stack import postgres_digest
from mnemo_ops.agent.stack.cluster import proof
from mnemo_ops.agent.stack.cluster.earlier import Earlier
from mnemo_ops.agent.stack.cluster.place import Place
from mnemo_ops.agent.stack.cluster.server import Server
from mnemo_ops.agent.stack.sql import identifier

OWNER = "mnemo"
FILE = "postgres.dump"

# what the versions before said of a database
FACTS = r"""SELECT :SERVER_VERSION_NUM >= 150000 AS "versioned" \gset
\if :versioned
\set actual 'pg_database_collation_actual_version(d.oid)'
\else
\set actual NULL
\endif
SELECT json_build_object(
 'version', current_setting('server_version'),
 'major', current_setting('server_version_num')::int / 10000,
 'bytes', pg_database_size(current_database()),
 'encoding', pg_encoding_to_char(d.encoding), 'collate', d.datcollate, 'ctype', d.datctype,
 'provider', to_jsonb(d)->>'datlocprovider', 'collation_version', to_jsonb(d)->>'datcollversion',
 'locale', coalesce(to_jsonb(d)->>'datlocale', to_jsonb(d)->>'daticulocale'), 'rules', to_jsonb(d)->>'daticurules',
 'collation_actual', :actual,
 'largest_table', (SELECT coalesce(max(pg_total_relation_size(oid)), 0) FROM pg_class WHERE relkind IN ('r', 'm')),
 'extensions', (SELECT json_object_agg(extname, extversion) FROM pg_extension),
 'available', (SELECT json_object_agg(name, default_version) FROM pg_available_extensions),
 'needed_roles', (SELECT coalesce(json_agg(rolname ORDER BY rolname), '[]') FROM pg_roles WHERE oid >= 16384
  AND (oid IN (SELECT umuser FROM pg_user_mapping)
   OR oid IN (SELECT refobjid FROM pg_shdepend WHERE deptype = 'r' AND dbid = d.oid))),
 'roles', (SELECT coalesce(json_agg(rolname ORDER BY rolname), '[]') FROM pg_roles
           WHERE rolname NOT LIKE 'pg\_%' AND rolname <> current_user),
 'databases', (SELECT json_agg(datname ORDER BY datname) FROM pg_database WHERE NOT datistemplate)
) FROM pg_database d WHERE d.datname = current_database();"""


@record(frozen=True)
class Application(Server):
    """What a test says in SQL is meant as an application says it: names without a schema are of ``public``."""

    def sql(self, text: str, database: str = "") -> None:
        super().sql("SET search_path = public; " + text, database)

    def differences(self, saved: Mapping[str, Any]) -> list[str]:
        """From the facts of a set of an earlier version."""
        with self.snapshot(self.entry, "READ WRITE") as talk:
            return postgres_digest.differences(talk, saved)

    def rows(self) -> proof.Facts:
        with self.snapshot(self.entry) as talk:
            return proof.rows(talk)

    def changed(self, rows: proof.Facts) -> list[str]:
        """From the rows of a set of today."""
        return proof.of_rows(self, {self.entry: rows})


def saved(server: Server, directory: Path) -> dict[str, Any]:
    """Dump a database as the versions before; the facts that they wrote down."""
    with server.snapshot(server.entry) as talk, (directory / FILE).open("wb") as sink:
        digest = postgres_digest.digest(talk)
        words = ["-Fc", "-Z", "3", f"--snapshot={proof.exported(talk)}", "-d", server.to(server.entry)]
        server.machine.pipe(server.run("pg_dump", *words), sink=sink)
    return {"kind": "postgres", **server.query(FACTS), **digest}


@dataclass(frozen=True)
class Databases:
    """:param server: through the database postgres."""

    engine: Engine
    place: Place
    server: Server

    def make(self, sql: str = "", options: str = "") -> Application:
        """A database of the test's own, made with these options of CREATE DATABASE."""
        taken = self.server.query("SELECT json_agg(datname) FROM pg_database;")
        name = next(f"case{number}" for number in range(100) if f"case{number}" not in taken)
        self.server.sql(f"CREATE DATABASE {identifier(name)} TEMPLATE template0 {options};")
        made = self.named(name)
        if sql:
            made.sql(sql)
        return made

    def named(self, name: str) -> Application:
        return Application(self.server.machine, self.server.run, OWNER, name, self.server.socket)

    def again(
        self, found: Mapping[str, Any], directory: Path, name: str = "case again"
    ) -> tuple[Application, list[str]]:
        """Put a set of an earlier version in place under another name; the database, and what differs from the set."""
        roles = self.server.query("SELECT json_agg(rolname) FROM pg_roles;")
        here = {"roles": roles, "user": OWNER, "files": {name: FILE}}
        scratch = Earlier(self.server.machine, self.place, here, str(directory), {}, found)
        returned(scratch.load(self.server))
        return self.named(name), scratch.prove(self.server)

    def copied(self, server: Server, directory: Path) -> tuple[dict[str, Any], Application]:
        """A set of an earlier version, and the database that it makes, which is proven equal."""
        found = saved(server, directory)
        made, said = self.again(found, directory)
        assert said == []
        return found, made
