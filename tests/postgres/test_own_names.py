"""We are a superuser, the database's owner is none: what he made is read, and no function of his is run."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from databases import OWNER, Application, Databases
from engine import PROGRAMS, returned, scratch

from mnemo_ops.agent.actions import prove
from mnemo_ops.agent.stack import postgres_digest
from mnemo_ops.agent.stack.cluster.server import entered
from mnemo_ops.errors import CommandFailed, Refused

RAISE = "LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''trapped''; END'"
# every function and operator of Postgres that can be made again, in a schema that stands before its own
TRAPS = f"""CREATE SCHEMA trap;
DO $do$ DECLARE one record; BEGIN
 FOR one IN SELECT proname, proretset, prorettype::regtype AS type, (SELECT coalesce(string_agg(t::regtype::text, ', '
   ORDER BY n), '') FROM unnest(proargtypes) WITH ORDINALITY AS u(t, n)) AS args
  FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace AND prokind = 'f'
 LOOP BEGIN
  EXECUTE format('CREATE FUNCTION trap.%I(%s) RETURNS %s %s {RAISE.replace("'", "''")}',
   one.proname, one.args, CASE WHEN one.proretset THEN 'SETOF' END, one.type);
 EXCEPTION WHEN OTHERS THEN NULL; END; END LOOP;
 FOR one IN SELECT oprname, oprleft::regtype AS l, oprright::regtype AS r, proname FROM pg_operator JOIN pg_proc p
  ON p.oid = oprcode WHERE oprnamespace = 'pg_catalog'::regnamespace AND oprleft <> 0
 LOOP BEGIN
  EXECUTE format('CREATE OPERATOR trap.%s (LEFTARG = %s, RIGHTARG = %s, FUNCTION = trap.%I)',
   one.oprname, one.l, one.r, one.proname);
 EXCEPTION WHEN OTHERS THEN NULL; END; END LOOP;
END $do$;
CREATE FUNCTION trap.next(bigint) RETURNS bigint {RAISE};
CREATE AGGREGATE trap.count(*) (SFUNC = trap.next, STYPE = bigint, INITCOND = '0');
CREATE FUNCTION trap.format(text, name, name) RETURNS text {RAISE};
CREATE FUNCTION trap.concat(text) RETURNS text {RAISE};"""
SEEN = ["lower('A')", "1 = 1", "'a'::text = 'a'", "count(*)", "to_json(1)", "format('%I.%I', 'a'::name, 'b'::name)"]

SPEC = {"table": "documents", "path": "file_path", "size": "size", "sha256": "sha256"}
FILE = b"content"


@pytest.fixture
def trapped(databases: Databases) -> Iterator[Application]:
    """A database as any, its path, that of the server's own and that of our role lead through the traps."""
    made = databases.make(
        "CREATE TABLE documents(file_path text, size int, sha256 text, seen regclass, v serial);"
        f"INSERT INTO documents VALUES ('a', {len(FILE)}, '{hashlib.sha256(FILE).hexdigest()}', 'documents');"
        # a table with such an index is read with the path of the database
        "CREATE FUNCTION own(text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT $1';"
        "CREATE INDEX ON documents (own(file_path));"
        "CREATE MATERIALIZED VIEW m AS SELECT lower('A'); SELECT lo_from_bytea(4711, 'abc');" + TRAPS
    )
    main = databases.server
    path = "SET search_path = trap, pg_catalog, public;"
    try:
        main.sql(TRAPS, "template1")
        main.sql(f"ALTER DATABASE {made.entry} {path} ALTER DATABASE template1 {path} ALTER ROLE {OWNER} {path}")
        yield made
    finally:
        main.sql(f"ALTER DATABASE template1 RESET search_path; ALTER ROLE {OWNER} RESET search_path;")
        main.sql("DROP SCHEMA trap CASCADE;", "template1")


@pytest.mark.parametrize("sql", SEEN)
def test_the_traps_are_set(sql: str, trapped: Application) -> None:
    bare = trapped.run("psql", "-XqAt", "-h", trapped.socket, "-U", OWNER, "-d", trapped.entry)
    with pytest.raises(CommandFailed, match="trapped"):
        trapped.machine.ask([*bare, "-v", "ON_ERROR_STOP=1", "-c", f"SELECT {sql} FROM documents;"])


def test_no_function_before_those_of_postgres_is_run(
    trapped: Application, databases: Databases, tmp_path: Path
) -> None:
    main = databases.server
    (tmp_path / "a").write_bytes(FILE)
    found = entered(main.machine, main.run, [OWNER], [trapped.entry], main.socket)
    assert (found.user, found.entry) == (OWNER, trapped.entry)
    assert found.clients() == []
    with found.shut([trapped.entry, "template1"]):
        pass
    wrong: list[str] = []
    assert prove._vectors(found, wrong) == 0
    assert prove._documents(found.machine, found, {**SPEC, "base": str(tmp_path)}, wrong) == 1
    assert wrong == []
    # a set of an earlier version
    old, restored = databases.copied(trapped, tmp_path)
    assert trapped.differences(old) == restored.changed(trapped.rows()) == []
    assert len(trapped.differences({"tables": {}, "sequences": {}})) == 2
    # and one of today, which carries the traps
    target = databases.engine.place(PROGRAMS, "trapped")
    filled = scratch(found, databases.place, target, tmp_path)
    assert {trapped.entry, "template1"} <= set(filled.facts["files"])
    assert returned(filled.fill()) == {"differences": [], "kept": [], "unknown": []}


KIND = f"""CREATE TYPE kind AS ENUM ('a');
CREATE FUNCTION bad(kind) RETURNS json {RAISE}; CREATE CAST (kind AS json) WITH FUNCTION bad(kind);
CREATE FUNCTION worse(kind) RETURNS text {RAISE}; CREATE CAST (kind AS text) WITH FUNCTION worse(kind);
CREATE TABLE documents(file_path kind, size int, sha256 text); INSERT INTO documents VALUES ('a', NULL, NULL);"""


def test_no_cast_of_the_owner_is_run(databases: Databases, tmp_path: Path) -> None:
    server = databases.make(KIND)
    (tmp_path / "a").write_bytes(FILE)
    wrong: list[str] = []
    assert prove._documents(server.machine, server, {**SPEC, "base": str(tmp_path)}, wrong) == 1
    assert wrong == []
    with server.snapshot(server.entry) as talk:
        found = postgres_digest.digest(talk)
    assert server.differences(found) == server.changed(server.rows()) == []


def test_a_set_of_the_first_way_that_would_run_a_cast_is_refused(databases: Databases) -> None:
    server = databases.make(
        f"CREATE TABLE t(a int); INSERT INTO t VALUES (1); CREATE FUNCTION bad(t) RETURNS text {RAISE};"
        "CREATE CAST (t AS text) WITH FUNCTION bad(t);"
    )
    with pytest.raises(Refused, match="casts"):
        server.differences({"tables": {}, "sequences": {}})


@pytest.mark.parametrize(
    ("table", "found"),
    [
        ("documents", 1),
        ("Documents", 1),
        ("app.documents", 2),
        ("other", 2),
        ('"Größe"', 1),
        ("none", 0),
        ("app.other", 2),
        ("public.other", 0),
    ],
)
def test_a_table_is_found_by_its_name(table: str, found: int, databases: Databases, tmp_path: Path) -> None:
    columns = "(file_path text, size int, sha256 text)"
    two = "VALUES ('a', NULL, NULL), ('a', NULL, NULL)"
    server = databases.make(
        f"CREATE SCHEMA app; CREATE TABLE app.documents{columns}; CREATE TABLE documents{columns};"
        f'CREATE TABLE "Größe"{columns}; CREATE TABLE app.other{columns};'
        f"INSERT INTO documents VALUES ('a'); INSERT INTO \"Größe\" VALUES ('a'); INSERT INTO app.documents {two};"
        f"INSERT INTO app.other {two}; INSERT INTO documents VALUES (NULL);"
    )
    (tmp_path / "a").write_bytes(FILE)
    wrong: list[str] = []
    spec = {**SPEC, "table": table, "base": str(tmp_path)}
    assert prove._documents(server.machine, server, spec, wrong) == found
    assert wrong == []


def test_a_view_in_place_of_the_table_is_not_read(databases: Databases) -> None:
    server = databases.make(
        f"CREATE FUNCTION bad() RETURNS text {RAISE};"
        "CREATE VIEW documents AS SELECT bad() AS file_path, 1 AS size, 'x' AS sha256;"
    )
    wrong: list[str] = []
    assert prove._documents(server.machine, server, {**SPEC, "base": "/"}, wrong) == 0
    assert len(wrong) == 1


@pytest.mark.parametrize(("size", "found"), [("7.00", []), ("8.00", ["a"]), ("'7'", []), ("'seven'", ["a"])])
def test_a_size_is_a_number_however_its_column_writes_it(
    size: str, found: list[str], databases: Databases, tmp_path: Path
) -> None:
    """A numeric with places ended the proof of a migration as a bug."""
    server = databases.make(f"CREATE TABLE documents AS SELECT 'a' AS file_path, {size} AS size, NULL::text AS sha256;")
    (tmp_path / "a").write_bytes(FILE)
    wrong: list[str] = []
    assert prove._documents(server.machine, server, {**SPEC, "base": str(tmp_path)}, wrong) == 1
    assert [sentence[-1] for sentence in wrong] == found
