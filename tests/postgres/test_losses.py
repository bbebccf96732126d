"""What no set of the database holds is named; what a set holds is not, and nothing is in a database as it is made."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from clusters import Make, Server, copy

from mnemo_ops.agent.stack import losses, restore_record
from mnemo_ops.agent.stack.postgres import Postgres
from mnemo_ops.errors import Refused

ROLE = "CREATE ROLE app LOGIN PASSWORD 'x'; "
TABLE = "CREATE TABLE t(id int); "

# case -> SQL in the database (DB is its name), a name that must be told, whether a restore replaces it
OF_DATABASE: Mapping[str, tuple[str, str]] = {
    "an owner of a table": (ROLE + TABLE + "ALTER TABLE t OWNER TO app", "table public.t (app)"),
    "an owner of a function": (
        ROLE + "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'; ALTER FUNCTION f OWNER TO app",
        "function public.f() (app)",
    ),
    "an owner of a large object": (ROLE + "SELECT lo_create(4711); ALTER LARGE OBJECT 4711 OWNER TO app", "4711 (app)"),
    "the owner of the database": (ROLE + "ALTER DATABASE DB OWNER TO app", "(app)"),
    "a grant of a table": (ROLE + TABLE + "GRANT SELECT ON t TO app", "table public.t"),
    "a grant to everybody": (TABLE + "GRANT SELECT ON t TO PUBLIC", "table public.t"),
    "a grant of a column": (TABLE + "GRANT SELECT (id) ON t TO PUBLIC", "public.t.id"),
    "a grant of a sequence": ("CREATE SEQUENCE s; GRANT USAGE ON SEQUENCE s TO PUBLIC", "sequence public.s"),
    "a grant of a schema": ("CREATE SCHEMA s; GRANT USAGE ON SCHEMA s TO PUBLIC", "schema s"),
    "a right that was taken from everybody": (
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'; REVOKE EXECUTE ON FUNCTION f FROM PUBLIC",
        "function public.f()",
    ),
    "rights of the schema public": ("REVOKE ALL ON SCHEMA public FROM PUBLIC", "schema public"),
    "a right of a function of the system": ("REVOKE ALL ON FUNCTION pg_sleep FROM PUBLIC", "pg_catalog.pg_sleep"),
    "a right of an extension": (
        "REVOKE ALL ON FUNCTION show_limit FROM PUBLIC",
        "public.show_limit()",
    ),
    "a grant of a type": ("CREATE DOMAIN d AS int; REVOKE ALL ON TYPE d FROM PUBLIC", "public.d"),
    "a grant of a language": ("REVOKE ALL ON LANGUAGE sql FROM PUBLIC", "language sql"),
    "a grant of a large object": ("SELECT lo_create(4711); GRANT SELECT ON LARGE OBJECT 4711 TO PUBLIC", "4711"),
    "a grant of the database": ("REVOKE CONNECT ON DATABASE DB FROM PUBLIC", "database"),
    "default privileges": ("ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC", "default privileges of mnemo"),
    "a setting": ("ALTER DATABASE DB SET timezone = 'Europe/Berlin'", "TimeZone"),
    "a setting of a role here": (ROLE + "ALTER ROLE app IN DATABASE DB SET work_mem = '8MB'", "work_mem for app"),
    "a comment on the database": ("COMMENT ON DATABASE DB IS 'ours'", "its comment"),
    "a limit of connections": ("ALTER DATABASE DB CONNECTION LIMIT 7", "a limit of connections"),
    "a subscription": (
        "CREATE SUBSCRIPTION s CONNECTION 'dbname=nowhere' PUBLICATION p WITH (connect = false, slot_name = NONE)",
        "s",
    ),
}
OF_SERVER: Mapping[str, tuple[str, str]] = {
    "a database": ("CREATE DATABASE second", "second"),
    "a role": ("CREATE ROLE grafana_ro", "grafana_ro"),
    "a membership": ("GRANT pg_monitor TO mnemo", "mnemo in pg_monitor"),
    "a setting of a role": ("ALTER ROLE mnemo SET search_path = 'app'", "search_path of mnemo"),
    "a setting of all": ("ALTER ROLE ALL SET work_mem = '8MB'", "work_mem"),
    "a setting of the system": ("ALTER SYSTEM SET work_mem = '8MB'", "work_mem"),
    "a comment on the role": ("COMMENT ON ROLE mnemo IS 'ours'", "its comment"),
    "an end of the role": ("ALTER ROLE mnemo VALID UNTIL '2099-01-01'", "a limit"),
    "a slot": ("SELECT pg_create_physical_replication_slot('standby')", "standby"),
}
CLEAN = """DROP DATABASE IF EXISTS second; ALTER ROLE mnemo RESET ALL; ALTER ROLE ALL RESET ALL; ALTER SYSTEM RESET ALL;
COMMENT ON ROLE mnemo IS NULL; ALTER ROLE mnemo VALID UNTIL 'infinity'; REVOKE pg_monitor FROM mnemo;
UPDATE pg_authid SET rolvaliduntil = NULL WHERE rolname = 'mnemo'; DROP ROLE IF EXISTS grafana_ro;
SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots; DROP TABLE IF EXISTS forgotten;
DROP EXTENSION IF EXISTS pg_trgm;"""


@pytest.fixture
def stock(cluster: Server, make: Make) -> Iterator[Postgres]:
    """A database as an application has it, on a server that has nothing else; the server is so again afterwards."""
    made = make("CREATE EXTENSION pg_trgm; CREATE EXTENSION hstore; CREATE TABLE docs(id serial PRIMARY KEY, t text);")
    assert losses.of_set(made) == []
    yield made
    main = cluster.database("postgres")
    for database in main.query("SELECT json_agg(datname) FROM pg_database WHERE datname ~ '^case';"):
        main.sql("DROP SUBSCRIPTION IF EXISTS s;", database)
        if "app" in main.query("SELECT json_agg(rolname) FROM pg_roles;"):
            main.sql("REASSIGN OWNED BY app TO mnemo; DROP OWNED BY app;", database)
    main.sql(CLEAN + "DROP ROLE IF EXISTS app;")


def schema(server: Postgres) -> str:
    """All that pg_dump tells of a database, with owners, grants and settings."""
    said = server.machine.ask(server.argv("pg_dump", "-U", server.user, "-d", server.database, "--create")).out
    return re.sub(r"(?m)^\\(un)?restrict .*$", "", said).replace(server.database, "DB")


@pytest.mark.parametrize("case", OF_DATABASE)
def test_what_a_restore_replaces_is_named(case: str, stock: Postgres, make: Make, tmp_path: Path) -> None:
    sql, name = OF_DATABASE[case]
    stock.sql(sql.replace("DB", stock.database) + ";")
    found = losses.of_restore(stock)
    assert len(found) == 1 and name in found[0]
    assert found[0] in losses.of_set(stock)
    if "subscription" not in case:  # its copy is there, and is disabled
        _, restored = copy(stock, make, tmp_path)
        assert losses.of_restore(restored) == [], "it is lost indeed"


@pytest.mark.parametrize("case", OF_SERVER)
def test_what_the_server_has_beside_is_named(case: str, stock: Postgres) -> None:
    sql, name = OF_SERVER[case]
    stock.sql(sql + ";")
    found = losses.of_set(stock)
    assert len(found) == 1 and name in found[0]
    assert losses.of_restore(stock) == []


@pytest.mark.parametrize("sql", ["CREATE TABLE forgotten(a int);", "CREATE EXTENSION pg_trgm;"])
def test_the_database_postgres_is_not_empty(sql: str, stock: Postgres) -> None:
    stock.sql(sql, "postgres")
    (found,) = losses.of_set(stock)
    assert "forgotten" in found or "pg_trgm" in found
    assert losses.of_set(Postgres(stock.machine, "any", stock.user, "postgres")) != [found], "there it is in the set"


def test_what_a_set_holds_is_not_named(stock: Postgres, make: Make, tmp_path: Path) -> None:
    stock.sql(
        """CREATE SCHEMA app; CREATE VIEW app.v AS SELECT 1; CREATE MATERIALIZED VIEW mv AS SELECT 1;
        CREATE FUNCTION e() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END'; COMMENT ON SCHEMA app IS 'a comment';
        CREATE EVENT TRIGGER made ON ddl_command_end EXECUTE FUNCTION e(); CREATE PUBLICATION p FOR TABLE docs;
        CREATE FOREIGN DATA WRAPPER w; CREATE SERVER far FOREIGN DATA WRAPPER w; SELECT lo_create(1);
        CREATE UNLOGGED TABLE u(a int); CREATE TYPE mood AS ENUM ('ok'); GRANT SELECT ON docs TO mnemo;
        ALTER TABLE docs ENABLE ROW LEVEL SECURITY; CREATE POLICY own ON docs USING (true);
        CREATE STATISTICS st ON id, t FROM docs; ALTER TABLE docs CLUSTER ON docs_pkey;"""
    )
    assert losses.of_set(stock) == []
    _, restored = copy(stock, make, tmp_path)
    assert schema(restored) == schema(stock)
    events = "SELECT json_build_array((SELECT count(*) FROM pg_event_trigger), (SELECT count(*) FROM pg_publication),"
    assert restored.query(events + "(SELECT count(*) FROM pg_policy));") == [1, 1, 1]


NAMING = {
    "a policy": "ALTER TABLE docs ENABLE ROW LEVEL SECURITY; CREATE POLICY own ON docs TO app USING (true);",
    "a mapping": "CREATE USER MAPPING FOR app SERVER far;",
}
NAMED = """SELECT json_agg(name) FROM (SELECT unnest(polroles)::regrole AS name FROM pg_policy
 UNION ALL SELECT umuser::regrole FROM pg_user_mapping) named;"""


@pytest.mark.parametrize("case", NAMING)
def test_what_names_a_role_is_restored_where_there_is_none(
    case: str, stock: Postgres, make: Make, tmp_path: Path
) -> None:
    stock.sql("CREATE FOREIGN DATA WRAPPER w; CREATE SERVER far FOREIGN DATA WRAPPER w;" + ROLE + NAMING[case])
    assert [line for line in losses.of_set(stock) if "app" in line and "role" in line]
    before, _ = copy(stock, make, tmp_path)
    assert before["needed_roles"] == ["app"]
    stock.sql("DROP POLICY IF EXISTS own ON docs; DROP SERVER far CASCADE; DROP DATABASE case1;")
    stock.sql("DROP ROLE app;")
    restored = make()
    restored.make_roles(before["needed_roles"])
    with (tmp_path / "dump").open("rb") as source:
        restored.restore(restored.database, source, lambda: None)
    assert restored.query(NAMED) == ["app"]
    assert restored.query("SELECT json_agg(rolcanlogin) FROM pg_roles WHERE rolname = 'app';") == [False]


def test_a_table_in_a_tablespace_goes_to_the_default_one(stock: Postgres, make: Make, tmp_path: Path) -> None:
    space = "SELECT to_json(reltablespace::bigint) FROM pg_class WHERE relname = 'here';"
    options = "SET allow_in_place_tablespaces = on;"
    stock.sql(options + "CREATE TABLESPACE fast LOCATION '';")
    try:
        stock.sql("CREATE TABLE here(a int) TABLESPACE fast;")
        (found,) = losses.of_restore(stock)
        assert "here in fast" in found
        _, restored = copy(stock, make, tmp_path)
        assert restored.query(space) == 0 != stock.query(space)
    finally:
        stock.sql("DROP TABLE IF EXISTS here;")
        stock.sql("DROP TABLESPACE fast;")


def test_no_value_is_told(stock: Postgres) -> None:
    stock.sql(f"ALTER DATABASE {stock.database} SET app.jwt_secret = 'hush';")
    (found,) = losses.of_set(stock)
    assert "app.jwt_secret" in found and "hush" not in found


def test_ten_of_a_kind_are_named(stock: Postgres) -> None:
    stock.sql("".join(f"CREATE TABLE t{n:02}(a int); GRANT SELECT ON t{n:02} TO PUBLIC;" for n in range(13)))
    (found,) = losses.of_set(stock)
    assert "t09" in found and "t10" not in found and "and 3 more" in found


def test_what_is_kept_of_a_restore_is_no_loss(stock: Postgres) -> None:
    stamp = "20260101t101112z_ab12"
    kept = [restore_record.database(side, "20260101T101112Z-ab12") for side in ("before", "after", "stray_1767262272")]
    kept += [f"{stock.database}_before_{stamp}_1767262272", f"mnemosyne_restore_{stamp}"]  # of earlier versions
    for name in kept:
        stock.sql(f"CREATE DATABASE {name};")
    try:
        assert losses.of_set(stock) == []
        assert restore_record.strays(stock.machine, stock, []) == [kept[2]]
        stock.sql(f"CREATE DATABASE {stock.database}_before_ours;")
        assert "_before_ours" in losses.of_set(stock)[0]
    finally:
        for name in (*kept, f"{stock.database}_before_ours"):
            stock.sql(f"DROP DATABASE IF EXISTS {name};")


def test_a_loss_is_refused_until_it_is_accepted() -> None:
    losses.refuse([], False, "x")
    losses.refuse(["roles: app"], True, "x")
    with pytest.raises(Refused) as refused:
        losses.refuse(["roles: app", "grants: t"], False, "x")
    assert "app" in refused.value.message and "grants" in refused.value.message
    assert "--accept-loss" in (refused.value.hint or "")
