"""A cluster with one of everything: what an owner can have made that a dump must carry and a proof must see."""

from __future__ import annotations

from pathlib import Path

from mnemo_ops.agent.stack.cluster.place import Place
from mnemo_ops.agent.stack.cluster.server import Server

SHOP = 'Shop "1" Größe'

_FOLDER = Path(__file__).parent / "everything"
_BUILT = """SELECT json_build_object('major', current_setting('server_version_num')::int / 10000,
 'icu', (SELECT count(*) > 1 FROM pg_collation WHERE collprovider = 'i'));"""


def everything(server: Server, target: Place) -> None:
    """Make it, as far as this build of Postgres and the one of its copy can have it."""
    built = server.query(_BUILT)
    asked = [run("pg_config", "--configure") for run in (server.run, target.once)]
    configured = [server.machine.ask(argv).out for argv in asked]
    parts = [("cluster", ""), ("shop", SHOP), ("second", "second"), ("template1", "template1")]
    parts += [("parameters", "")] if built["major"] >= 15 else []
    parts += [("login", SHOP)] if built["major"] >= 17 else []
    parts += [("icu", SHOP)] if built["icu"] and "--without-icu" not in configured[1] else []
    parts += [("xml", SHOP)] if all("--with-libxml" in said for said in configured) else []
    for name, database in parts:
        server.sql((_FOLDER / f"{name}.sql").read_text(), database)
