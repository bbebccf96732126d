"""What a cluster is: what ``initdb`` was told, its databases, and what no dump carries."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping

from mnemo_ops.agent.stack.cluster.server import Server
from mnemo_ops.errors import Refused

# where a column came or changed its name with a major, a row is read as JSON: what is not there is null
_CLUSTER = r"""SELECT json_build_object(
 'major', current_setting('server_version_num')::int / 10000, 'version', current_setting('server_version'),
 'superuser', (SELECT rolname FROM pg_roles WHERE oid = 10), 'roles', (SELECT json_agg(rolname) FROM pg_roles),
 'data', current_setting('data_directory'), 'mode', current_setting('data_directory_mode'),
 'port', current_setting('port')::int, 'sockets', current_setting('unix_socket_directories'),
 'checksums', current_setting('data_checksums')::bool, 'preloaded', current_setting('shared_preload_libraries'),
 'segment', (SELECT setting::bigint / 1048576 FROM pg_settings WHERE name = 'wal_segment_size'),
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
 'hidden', (SELECT json_agg(format('%s %s', o.type, o.identity) ORDER BY 1) FROM (
  SELECT 'pg_class'::regclass AS class, oid AS id, relnamespace AS space FROM pg_class WHERE relkind NOT IN ('t', 'i')
  UNION ALL SELECT 'pg_proc'::regclass, oid, pronamespace FROM pg_proc) x, pg_identify_object(class, id, 0) o
  WHERE id >= 16384 AND space IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = class AND d.objid = id AND d.deptype IN ('e', 'i'))));"""

# what of it -> the sentence; only names are told
_REFUSED = {
    "tablespaces": "tablespaces, or rights and options of one: {}",
    "slots": "replication slots, whose consumers would lose their place: {}",
    "prepared": "prepared transactions, which nobody ended: {}",
    "origins": "replication origins: {}",
    "closed": "databases that let nobody connect, or whose removal was cut short: {}",
    "special": "extensions whose tables need a restore of their own: {}",
    "hidden": "what was made in schemas of the system: {}",
    "standby": "the server is a standby of another one",
}
_SPECIAL = ("timescaledb", "citus")
_TOLD = {"subscriptions": "subscriptions, which come back disabled: {}"}


def look(server: Server) -> Dict[str, Any]:
    """Facts of the cluster, and of each database that is carried. :raises CommandFailed: Postgres' own words (6)."""
    facts: Dict[str, Any] = server.query(_CLUSTER)
    hidden: List[str] = []
    special: List[str] = []
    for name, one in facts["databases"].items():
        if name != "template0" and one["open"] and one["valid"]:
            one.update(server.query(_DATABASE, name))
            hidden += [f"{each} in {name}" for each in one.pop("hidden") or ()]
            special += [f"{each['name']} in {name}" for each in one["extensions"].values() if each["name"] in _SPECIAL]
    facts.update(hidden=hidden, special=special)
    facts["closed"] = [name for name in facts["databases"] if name != "template0" and name not in carried(facts)]
    return facts


def carried(facts: Mapping[str, Any]) -> List[str]:
    """Names of the databases a dump holds."""
    return [name for name, one in facts["databases"].items() if "extensions" in one]


def obstacles(facts: Mapping[str, Any]) -> List[str]:
    """Sentences: what the cluster has that no dump carries."""
    return _sentences(_REFUSED, facts)


def notes(facts: Mapping[str, Any]) -> List[str]:
    """Sentences: what comes back in another state."""
    return _sentences(_TOLD, facts)


def refuse(facts: Mapping[str, Any]) -> None:
    """:raises Refused: the cluster has what no dump carries (3)."""
    found = obstacles(facts)
    if found:
        lines = "".join(f"\n  - {each}" for each in found)
        raise Refused(
            f"a dump of this Postgres would not hold all of it:{lines}", hint="remove or end what is named first"
        )


def _sentences(kinds: Mapping[str, str], facts: Mapping[str, Any]) -> List[str]:
    return [
        said.format("" if facts[kind] is True else ", ".join(facts[kind]))
        for kind, said in kinds.items()
        if facts[kind]
    ]
