"""Extensions of a new database: in the versions and of the owners they had, which no dump tells."""

from __future__ import annotations

import contextlib
from typing import Any, Iterator, Mapping, Sequence

from mnemo_ops.agent.base.record import replace
from mnemo_ops.agent.stack.cluster.server import Server
from mnemo_ops.agent.stack.sql import identifier, literal

_RIGHTS = """SELECT json_build_object(
 'there', EXISTS (SELECT FROM pg_available_extension_versions WHERE name = {name} AND version = {version}),
 'trusted', (SELECT coalesce(bool_or(trusted), false) FROM pg_available_extension_versions WHERE name = {name}),
 'super', (SELECT rolsuper FROM pg_roles WHERE rolname = {owner}),
 'may', has_database_privilege({owner}, current_database(), 'CREATE'));"""

_PATH = """SELECT to_json(substr(s, 13)) FROM pg_db_role_setting JOIN pg_database d ON d.oid = setdatabase,
 unnest(setconfig) s WHERE setrole = 0 AND datname = current_database() AND s ~ '^search_path=';"""

NARROW = 15  # until then everybody could create in the schema public; whose it was, and who might, no dump says
_OPEN = {"CREATE": "wide", "USAGE": "used"}  # right of everybody -> the fact of a database; not in older sets


def make(server: Server, name: str, facts: Mapping[str, Any], order: Sequence[int], major: int) -> None:
    """Make what a database had, and take away what only template0 has.

    :param facts: of the cluster. :param order: the extensions' numbers there, each after those that it needs.
    :param major: of the server: another one, or another image, gives the versions that it brings.
    :raises CommandFailed: Postgres' own words (6).
    """
    had = facts["databases"][name]
    every = {int(number): one for number, one in had["extensions"].items()}
    if not had["public"]:
        server.sql("DROP SCHEMA public;", name)
    elif facts["major"] < NARROW <= major:
        lines = [f"ALTER SCHEMA public OWNER TO {identifier(had.get('keeper') or facts['superuser'])};"]
        lines += [f"REVOKE {right} ON SCHEMA public FROM PUBLIC;" for right in ("CREATE", "USAGE")]
        lines += [f"GRANT {right} ON SCHEMA public TO PUBLIC;" for right, key in _OPEN.items() if had.get(key, True)]
        server.sql("\n".join(lines), name)
    if not any(one["name"] == "plpgsql" and number not in order for number, one in every.items()):
        server.sql("DROP EXTENSION plpgsql;", name)
    if not order:
        return
    with _plain_path(server, name) as plain:
        for one in (every[number] for number in order):
            owner, database = identifier(one["owner"]), identifier(name)
            words = {key: literal(one[key]) for key in ("name", "version", "owner")}
            rights = server.query(_RIGHTS.format(**words), name)
            made = f"CREATE EXTENSION {identifier(one['name'])} SCHEMA {identifier(one['schema'])}"
            made += f" VERSION {words['version']}" if major == facts["major"] and rights["there"] else ""
            lines = [f"SET SESSION AUTHORIZATION {owner};", f"{made};", "RESET SESSION AUTHORIZATION;"]
            if not rights["super"] and not rights["trusted"]:  # a superuser when he made it
                lines = [f"ALTER ROLE {owner} SUPERUSER;", *lines, f"ALTER ROLE {owner} NOSUPERUSER;"]
            elif not rights["may"]:
                right = f"CREATE ON DATABASE {database}"
                lines = [f"GRANT {right} TO {owner};", *lines, f"REVOKE {right} FROM {owner};"]
            plain.sql("\n".join(lines), name)


@contextlib.contextmanager
def _plain_path(server: Server, name: str) -> Iterator[Server]:
    """Sessions that begin with the plain search path: nobody's objects are in the database yet.

    Some extensions read it, and put themselves into the database's (postgis_topology): that is then what it was.
    """
    path, alter = server.query(_PATH, name), f"ALTER DATABASE {identifier(name)}"
    yield replace(server, options=server.options.replace("search_path=pg_catalog", 'search_path="$user",public'))
    if path is None:
        server.sql(f"{alter} RESET search_path;", name)
    else:
        kept = f"SELECT set_config('search_path', {literal(path)}, false);"
        server.sql(f"{kept}\n{alter} SET search_path FROM CURRENT;", name)
