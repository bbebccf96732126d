"""What a cluster is: what ``initdb`` was told, its databases, and what no dump carries."""

from __future__ import annotations

import re
from functools import partial
from typing import Any, Callable, Dict, List, Mapping, Sequence

from mnemo_ops.agent.stack.cluster.server import Server
from mnemo_ops.agent.stack.sql import literal
from mnemo_ops.errors import Refused

# where a column came or changed its name with a major, a row is read as JSON: what is not there is null
_CLUSTER = r"""SELECT json_build_object(
 'major', current_setting('server_version_num')::int / 10000, 'version', current_setting('server_version'),
 'superuser', (SELECT rolname FROM pg_roles WHERE oid = 10), 'roles', (SELECT json_agg(rolname) FROM pg_roles),
 'data', current_setting('data_directory'), 'mode', current_setting('data_directory_mode'),
 'port', current_setting('port')::int, 'sockets', current_setting('unix_socket_directories'),
 'checksums', current_setting('data_checksums')::bool, 'preloaded', current_setting('shared_preload_libraries'),
 'session_preloaded', current_setting('session_preload_libraries'),
 'segment', (SELECT setting::bigint / 1048576 FROM pg_settings WHERE name = 'wal_segment_size'),
 'zstd', (SELECT setting ~ '--with-zstd' FROM pg_config WHERE name = 'CONFIGURE'),
 'standby', pg_is_in_recovery(), 'cron', current_setting('cron.database_name', true),
 'databases', (SELECT json_object_agg(datname, json_build_object('encoding', pg_encoding_to_char(encoding),
   'collate', datcollate, 'ctype', datctype, 'provider', coalesce(to_jsonb(d)->>'datlocprovider', 'c'),
   'locale', coalesce(to_jsonb(d)->>'datlocale', to_jsonb(d)->>'daticulocale'), 'rules', to_jsonb(d)->>'daticurules',
   'open', datallowconn, 'valid', datconnlimit <> -2, 'bytes', pg_database_size(oid)) ORDER BY datname)
  FROM pg_database d),
 'tablespaces', (SELECT json_agg(spcname ORDER BY 1) FROM pg_tablespace
  WHERE oid >= 16384 OR spcacl IS NOT NULL OR spcoptions IS NOT NULL),
 'slots', (SELECT json_agg(slot_name ORDER BY 1) FROM pg_replication_slots WHERE NOT temporary),
 'prepared', (SELECT json_agg(format('%s in %s', gid, database) ORDER BY 1) FROM pg_prepared_xacts),
 'origins', (SELECT json_agg(roname ORDER BY 1) FROM pg_replication_origin WHERE roname !~ '^pg_\d+$'),
 'subscriptions', (SELECT json_agg(format('%s of %s', subname, datname) ORDER BY 1)
  FROM pg_subscription JOIN pg_database d ON d.oid = subdbid WHERE subenabled));"""

# a dump names an extension without its version and its owner, and takes for granted what template0 has
_DATABASE = r"""SELECT json_build_object(
 'extensions', (SELECT coalesce(json_object_agg(e.oid, json_build_object('name', extname, 'version', extversion,
   'schema', nspname, 'owner', pg_get_userbyid(extowner))), '{}')
  FROM pg_extension e JOIN pg_namespace n ON n.oid = extnamespace),
 'public', EXISTS (SELECT FROM pg_namespace WHERE nspname = 'public'),
 'needs', (SELECT json_agg(need ORDER BY need) FROM (
  SELECT 'pg_ts_dict'::regclass AS class, d.oid AS id, concat('$sharedir/tsearch_data/', o[2], CASE lower(o[1])
    WHEN 'stopwords' THEN '.stop' WHEN 'synonyms' THEN '.syn' WHEN 'afffile' THEN '.affix' WHEN 'rules' THEN '.rules'
    ELSE CASE tmplname WHEN 'thesaurus' THEN '.ths' ELSE '.dict' END END) AS need
   FROM pg_ts_dict d JOIN pg_ts_template t ON t.oid = dicttemplate,
   regexp_matches(dictinitoption, '\m(dictfile|afffile|stopwords|synonyms|rules)\s*=\s*\x27([^\x27]+)', 'gi') o
  UNION SELECT 'pg_proc'::regclass, p.oid, regexp_replace(probin, '^(?=[^/]*$)', '$libdir/')
   FROM pg_proc p JOIN pg_language l ON l.oid = prolang WHERE lanname = 'c') x WHERE id >= 16384
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = class AND d.objid = id AND d.deptype = 'e')),
 'keeper', (SELECT pg_get_userbyid(nspowner) FROM pg_namespace WHERE nspname = 'public'),
 'wide', (SELECT has_schema_privilege('public', oid, 'CREATE') FROM pg_namespace WHERE nspname = 'public'),
 'used', (SELECT has_schema_privilege('public', oid, 'USAGE') FROM pg_namespace WHERE nspname = 'public'),
 'foreign', (WITH RECURSIVE above(id) AS (SELECT oid FROM pg_class WHERE relkind = 'f' UNION SELECT parent FROM above,
   LATERAL (SELECT inhparent AS parent FROM pg_inherits WHERE inhrelid = id UNION ALL SELECT ev_class FROM pg_rewrite r
    JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
    WHERE refclassid = 'pg_class'::regclass AND refobjid = id) p)
  SELECT json_agg(id::regclass ORDER BY 1) FROM above JOIN pg_class c ON c.oid = id
  WHERE relkind = 'm' AND relispopulated),
 'hidden', (SELECT json_agg(format('%s %s', o.type, o.identity) ORDER BY 1) FROM (
  SELECT 'pg_class'::regclass AS class, oid AS id, relnamespace AS space FROM pg_class WHERE relkind NOT IN ('t', 'i')
  UNION ALL SELECT 'pg_proc'::regclass, oid, pronamespace FROM pg_proc) x, pg_identify_object(class, id, 0) o
  WHERE id >= 16384 AND space IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = class AND d.objid = id AND d.deptype IN ('e', 'i'))));"""

# files of the image, which no extension brings: dictionaries and libraries
_LACKING = """SELECT json_agg(need ORDER BY need) FROM (SELECT need, replace(replace(need,
  '$sharedir', (SELECT setting FROM pg_config WHERE name = 'SHAREDIR')),
  '$libdir', (SELECT setting FROM pg_config WHERE name = 'PKGLIBDIR')) AS path
  FROM unnest(ARRAY[{needs}]::text[]) need) n
 WHERE pg_stat_file(path, true) IS NULL AND pg_stat_file(path || '.so', true) IS NULL;"""

# what a server counted by itself; a table nobody analyzed has an estimate of another kind
_ABOUT = """SELECT to_json(coalesce(sum(CASE WHEN reltuples > 0 THEN reltuples
 ELSE pg_stat_get_live_tuples(c.oid) END), 0)::bigint) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
 WHERE relkind = 'r' AND nspname !~ '^pg_' AND nspname <> 'information_schema';"""

# what of it -> the sentence; only names are told. First what cannot be done without
_OBSTACLES = {
    "tablespaces": "tablespaces, or rights and options of one: {}",
    "special": "extensions whose tables need a restore, or a key, of their own: {}",
    "foreign": "materialized views over tables of other servers, from which a restore could not fill them: {}",
    "standby": "the server is a standby of another one",
    "prepared": "prepared transactions, whose locks a dump would wait for: {}",
}
_LOSSES = {
    "slots": "replication slots, whose consumers would lose their place: {}",
    "origins": "replication origins: {}",
    "closed": "databases that let nobody connect, or whose removal was cut short: {}",
    "hidden": "what was made in schemas of the system: {}",
    "subscriptions": "subscriptions, which come back disabled: {}",
}
# neither loads without a script that gives the key, and what it encrypted nobody opens with another one
_KEYED = ("pgsodium", "supabase_vault")
_SPECIAL = ("timescaledb", "citus", "vectors", *_KEYED)  # the index of vectors.so is made by a worker
Query = Callable[[str], Any]  # SQL -> the JSON value
FEW = 10  # of a kind are named
# what restores of earlier versions left in a server
_OURS = re.compile(r"mnemo_(before|after|stray_\d+)_\d{8}t\d{6}z_[0-9a-f]{4}$")


def look(server: Server) -> Dict[str, Any]:
    """Facts of the cluster, and of each database that is carried. :raises CommandFailed: Postgres' own words (6)."""
    with server.held():
        facts = of_cluster(server.query)
        for name in carried(facts):
            add(facts, name, partial(server.query, database=name))
        return facts


def of_cluster(query: Query) -> Dict[str, Any]:
    """What is known from any database. Errors as :func:`look`."""
    facts: Dict[str, Any] = query(_CLUSTER)
    known = ["template0", *carried(facts)]
    facts["closed"] = [name for name in facts["databases"] if name not in known and not _OURS.fullmatch(name)]
    facts["bytes"] = sum(facts["databases"][name]["bytes"] for name in carried(facts))
    loaded = re.findall(r"[^/,\s\"]+(?=[\s\"]*(?:,|$))", facts["preloaded"].replace(".so", ""))
    return {
        **facts,
        "hidden": [],
        "foreign": [],
        "special": [f"{each} (loaded with the server)" for each in loaded if each in _KEYED],
    }


def add(facts: Dict[str, Any], name: str, query: Query) -> None:
    """What is known in this database alone. Errors as :func:`look`."""
    one = query(_DATABASE)
    facts["foreign"] += [f"{each} in {name}" for each in one.pop("foreign") or ()]
    facts["hidden"] += [f"{each} in {name}" for each in one.pop("hidden") or ()]
    facts["special"] += [f"{each['name']} in {name}" for each in one["extensions"].values() if each["name"] in _SPECIAL]
    facts["databases"][name].update(one)


def lacking(facts: Mapping[str, Any], query: Query) -> List[str]:
    """Files that databases of a backup need and another server does not have.

    :param query: of that server. Errors as :func:`look`.
    """
    needs = {need for one in facts.get("databases", {}).values() for need in one.get("needs") or ()}
    return list(query(_LACKING.replace("{needs}", ", ".join(map(literal, sorted(needs))))) or ()) if needs else []


def now(server: Server) -> Dict[str, Any]:
    """What :func:`look` says that people know a cluster by, and about how many rows there are. Errors as there."""
    with server.held():
        facts = look(server)
        rows = {name: server.query(_ABOUT, name) for name in carried(facts)}
    every = {name: one for name, one in facts["databases"].items() if name != "template0"}
    told = {name: {**one, "rows": rows.get(name)} for name, one in every.items()}
    return {"version": facts["version"], "roles": facts["roles"], "databases": told}


def carried(facts: Mapping[str, Any]) -> List[str]:
    """Names of the databases a dump holds."""
    every = facts["databases"].items()
    return [
        name for name, one in every if name != "template0" and one["open"] and one["valid"] and not _OURS.match(name)
    ]


def obstacles(facts: Mapping[str, Any]) -> List[str]:
    """Sentences: what the cluster has that keeps it from being dumped at all."""
    return _sentences(_OBSTACLES, facts)


def losses(facts: Mapping[str, Any]) -> List[str]:
    """Sentences: what the cluster has that a dump of it does not hold as it is."""
    return _sentences(_LOSSES, facts)


def refuse(facts: Mapping[str, Any], accept_loss: bool) -> None:
    """:raises Refused: the cluster has what no dump carries, and nobody said that it may be lost (3)."""
    here = obstacles(facts)
    found = here or losses(facts)
    if here or (found and not accept_loss):
        lines = "".join(f"\n  - {each}" for each in found)
        hint = "remove or end what is named first"
        hint += "" if here else "; the same command with --accept-loss continues without it"
        raise Refused(f"a backup would not hold all of the database server:{lines}", hint=hint)


def _sentences(kinds: Mapping[str, str], facts: Mapping[str, Any]) -> List[str]:
    found = {kind: facts[kind] for kind in kinds if facts[kind]}
    return [kinds[kind].format("" if names is True else _few(names)) for kind, names in found.items()]


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - FEW} more" if len(names) > FEW else ""
    return ", ".join(names[:FEW]) + more
