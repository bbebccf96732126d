"""What a set of one database does not carry: named before anything is stopped, never lost in silence.

Only names are told, no values: settings of a database and options of servers may hold secrets.
"""

from __future__ import annotations

from typing import Dict, List, Mapping, Sequence, Tuple

from mnemo_ops.agent.stack.postgres import Postgres
from mnemo_ops.errors import Refused

FEW = 10  # of a kind are named

# kind -> whether it belongs to the database itself, so that a restore replaces it, and the sentence
KINDS: Dict[str, Tuple[bool, str]] = {
    "database": (False, "other databases are in no set: {}"),
    "main": (False, "the database postgres is in no set, and holds: {}"),
    "role": (False, "roles, with their passwords, rights and memberships: {}"),
    "member": (False, "memberships of roles: {}"),
    "owner": (True, "owners, everything becomes the property of {user}: {}"),
    "grant": (True, "grants, everybody's rights become the default ones: {}"),
    "setting": (True, "settings of the database: {}"),
    "role setting": (False, "settings of roles: {}"),
    "system": (False, "settings made with ALTER SYSTEM: {}"),
    "file": (False, "lines of files in the data directory: {}"),
    "parameter": (False, "grants of parameters: {}"),
    "attribute": (True, "what is said of the database itself: {}"),
    "role attribute": (False, "what is said of the role {user}: {}"),
    "tablespace": (True, "tablespaces, everything goes to the default one: {}"),
    "label": (False, "security labels of databases and roles: {}"),
    "subscription": (True, "subscriptions, which come back disabled: {}"),
    "slot": (False, "replication slots: {}"),
    "prepared": (True, "prepared transactions: {}"),
    "hidden": (True, "what stands in schemas of the system: {}"),
}

# the same rights may stand in any order; what initdb or an extension granted is made again by them
_SORTED = "ARRAY(SELECT a::text FROM unnest({}) a ORDER BY 1)"

_SURVEY = (
    r"""SELECT :SERVER_VERSION_NUM >= 150000 AS "versioned" \gset
\if :versioned
\set parameters 'SELECT \'parameter\', parname FROM pg_parameter_acl'
\else
\set parameters 'SELECT \'parameter\', NULL::text WHERE false'
\endif
WITH me AS (SELECT * FROM pg_database WHERE datname = current_database()),
acls(class, id, sub, acl, kind, owner) AS (
 SELECT 'pg_class'::regclass, oid, 0, relacl, CASE relkind WHEN 'S' THEN 's' ELSE 'r' END, relowner FROM pg_class
 UNION ALL SELECT 'pg_class'::regclass, attrelid, attnum, attacl, 'c', 10 FROM pg_attribute
 UNION ALL SELECT 'pg_namespace'::regclass, oid, 0, nspacl, 'n', nspowner FROM pg_namespace
 UNION ALL SELECT 'pg_proc'::regclass, oid, 0, proacl, 'f', proowner FROM pg_proc
 UNION ALL SELECT 'pg_type'::regclass, oid, 0, typacl, 'T', typowner FROM pg_type
 UNION ALL SELECT 'pg_language'::regclass, oid, 0, lanacl, 'l', lanowner FROM pg_language
 UNION ALL SELECT 'pg_foreign_data_wrapper'::regclass, oid, 0, fdwacl, 'F', fdwowner FROM pg_foreign_data_wrapper
 UNION ALL SELECT 'pg_foreign_server'::regclass, oid, 0, srvacl, 'S', srvowner FROM pg_foreign_server
 UNION ALL SELECT 'pg_largeobject'::regclass, oid, 0, lomacl, 'L', lomowner FROM pg_largeobject_metadata
 UNION ALL SELECT 'pg_database'::regclass, oid, 0, datacl, 'd', datdba FROM me),
set_in(setdatabase, setrole, setting) AS (
 SELECT setdatabase, setrole, split_part(s, '=', 1) FROM pg_db_role_setting, unnest(setconfig) s),
lost(kind, name) AS (
 SELECT 'database', datname::text FROM pg_database
  WHERE datname NOT IN ('template0', 'template1', 'postgres', current_database())
  AND NOT (datname ~ '_\d{8}t\d{6}z_[0-9a-f]{4}(_\d+)?$'  -- a side of a restore, the last two of earlier versions
   AND (datname ~ '^mnemo_(before|after|stray)_' OR starts_with(datname, 'mnemosyne_restore_')
    OR starts_with(datname, current_database() || '_before_')))
 UNION ALL SELECT 'role', rolname FROM pg_roles WHERE oid >= 16384 AND rolname <> current_user
 UNION ALL SELECT 'member', format('%s in %s', member::regrole, roleid::regrole) FROM pg_auth_members
  WHERE roleid >= 16384 OR member >= 16384 OR member = 10
 UNION ALL SELECT 'owner', format('%s %s (%s)', o.type, o.identity, refobjid::regrole)
  FROM me, pg_shdepend s, pg_identify_object(s.classid, s.objid, s.objsubid) o
  WHERE s.deptype = 'o' AND s.refclassid = 'pg_authid'::regclass AND s.refobjid <> current_user::regrole
  AND s.classid NOT IN ('pg_user_mapping'::regclass, 'pg_default_acl'::regclass)
  AND (s.dbid = me.oid OR s.classid = 'pg_database'::regclass AND s.objid = me.oid)
 UNION ALL SELECT DISTINCT 'grant', format('%s %s', o.type, o.identity)
  FROM acls a LEFT JOIN pg_init_privs p ON p.classoid = a.class AND p.objoid = a.id AND p.objsubid = a.sub,
  pg_identify_object(a.class, a.id, a.sub) o
  WHERE a.acl IS NOT NULL AND 'information_schema' NOT IN (coalesce(o.schema, ''), o.identity) AND """
    + _SORTED.format("a.acl")
    + " <> "
    + _SORTED.format('coalesce(p.initprivs, acldefault(a.kind::"char", a.owner))')
    + r"""
 UNION ALL SELECT DISTINCT 'grant', format('default privileges of %s', defaclrole::regrole) FROM pg_default_acl
 UNION ALL SELECT 'setting', concat(setting, ' for ' || nullif(setrole, 0)::regrole)
  FROM me, set_in WHERE setdatabase = me.oid
 UNION ALL SELECT 'role setting', concat(setting, ' of ' || nullif(setrole, 0)::regrole)
  FROM set_in WHERE setdatabase = 0
 UNION ALL SELECT 'system', name FROM pg_file_settings
  WHERE sourcefile = current_setting('data_directory') || '/postgresql.auto.conf'
 UNION ALL SELECT 'file', format('postgresql.conf: %s', name) FROM pg_file_settings
  WHERE sourcefile = current_setting('data_directory') || '/postgresql.conf' AND name NOT IN ('max_connections',
  'shared_buffers', 'dynamic_shared_memory_type', 'max_wal_size', 'min_wal_size', 'listen_addresses', 'log_timezone',
  'DateStyle', 'datestyle', 'TimeZone', 'timezone', 'lc_messages', 'lc_monetary', 'lc_numeric', 'lc_time',
  'default_text_search_config')
 UNION ALL SELECT 'file', format('pg_hba.conf: %s', line_number) FROM pg_hba_file_rules
  WHERE current_setting('hba_file') = current_setting('data_directory') || '/pg_hba.conf' AND error IS NULL
  AND NOT (database IN ('{all}', '{replication}') AND user_name = '{all}' AND type IN ('local', 'host')
   AND coalesce(address, 'all') IN ('all', '127.0.0.1', '::1'))
 UNION ALL :parameters
 UNION ALL SELECT 'attribute', 'a limit of connections' FROM me WHERE datconnlimit <> -1
 UNION ALL SELECT 'attribute', 'its comment' FROM me, pg_shdescription
  WHERE classoid = 'pg_database'::regclass AND objoid = me.oid AND datname <> 'postgres'
 UNION ALL SELECT 'role attribute', 'its comment' FROM pg_shdescription
  WHERE classoid = 'pg_authid'::regclass AND objoid = current_user::regrole
 UNION ALL SELECT 'role attribute', 'a limit' FROM pg_roles
  WHERE rolname = current_user AND (rolconnlimit <> -1 OR rolvaliduntil IS NOT NULL)
 UNION ALL SELECT 'tablespace', format('%s in %s', c.oid::regclass, spcname)
  FROM pg_class c JOIN pg_tablespace t ON t.oid = c.reltablespace WHERE t.oid >= 16384
 UNION ALL SELECT 'tablespace', format('the database in %s', spcname)
  FROM me JOIN pg_tablespace t ON t.oid = dattablespace WHERE t.oid >= 16384
 UNION ALL SELECT 'label', format('%s for %s', provider, coalesce(datname, rolname))
  FROM pg_shseclabel LEFT JOIN pg_database d ON classoid = 'pg_database'::regclass AND d.oid = objoid
  LEFT JOIN pg_roles r ON classoid = 'pg_authid'::regclass AND r.oid = objoid
 UNION ALL SELECT 'subscription', subname FROM me, pg_subscription WHERE subdbid = me.oid
 UNION ALL SELECT 'slot', slot_name FROM pg_replication_slots WHERE NOT temporary
 UNION ALL SELECT 'prepared', gid FROM pg_prepared_xacts WHERE database = current_database()
 UNION ALL SELECT 'hidden', format('%s %s', o.type, o.identity) FROM (
  SELECT 'pg_class'::regclass AS class, oid AS id, relnamespace AS space FROM pg_class WHERE relkind NOT IN ('t', 'i')
  UNION ALL SELECT 'pg_proc'::regclass, oid, pronamespace FROM pg_proc) x, pg_identify_object(class, id, 0) o
  WHERE id >= 16384 AND space IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = class AND d.objid = id AND d.deptype IN ('e', 'i')))
SELECT coalesce(json_object_agg(kind, names), '{}') FROM (
 SELECT kind, json_agg(name ORDER BY name) AS names FROM lost GROUP BY kind) q;"""
)

# in the database postgres, where nobody should have anything
_MAIN = """SELECT coalesce(json_agg(name ORDER BY name), '[]') FROM (
 SELECT 'extension ' || extname AS name FROM pg_extension WHERE extname <> 'plpgsql'
 UNION ALL SELECT format('%s %s', o.type, o.identity) FROM (
  SELECT 'pg_class'::regclass AS class, c.oid AS id FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
   WHERE relkind IN ('r', 'p', 'v', 'm', 'S', 'f') AND nspname !~ '^pg_' AND nspname <> 'information_schema'
  UNION ALL SELECT 'pg_proc'::regclass, p.oid FROM pg_proc p JOIN pg_namespace n ON n.oid = pronamespace
   WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'
  UNION ALL SELECT 'pg_namespace'::regclass, oid FROM pg_namespace
   WHERE nspname !~ '^pg_' AND nspname NOT IN ('information_schema', 'public')) x, pg_identify_object(class, id, 0) o
 WHERE NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = class AND d.objid = id AND d.deptype IN ('e', 'i'))) q;"""


def of_set(server: Postgres) -> List[str]:
    """Sentences: what a set of this database would not hold."""
    return _sentences(server, KINDS)


def of_restore(server: Postgres) -> List[str]:
    """Sentences: what this database has and what is put in its place has not."""
    return _sentences(server, [kind for kind, (own, _) in KINDS.items() if own])


def refuse(losses: Sequence[str], accept: bool, what: str, more: str = "") -> None:
    """:raises Refused: something would be lost and nobody said that it may (3)."""
    if losses and not accept:
        lines = "".join(f"\n  - {each}" for each in losses)
        raise Refused(f"{what}:{lines}", hint=f"the same command with --accept-loss goes on without them{more}")


def _sentences(server: Postgres, kinds: Sequence[str] | Mapping[str, object]) -> List[str]:
    found: Dict[str, List[str]] = dict(server.query(_SURVEY))
    if "main" in kinds and server.database != "postgres":
        found["main"] = server.query(_MAIN, "postgres")
    return [
        KINDS[kind][1].format(_few(found[kind]), user=server.user)
        for kind in KINDS
        if kind in kinds and found.get(kind)
    ]


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - FEW} more" if len(names) > FEW else ""
    return ", ".join(names[:FEW]) + more
