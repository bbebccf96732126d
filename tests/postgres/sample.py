"""A cluster with one of everything: what an owner can have made that a dump must carry and a proof must see."""

from __future__ import annotations

from pathlib import Path

from mnemo_ops.agent.stack.cluster.place import Place
from mnemo_ops.agent.stack.cluster.server import Server

SHOP = 'Shop "1" Größe'

# event triggers that write, and that refuse
WATCHED = """CREATE TABLE public.seen (tag text); CREATE TABLE public.docs (a int);
CREATE FUNCTION public.see() RETURNS event_trigger LANGUAGE plpgsql AS $$BEGIN
 IF tg_tag <> 'CREATE EVENT TRIGGER' THEN INSERT INTO public.seen VALUES (tg_tag); END IF; END$$;
CREATE FUNCTION public.no() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN RAISE ''nobody may''; END';
CREATE MATERIALIZED VIEW public.filled AS SELECT count(*) FROM public.docs;
CREATE EVENT TRIGGER see ON ddl_command_end EXECUTE FUNCTION public.see();
COMMENT ON EVENT TRIGGER see IS 'ours';
CREATE EVENT TRIGGER no ON ddl_command_start WHEN TAG IN ('REFRESH MATERIALIZED VIEW') EXECUTE FUNCTION public.no();
ALTER EVENT TRIGGER see ENABLE ALWAYS;"""

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
