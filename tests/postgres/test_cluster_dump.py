"""What a dump of a cluster refuses, what it takes along besides the databases, and what ends a restore."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from clusters import PROGRAMS
from engine import BOSS, Engine, engine, returned

from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.stack.cluster import facts, files
from mnemo_ops.agent.stack.cluster import globals as cluster_globals
from mnemo_ops.agent.stack.cluster.dump import compression, dump
from mnemo_ops.agent.stack.cluster.place import Place
from mnemo_ops.agent.stack.cluster.scratch import Scratch
from mnemo_ops.agent.stack.cluster.server import Server, entered
from mnemo_ops.errors import Broken, CommandFailed, Refused


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
    assert facts.obstacles(found) == facts.notes(found) == []
    assert compression(server) in ("3", "zstd:3")


def test_the_way_in_is_found(server: Server) -> None:
    names = ["nobody", "plain", BOSS], ["postgres", "main"]
    found = entered(server.machine, server.run, *names, server.socket)
    assert (found.user, found.entry) == (BOSS, "main")
    with pytest.raises(Refused):
        entered(server.machine, server.run, ["nobody", "plain"], names[1], server.socket)


# what no dump carries -> what makes it, what takes it away, the name that is told
REFUSED: Mapping[str, tuple[str, str, str]] = {
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
    "a slot": (
        "SELECT pg_create_physical_replication_slot('standby')",
        "SELECT pg_drop_replication_slot('standby')",
        "standby",
    ),
    "a prepared transaction": (
        "BEGIN; CREATE TABLE public.half (a int); PREPARE TRANSACTION 'half done'",
        "ROLLBACK PREPARED 'half done'",
        "half done in main",
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
    "an extension with a restore of its own": (
        "CREATE EXTENSION hstore; UPDATE pg_extension SET extname = 'timescaledb' WHERE extname = 'hstore'",
        "UPDATE pg_extension SET extname = 'hstore' WHERE extname = 'timescaledb'; DROP EXTENSION hstore",
        "timescaledb in main",
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


@pytest.mark.parametrize("case", REFUSED)
def test_what_no_dump_carries_is_refused_by_name(case: str, server: Server, tmp_path: Path) -> None:
    sql, undo, name = REFUSED[case]
    server.sql(sql + ";")
    try:
        with pytest.raises(Refused, match=name.replace("(", r"\(").replace(")", r"\)")):
            returned(dump(server, str(tmp_path)))
        assert list(tmp_path.iterdir()) == []
    finally:
        server.sql(undo + ";")
    assert facts.obstacles(facts.look(server)) == []


def test_a_subscription_is_told(server: Server) -> None:
    made_as = "CREATE SUBSCRIPTION s CONNECTION 'dbname=x' PUBLICATION p WITH (connect = false, slot_name = NONE);"
    server.sql(made_as + "UPDATE pg_subscription SET subenabled = true;")
    try:
        (told,) = facts.notes(facts.look(server))
        assert "s of main" in told
    finally:
        server.sql("UPDATE pg_subscription SET subenabled = false; DROP SUBSCRIPTION s;")


def scratch_of(made: Engine, server: Server, name: str, directory: Path) -> tuple[Scratch, Place]:
    place = made.place(PROGRAMS, name)
    found = returned(dump(server, str(directory)))
    return Scratch(made.machine, place, found, str(directory), {}), place


def test_the_first_error_ends_it_in_the_words_of_postgres(made: Engine, server: Server, tmp_path: Path) -> None:
    said = "CREATE OR REPLACE FUNCTION public.fine(int) RETURNS bool LANGUAGE sql AS 'SELECT {}';"
    server.sql(
        said.format("true") + "CREATE TABLE public.t (a int CHECK (public.fine(a))); INSERT INTO public.t VALUES (1);"
    )
    server.sql(said.format("false"))
    try:
        scratch, place = scratch_of(made, server, "ended", tmp_path)
        with pytest.raises(CommandFailed, match='violates check constraint "t_a_check"'):
            returned(scratch.fill())
    finally:
        server.sql("DROP TABLE public.t; DROP FUNCTION public.fine;")
    assert not Path(place.data, "postmaster.pid").exists(), "the throw-away server has ended"


def test_a_name_of_two_lines(made: Engine, server: Server, tmp_path: Path) -> None:
    """``pg_dumpall`` itself has no way to say it."""
    server.sql("""CREATE DATABASE "two\nlines'\\";\nCOMMENT ON DATABASE "two\nlines'\\" IS 'x';""")
    server.sql("CREATE TABLE public.t (a int); INSERT INTO public.t VALUES (1);", "two\nlines'\\")
    try:
        scratch, _ = scratch_of(made, server, "lines", tmp_path)
        assert "rows of public.t" in scratch.facts["proof"]["two\nlines'\\"]
        assert returned(scratch.fill()) == {"differences": []}
    finally:
        server.sql("""DROP DATABASE "two\nlines'\\";""")


def test_a_superuser_who_may_not_log_in_is_no_obstacle(made: Engine, server: Server, tmp_path: Path) -> None:
    server.sql("CREATE ROLE mnemo_ops SUPERUSER LOGIN; CREATE ROLE kept; GRANT kept TO plain;")
    own = Server(server.machine, server.run, "mnemo_ops", "main", server.socket)
    own.sql(f'ALTER ROLE "{BOSS}" NOLOGIN;')
    try:
        scratch, place = scratch_of(made, own, "silent", tmp_path)
        assert returned(scratch.fill()) == {"differences": []}
    finally:
        own.sql(f'ALTER ROLE "{BOSS}" LOGIN;')
        server.sql("DROP ROLE mnemo_ops, kept;")
    # without configuration nobody is let in by what initdb wrote
    assert not Path(place.data, "pg_hba.conf").exists()


def test_a_server_that_does_not_start_says_why(made: Engine, server: Server, tmp_path: Path) -> None:
    scratch, place = scratch_of(made, server, "mute", tmp_path)
    broken = Scratch(made.machine, place, {**scratch.facts, "preloaded": "nowhere"}, str(tmp_path), {})
    with pytest.raises(Broken, match='could not access file "nowhere"'):
        returned(broken.fill())


def test_an_older_postgres_is_refused(made: Engine, server: Server, tmp_path: Path) -> None:
    scratch, place = scratch_of(made, server, "older", tmp_path)
    newer = Scratch(made.machine, place, {**scratch.facts, "major": 99, "version": "99.1"}, str(tmp_path), {})
    with pytest.raises(Refused, match=r"99\.1"):
        returned(newer.fill())
    assert list(Path(place.home).iterdir()) == []


def test_a_name_that_was_lost_is_told(made: Engine, server: Server, tmp_path: Path) -> None:
    """The proof is made of the source, not of the dump: what a dump forgets is missing."""
    server.sql("CREATE TABLE public.t (a int); INSERT INTO public.t VALUES (1);")
    try:
        scratch, _ = scratch_of(made, server, "forgetful", tmp_path)
        server.sql("DROP TABLE public.t;")
        words = ["-Fc", "-f", str(tmp_path / "database-1.dump"), "-d", server.to("main")]
        server.machine.run(server.run("pg_dump", *words))
        told = returned(scratch.fill())["differences"]
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
    os.chdir(data)
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
