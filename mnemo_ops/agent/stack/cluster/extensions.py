"""Extensions of a new database: in the versions and of the owners they had, which no dump tells."""

from __future__ import annotations

from typing import Any, Mapping, Sequence

from mnemo_ops.agent.stack.cluster.server import Server
from mnemo_ops.agent.stack.sql import identifier, literal

_RIGHTS = """SELECT json_build_object(
 'trusted', (SELECT coalesce(bool_or(trusted), false) FROM pg_available_extension_versions WHERE name = {name}),
 'super', (SELECT rolsuper FROM pg_roles WHERE rolname = {owner}),
 'may', has_database_privilege({owner}, current_database(), 'CREATE'));"""


def make(server: Server, name: str, facts: Mapping[str, Any], order: Sequence[int], major: int) -> None:
    """Make what a database had, and take away what only template0 has.

    :param facts: of the cluster. :param order: the extensions' numbers there, each after those that it needs.
    :param major: of the server: another one gives the versions that it brings.
    :raises CommandFailed: Postgres' own words (6).
    """
    had = facts["databases"][name]
    every = {int(number): one for number, one in had["extensions"].items()}
    if not had["public"]:
        server.sql("DROP SCHEMA public;", name)
    if "plpgsql" not in [one["name"] for one in every.values()]:
        server.sql("DROP EXTENSION plpgsql;", name)
    for one in (every[number] for number in order):
        owner, database = identifier(one["owner"]), identifier(name)
        rights = server.query(_RIGHTS.format(name=literal(one["name"]), owner=literal(one["owner"])), name)
        made = f"CREATE EXTENSION {identifier(one['name'])} SCHEMA {identifier(one['schema'])}"
        made += f" VERSION {literal(one['version'])}" if major == facts["major"] else ""
        lines = [f"SET SESSION AUTHORIZATION {owner};", f"{made};", "RESET SESSION AUTHORIZATION;"]
        if not rights["super"] and not rights["trusted"]:  # a superuser when he made it
            lines = [f"ALTER ROLE {owner} SUPERUSER;", *lines, f"ALTER ROLE {owner} NOSUPERUSER;"]
        elif not rights["may"]:
            right = f"CREATE ON DATABASE {database}"
            lines = [f"GRANT {right} TO {owner};", *lines, f"REVOKE {right} FROM {owner};"]
        server.sql("\n".join(lines), name)
