"""Postgres inside its container: SQL in, JSON out; facts, digests, dump and load."""

from __future__ import annotations

import json
from typing import IO, Any, Dict, List, Mapping, Optional, Sequence

from mnemo_ops.agent.base.record import dataclass
from mnemo_ops.agent.machine import Conversation, Machine, Tick
from mnemo_ops.agent.stack import postgres_digest
from mnemo_ops.agent.stack.containers import Container
from mnemo_ops.agent.stack.postgres_digest import SETTINGS
from mnemo_ops.agent.stack.sql import identifier, literal

# what a version does not have is null: psql knows the server's before it reads the query
FACTS = """SELECT :SERVER_VERSION_NUM >= 150000 AS "versioned" \\gset
\\if :versioned
\\set actual 'pg_database_collation_actual_version(d.oid)'
\\else
\\set actual NULL
\\endif
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
           WHERE rolname NOT LIKE 'pg\\_%' AND rolname <> current_user),
 'databases', (SELECT json_agg(datname ORDER BY datname) FROM pg_database WHERE NOT datistemplate)
) FROM pg_database d WHERE d.datname = current_database();"""

APART = "template1"  # from where databases are made, renamed and removed: the stack's own may be called postgres
OURSELVES = "mnemo_ops"
# over what the database or the role says: we are a superuser, and run no function or operator of a database's owner
OWN_NAMES = "PGOPTIONS=-c search_path=pg_catalog"
_LOCK = """DO $$ DECLARE name text; BEGIN
 FOR name IN SELECT format('%I.%I', nspname, relname) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
  WHERE relkind IN ('r', 'p') AND relpersistence <> 't' AND nspname !~ '^pg_' AND nspname <> 'information_schema'
 LOOP EXECUTE 'LOCK TABLE ' || name || ' IN SHARE ROW EXCLUSIVE MODE'; END LOOP; END $$;"""

CLIENTS = """SELECT coalesce(json_agg(json_build_object('user', usename, 'application', application_name,
 'address', client_addr)), '[]') FROM pg_stat_activity
WHERE backend_type = 'client backend' AND application_name <> 'mnemo_ops' AND pid <> pg_backend_pid()
 AND datname = current_database();"""


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
        return ["docker", "exec", "-i", "-e", OWN_NAMES, self.container, *words]

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
        """Of every table, sequence, materialized view and large object, in one snapshot."""
        with self.snapshot(database) as talk:
            return postgres_digest.digest(talk)

    def differences(self, facts: Mapping[str, Any], database: Optional[str] = None) -> List[str]:
        """What is not as the facts of a set say. :raises Refused: a newer mnemo_ops made them (3)."""
        with self.snapshot(database, "READ WRITE") as talk:  # it ends without a commit
            return postgres_digest.differences(talk, facts)

    def snapshot(self, database: Optional[str] = None, access: str = "READ ONLY") -> Conversation:
        """A conversation inside one repeatable-read transaction."""
        talk = self.machine.talk(self._psql(database or self.database))
        talk.ask(f"{SETTINGS}BEGIN ISOLATION LEVEL REPEATABLE READ {access};")
        return talk

    def dump(self, snapshot: str, into: IO[bytes], tick: Tick) -> None:
        """``pg_dump`` in the custom format, compressed with what it knows best, of an exported snapshot."""
        compress = "zstd:3" if self.facts()["major"] >= 16 else "3"  # gzip, the only one before 16
        words = ["pg_dump", "-U", self.user, "-d", self.database, "-Fc", "-Z", compress, f"--snapshot={snapshot}"]
        self.machine.pipe(self.argv(*words), sink=into, tick=tick)

    def restore(self, database: str, source: IO[bytes], tick: Tick) -> None:
        """``pg_restore`` into an empty database; the first error ends it. :raises CommandFailed: (6)."""
        words = ["pg_restore", "-U", self.user, "-d", database, "--exit-on-error", "--no-owner", "--no-acl"]
        words.append("--no-tablespaces")
        self.machine.pipe(self.argv(*words), source=source, tick=tick)

    def make_roles(self, names: Sequence[str]) -> None:
        """Those that are missing, without a login: policies and user mappings name them, and would not be restored."""
        for name in names:
            if not self.query(f"SELECT to_json(count(*)) FROM pg_roles WHERE rolname = {literal(name)};"):
                self.sql(f"CREATE ROLE {identifier(name)} NOLOGIN;", APART)

    def exists(self, database: str) -> bool:
        return bool(
            self.query(f"SELECT to_json(count(*)) FROM pg_database WHERE datname = {literal(database)};", APART)
        )

    def names(self, prefix: str) -> List[str]:
        """Databases whose names begin so."""
        begins = f"starts_with(datname, {literal(prefix)})"
        return list(
            self.query(f"SELECT json_agg(datname ORDER BY datname) FROM pg_database WHERE {begins};", APART) or ()
        )

    def size(self, database: str) -> int:
        """Bytes of a database on the disk; 0 when there is none of that name."""
        named = f"FROM pg_database WHERE datname = {literal(database)}"
        return int(self.query(f"SELECT coalesce((SELECT pg_database_size(oid) {named}), 0);", APART))

    def shut(self) -> Conversation:
        """While this lasts nobody writes a row: the tables are locked, reading and dumping them goes on.

        :raises Broken: somebody holds a table for longer than ten seconds (6).
        """
        talk = self.machine.talk(self._psql(self.database))
        try:
            talk.ask(f"SET application_name = {literal(OURSELVES)}; BEGIN; SET LOCAL lock_timeout = '10s';{_LOCK}")
        except BaseException:
            talk.__exit__()
            raise
        return talk

    def wait(self, patience: float) -> None:
        """Until the final server (not the one of a first initialisation) answers over TCP. :raises Broken: (6)."""

        def answers() -> bool:
            words = self.argv("pg_isready", "-q", "-h", "127.0.0.1", "-U", self.user)
            return self.machine.ask(words, check=False).rc == 0

        self.machine.wait_until(f"Postgres in {self.container} answers", answers, patience)


# provider -> its name and the option for its locale
_PROVIDERS = {"c": ("libc", ""), "i": ("icu", "ICU_LOCALE"), "b": ("builtin", "BUILTIN_LOCALE")}


def creation(database: str, facts: Mapping[str, Any]) -> str:
    """An empty database with the encoding and the locale that the facts of a set say."""
    name, option = _PROVIDERS.get(facts["provider"] or "", ("", ""))
    words = f" LOCALE_PROVIDER {name}" if name else ""
    words += f" {option} {literal(facts['locale'])}" if option and facts.get("locale") else ""
    words += f" ICU_RULES {literal(facts['rules'])}" if facts.get("rules") else ""
    return (
        f"CREATE DATABASE {identifier(database)} TEMPLATE template0 ENCODING {literal(facts['encoding'])}"
        f" LC_COLLATE {literal(facts['collate'])} LC_CTYPE {literal(facts['ctype'])}{words};"
    )
