"""Extensions that bring rows, workers and settings, or that must be loaded with the server: carried, or refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from engine import BOSS, INSTALLED, Engine, engine, returned, scratch

from mnemo_ops.agent.base.record import replace
from mnemo_ops.agent.stack.cluster import facts, proof
from mnemo_ops.agent.stack.cluster.place import Place
from mnemo_ops.agent.stack.cluster.scratch import Scratch
from mnemo_ops.agent.stack.cluster.server import Server

PROGRAMS = INSTALLED[-1]  # other packages bring no such extensions
OPTIONS = {
    "shared_preload_libraries": "pg_stat_statements, pg_cron",
    "cron.database_name": "jobs",
    "cron.use_background_workers": "on",
}
JOBS = """
CREATE EXTENSION pg_cron; CREATE EXTENSION pg_stat_statements; CREATE EXTENSION hstore;
GRANT USAGE ON SCHEMA cron TO app; SELECT cron.schedule('here', '0 0 1 1 *', 'SELECT 1');
SELECT cron.schedule_in_database('there', '0 0 1 1 *', 'VACUUM', 'maps');
INSERT INTO cron.job_run_details (jobid, runid, command, status) VALUES (1, 7, 'SELECT 1', 'succeeded');
UPDATE pg_extension SET extversion = '1.3' WHERE extname = 'hstore';
"""
MAPS = """
CREATE EXTENSION postgis; CREATE EXTENSION postgis_topology; CREATE EXTENSION postgis_raster;
INSERT INTO spatial_ref_sys (srid, auth_name, auth_srid, srtext, proj4text) VALUES (990001, 'own', 1, 'x', 'y');
CREATE TABLE places (at geometry(Point, 4326), around geography); CREATE INDEX ON places USING gist (at);
INSERT INTO places VALUES (ST_SetSRID(ST_MakePoint(1, 2), 4326), 'POINT(1 2)');
SELECT topology.CreateTopology('city', 4326);
SELECT topology.AddTopoGeometryColumn('city', 'public', 'places', 'corner', 'POINT');
SELECT topology.TopoGeo_AddPoint('city', ST_SetSRID(ST_MakePoint(1, 2), 4326));
CREATE TABLE photos (photo raster); INSERT INTO photos VALUES (ST_MakeEmptyRaster(2, 2, 0, 0, 1));
SELECT AddRasterConstraints('photos'::name, 'photo'::name);
ALTER DATABASE maps SET search_path = public, '', "a ""name"" b";
"""


@pytest.fixture(scope="module")
def made() -> Iterator[Engine]:
    with engine() as one:
        yield one


@pytest.fixture(scope="module")
def source(made: Engine) -> Iterator[tuple[Place, Server]]:
    """A cluster whose server loads libraries when it starts."""
    place = made.fresh("source", BOSS)
    options = [word for name, value in OPTIONS.items() for word in ("-c", f"{name}={value}")]
    with made.started(place, BOSS, "template1", *options) as server:
        server.sql("CREATE DATABASE jobs;\nCREATE DATABASE maps;\nCREATE ROLE app LOGIN;")
        said = replace(server, options=server.options.replace("search_path=pg_catalog", "search_path=public"))
        said.sql(JOBS, "jobs")
        said.sql(MAPS, "maps")
        yield place, server


@pytest.fixture(scope="module")
def copied(
    made: Engine, source: tuple[Place, Server], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Scratch, list[str]]:
    assert facts.obstacles(facts.look(source[1])) == []
    filled = scratch(source[1], source[0], made.place(PROGRAMS, "target"), tmp_path_factory.mktemp("set"))
    return filled, returned(filled.fill())["differences"]


def test_rows_workers_and_settings_of_extensions(copied: tuple[Scratch, list[str]]) -> None:
    filled, said = copied
    assert said == []
    # what pg_stat_statements notes of a restore has the hashes of passwords
    assert list(Path(filled.place.data, "pg_stat").glob("*statements*")) == []
    with filled.running(BOSS, "template1") as copy:
        assert copy.query("SELECT json_agg(jobname ORDER BY 1) FROM cron.job;", "jobs") == ["here", "there"]
        assert copy.query("SELECT json_agg(runid) FROM cron.job_run_details;", "jobs") == [7]
        assert copy.query("SELECT to_json(count(*)) FROM pg_stat_activity WHERE backend_type ~ 'cron';") == 0
        assert copy.query("SELECT to_json(name) FROM topology.topology;", "maps") == "city"
        # what its library no longer makes is what it makes now
        assert copy.query("SELECT to_json(extversion) FROM pg_extension WHERE extname = 'hstore';", "jobs") > "1.3"


def test_rows_that_another_version_brings_are_no_difference(copied: tuple[Scratch, list[str]]) -> None:
    filled, table = copied[0], "public.spatial_ref_sys"
    rows = filled.facts["rows"]
    before = {name: {**one, **rows.get(name, {})} for name, one in filled.secret["proof"].items()}
    there = {**before["maps"], f"rows of {table}": "9 (other)"}

    def told(major: str, **more: str) -> list[str]:
        after = {**before, "": {**before[""], "major": major}, "maps": {**there, **more}}
        return [line for line in proof.differences(before, after, lambda name: {}) if "major" not in line]

    assert len(told(before[""]["major"])) == 1
    assert told("99") == []
    assert len(told("99", **{f"own rows of {table}": "other"})) == 1


@pytest.mark.parametrize("loaded", ["pgsodium", 'x, "$libdir/pgsodium.so",y', "pg_cron,supabase_vault"])
def test_a_key_outside_of_the_cluster_is_refused(
    loaded: str, source: tuple[Place, Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = Server.query

    def query(self: Server, text: str, database: str = "") -> Any:
        found = asked(self, text, database)
        return {**found, "preloaded": loaded} if "preloaded" in found else found

    monkeypatch.setattr(Server, "query", query)
    (told,) = facts.obstacles(facts.look(source[1]))
    assert "pgsodium (loaded" in told or "supabase_vault (loaded" in told
