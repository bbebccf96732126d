"""A set of an earlier version, which holds one database: put in place, and what it does not hold is as it was here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from databases import FILE, OWNER, Application, Databases, saved
from engine import PROGRAMS, entrance, returned
from sample import WATCHED

from mnemo_ops.agent.stack.cluster.earlier import Earlier
from mnemo_ops.agent.stack.cluster.server import Server
from mnemo_ops.errors import CommandFailed

LOCALE = ("encoding", "collate", "ctype", "provider", "locale", "rules")


@pytest.mark.parametrize("provider", ["icu", "libc"])
def test_a_locale_of_another_provider_is_kept(provider: str, databases: Databases, tmp_path: Path) -> None:
    icu = "LOCALE_PROVIDER icu ICU_LOCALE 'de-DE' LOCALE 'C.UTF-8'"
    server = databases.make("CREATE TABLE a(b int);", icu if provider == "icu" else "ENCODING 'LATIN1' LOCALE 'C'")
    found, restored = databases.copied(server, tmp_path)
    here = saved(restored, tmp_path)
    assert {name: here[name] for name in LOCALE} == {name: found[name] for name in LOCALE}
    expected = {"icu": ("UTF8", "i", "de-DE"), "libc": ("LATIN1", "c", None)}[provider]
    assert (found["encoding"], found["provider"], found["locale"]) == expected


NAMING: Mapping[str, str] = {
    "a policy": "ALTER TABLE docs ENABLE ROW LEVEL SECURITY; CREATE POLICY own ON docs TO app USING (true);",
    "a mapping": "CREATE USER MAPPING FOR app SERVER far;",
}
NAMED = """SELECT json_agg(name) FROM (SELECT unnest(polroles)::regrole AS name FROM pg_policy
 UNION ALL SELECT umuser::regrole FROM pg_user_mapping) named;"""


@pytest.mark.parametrize("case", NAMING)
def test_what_names_a_role_is_restored_where_there_is_none(case: str, databases: Databases, tmp_path: Path) -> None:
    server = databases.make(
        "CREATE TABLE docs(id int); CREATE FOREIGN DATA WRAPPER w; CREATE SERVER far FOREIGN DATA WRAPPER w;"
        "CREATE ROLE app LOGIN PASSWORD 'x';" + NAMING[case]
    )
    found = saved(server, tmp_path)
    assert found["needed_roles"] == ["app"]
    server.sql("DROP POLICY IF EXISTS own ON docs; DROP SERVER far CASCADE; DROP ROLE app;")
    restored, said = databases.again(found, tmp_path)
    assert said == [] and restored.query(NAMED) == ["app"]
    assert restored.query("SELECT json_agg(rolcanlogin) FROM pg_roles WHERE rolname = 'app';") == [False]


def test_a_table_in_a_tablespace_goes_to_the_default_one(databases: Databases, tmp_path: Path) -> None:
    databases.server.sql("SET allow_in_place_tablespaces = on; CREATE TABLESPACE fast LOCATION '';")
    server = databases.make()
    try:
        server.sql("CREATE TABLE here(a int) TABLESPACE fast;")
        _, restored = databases.copied(server, tmp_path)
        space = "SELECT to_json(reltablespace::bigint) FROM pg_class WHERE relname = 'here';"
        assert restored.query(space) == 0 != server.query(space)
    finally:
        server.sql("DROP TABLE IF EXISTS here;")
        databases.server.sql("DROP TABLESPACE fast;")


def test_who_watches_a_database_sees_nothing_of_its_restore(databases: Databases, tmp_path: Path) -> None:
    """An event trigger of the owner would write to his tables, or refuse what is done."""
    server = databases.make(WATCHED)
    _, restored = databases.copied(server, tmp_path)
    assert restored.changed(server.rows()) == []


def test_the_first_error_of_a_restore_ends_it(databases: Databases, tmp_path: Path) -> None:
    found = saved(databases.make(), tmp_path)
    (tmp_path / FILE).write_bytes(b"no dump")
    with pytest.raises(CommandFailed):
        databases.again(found, tmp_path)


def test_a_database_that_is_gone_is_made_under_its_own_name(databases: Databases, tmp_path: Path) -> None:
    """Of the name that the image was told, though the server is entered through another one."""
    server = databases.make("CREATE TABLE docs(id int);")
    databases.server.sql("SET allow_in_place_tablespaces = on; CREATE TABLESPACE fast LOCATION '';")
    try:
        found = saved(server, tmp_path)
        target = databases.engine.place(PROGRAMS, "gone")
        way = entrance(databases.server, databases.place)
        filled = Earlier.of(way, target, found, str(tmp_path), "my app", FILE)
        assert returned(filled.fill()) == {"differences": [], "kept": [], "unknown": []}
        with databases.engine.started(target, OWNER, "my app") as now:
            assert now.query("SELECT json_agg(relname) FROM pg_stat_user_tables;") == ["docs"]
    finally:
        databases.server.sql("DROP TABLESPACE fast;")


ASIDE = "mnemo_before_20260101t101112z_ab12"  # what a restore of an earlier version left here


@pytest.fixture
def cluster(databases: Databases, request: pytest.FixtureRequest) -> Iterator[tuple[Server, Application]]:
    """A running cluster with roles and settings of its own, entered through the database of an application."""
    engine, name = databases.engine, request.param
    place = engine.place(PROGRAMS, f"here {name.split()[0]}".replace(" ", "-"))
    engine.machine.run(place.once("initdb", "-D", place.data, "-U", "my user", "--auth=trust", "-E", "UTF8", "-N"))
    with engine.started(place, "my user", "template1") as first:
        first.sql("CREATE ROLE app LOGIN PASSWORD 'hush' CONNECTION LIMIT 0; ALTER ROLE app SET work_mem = '5MB';")
        first.sql(f"CREATE DATABASE {ASIDE};")
        if name != "postgres":
            first.sql(f'CREATE DATABASE "{name}" OWNER app;')
        server = Server(engine.machine, place.inside, "my user", name, place.socket)
        yield server, Application(server.machine, server.run, server.user, name, server.socket)


@pytest.mark.parametrize("cluster", ["postgres", "my 'data'"], indirect=True)
def test_a_cluster_is_filled(cluster: tuple[Server, Application], databases: Databases, tmp_path: Path) -> None:
    server, application = cluster
    application.sql("CREATE TABLE docs(id serial, t text); INSERT INTO docs(t) VALUES ('a'), ('b');")
    found, rows = saved(server, tmp_path), application.rows()
    application.sql("DELETE FROM docs; CREATE TABLE later(a int);")
    engine = databases.engine
    source = engine.places[server.socket]
    target = engine.place(PROGRAMS, "there" + str(len(server.entry)))
    filled = Earlier.of(entrance(server, source), target, found, str(tmp_path), server.entry, FILE)
    assert returned(filled.fill()) == {"differences": [], "kept": [], "unknown": []}
    with engine.started(target, "my user", server.entry) as now:
        there = Application(now.machine, now.run, now.user, now.entry, now.socket)
        assert there.changed(rows) == []
        password = "SELECT to_json(rolpassword) FROM pg_authid WHERE rolname = 'app';"
        assert there.query(password) == server.query(password) is not None
        assert there.query("SELECT to_json(setconfig) FROM pg_db_role_setting;") == ["work_mem=5MB"]
        owner = "SELECT to_json(pg_get_userbyid(datdba)) FROM pg_database WHERE datname = current_database();"
        assert there.query(owner) == "my user"
