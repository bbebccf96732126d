"""One psql asks everything while it is held: as if each question had come with its own."""

from __future__ import annotations

import pytest
from databases import Databases

from mnemo_ops.agent.base.record import replace
from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.stack.cluster.server import Server
from mnemo_ops.agent.stack.sql import identifier
from mnemo_ops.errors import Broken, CommandFailed

PID = "SELECT to_json(pg_backend_pid());"
ODD = ["it's", 'both "kinds"', "back\\slash", "a line\nand another", "Größe :x 'y'", "$dollars$"]


@pytest.fixture
def server(databases: Databases) -> Server:
    """The server, and how many programs it was asked with."""
    return databases.server


@pytest.fixture
def programs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Databases of those that are started."""
    started: list[str] = []
    talk = Machine.talk
    monkeypatch.setattr(Machine, "talk", lambda self, argv: started.append(argv[-1]) or talk(self, argv))
    return started


def test_while_it_is_held_one_program_asks(server: Server, programs: list[str]) -> None:
    with server.held():
        first = server.query(PID)
        server.sql("SET work_mem = '7MB'; SET SESSION AUTHORIZATION pg_monitor;\n\\set ON_ERROR_STOP off\nSELECT 1/0;")
        assert server.query("SELECT to_json(current_setting('work_mem') || current_user);") == f"4MB{server.user}"
        with server.snapshot("template1") as talk:
            assert talk.query("SELECT to_json(current_database());") == "template1"
            assert server.query("SELECT to_json(current_database());") == server.entry, "asked through another one"
            assert talk.query("SELECT to_json(current_setting('transaction_isolation'));") == "repeatable read"
        assert server.query(PID) != first and len(programs) == 2
        with pytest.raises(CommandFailed, match="division by zero"):
            server.sql("SELECT 1/0;")
        assert server.query("SELECT 1;", "template1") == 1 and len(programs) == 2
    assert server.query("SELECT json_agg(pid) FROM pg_stat_activity WHERE query = 'ROLLBACK;';") is None
    assert len(programs) == 3


@pytest.mark.parametrize("name", ODD)
def test_every_name_of_a_database_is_one(name: str, server: Server, programs: list[str]) -> None:
    with server.held():
        server.sql(f"CREATE DATABASE {identifier(name)};")
        try:
            assert server.query("SELECT to_json(current_database());", name) == name
        finally:
            server.sql(f"DROP DATABASE {identifier(name)};")
    assert len(programs) == 1


def test_who_was_made_of_it_is_asked_through_it_as_himself(server: Server, programs: list[str]) -> None:
    server.sql("CREATE ROLE other SUPERUSER LOGIN;")
    other = replace(server, user="other", options="-c work_mem=9MB")
    with server.held():
        assert server.query("SELECT to_json(current_user);") == server.user
        told = other.query("SELECT json_build_array(current_user, current_setting('work_mem'));")
    assert told == ["other", "9MB"] and len(programs) == 2


def test_what_it_notices_stops_it_not(server: Server) -> None:
    loud = "DO $$ BEGIN FOR i IN 1..5000 LOOP RAISE NOTICE '%', repeat('x', 100); END LOOP; END $$;"
    with server.held():
        server.sql(loud)
        with pytest.raises(CommandFailed) as told:
            server.sql("SELECT nothing;")
    assert "nothing" in str(told.value) and "xxx" not in str(told.value), "what was said before is not told again"


def test_a_long_answer_is_whole(server: Server) -> None:
    assert server.query("SELECT to_json(repeat('ö', 300000));") == "ö" * 300000


def test_nobody_waits_for_ever(server: Server) -> None:
    argv = server.run("psql", "-XqAt", "-d", server.to(server.entry))
    with server.machine.talk(argv) as talk:
        assert talk.ask("SELECT 1;", 30) == "1"
        with pytest.raises(Broken, match="did not answer"):
            talk.ask("SELECT pg_sleep(60);", 0.2)


def test_what_is_not_there_is_said() -> None:
    with pytest.raises(Broken, match="not installed"):
        Machine(search_path="/nowhere").talk(["docker", "exec"])
