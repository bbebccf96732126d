"""A whole cluster, with one of everything, through a dump into an empty directory; and what the proof of it sees.

``MNEMO_POSTGRES`` is the directory of the programs of the source, ``MNEMO_POSTGRES_TARGET`` of those for the copy.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from changes import IN_DATABASE, OF_CLUSTER
from engine import BOSS, PROGRAMS, engine, returned, scratch, told
from sample import SHOP, everything
from sampling import sample

from mnemo_ops.agent.base.record import replace
from mnemo_ops.agent.stack.cluster import files, proof
from mnemo_ops.agent.stack.cluster.place import Place
from mnemo_ops.agent.stack.cluster.scratch import Scratch
from mnemo_ops.agent.stack.cluster.server import Server
from mnemo_ops.agent.stack.sql import identifier

TARGET = Path(os.environ.get("MNEMO_POSTGRES_TARGET") or PROGRAMS)
OWN = {"conf.d": {"mode": 0o700}, "conf.d/own.conf": {"mode": 0o640, "content": "d29ya19tZW0gPSAnNk1CJwo="}}
INITDB = ("--auth=trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync", "--data-checksums", "--wal-segsize=4")


@dataclass
class Copied:
    """A cluster, its copy, which runs, and what the text of its dump makes of each database."""

    scratch: Scratch
    said: list[str]
    texts: tuple[str, str]
    server: Server
    reread: dict[str, proof.Facts]
    source: Place

    @property
    def before(self) -> proof.Proof:
        rows = self.scratch.facts["rows"]
        return {name: {**one, **rows.get(name, {})} for name, one in self.scratch.secret["proof"].items()}

    @property
    def salt(self) -> str:
        return str(self.scratch.secret["salt"])

    def differences(self, database: str, now: proof.Facts) -> list[str]:
        """What is told when this one part is as it is now, and the rest as it was."""
        cluster = {**self.before[""], "major": str(self.scratch.major)}
        return proof.differences(self.before, {**self.before, "": cluster, database: now}, self.reread.__getitem__)


@pytest.fixture(scope="module")
def copied() -> Iterator[Copied]:
    with engine() as made:
        source = made.place(PROGRAMS, "source")
        made.machine.run(source.once("initdb", "-D", source.data, "-U", BOSS, *INITDB))
        target = made.place(TARGET, "target")
        directory = made.home / "set"
        directory.mkdir()
        configuration = Path(source.data, "postgresql.conf")
        configuration.write_text(configuration.read_text() + "include_dir 'conf.d'\n")
        files.put(made.machine, source.data, OWN, source.uid, source.gid)
        with made.started(source, BOSS, "template1") as server:
            everything(server, target)
            filled = scratch(server, source, target, directory)
            said = returned(filled.fill())["differences"]
            first = told(server, TARGET)
        # once more as when it was filled: to see what the text of the dump makes of it
        with filled.running(BOSS, "template1") as server:
            server.sql("CREATE DATABASE aside;")
            aside = replace(server, entry="aside")  # nobody else may be in what is renamed
            reread = {name: filled._reread(aside, name) for name in filled.facts["files"]}
            server.sql("DROP DATABASE aside;")
        with made.started(target, BOSS, "template1") as server:
            yield Copied(filled, said, (first, told(server, TARGET)), server, reread, source)


def test_the_copy_is_proven_equal(copied: Copied) -> None:
    assert copied.said == []
    assert len(copied.before) == 7 and len(copied.before[SHOP]) > 140


# an expression is told in other words once it was read again, and roles stand in the order in which they were made
_RETOLD = r"docs_state_check|ANY \(+ARRAY\[|CREATE POLICY own ON|ON SEQUENCES +TO"
# another major has its own words for a view, options and a grantor for each membership, an option more of subscriptions
_OF_MAJOR = (
    r"|-- Dumped from|GRANT \S+ TO [^ ;]+|GRANT writers TO|SELECT counting\.n|docs\.(id|title)|CREATE SUBSCRIPTION"
)


def test_the_copy_is_equal_by_pg_dumpall(copied: Copied) -> None:
    first, second = (text.splitlines() for text in copied.texts)
    retold = re.compile(_RETOLD + (_OF_MAJOR if TARGET != PROGRAMS else ""))
    assert len(first) == len(second) > 1500
    assert [pair for pair in zip(first, second) if pair[0] != pair[1] and not retold.search(pair[0])] == []


def test_the_copy_was_made_like_the_source(copied: Copied) -> None:
    asked = "SELECT json_build_array(current_setting('data_checksums'), current_setting('wal_segment_size'),"
    asked += " current_setting('work_mem'), current_setting('deadlock_timeout'), pg_stat_file('postgresql.auto.conf'));"
    found = copied.server.query(asked)
    assert found[:4] == ["on", "4MB", "8MB", "3s"]
    own = Path(copied.scratch.place.data, "conf.d/own.conf")
    assert own.read_text() == "work_mem = '6MB'\n"
    assert own.stat().st_uid == copied.scratch.place.uid
    names = {path.name for path in Path(copied.source.data).iterdir()}
    assert {path.name for path in Path(copied.scratch.place.data).iterdir()} == names | {"postmaster.pid"}


def test_nothing_of_the_way_there_is_left(copied: Copied) -> None:
    assert copied.server.query("SELECT json_agg(rolname) FROM pg_roles WHERE rolname ~ 'mnemo';") is None
    assert copied.server.query("SELECT json_agg(datname) FROM pg_database WHERE datname ~ 'mnemo';") is None


def test_no_secret_is_in_the_proof(copied: Copied) -> None:
    text = str(copied.before)
    assert "hush" not in text and "SCRAM" not in text and "md5aaa" not in text


@pytest.fixture
def twin(copied: Copied) -> Iterator[str]:
    """A database that is as the shop, to be changed."""
    copied.server.sql(f"CREATE DATABASE twin TEMPLATE {identifier(SHOP)};")
    yield "twin"
    copied.server.sql("DROP DATABASE twin WITH (FORCE);")


ELSEWHERE = "SUBSCRIPTION afar: is missing"  # of a copy made by Postgres itself


OF_MAJOR = ("a version of an extension",) if TARGET != PROGRAMS else ()  # another one has its own


@pytest.mark.thorough
@pytest.mark.parametrize("case", sample([case for case in IN_DATABASE if case not in OF_MAJOR], 12, "a database"))
def test_a_change_in_a_database_is_named(case: str, copied: Copied, twin: str) -> None:
    sql, word = IN_DATABASE[case]
    copied.server.sql(f"SET allow_system_table_mods = on; SET client_min_messages = error;\n{sql};", twin)
    with copied.server.snapshot(twin) as talk:
        now = {**proof.rows(talk), **proof.of_database(copied.server, twin, talk, copied.salt)}
    said = [line for line in copied.differences(SHOP, now) if ELSEWHERE not in line]
    assert [line for line in said if word in line], said


def test_a_database_that_nobody_changed_is_equal(copied: Copied, twin: str) -> None:
    with copied.server.snapshot(twin) as talk:
        now = {**proof.rows(talk), **proof.of_database(copied.server, twin, talk, copied.salt)}
    assert [line for line in copied.differences(SHOP, now) if ELSEWHERE not in line] == []


@pytest.mark.thorough
@pytest.mark.parametrize("case", sample(list(OF_CLUSTER), 5, "a cluster"))
def test_a_change_of_the_cluster_is_named(case: str, copied: Copied) -> None:
    sql, undo, word = OF_CLUSTER[case]
    copied.server.sql(sql + ";")
    try:
        said = copied.differences("", proof.of_cluster(copied.server.query, copied.salt))
    finally:
        copied.server.sql(undo + ";")
    assert len(said) >= 1 and all(word in line or "grantors" in line for line in said), said
    assert copied.differences("", proof.of_cluster(copied.server.query, copied.salt)) == []


def test_a_database_less_is_named(copied: Copied) -> None:
    after = {name: found for name, found in copied.before.items() if name != SHOP}
    said = proof.differences(copied.before, after, copied.reread.__getitem__)
    assert len(said) > 100 and all(line.startswith(f"database {SHOP}: ") for line in said)
    assert proof.few(said)[-1] == f"... and {len(said) - 10} more"
