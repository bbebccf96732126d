"""Digests of a database: the same content gives the same digest, whatever its settings and the names of its columns.

A set says by which way it was hashed (``digest``); those of the first way had no number and are read as they were made.
"""

from __future__ import annotations

import json
from typing import Any, Dict, List, Mapping, Optional

from mnemo_ops.agent.machine import Conversation
from mnemo_ops.agent.stack.postgres_tables import OWN, TABLES
from mnemo_ops.agent.stack.sql import literal
from mnemo_ops.errors import Refused

WAY = 2

# the text form of a row must not depend on settings of the server, the database or the role; what hides rows must raise
SETTINGS = (
    "SET client_min_messages = error; SET client_encoding = 'UTF8'; SET standard_conforming_strings = on;"
    " SET DateStyle = 'ISO, YMD'; SET IntervalStyle = 'iso_8601'; SET TimeZone = 'UTC'; SET extra_float_digits = 3;"
    " SET bytea_output = 'hex'; SET xmloption = 'content'; SET xmlbinary = 'base64'; SET lc_monetary = 'C';"
    " SET quote_all_identifiers = off; SET row_security = off; SET statement_timeout = 0; SET lock_timeout = 0;"
    " SET idle_in_transaction_session_timeout = 0;"
    # of Postgres 17; nothing is printed, also where there is none
    " SELECT set_config(name, '0', false) FROM pg_settings WHERE name = 'transaction_timeout' \\g /dev/null\n"
)

_SEQUENCES = (
    """SELECT coalesce(json_agg(format('%I.%I', n.nspname, c.relname) ORDER BY n.nspname, c.relname), '[]')
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'S' AND """
    + OWN
    + ";"
)

# order does not matter in a sum; two seeds make 128 bits of it. ROW(t.*) is the row whatever its columns are called.
# every name is told with its schema: the first way needs another search path
_SUM = """coalesce(pg_catalog.sum(pg_catalog.hashtextextended({text} COLLATE pg_catalog."C", SEED)), 0)
 ::pg_catalog.text"""
HASH = "pg_catalog.md5(" + _SUM.replace("SEED", "0") + " OPERATOR(pg_catalog.||) ':' OPERATOR(pg_catalog.||) "
HASH += _SUM.replace("SEED", "1") + ")"
# OFFSET 0: else the server would make the text of each row once for each seed
_ROWS = "SELECT pg_catalog.json_build_object('rows', pg_catalog.count(*), 'hash', " + HASH.format(text="r")
_ROWS += ") FROM (SELECT ROW({row})::pg_catalog.text AS r FROM {of}{name} AS t OFFSET 0) s;"
_SEQUENCE = "SELECT json_build_object('last', last_value, 'called', is_called) FROM {name};"
# its locks end with it: a server has as many as a transaction needs that reads some tables, not all of them
_ALONE = "SAVEPOINT one; ", " ROLLBACK TO one; RELEASE one;"

# the content of a materialized view is what its query gives at its next refresh: the dump holds only the query
_VIEWS = """SELECT coalesce(json_object_agg(format('%I.%I', schemaname, matviewname),
 json_build_object('populated', ispopulated, 'definition', definition)), '{}') FROM pg_matviews;"""

# a hole and a page of zeros read the same, and a restore makes pages of holes
_LARGE = "SELECT json_build_object('rows', (SELECT count(*) FROM pg_largeobject_metadata), 'hash', "
_LARGE += HASH.format(text="r")
_LARGE += """) FROM (SELECT loid || ':' || pageno || ':' || encode(data, 'hex') AS r
 FROM (SELECT loid, pageno, data || decode(repeat('00', size - length(data)), 'hex') AS data, size
  FROM pg_largeobject, (SELECT current_setting('block_size')::int / 4 AS size) s) p
 WHERE data <> decode(repeat('00', size), 'hex') OFFSET 0) q;"""

# the first way: a row is what a column of the name t holds, and names depend on the search path, as a fresh database's
_FIRST_PATH = 'SET LOCAL search_path = "$user", public;'
_OWN_CASTS = "SELECT to_json(count(*)) FROM pg_cast WHERE casttarget = 'text'::regtype AND castfunc >= 16384;"
_FIRST_NAMES = """SELECT coalesce(json_agg(format('%I.%I', n.nspname, c.relname) ORDER BY n.nspname, c.relname), '[]')
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema';"""
_FIRST_TABLE = "SELECT pg_catalog.json_build_object('rows', pg_catalog.count(*), 'hash', "
_FIRST_TABLE += HASH.format(text="t::pg_catalog.text") + ") FROM {name} t;"
_FIRST_SEQUENCES = """SELECT coalesce(json_object_agg(format('%I.%I', schemaname, sequencename), last_value), '{}')
FROM pg_sequences WHERE schemaname !~ '^pg_';"""

_AS_READ = 'CREATE TEMP VIEW "mnemo view" AS {definition}'
_SHOWN = "SELECT to_json(pg_get_viewdef('pg_temp.\"mnemo view\"'::regclass));"


def digest(talk: Conversation) -> Dict[str, Any]:
    """Tables (rows, hash), sequences, materialized views and large objects, as the open transaction sees them."""
    return {
        "digest": WAY,
        "tables": {table["name"]: _table(talk, table) for table in talk.query(TABLES)},
        "sequences": {name: _alone(talk, _SEQUENCE.replace("{name}", name)) for name in talk.query(_SEQUENCES)},
        "matviews": json.loads(talk.ask(_VIEWS)),
        "large_objects": json.loads(talk.ask(_LARGE)),
    }


def differences(talk: Conversation, before: Mapping[str, Any]) -> List[str]:
    """What the open transaction sees that is not as the facts of a set say, one line each.

    :raises Refused: the set was hashed in a newer way (3).
    """
    way = int(before.get("digest", 1))
    if way > WAY:
        raise Refused(f"a newer mnemo_ops hashed the database (method {way})", hint="update mnemo_ops")
    if way == 1:
        return _first(talk, before)
    here = digest(talk)
    views = {name: _reread(talk, view) for name, view in before["matviews"].items()}
    return compare({**before, "matviews": views}, here)


def compare(before: Mapping[str, Any], after: Mapping[str, Any]) -> List[str]:
    """Differences between two digests of one way, one line each."""
    lines = []
    for kind, word in (("tables", "table"), ("sequences", "sequence"), ("matviews", "materialized view")):
        for name in sorted({*before[kind], *after[kind]}):
            old, new = before[kind].get(name), after[kind].get(name)
            if old != new:
                lines.append(f"{word} {name}: {_shown(old)} -> {_shown(new)}")
    if before.get("large_objects") != after.get("large_objects"):
        lines.append(f"large objects: {_shown(before.get('large_objects'))} -> {_shown(after['large_objects'])}")
    return lines


def _table(talk: Conversation, table: Mapping[str, str]) -> Any:
    """How many rows, and their digest. A plan asks for what an index of the table names, perhaps without a schema."""
    path = f"SELECT pg_catalog.set_config('search_path', {literal(table['path'])}, true) \\g /dev/null\n"
    rows = _ROWS.replace("{row}", table["row"]).replace("{of}", table["of"]).replace("{name}", table["name"])
    return _alone(talk, path + rows)


def _alone(talk: Conversation, query: str) -> Any:
    return talk.query(query.join(_ALONE))


def _reread(talk: Conversation, view: Mapping[str, Any]) -> Dict[str, Any]:
    """A view as this server tells it after reading its definition, as it did at the restore: texts change by that."""
    talk.ask("SAVEPOINT reread;")
    talk.ask(_AS_READ.replace("{definition}", view["definition"]))
    definition = json.loads(talk.ask(_SHOWN))
    talk.ask("ROLLBACK TO reread;")
    return {**view, "definition": definition}


def _first(talk: Conversation, before: Mapping[str, Any]) -> List[str]:
    """As sets of the first way were hashed; they hold materialized views as tables, which no restore can reproduce.

    :raises Refused: a cast of the database's owner would be run, and we are a superuser (3).
    """
    if json.loads(talk.ask(_OWN_CASTS)):
        hint = "psql's \\dC lists them; drop them in the source database and make a new backup"
        raise Refused(
            "the backup was hashed by the oldest method, and the database has casts to text of its own", hint=hint
        )
    views = json.loads(talk.ask(_VIEWS))
    names = json.loads(talk.ask(_FIRST_NAMES))
    sequences = json.loads(talk.ask(_FIRST_SEQUENCES))
    talk.ask(_FIRST_PATH)
    return compare(
        {
            "tables": {name: row for name, row in before["tables"].items() if name not in views},
            "sequences": before["sequences"],
            "matviews": {},
        },
        {
            "tables": {name: json.loads(talk.ask(_FIRST_TABLE.replace("{name}", name))) for name in names},
            "sequences": sequences,
            "matviews": {},
        },
    )


def _shown(found: Optional[Any]) -> str:
    if found is None:
        return "absent"
    if not isinstance(found, dict):
        return str(found)
    if "rows" in found:
        return f"{found['rows']} rows ({str(found.get('hash'))[:8]})"
    return ", ".join(f"{key} {' '.join(str(value).split())[:60]}" for key, value in found.items())
