"""The proof that two clusters are one: everything in them as names and short values, and what differs.

Rows by their digest, all that a schema holds by the entries of ``pg_dump``, the rest by SQL. What may be secret is
there as a digest with a salt, which belongs where the secrets of the set are.
"""

from __future__ import annotations

import json
from typing import IO, Any, Callable, Dict, List, Optional, Sequence

from mnemo_ops.agent.machine import Conversation
from mnemo_ops.agent.stack import postgres_digest
from mnemo_ops.agent.stack.cluster import schema
from mnemo_ops.agent.stack.cluster.extensions import NARROW
from mnemo_ops.agent.stack.cluster.server import Server
from mnemo_ops.agent.stack.sql import literal

Facts = Dict[str, str]  # name -> value
Proof = Dict[str, Facts]  # of each database, and of the cluster under the empty name

FEW = 10  # differences are told
KEY = "MnemoProof"  # else pg_dump takes a random one, and its text is never twice the same

_SORTED = "(SELECT string_agg(a::text, ' ' ORDER BY a::text COLLATE \"C\") FROM unnest({}) a)"

# name, value, whether it may be secret; {own} is the throw-away server's own role, {out} are databases no dump holds
_CLUSTER = (
    r"""SELECT json_agg(json_build_array(k, v, s)) FROM (
 SELECT 'cluster' k, concat_ws(', ', 'superuser ' || (SELECT rolname FROM pg_roles WHERE oid = 10),
   'checksums ' || current_setting('data_checksums'), 'segments of ' || current_setting('wal_segment_size'),
   'mode ' || current_setting('data_directory_mode')) v, false s
 UNION ALL SELECT 'major', (current_setting('server_version_num')::int / 10000)::text, false
 UNION ALL SELECT 'role ' || rolname, concat_ws(' ', CASE WHEN rolsuper THEN 'superuser' END,
   CASE WHEN rolinherit THEN 'inherit' END, CASE WHEN rolcreaterole THEN 'createrole' END,
   CASE WHEN rolcreatedb THEN 'createdb' END, CASE WHEN rolcanlogin THEN 'login' END,
   CASE WHEN rolreplication THEN 'replication' END, CASE WHEN rolbypassrls THEN 'bypassrls' END,
   'limit ' || rolconnlimit, 'until ' || rolvaliduntil), false
  FROM pg_authid WHERE rolname !~ '^pg_' AND rolname <> {own}
 UNION ALL SELECT 'password of role ' || rolname, rolpassword, true FROM pg_authid WHERE rolpassword IS NOT NULL
 UNION ALL SELECT format('membership of %s in %s', u.rolname, g.rolname), string_agg(concat_ws(' ', 'member',
   CASE WHEN admin_option THEN 'admin' END,
   CASE WHEN coalesce((to_jsonb(m)->>'inherit_option')::bool, u.rolinherit) THEN 'inherit' END,
   CASE WHEN coalesce((to_jsonb(m)->>'set_option')::bool, true) THEN 'set' END), ', '
   ORDER BY pg_get_userbyid(grantor) COLLATE "C"), false
  FROM pg_auth_members m JOIN pg_roles g ON g.oid = roleid JOIN pg_roles u ON u.oid = member
  WHERE NOT (g.rolname ~ '^pg_' AND u.rolname ~ '^pg_') GROUP BY u.rolname, g.rolname
 UNION ALL SELECT format('grantors of the membership of %s in %s', pg_get_userbyid(member), pg_get_userbyid(roleid)),
   string_agg(pg_get_userbyid(grantor), ' ' ORDER BY pg_get_userbyid(grantor) COLLATE "C"), false
  FROM pg_auth_members WHERE NOT (pg_get_userbyid(roleid) ~ '^pg_' AND pg_get_userbyid(member) ~ '^pg_')
  GROUP BY roleid, member
 UNION ALL SELECT concat('setting ', split_part(c, '=', 1), ' of ' || r.rolname, ' in database ' || datname,
   CASE WHEN setrole = 0 AND setdatabase = 0 THEN ' of everybody' END), c, true
  FROM pg_db_role_setting CROSS JOIN unnest(setconfig) c
  LEFT JOIN pg_roles r ON r.oid = setrole LEFT JOIN pg_database d ON d.oid = setdatabase
  WHERE datname IS NULL OR datname NOT IN ({out})
 UNION ALL SELECT 'database ' || datname, concat_ws(', ', 'owner ' || pg_get_userbyid(datdba),
   pg_encoding_to_char(encoding), datcollate, datctype, 'provider ' || coalesce(to_jsonb(d)->>'datlocprovider', 'c'),
   'locale ' || coalesce(to_jsonb(d)->>'datlocale', to_jsonb(d)->>'daticulocale'),
   'rules ' || (to_jsonb(d)->>'daticurules'), 'limit ' || datconnlimit, CASE WHEN datistemplate THEN 'template' END,
   CASE WHEN NOT datallowconn THEN 'closed' END), false FROM pg_database d
  WHERE datname = 'template0' OR datname NOT IN ({out})
 UNION ALL SELECT 'rights on database ' || datname, """
    + _SORTED.format("coalesce(datacl, acldefault('d', datdba))")
    + r""", false FROM pg_database WHERE datname NOT IN ({out})
 UNION ALL SELECT format('%s on %s', what, coalesce('database ' || datname, 'role ' || rolname)), said, true FROM (
   SELECT 'comment', classoid, objoid, description FROM pg_shdescription
   UNION ALL SELECT 'label of ' || provider, classoid, objoid, label FROM pg_shseclabel) c(what, class, id, said)
  LEFT JOIN pg_database d ON class = 'pg_database'::regclass AND d.oid = id
  LEFT JOIN pg_roles r ON class = 'pg_authid'::regclass AND r.oid = id
  WHERE datname NOT IN ({out}) OR rolname <> {own} AND rolname !~ '^pg_'
 UNION ALL SELECT 'tablespace ' || spcname, concat_ws(' ', pg_get_userbyid(spcowner), """
    + _SORTED.format("spcacl")
    + r""", array_to_string(spcoptions, ' ')), false FROM pg_tablespace
 {parameters}) q;"""
)
_PARAMETERS = "UNION ALL SELECT 'rights on parameter ' || parname, " + _SORTED.format("paracl")
_PARAMETERS += ", false FROM pg_parameter_acl"  # since 15

_DATABASE = (
    r"""SELECT coalesce(json_object_agg(k, v), '{}') FROM (
 SELECT 'extension ' || extname k, format('in %s, owner %s', nspname, pg_get_userbyid(extowner)) v
  FROM pg_extension e JOIN pg_namespace n ON n.oid = extnamespace
 UNION ALL SELECT 'version of extension ' || extname, extversion FROM pg_extension
 UNION ALL SELECT 'schema public', 'there' FROM pg_namespace WHERE nspname = 'public'
 UNION ALL SELECT 'owners, rights and comments of large objects', """
    + postgres_digest.HASH.format(
        text="concat_ws(' ', m.oid, pg_get_userbyid(lomowner), "
        + _SORTED.format("lomacl")
        + ", obj_description(m.oid, 'pg_largeobject'))"
    )
    + r""" FROM pg_largeobject_metadata m) q;"""
)

# of a table with rows that an extension brings, a dump has the others (spatial_ref_sys of PostGIS)
_MARKED = """SELECT coalesce(json_object_agg(marked::regclass, condition), '{}') FROM pg_extension,
 unnest(extconfig, extcondition) c(marked, condition) WHERE condition <> '';"""
_OWN_ROWS = "SELECT " + postgres_digest.HASH.format(text="ROW(t.*)::text") + " FROM ONLY {name} AS t {condition};"


def describe(server: Server, databases: Sequence[str], salt: str, own: str = "") -> Proof:
    """Everything of a cluster.

    :param databases: those to look into. :param own: role and database that are not of the cluster.
    :raises StepFailed: Postgres' own words (6).
    """
    from concurrent.futures import ThreadPoolExecutor  # few need it

    with server.held(), ThreadPoolExecutor(1) as pool:
        with server.snapshot(server.entry) as talk:
            found = {"": of_cluster(talk.query, salt, own)}
        for name in databases:
            with server.snapshot(name) as talk:
                text = pool.submit(entries, server, name, salt, exported(talk))
                found[name] = {**rows(talk), **within(talk), **text.result()}
        return found


def of_cluster(query: Callable[[str], Any], salt: str, own: str = "", out: Sequence[str] = ()) -> Facts:
    """What belongs to no database, and what is said of each from outside. Errors as :func:`describe`.

    :param out: databases that no dump holds.
    """
    has = query("SELECT to_json(count(*)) FROM pg_class WHERE relname = 'pg_parameter_acl';")
    text = _CLUSTER.replace("{parameters}", _PARAMETERS if has else "").replace("{own}", literal(own))
    text = text.replace("{out}", ", ".join(map(literal, ("template0", own, *out))))
    return {
        key: schema.digest(salt, str(value).encode()) if secret else str(value) for key, value, secret in query(text)
    }


def rows(talk: Conversation) -> Facts:
    """What the tables, sequences and large objects of a database hold, as the open transaction sees it.

    :raises CommandFailed: Postgres' own words (6).
    """
    digest = postgres_digest.digest(talk)
    found = {f"rows of {table}": f"{one['rows']} ({one['hash']})" for table, one in digest["tables"].items()}
    found.update(
        {
            f"sequence {key}": f"{one['last']}{'' if one['called'] else ', not called'}"
            for key, one in digest["sequences"].items()
        }
    )
    found.update(
        {
            f"materialized view {key}": "populated" if one["populated"] else "not populated"
            for key, one in digest["matviews"].items()
        }
    )
    found["large objects"] = f"{digest['large_objects']['rows']} ({digest['large_objects']['hash']})"
    return found


def of_database(server: Server, name: str, talk: Conversation, salt: str) -> Facts:
    """What is in a database besides its rows, as the open transaction sees it. Errors as :func:`describe`."""
    return {**within(talk), **entries(server, name, salt, exported(talk))}


def within(talk: Conversation) -> Facts:
    """The part of it that SQL tells, and pg_dump does not. Errors as :func:`describe`."""
    found: Facts = talk.query(_DATABASE)
    for table, condition in talk.query(_MARKED).items():
        found[f"own rows of {table}"] = talk.ask(_OWN_ROWS.replace("{name}", table).replace("{condition}", condition))
    return found


def exported(talk: Conversation) -> str:
    """The name under which others see what the open transaction sees."""
    return str(json.loads(talk.ask("SELECT to_json(pg_export_snapshot());")))


def entries(server: Server, name: str, salt: str, snapshot: str = "") -> Facts:
    """What ``pg_dump`` says of a database besides its rows. Errors as :func:`describe`."""
    words = ["--schema-only", "--encoding=UTF8", *([f"--snapshot={snapshot}"] if snapshot else [])]
    with server.machine.spool() as file:
        argv = server.run("pg_dump", *words, "-d", server.to(name))
        server.machine.pipe(argv, sink=file)
        file.seek(0)
        return schema.entries(file, salt)


def archived(server: Server, archive: IO[bytes], major: int, salt: str) -> Facts:
    """The same of an archive, in the encoding of its database; no server is asked. Errors as :func:`describe`."""
    with server.machine.spool() as file:
        argv = server.run("pg_restore", "--schema-only", *(("-f", "-") if major >= 12 else ()))
        server.machine.pipe(argv, source=archive, sink=file)
        file.seek(0)
        found = schema.entries(file, salt)
    # it says when views are filled, too; whether they are is told with the rows
    return {key: told for key, told in found.items() if not key.startswith("MATERIALIZED VIEW DATA ")}


def differences(before: Proof, after: Proof, reread: Callable[[str], Facts]) -> List[str]:
    """A sentence for each name that is not as it was.

    :param reread: what the text in the dump of a database makes of it on the server of ``after``: an expression is not
        told as it was written, and another major tells all in its own way.
    """
    was, now = int(before[""]["major"]), int(after[""]["major"])
    other, widened = was != now, was < NARROW <= now
    said: List[str] = []
    for database in sorted({*before, *after}):
        here, there = before.get(database, {}), after.get(database, {})
        texts: Facts = {}
        for key in sorted({*here, *there}):
            old, new = here.get(key), there.get(key)
            if other and old and new and key.startswith("database "):  # ICU tells a locale in another way since 16
                old, new = old.replace("_", "-"), new.replace("_", "-")
            if old == new or (other and (key.startswith(_OF_MAJOR) or f"own {key}" in here)):
                continue
            public = widened and key in _PUBLIC
            if public or (old and new and key.partition(" ")[0].isupper() and (other or not key.startswith(_EXACT))):
                texts = texts or reread(database)
                if texts.get(key) == new and (public or _owner(old) == _owner(new)):
                    continue
            said.append(_changed(database, key, old, new))
    return said


# entries without an expression: the same text, or something is lost
_EXACT = ("ACL ", "DEFAULT ACL ", "COMMENT ", "SECURITY LABEL ", "SCHEMA ", "EXTENSION ", "SERVER ", "USER MAPPING ")
_PUBLIC = ("SCHEMA public", "ACL SCHEMA public")  # told only where it is not as initdb of that major made it
_OF_MAJOR = ("major", "grantors ", "version ")  # another one has its own


_LOGS = {"rows of cron.job_run_details", "sequence cron.runid_seq"}  # a server that runs goes on with them


def of_rows(server: Server, before: Proof) -> List[str]:
    """A sentence for each table, sequence or large object that does not hold what ``before`` says of its database."""
    said: List[str] = []
    with server.held():
        for name, facts in before.items():
            with server.snapshot(name) as talk:
                after = rows(talk)
            keys = sorted({*facts, *after} - _LOGS)
            said += [_changed(name, key, facts.get(key), after.get(key)) for key in keys]
    return [each for each in said if each]


def _owner(entry: Optional[str]) -> str:
    return (entry or "").rpartition(" ")[0]


def _changed(database: str, key: str, old: Optional[str], new: Optional[str]) -> str:
    """What became of a thing; nothing: empty."""
    if old == new:
        return ""
    changed = "is missing" if new is None else "was not there" if old is None else f"{old} -> {new}"
    return f"{f'database {database}: ' if database else ''}{key}: {changed}"


def few(said: Sequence[str]) -> List[str]:
    """Not more than one can read."""
    return [*said[:FEW], *([f"... and {len(said) - FEW} more"] if len(said) > FEW else [])]
