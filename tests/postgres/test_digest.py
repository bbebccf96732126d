"""What a set says of its database: the same content, the same digest; other content, another one; and a way back."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from databases import Databases, saved

from mnemo_ops.agent.stack import postgres_digest
from mnemo_ops.agent.stack.cluster import proof
from mnemo_ops.agent.stack.cluster.server import Server
from mnemo_ops.agent.stack.sql import literal
from mnemo_ops.errors import CommandFailed, Refused

# name -> what makes it, and what changes its content
CONTENT: Mapping[str, tuple[str, str]] = {
    "a column of the name of an alias": (
        "CREATE TABLE odd(t text, v int); INSERT INTO odd VALUES ('a', 1)",
        "UPDATE odd SET v = 2",
    ),
    "a column of a composite type of that name": (
        "CREATE TYPE c AS (x int, y text); CREATE TABLE odd(t c, v int); INSERT INTO odd VALUES ((1, 'y'), 1)",
        "UPDATE odd SET v = 2",
    ),
    "a null beside an empty text": (
        "CREATE TABLE n(a text, b text); INSERT INTO n VALUES (NULL, '')",
        "UPDATE n SET a = '', b = NULL",
    ),
    "the same text in another column": (
        "CREATE TABLE n(a text, b text); INSERT INTO n VALUES ('x,', 'y')",
        "UPDATE n SET a = 'x', b = ',y'",
    ),
    "a row more of a table without columns": (
        "CREATE TABLE zero(); INSERT INTO zero DEFAULT VALUES",
        "INSERT INTO zero DEFAULT VALUES",
    ),
    "rows that are twice there": (
        "CREATE TABLE d(a int); INSERT INTO d VALUES (1), (1)",
        "DELETE FROM d WHERE ctid = '(0,1)'",
    ),
    "a dropped column": (
        "CREATE TABLE d(a int, b int, c text); INSERT INTO d VALUES (1, 2, 'c'); ALTER TABLE d DROP COLUMN b",
        "UPDATE d SET c = 'd'",
    ),
    "names of every kind": (
        """CREATE SCHEMA "Größe ""a"" 'b' :c {d} \\ ";
        CREATE TABLE "Größe ""a"" 'b' :c {d} \\ "."select"("a""b" int, "ü" text);
        INSERT INTO "Größe ""a"" 'b' :c {d} \\ "."select" VALUES (1, 'ß')""",
        """UPDATE "Größe ""a"" 'b' :c {d} \\ "."select" SET "ü" = 'ss'""",
    ),
    "a row that moves to the child": (
        "CREATE TABLE parent(a int); CREATE TABLE child() INHERITS (parent); INSERT INTO parent VALUES (1)",
        "DELETE FROM parent; INSERT INTO child VALUES (1)",
    ),
    "a partition": (
        "CREATE TABLE p(a int) PARTITION BY LIST (a);"
        "CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1, 2); INSERT INTO p VALUES (1)",
        "UPDATE p SET a = 2",
    ),
    "a child that had a column before its parent got one more": (
        "CREATE TABLE top(a int); CREATE TABLE other(z int, a int); CREATE TABLE child(b text) INHERITS (top, other);"
        "CREATE TABLE below(c text) INHERITS (child); ALTER TABLE top ADD x text; ALTER TABLE child ADD d text;"
        "ALTER TABLE other DROP COLUMN a CASCADE; INSERT INTO below VALUES (1, 2, 'b', 'c', 'x', 'd')",
        "UPDATE below SET x = 'd', d = 'x'",
    ),
    "partitions by the hash of a value of an enum": (  # its oid, which is another one after a restore
        "CREATE TYPE e AS ENUM ('a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'); "
        'CREATE TABLE h("{of}" int, v e) PARTITION BY LIST ("{of}");'
        "CREATE TABLE l PARTITION OF h FOR VALUES IN (1)"
        " PARTITION BY HASH (v); CREATE TABLE l0 PARTITION OF l FOR VALUES WITH (MODULUS 2, REMAINDER 0);"
        "CREATE TABLE l1 PARTITION OF l FOR VALUES WITH (MODULUS 2, REMAINDER 1);"
        "INSERT INTO h SELECT 1, v FROM unnest(enum_range(NULL::e)) v",
        "UPDATE h SET v = 'a' WHERE v = 'b'",
    ),
    "an unlogged table": ("CREATE UNLOGGED TABLE u(a int); INSERT INTO u VALUES (1)", "UPDATE u SET a = 2"),
    "a minus before zero": (
        "CREATE TABLE f(a float8, b float4); INSERT INTO f VALUES (0, 'NaN')",
        "UPDATE f SET a = '-0'",
    ),
    "the last digit": ("CREATE TABLE f(a float8); INSERT INTO f VALUES (0.1)", "UPDATE f SET a = 0.10000000000000002"),
    "types of many kinds": (
        """CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE DOMAIN positive AS int CHECK (VALUE > 0);
        CREATE TABLE k(a mood, b positive, c int4range, d jsonb, e tsvector, f uuid, g bytea, h xml, i money,
          j interval, k timestamptz, l positive[], m inet, n bit varying, o numeric,
          p int GENERATED ALWAYS AS (b * 2) STORED);
        INSERT INTO k VALUES ('ok', 1, '[1,3)', '{"b": 1, "a": [null]}', 'a b:3',
          '00000000-0000-0000-0000-000000000001',
          '\\xff00', '<a/>', '12.30', '1 mon 2 days 3.5 s',
          '2020-01-01 00:00:00.000001+02', '{1,2}', '::1/64', '101', 1.10)""",
        "UPDATE k SET o = 1.1",
    ),
    "text of a case-blind collation": (
        "CREATE COLLATION blind (provider = icu, locale = 'und-u-ks-level2', deterministic = false);"
        "CREATE TABLE c(a text COLLATE blind); INSERT INTO c VALUES ('a')",
        "UPDATE c SET a = 'A'",
    ),
    "a sequence that was not asked yet": ("CREATE SEQUENCE s START 5", "SELECT nextval('s')"),
    "a sequence that was set": ("CREATE SEQUENCE s; SELECT setval('s', 7)", "SELECT setval('s', 7, false)"),
    "a large object": ("SELECT lo_from_bytea(4711, 'abc')", "SELECT lo_put(4711, 1, 'x')"),
    "a large object with a hole": (
        "SELECT lo_from_bytea(4711, 'abc'); SELECT lo_put(4711, 9000, 'x')",
        "SELECT lo_unlink(4711)",
    ),
    "an empty large object": ("SELECT lo_create(4711)", "SELECT lo_unlink(4711)"),
    "a materialized view that is filled": (
        "CREATE MATERIALIZED VIEW m AS SELECT 1 AS a WITH NO DATA",
        "REFRESH MATERIALIZED VIEW m",
    ),
    "another materialized view": (
        "CREATE MATERIALIZED VIEW m AS SELECT 1 AS a",
        "DROP MATERIALIZED VIEW m; CREATE MATERIALIZED VIEW m AS SELECT 2 AS a",
    ),
    "a table whose rows are hidden": (
        "CREATE TABLE r(a int); INSERT INTO r VALUES (1); "
        "ALTER TABLE r ENABLE ROW LEVEL SECURITY; ALTER TABLE r FORCE ROW LEVEL SECURITY",
        "UPDATE r SET a = 2",
    ),
}


ODD = """CREATE TABLE "a %s $mnemo$ :x 'y' \\z"(t text, v float8[]); INSERT INTO "a %s $mnemo$ :x 'y' \\z"
 SELECT repeat(md5(n::text), n), ARRAY[n / 7.0, -n] FROM generate_series(1, 200) n;
CREATE TABLE nothing(); INSERT INTO nothing DEFAULT VALUES; CREATE TABLE empty(a int);
SELECT lo_from_bytea(4711, 'abc'); SELECT lo_put(4711, 9000, 'x'); CREATE SEQUENCE "%1$s";"""


def test_a_digest_is_what_earlier_versions_wrote_down(databases: Databases) -> None:
    assert databases.make(ODD).rows() == {
        "rows of public.\"a %s $mnemo$ :x 'y' \\z\"": "200 (6b100a7514e32e8c57c1fd1ffbfda92d)",
        "rows of public.empty": "0 (3eac1f3c2ef5215eb9bd13e28ae0975a)",
        "rows of public.nothing": "1 (ba448ab0317ed25737543ccf732e78b1)",
        'sequence public."%1$s"': "1, not called",
        "large objects": "1 (9100dbe1429852db35c6745ccc3d15b0)",
    }


DEFINED = ("another materialized view",)  # its rows are none of its own


@pytest.mark.parametrize("case", CONTENT)
def test_a_restore_is_the_same_and_a_change_is_seen(case: str, databases: Databases, tmp_path: Path) -> None:
    made, change = CONTENT[case]
    server = databases.make(made + ";")
    rows = server.rows()
    found, restored = databases.copied(server, tmp_path)
    assert restored.changed(rows) == []
    assert server.differences(found) == server.changed(rows) == []
    server.sql(change + ";")
    assert len(server.differences(found)) >= 1
    assert len(server.changed(rows)) >= 1 or case in DEFINED


SETTINGS = {
    "search_path": "app, public", "bytea_output": "escape", "DateStyle": "German", "extra_float_digits": "-3",
    "IntervalStyle": "postgres_verbose", "TimeZone": "Asia/Kathmandu", "xmloption": "document", "xmlbinary": "hex",
    "quote_all_identifiers": "on", "row_security": "off", "standard_conforming_strings": "off",
    "escape_string_warning": "off", "client_encoding": "LATIN1", "default_transaction_isolation": "serializable",
    "statement_timeout": "1min", "enable_seqscan": "off", "lc_monetary": "C.UTF-8",
}  # fmt: skip


def test_settings_of_a_database_and_of_a_role_do_not_matter(databases: Databases, tmp_path: Path) -> None:
    server = databases.make(
        """CREATE SCHEMA app; CREATE TABLE app.docs(id int); CREATE TABLE app."Größe"(v float8, b bytea, i interval);
        INSERT INTO app."Größe" VALUES (0.30000000000000004, '\\x00ff', '1 mon 3 h');
        CREATE TABLE refs(r regclass, p regprocedure, t regtype, n regnamespace, k timestamptz, m money);
        INSERT INTO refs VALUES ('app.docs', 'lower(text)', 'app.docs', 'app', '2020-05-17 12:00:00+02', '1234.50');
        CREATE MATERIALIZED VIEW app.mv AS SELECT * FROM app.docs;"""
    )
    plain = server.rows()
    database = f"DATABASE {server.entry}"
    of_both = f"ROLE {server.user} IN {database}"  # it wins over the database's
    every = [(database, *pair) for pair in SETTINGS.items()]
    values = [(owner, name, value if name == "search_path" else literal(value)) for owner, name, value in every]
    values.append((of_both, "DateStyle", "'SQL'"))
    server.sql("".join(f"ALTER {owner} SET {name} = {value};\n" for owner, name, value in values))
    found, restored = databases.copied(server, tmp_path)
    assert server.rows() == restored.rows() == plain
    assert server.differences(found) == []


def test_a_policy_that_hides_rows_raises(databases: Databases) -> None:
    server = databases.make("CREATE TABLE r(a int); ALTER TABLE r ENABLE ROW LEVEL SECURITY; CREATE ROLE reader LOGIN;")
    server.sql("GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader;")
    reader = Server(server.machine, server.run, "reader", server.entry, server.socket, "-c row_security=off")
    with pytest.raises(CommandFailed, match="row-level security"), reader.snapshot(reader.entry) as talk:
        proof.rows(talk)


@pytest.mark.parametrize("populated", [True, False], ids=["stale", "never populated"])
def test_a_materialized_view_that_is_not_as_its_tables_are_is_restorable(
    populated: bool, databases: Databases, tmp_path: Path
) -> None:
    made = f"CREATE MATERIALIZED VIEW v AS SELECT s FROM b WHERE s IN ('a', 'b') WITH {'' if populated else 'NO '}DATA;"
    server = databases.make(
        f"CREATE TABLE b(s varchar(9)); INSERT INTO b VALUES ('a'); {made} INSERT INTO b VALUES ('b');"
    )
    _, restored = databases.copied(server, tmp_path)
    assert restored.changed(server.rows()) == []
    assert restored.query("SELECT json_object_agg(matviewname, ispopulated) FROM pg_matviews;") == {"v": populated}


def first_way(server: Server) -> dict[str, Any]:
    """The facts that sets had before the way of hashing had a number."""
    every = []
    for name, of in (("relname", "pg_stat_user_tables"), ("matviewname", "pg_matviews")):
        every += server.query(f"SELECT json_agg(format('%I.%I', schemaname, {name})) FROM {of};") or []
    seeds = "coalesce(sum(hashtextextended(t::text, {})::numeric), 0)::text"
    query = f"SELECT json_build_object('rows', count(*), 'hash', md5({seeds.format(0)} || ':' || {seeds.format(1)}))"
    path = 'SET search_path = "$user", public;'
    return {
        "tables": {name: server.query(f"{postgres_digest.SETTINGS}{path}{query} FROM {name} t;") for name in every},
        "sequences": server.query(
            "SELECT json_object_agg(format('%I.%I', schemaname, sequencename), last_value) FROM pg_sequences;"
        ),
    }


def test_a_set_of_the_first_way_is_compared_as_it_was_made(databases: Databases, tmp_path: Path) -> None:
    server = databases.make(
        "CREATE TABLE odd(t text, v serial); INSERT INTO odd VALUES ('a'); CREATE TABLE p(a int);"
        "CREATE TABLE c() INHERITS (p); INSERT INTO c VALUES (1); CREATE MATERIALIZED VIEW m AS SELECT t FROM odd;"
        "INSERT INTO odd VALUES ('b'); CREATE TABLE named(r regclass); INSERT INTO named VALUES ('odd');"
    )
    second = ("digest", "tables", "sequences", "matviews", "large_objects")
    found = {name: value for name, value in saved(server, tmp_path).items() if name not in second}
    found.update(first_way(server))
    restored, said = databases.again(found, tmp_path)
    assert said == []
    restored.sql("UPDATE c SET a = 2;")
    assert len(restored.differences(found)) == 2


def test_a_table_that_an_extension_makes_is_not_compared(databases: Databases, tmp_path: Path) -> None:
    """No dump holds it: its extension makes it again."""
    server = databases.make(
        "CREATE EXTENSION hstore; CREATE TABLE own(a int); CREATE SEQUENCE seq; INSERT INTO own VALUES (1);"
        "ALTER EXTENSION hstore ADD TABLE own; ALTER EXTENSION hstore ADD SEQUENCE seq; CREATE TABLE ours(a hstore);"
    )
    found, restored = databases.copied(server, tmp_path)
    assert list(found["tables"]) == ["public.ours"]
    assert restored.changed(server.rows()) == []


def test_a_set_of_a_newer_way_is_refused(databases: Databases) -> None:
    with pytest.raises(Refused):
        databases.make().differences({"digest": 3})
