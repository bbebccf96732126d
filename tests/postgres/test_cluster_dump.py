"""What a dump of a cluster refuses, what it takes along besides the databases, and what ends a restore."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from engine import BOSS, NAME, PROGRAMS, Engine, engine, entrance, returned, scratch
from pace import PATIENCE
from sample import WATCHED

from mnemo_ops.agent.base.record import replace
from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.stack.cluster import facts, files, proof
from mnemo_ops.agent.stack.cluster import globals as cluster_globals
from mnemo_ops.agent.stack.cluster.dump import compression, dump
from mnemo_ops.agent.stack.cluster.place import Place
from mnemo_ops.agent.stack.cluster.scratch import Scratch
from mnemo_ops.agent.stack.cluster.server import Server, entered
from mnemo_ops.errors import Broken, CommandFailed, Refused
from mnemo_ops.transport import answers


@pytest.fixture(scope="module")
def made() -> Iterator[Engine]:
    with engine() as one:
        yield one


def own_locale(made: Engine, place: Place) -> list[str]:
    """Options of initdb: as little of libc as these programs know."""
    if "--with-icu" in made.machine.ask(place.once("pg_config", "--configure")).out:
        return ["--locale-provider=icu", "--icu-locale=de-AT"]
    known = "--builtin-locale" in made.machine.ask(place.once("initdb", "--help")).out
    return ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--lc-ctype=C.UTF-8"] if known else []


@pytest.fixture(scope="module")
def server(made: Engine) -> Iterator[Server]:
    """A cluster whose superuser, databases and socket are called as nobody expects."""
    place = made.place(PROGRAMS, "plain")
    words = ["--auth=trust", "-E", "UTF8", "--locale=C", "--no-sync", *own_locale(made, place)]
    made.machine.run(place.once("initdb", "-D", place.data, "-U", BOSS, *words))
    with made.started(place, BOSS, "template1", "-c", "max_prepared_transactions=2") as first:
        first.sql("CREATE DATABASE main;\nDROP DATABASE postgres;\nCREATE ROLE plain LOGIN;")
        yield Server(made.machine, place.inside, BOSS, "main", place.socket)


def test_the_facts_of_a_cluster(server: Server) -> None:
    found = facts.look(server)
    assert found["superuser"] == BOSS and found["segment"] == 16
    assert facts.carried(found) == ["main", "template1"]
    assert found["databases"]["main"]["encoding"] == "UTF8" and found["databases"]["template0"]["open"] is False
    assert facts.obstacles(found) == facts.losses(found) == []
    facts.refuse(found, False)
    assert compression(facts.look(server)) in ("3", "zstd:3")


def test_a_look_tells_about_how_many_rows_there_are(server: Server) -> None:
    """Whether or not somebody analyzed the table; and nothing of a database that lets nobody in."""
    rows = "CREATE TABLE s.{0} AS SELECT n FROM generate_series(1, {1}) n;"
    server.sql("CREATE DATABASE shut ALLOW_CONNECTIONS false;")
    server.sql(f"CREATE SCHEMA s; {rows.format('a', 3000)} ANALYZE s.a; {rows.format('never', 70)}", "main")
    try:
        server.machine.wait_until("70 rows", lambda: facts.now(server)["databases"]["main"]["rows"] == 3070, PATIENCE)
        found = facts.now(server)
        assert {name: one["rows"] for name, one in found["databases"].items()} == {
            **{"main": 3070, "shut": None, "template1": 0},
        }
        heard = answers.THERE(found)
        assert {BOSS, "plain"} <= {*heard["roles"]} and heard["databases"]["main"]["bytes"] > 3000
    finally:
        server.sql("DROP SCHEMA s CASCADE;", "main")
        server.sql("DROP DATABASE shut;")


def test_the_way_in_is_found(server: Server) -> None:
    names = ["nobody", "plain", BOSS], ["postgres", "main"]
    found = entered(server.machine, server.run, *names, server.socket)
    assert (found.user, found.entry) == (BOSS, "main")
    with pytest.raises(Refused):
        entered(server.machine, server.run, ["nobody", "plain"], names[1], server.socket)


# what a dump does not carry -> what makes it, what takes it away, the name that is told
OBSTACLES: Mapping[str, tuple[str, str, str]] = {
    "a tablespace": (
        "SET allow_in_place_tablespaces = on; CREATE TABLESPACE fast LOCATION ''",
        "DROP TABLESPACE fast",
        "fast",
    ),
    "an option of a tablespace": (
        "ALTER TABLESPACE pg_default SET (random_page_cost = 1)",
        "ALTER TABLESPACE pg_default RESET (random_page_cost)",
        "pg_default",
    ),
    "an extension with a restore of its own": (
        "CREATE EXTENSION hstore; UPDATE pg_extension SET extname = 'timescaledb' WHERE extname = 'hstore'",
        "UPDATE pg_extension SET extname = 'hstore' WHERE extname = 'timescaledb'; DROP EXTENSION hstore",
        "timescaledb in main",
    ),
    "a prepared transaction": (
        "CREATE TABLE public.held (a int); BEGIN; LOCK TABLE public.held; PREPARE TRANSACTION 'half done'",
        "ROLLBACK PREPARED 'half done'; DROP TABLE public.held",
        "half done in main",
    ),
}
LOSSES: Mapping[str, tuple[str, str, str]] = {
    "a slot": (
        "SELECT pg_create_physical_replication_slot('standby')",
        "SELECT pg_drop_replication_slot('standby')",
        "standby",
    ),
    "an origin": (
        "SELECT pg_replication_origin_create('afar')",
        "SELECT pg_replication_origin_drop('afar')",
        "afar",
    ),
    "a closed database": (
        "CREATE DATABASE shut;\nALTER DATABASE shut ALLOW_CONNECTIONS false",
        "DROP DATABASE shut",
        "shut",
    ),
    "a database half removed": (
        "CREATE DATABASE half;\nUPDATE pg_database SET datconnlimit = -2 WHERE datname = 'half'",
        "DROP DATABASE half",
        "half",
    ),
    "a table of the system": (
        "SET allow_system_table_mods = on; CREATE TABLE pg_catalog.ours (a int)",
        "SET allow_system_table_mods = on; DROP TABLE pg_catalog.ours",
        "table pg_catalog.ours in main",
    ),
    "a function of the system": (
        "SET allow_system_table_mods = on;CREATE FUNCTION pg_catalog.ours() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "DROP FUNCTION pg_catalog.ours()",
        "function pg_catalog.ours() in main",
    ),
}


@pytest.mark.parametrize("case", [*OBSTACLES, *LOSSES])
def test_what_no_dump_carries_is_refused_by_name(case: str, server: Server) -> None:
    sql, undo, name = {**OBSTACLES, **LOSSES}[case]
    server.sql(sql + ";")
    try:
        found = facts.look(server)
    finally:
        server.sql(undo + ";")
    with pytest.raises(Refused, match=re.escape(name)):
        facts.refuse(found, accept_loss=False)
    if case in LOSSES:
        assert facts.obstacles(found) == [] and len(facts.losses(found)) == 1
        facts.refuse(found, accept_loss=True)
    else:
        with pytest.raises(Refused, match=re.escape(name)):
            facts.refuse(found, accept_loss=True)
    facts.refuse(facts.look(server), accept_loss=False)


def test_a_server_with_few_locks_is_read_whole(made: Engine, tmp_path: Path) -> None:
    """One transaction reads every table, and a plan locks each index of it."""
    place = made.place(PROGRAMS, "few")
    made.machine.run(place.once("initdb", "-D", place.data, "-U", BOSS, "--auth=trust", "--locale=C", "--no-sync"))
    few = ("-c", "max_locks_per_transaction=10", "-c", "max_connections=8")
    with made.started(place, BOSS, "template1", *few) as server:
        indexes = "format('CREATE INDEX ON public.t%s (a)', n)" + ", format('CREATE INDEX ON public.t%s (a)', n)" * 19
        tables = f"SELECT format('CREATE TABLE public.t%s (a int)', n), {indexes} FROM generate_series(1, 100) n"
        server.sql(f"{tables} \\gexec\n")
        filled = scratch(server, place, made.place(PROGRAMS, "many"), tmp_path)
    assert len(filled.facts["rows"]["template1"]) > 100
    assert returned(filled.fill())["differences"] == []


def test_files_that_another_image_lacks_are_named(server: Server) -> None:
    """A restore would end late: dictionaries and libraries are no part of a database."""
    server.sql(
        "CREATE TEXT SEARCH DICTIONARY public.es (TEMPLATE = ispell, DictFile = ispell_sample, AffFile = ispell_sample,"
        " StopWords = english); CREATE TEXT SEARCH DICTIONARY public.th (TEMPLATE = thesaurus, DictFile ="
        " thesaurus_sample, Dictionary = simple); CREATE FUNCTION public.c() RETURNS trigger LANGUAGE c AS 'autoinc',"
        " 'autoinc'; CREATE EXTENSION citext;",
        "main",
    )
    try:
        found = facts.look(server)
        needs = found["databases"]["main"]["needs"]
        assert [each.rpartition("/")[2] for each in needs] == [
            *("autoinc", "english.stop", "ispell_sample.affix", "ispell_sample.dict", "thesaurus_sample.ths"),
        ]
        assert facts.lacking(found, server.query) == []
        elsewhere = [each.replace("e", "'é") for each in needs if "autoinc" not in each]
        lacks = {"databases": {"main": {"needs": ["$libdir/gone", *elsewhere, needs[0]]}, "old": {}}}
        assert sorted(facts.lacking(lacks, server.query)) == sorted(["$libdir/gone", *elsewhere])
    finally:
        server.sql(
            "DROP EXTENSION citext; DROP TEXT SEARCH DICTIONARY public.es; DROP TEXT SEARCH DICTIONARY public.th;"
            " DROP FUNCTION public.c;",
            "main",
        )


OURS = "mnemo_before_20260101t101112z_ab12"  # what a restore of an earlier version left in the server


def test_a_loss_that_is_accepted_is_no_difference(made: Engine, server: Server, tmp_path: Path) -> None:
    """What is left out of a dump is missed by nobody who proves it."""
    begun = []
    try:
        for case, (sql, undo, _) in LOSSES.items():
            server.sql(sql + ";")
            begun.append((case, undo))
        server.sql(f"CREATE DATABASE {OURS};\nCOMMENT ON DATABASE {OURS} IS 'x';\nCREATE ROLE {OURS};")
        server.sql("COMMENT ON DATABASE template0 IS 'x'; COMMENT ON ROLE pg_monitor IS 'x';")
        server.sql("ALTER DATABASE shut SET work_mem = '5MB';\nCOMMENT ON DATABASE shut IS 'x';")
        server.sql(
            f"ALTER ROLE plain IN DATABASE {OURS} SET work_mem = '5MB';\nREVOKE ALL ON DATABASE shut FROM PUBLIC;"
        )
        found = facts.look(server)
        assert facts.carried(found) == ["main", "template1"] and found["closed"] == ["half", "shut"]
        filled = scratch_of(made, server, "accepted", tmp_path)
        assert returned(filled.fill()) == {"differences": [], "kept": [], "unknown": []}
    finally:
        server.sql("COMMENT ON DATABASE template0 IS NULL; COMMENT ON ROLE pg_monitor IS NULL;")
        server.sql(f"DROP DATABASE IF EXISTS {OURS};\nDROP ROLE IF EXISTS {OURS};")
        for _, undo in begun:
            server.sql(undo + ";")


def test_ten_of_a_kind_are_named(server: Server) -> None:
    found = {**facts.look(server), "slots": [f"s{number:02}" for number in range(13)]}
    (said,) = facts.losses(found)
    assert "s09" in said and "s10" not in said and "and 3 more" in said


def test_a_subscription_is_told(server: Server) -> None:
    made_as = "CREATE SUBSCRIPTION s CONNECTION 'dbname=x' PUBLICATION p WITH (connect = false, slot_name = NONE);"
    server.sql(made_as + "UPDATE pg_subscription SET subenabled = true;")
    try:
        (told,) = facts.losses(facts.look(server))
        assert "s of main" in told
    finally:
        server.sql("UPDATE pg_subscription SET subenabled = false; DROP SUBSCRIPTION s;")


def scratch_of(made: Engine, server: Server, name: str, directory: Path) -> Scratch:
    return scratch(server, made.places[server.socket], made.place(PROGRAMS, name), directory)


def test_the_first_error_ends_it_in_the_words_of_postgres(made: Engine, server: Server, tmp_path: Path) -> None:
    said = "CREATE OR REPLACE FUNCTION public.fine(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS 'BEGIN {} END';"
    server.sql(said.format("RETURN 1;") + "CREATE TABLE public.t (a int); INSERT INTO public.t VALUES (1);")
    server.sql("CREATE INDEX ON public.t (public.fine(a));" + said.format("RAISE ''never again'';"))
    try:
        filled = scratch_of(made, server, "ended", tmp_path)
        with pytest.raises(CommandFailed, match="never again"):
            returned(filled.fill())
    finally:
        server.sql("DROP TABLE public.t; DROP FUNCTION public.fine;")
    assert not Path(filled.place.data, "postmaster.pid").exists(), "the throw-away server has ended"


# pg_dump, which locks each table, and who reads it
_WAITING = """SELECT json_build_array(count(*) FILTER (WHERE query LIKE 'LOCK %'),
 count(*) FILTER (WHERE query LIKE 'SELECT %')) FROM pg_stat_activity
 WHERE datname = 'main' AND wait_event_type = 'Lock';"""


def test_rows_are_hashed_while_they_are_dumped(made: Engine, server: Server, tmp_path: Path) -> None:
    """And who gives up leaves no session behind that goes on."""
    server.sql("CREATE TABLE public.held AS SELECT 1 AS a;", "main")
    try:
        with server.snapshot("main", "READ WRITE") as somebody:
            somebody.ask("LOCK TABLE public.held;")
            deed = dump(entrance(server, made.places[server.socket]), str(tmp_path), NAME)
            waiting = partial(server.query, _WAITING, "template1")
            server.machine.wait_until("both", lambda: next(deed) and waiting() == [1, 1], PATIENCE)
            deed.close()
            server.machine.wait_until("the end", lambda: waiting()[1] == 0, PATIENCE)
    finally:
        server.sql("DROP TABLE public.held;", "main")


def test_a_superuser_who_may_not_log_in_is_no_obstacle(made: Engine, server: Server, tmp_path: Path) -> None:
    server.sql("CREATE ROLE mnemo_ops SUPERUSER LOGIN; CREATE ROLE kept; GRANT kept TO plain;")
    own = Server(server.machine, server.run, "mnemo_ops", "main", server.socket)
    own.sql(f'ALTER ROLE "{BOSS}" NOLOGIN;')
    try:
        filled = scratch_of(made, own, "silent", tmp_path)
        assert returned(filled.fill()) == {"differences": [], "kept": [], "unknown": []}
    finally:
        own.sql(f'ALTER ROLE "{BOSS}" LOGIN;')
        server.sql("DROP ROLE mnemo_ops, kept;")


LINES = "two\nlines'\\"
HIMSELF = f"""ALTER ROLE "{BOSS}" PASSWORD 'x' VALID UNTIL '2001-02-03' CONNECTION LIMIT 0 NOCREATEDB;
ALTER ROLE "{BOSS}" SET work_mem = '5MB'; COMMENT ON ROLE "{BOSS}" IS 'ours'; GRANT pg_monitor TO "{BOSS}";"""
NOT_HIMSELF = f"""ALTER ROLE "{BOSS}" PASSWORD NULL VALID UNTIL 'infinity' CONNECTION LIMIT -1 CREATEDB;
ALTER ROLE "{BOSS}" RESET ALL; COMMENT ON ROLE "{BOSS}" IS NULL; REVOKE pg_monitor FROM "{BOSS}";"""
# what makes it, in which database; and what takes it away
ODD: Mapping[str, tuple[str, str, str]] = {
    "an event trigger that writes, and one that refuses": (WATCHED, "watched", "DROP DATABASE watched"),
    # where an expression is told in other words, a second database is made to compare it
    "a name as ours": ("CREATE TABLE public.t (a varchar(9) CHECK (a IN ('b', 'c')))", "main", "DROP TABLE public.t"),
    "the superuser himself": (HIMSELF, "main", NOT_HIMSELF),
    # pg_dumpall itself has no way to say it
    "a name of two lines": ("CREATE TABLE public.t (a int)", LINES, f'DROP DATABASE "{LINES}"'),
    "a role that is let in never": (
        "ALTER ROLE plain CONNECTION LIMIT 0",
        "main",
        "ALTER ROLE plain CONNECTION LIMIT -1",
    ),
}


def test_what_is_odd_is_no_obstacle(made: Engine, server: Server, tmp_path: Path) -> None:
    server.sql(f"""CREATE DATABASE "{LINES}";\nCREATE DATABASE watched;\nCREATE DATABASE mnemo_ops2;""")
    try:
        for sql, where, _ in ODD.values():
            server.sql(sql + ";", where)
        filled = scratch_of(made, server, "odd", tmp_path)
        assert {LINES, "watched", "mnemo_ops2"} < set(filled.facts["files"])
        assert {f"password of role {BOSS}", f"comment on role {BOSS}"} < set(filled.secret["proof"][""])
        assert "rows of public.t" in filled.facts["rows"][LINES]
        assert returned(filled.fill()) == {"differences": [], "kept": [], "unknown": []}
    finally:
        server.sql("DROP DATABASE mnemo_ops2;\n" + "".join(f"{undo};\n" for *_, undo in ODD.values()))


def test_an_extension_whose_version_nobody_brings_any_more(made: Engine, server: Server, tmp_path: Path) -> None:
    """A newer image has newer scripts, and the database was not told yet."""
    server.sql("CREATE EXTENSION citext SCHEMA public; CREATE TABLE public.words (w public.citext);")
    server.sql("UPDATE pg_extension SET extversion = '0.9' WHERE extname = 'citext';")
    try:
        filled = scratch_of(made, server, "newer", tmp_path)
        assert "0.9" in [one["version"] for one in filled.facts["databases"]["main"]["extensions"].values()]
        assert returned(filled.fill()) == {"differences": [], "kept": [], "unknown": []}
    finally:
        server.sql("DROP EXTENSION citext CASCADE; DROP TABLE public.words;")


def test_without_configuration_nobody_is_let_in(made: Engine, server: Server, tmp_path: Path) -> None:
    """By what initdb wrote."""
    filled = scratch_of(made, server, "bare", tmp_path)
    filled = replace(filled, secret={**filled.secret, "files": {}})
    assert returned(filled.fill()) == {"differences": [], "kept": [], "unknown": []}
    assert not Path(filled.place.data, "pg_hba.conf").exists()


def test_a_server_that_does_not_start_says_why(made: Engine, server: Server, tmp_path: Path) -> None:
    filled = scratch_of(made, server, "mute", tmp_path)
    broken = replace(filled, facts={**filled.facts, "preloaded": "nowhere"})
    with pytest.raises(Broken, match='could not access file "nowhere"'):
        returned(broken.fill())


def test_an_older_postgres_is_refused(made: Engine, server: Server, tmp_path: Path) -> None:
    filled = scratch_of(made, server, "older", tmp_path)
    newer = replace(filled, facts={**filled.facts, "major": 99, "version": "99.1"})
    with pytest.raises(Refused, match=r"99\.1"):
        returned(newer.fill())
    assert list(Path(filled.place.home).iterdir()) == []


def test_a_name_that_was_lost_is_told(made: Engine, server: Server, tmp_path: Path) -> None:
    """The proof is made of the source, not of the dump: what a dump forgets is missing."""
    server.sql("CREATE TABLE public.t (a int); INSERT INTO public.t VALUES (1);")
    try:
        filled = scratch_of(made, server, "forgetful", tmp_path)
        server.sql("DROP TABLE public.t;")
        words = ["-Fc", "-f", f"{tmp_path}/{filled.facts['files']['main']}", "-d", server.to("main")]
        server.machine.run(server.run("pg_dump", *words))
        told = returned(filled.fill())["differences"]
        assert [line.rpartition(": ")[0] for line in told] == [
            "database main: TABLE public.t",
            "database main: rows of public.t",
        ]
    finally:
        server.sql("DROP TABLE IF EXISTS public.t;")


GLOBALS = r"""-- a comment; with 'a quote
SET standard_conforming_strings = on;
\restrict abcDEF123
CREATE ROLE "a;b ""c"" d";
CREATE ROLE boss;
ALTER ROLE boss WITH SUPERUSER PASSWORD 'x;''-- \y';
COMMENT ON ROLE boss IS 'two
lines; GRANTED BY boss;
';
GRANT boss TO "a;b ""c"" d" WITH ADMIN OPTION GRANTED BY "a;b ""c"" d";
GRANT x TO y GRANTED BY boss;
\unrestrict abcDEF123
"""


def test_globals_are_statements(tmp_path: Path) -> None:
    said = list(cluster_globals.statements(GLOBALS))
    assert len(said) == 7
    same = cluster_globals.adapted(GLOBALS, "boss", 15, 15)
    assert "CREATE ROLE boss" not in same and same.count("GRANTED BY") == 3 and "restrict" not in same
    newer = cluster_globals.adapted(GLOBALS, "boss", 15, 17)
    assert newer.count("GRANTED BY") == 1 and 'TO "a;b ""c"" d" WITH ADMIN OPTION;' in newer


@pytest.mark.parametrize(
    "hostile",
    [
        "\\! touch /x\n",
        "CREATE ROLE a;\n\\copy x from y\n",
        "DROP TABLE x;",
        "COPY x FROM PROGRAM 'y';",
        "CREATE ROLE 'a",
        "x",
    ],
)
def test_globals_that_are_more_are_refused(hostile: str) -> None:
    with pytest.raises(Refused):
        list(cluster_globals.statements(GLOBALS + hostile))


def test_files_of_a_data_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine, data, other = Machine(), tmp_path / "data", tmp_path / "other"
    for name in ("base/1", "pg_wal/x", "log/y", "conf.d/more"):
        (data / name).mkdir(parents=True)
    for name in ("PG_VERSION", "postmaster.opts", "base/1/2", "log/y/z", "backup_label.old"):
        (data / name).write_text("the server's")
    for name in ("pg_hba.conf", "postgresql.auto.conf", "server.key", "conf.d/more/a.conf"):
        (data / name).write_bytes(b"ours\xff")
    (data / "server.key").chmod(0o400)
    (data / "link.conf").symlink_to("conf.d/more/a.conf")
    listening = socket.socket(socket.AF_UNIX)
    monkeypatch.chdir(data)  # a socket's path is short
    listening.bind(".s.PGSQL.5432")
    listening.close()
    every = files.read(machine, str(data))
    ours = {
        "pg_hba.conf",
        "postgresql.auto.conf",
        "server.key",
        "conf.d",
        "conf.d/more",
        "conf.d/more/a.conf",
        "link.conf",
    }
    assert set(every) == ours
    other.mkdir()
    files.put(machine, str(other), every, os.getuid(), os.getgid())
    assert (other / "conf.d/more/a.conf").read_bytes() == (other / "link.conf").read_bytes() == b"ours\xff"
    assert (other / "server.key").stat().st_mode & 0o777 == 0o400
    assert files.read(machine, str(other)) == every


def test_a_large_file_in_a_data_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "film").write_bytes(bytes(files.LARGEST + 1))
    with pytest.raises(Refused, match="film"):
        files.read(Machine(), str(tmp_path))


def watched(deed: Any) -> tuple[set[str], Any]:
    """What a deed notes, and what it reports."""
    noted = set()
    with pytest.raises(StopIteration) as end:
        while True:
            noted.add(next(deed).note)
    return noted, end.value.value


# what is done to a database that initdb made -> what takes it back
_LANGUAGE = "CREATE EXTENSION plpgsql; COMMENT ON EXTENSION plpgsql IS 'PL/pgSQL procedural language'"
_SETTING = "ALTER ROLE plain IN DATABASE template1 "
_COMMENT = "COMMENT ON DATABASE template1 IS "
TOUCHED = {
    "a table": ("CREATE TABLE public.t ()", "DROP TABLE public.t"),
    "a right": ("GRANT CREATE ON DATABASE template1 TO plain", "REVOKE CREATE ON DATABASE template1 FROM plain"),
    "a setting": (f"{_SETTING} SET work_mem = '5MB'", f"{_SETTING} RESET ALL"),
    "a comment": (f"{_COMMENT} 'mine'", f"{_COMMENT} 'default template for new databases'"),
    "an extension": ("CREATE EXTENSION citext", "DROP EXTENSION citext"),
    "a dropped language": ("DROP EXTENSION plpgsql", _LANGUAGE),
    "a large object": ("SELECT lo_create(4711)", "SELECT lo_unlink(4711)"),
    "a function": ("CREATE FUNCTION public.f() RETURNS int LANGUAGE sql AS 'SELECT 1'", "DROP FUNCTION public.f"),
}


@pytest.mark.thorough
@pytest.mark.parametrize("case", ["", *TOUCHED])
def test_what_initdb_made_is_restored_only_where_somebody_touched_it(
    case: str, made: Engine, server: Server, tmp_path: Path
) -> None:
    sql, undo = TOUCHED.get(case, ("SELECT 1", "SELECT 1"))
    server.sql(f"{sql};", "template1")
    try:
        filled = scratch_of(made, server, f"t{len(made.places)}", tmp_path)
    finally:
        server.sql(f"{undo};", "template1")
    noted, report = watched(filled.fill())
    assert report["differences"] == []
    assert ("restoring template1" in noted) == bool(case) and "restoring main" in noted


def test_a_set_says_what_the_server_says_itself(made: Engine, server: Server, tmp_path: Path) -> None:
    """Of a schema that is told from the archive."""
    server.sql("CREATE TABLE public.t (a int); CREATE VIEW public.v AS SELECT a FROM public.t;")
    server.sql("CREATE MATERIALIZED VIEW public.m AS SELECT 1 AS a; SELECT lo_create(4711);")
    server.sql("CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0;")
    server.sql('CREATE TABLE public."Größe" ();', "latin")
    try:
        filled = scratch_of(made, server, "twice", tmp_path)
        here = proof.describe(server, ["latin", "main", "template1"], filled.secret["salt"])
        for name, facts in filled.secret["proof"].items():
            assert here[name] == {**facts, **filled.facts["rows"].get(name, {})}
        assert "TABLE public.Größe" in here["latin"] and "VIEW public.v" in here["main"]
    finally:
        server.sql("DROP VIEW public.v; DROP MATERIALIZED VIEW public.m; DROP TABLE public.t; SELECT lo_unlink(4711);")
        server.sql("DROP DATABASE latin;")
