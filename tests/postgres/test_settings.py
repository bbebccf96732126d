"""Configuration of an older major: what the server of today does not know keeps it from starting nowhere."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from databases import Databases
from engine import PROGRAMS, Engine, engine, returned, scratch

from mnemo_ops.agent.base.record import replace
from mnemo_ops.agent.stack.cluster.scratch import Scratch

# each is of a major that no server of these tests is of any more, or has a value that none takes
CONF = """work_mem = 5MB
operator_precedence_warning = on
  Stats_Temp_Directory = 'pg_stat_tmp' # until 14
max_connections = 33
include_dir 'conf.d'
include_if_exists '/nowhere/own.conf'
log_timezone = 'Atlantis/Capital'
app.own = 'vacuum_cleanup_index_scale_factor'
"""
OWN = "shared_buffers = 4MB\nvacuum_cleanup_index_scale_factor = 0.1"
AUTO = "wal_keep_segments = '12'\ndeadlock_timeout = '3s'\n"
KEPT = {"work_mem": "5MB", "max_connections": "33", "shared_buffers": "4MB", "deadlock_timeout": "3s"}
LEFT = {
    "operator_precedence_warning (postgresql.conf, line 2)",
    "stats_temp_directory (postgresql.conf, line 3)",
    "log_timezone (postgresql.conf, line 7)",
    "vacuum_cleanup_index_scale_factor (conf.d/own.conf, line 2)",
    "wal_keep_segments (postgresql.auto.conf, line 1)",
}

OF_A_DATABASE = {
    **{"default_text_search_config": "public.german", "default_table_access_method": "own_method"},
    **{"default_tablespace": "own_space", "temp_tablespaces": "own_space", "Client_Encoding": "MULE_INTERNAL"},
}


def content(text: str) -> dict[str, Any]:
    return {"mode": 0o600, "content": base64.b64encode(text.encode()).decode()}


@pytest.fixture
def made() -> Iterator[Engine]:
    with engine() as one:
        yield one


@pytest.fixture
def older(databases: Databases, made: Engine, tmp_path: Path) -> Scratch:
    """Of an older major, with its configuration."""
    tmp_path.chmod(0o755)
    one = scratch(databases.server, databases.place, made.place(PROGRAMS, "copy"), tmp_path)
    own = {"postgresql.conf": content(CONF), "postgresql.auto.conf": content(AUTO)}
    own.update({"conf.d": {"mode": 0o700}, "conf.d/own.conf": content(OWN)})
    files = {**one.secret["files"], **own}
    return replace(one, machine=made.machine, facts={**one.facts, "major": 12}, secret={**one.secret, "files": files})


def test_settings_that_are_gone_are_named_and_the_server_starts(older: Scratch, made: Engine) -> None:
    done = returned(older.fill())
    assert {each.lower() for each in done["unknown"]} == LEFT
    with made.started(older.place, older.facts["superuser"], "postgres") as server:
        assert {name: server.query(f"SELECT to_json(current_setting('{name}'));") for name in KEPT} == KEPT
        assert server.query("SELECT to_json(current_setting('app.own'));") == "vacuum_cleanup_index_scale_factor"
        assert server.query("SELECT json_agg(name) FROM pg_file_settings WHERE error IS NOT NULL;") is None


def test_what_was_left_out_can_be_read_in_its_place(older: Scratch) -> None:
    returned(older.fill())
    lines = Path(older.place.data, "postgresql.conf").read_text().split("\n")
    before = CONF.split("\n")
    changed = [number for number, pair in enumerate(zip(lines, before), 1) if pair[0] != pair[1]]
    assert changed == [2, 3, 7] and len(lines) == len(before)
    assert all(lines[each - 1].startswith("# ") and lines[each - 1].endswith(before[each - 1]) for each in changed)


def test_what_only_a_database_can_judge_stays(older: Scratch, made: Engine) -> None:
    """A server starts with these names, whatever they name; who asks is in a database of his own."""
    own = content("".join(f"{name} = '{value}'\n" for name, value in OF_A_DATABASE.items()))
    files = {
        **older.secret["files"],
        "postgresql.conf": own,
        "postgresql.auto.conf": content(""),
        "conf.d/own.conf": own,
    }
    done = returned(replace(older, secret={**older.secret, "files": files}).fill())
    assert done["unknown"] == []
    with made.started(older.place, older.facts["superuser"], "postgres") as server:
        assert server.query("SELECT to_json(current_setting('default_text_search_config'));") == "public.german"


def test_within_a_major_every_byte_stays(databases: Databases, made: Engine, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    one = scratch(databases.server, databases.place, made.place(PROGRAMS, "copy"), tmp_path)
    files = {**one.secret["files"], "postgresql.conf": content(CONF)}
    done = returned(replace(one, machine=made.machine, secret={**one.secret, "files": files}).fill())
    assert done["unknown"] == []
    assert Path(one.place.data, "postgresql.conf").read_text() == CONF
