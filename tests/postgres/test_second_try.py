"""What a dump says without a schema, or asks again, and the source does not: a restore gives it back as it was.

``MNEMO_POSTGRES`` is the directory of the programs of the source, ``MNEMO_POSTGRES_TARGET`` of those for the copy.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from engine import BOSS, PROGRAMS, Engine, engine, returned, scratch

from mnemo_ops.agent.base.record import replace
from mnemo_ops.agent.stack.cluster.place import Place
from mnemo_ops.agent.stack.cluster.scratch import Scratch
from mnemo_ops.agent.stack.cluster.server import Server
from mnemo_ops.errors import CommandFailed

TARGET = Path(os.environ.get("MNEMO_POSTGRES_TARGET") or PROGRAMS)
PLAIN = 'search_path="$user",public'
FOUND = """CREATE EXTENSION unaccent; CREATE EXTENSION tablefunc; CREATE SCHEMA words;
CREATE TABLE words.seen (word text);
-- 17 and newer make such an index only where its functions have a path
CREATE FUNCTION simply(text) RETURNS text LANGUAGE plpgsql IMMUTABLE SET search_path = public AS $$
BEGIN RETURN unaccent('unaccent', $1); END $$;
CREATE FUNCTION plainly(text) RETURNS text LANGUAGE sql IMMUTABLE SET work_mem = '5MB' AS $$ SELECT simply($1) $$;
CREATE FUNCTION inline(text) RETURNS text LANGUAGE sql IMMUTABLE SET search_path = public AS
 $$ SELECT unaccent('unaccent', $1) $$;
CREATE FUNCTION own(text) RETURNS text LANGUAGE sql IMMUTABLE SET search_path = public AS $$ SELECT inline($1) $$;
CREATE TABLE names (name text CHECK (inline(name) <> ''),
 bare text GENERATED ALWAYS AS (inline(name)) STORED, r regclass);
INSERT INTO names (name, r) SELECT 'é' || n, 'words.seen' FROM generate_series(1, 9) n;
CREATE FUNCTION bare(n names) RETURNS text LANGUAGE sql IMMUTABLE SET search_path = public AS
 $$ SELECT inline(n.name) $$;
CREATE TABLE parts (n names, a text) PARTITION BY LIST (inline(a)); CREATE TABLE part PARTITION OF parts DEFAULT;
ALTER FUNCTION plainly SET search_path = public; ALTER FUNCTION crosstab(text) SET search_path = public;
CREATE INDEX ON names (inline(name)); CREATE INDEX ON names (plainly(name)); CREATE INDEX ON names (own(name));
CREATE INDEX ON names (bare(names)); CREATE INDEX ON names ((1)) WHERE inline(name) = 'e1';
CREATE STATISTICS told ON (inline(name)), bare FROM names;
CREATE MATERIALIZED VIEW crossed AS SELECT * FROM crosstab('SELECT name, 1, bare FROM names') AS t(name text, one text);
ALTER FUNCTION plainly RESET search_path; ALTER FUNCTION crosstab(text) RESET search_path;
ALTER FUNCTION bare RESET search_path; ALTER FUNCTION simply RESET search_path; ALTER FUNCTION inline RESET search_path;
CREATE MATERIALIZED VIEW later AS SELECT 1 AS a WITH NO DATA;
CREATE FUNCTION see() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO seen VALUES (tg_tag); END';
ALTER FUNCTION see SET search_path = words; CREATE EVENT TRIGGER see ON ddl_command_end EXECUTE FUNCTION see();
DELETE FROM words.seen;
"""
STEMS = """CREATE TABLE texts (t tsvector); INSERT INTO texts VALUES ('a b');
CREATE MATERIALIZED VIEW stems AS SELECT word FROM ts_stat('SELECT t FROM texts'); DELETE FROM words.seen;"""
ASKED = """CREATE TABLE zones (id int); INSERT INTO zones VALUES (1);
CREATE FUNCTION known(int) RETURNS bool LANGUAGE sql AS 'SELECT EXISTS (SELECT FROM public.zones WHERE id = $1)';
CREATE TABLE areas (zone int CHECK (known(zone)), a int CHECK (a > 0)); INSERT INTO areas VALUES (1, 1);
CREATE TABLE offers (until timestamptz CHECK (until > now())); CREATE TABLE old () INHERITS (offers);
CREATE DOMAIN soon AS timestamptz CHECK (VALUE > now()); CREATE TABLE dates (d soon);
INSERT INTO old VALUES (now() + '1 s'); INSERT INTO dates VALUES (now() + '1 s'); SELECT pg_sleep(1.1);
CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (a int REFERENCES a); CREATE TABLE "c"";"(a int REFERENCES a);
CREATE TABLE d (a int); SET session_replication_role = replica;
INSERT INTO b VALUES (7); INSERT INTO "c"";" VALUES (7); INSERT INTO d VALUES (7);
ALTER TABLE d ADD FOREIGN KEY (a) REFERENCES a NOT VALID;
"""
STATE = """SELECT json_build_array((SELECT json_agg(json_build_array(proname, proconfig) ORDER BY proname) FROM pg_proc
  WHERE oid >= 16384), (SELECT json_agg(json_build_array(relname, relchecks) ORDER BY relname) FROM pg_class
  WHERE relchecks > 0), (SELECT json_agg(json_build_array(conname,
  contype, convalidated) ORDER BY conname) FROM pg_constraint
  WHERE oid >= 16384 AND contype <> 'n'));"""


@pytest.fixture(scope="module")
def made() -> Iterator[Engine]:
    with engine() as one:
        yield one


@pytest.fixture(scope="module")
def source(made: Engine) -> Iterator[tuple[Place, Server]]:
    place = made.fresh("source", BOSS)
    with made.started(place, BOSS, "template1") as server:
        yield place, server


@pytest.fixture(scope="module")
def copied(
    made: Engine, source: tuple[Place, Server], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Scratch, Any, list[Any]]]:
    place, server = source
    said = replace(server, options=server.options.replace("search_path=pg_catalog", PLAIN))
    for name, sql in (("found", FOUND), ("asked", ASKED)):
        server.sql(f"CREATE DATABASE {name};")
        said.sql(sql, name)
    older = server.query("SELECT to_json(current_setting('server_version_num')::int < 170000);") and TARGET == PROGRAMS
    said.sql(STEMS if older else STEMS.replace("FROM texts", "FROM public.texts"), "found")
    before = [server.query(STATE, name) for name in ("found", "asked")]
    filled = scratch(server, place, made.place(TARGET, "target"), tmp_path_factory.mktemp("set"))
    server.sql("DROP DATABASE found;\nDROP DATABASE asked;")
    yield filled, returned(filled.fill()), before


def test_it_is_proven_equal(copied: tuple[Scratch, Any, list[Any]]) -> None:
    assert copied[1]["differences"] == []


def test_what_was_lent_is_taken_back(copied: tuple[Scratch, Any, list[Any]]) -> None:
    filled, _, before = copied
    with filled.running(BOSS, "template1") as copy:
        assert [copy.query(STATE, name) for name in ("found", "asked")] == before
        assert copy.query("SELECT to_json(count(*)) FROM public.crossed;", "found") == 9
        assert copy.query("SELECT to_json(count(*)) FROM public.stems;", "found") == 2
        assert copy.query("SELECT to_json(count(*)) FROM words.seen;", "found") == 0
        # a check is asked again from now on
        with pytest.raises(CommandFailed, match="areas_a_check"):
            copy.sql("INSERT INTO public.areas VALUES (1, 0);", "asked")
