"""What ``pg_dumpall --roles-only`` says: taken apart into statements, so that nothing else reaches a server."""

from __future__ import annotations

import re
from typing import Any, Callable, Iterator, List

from mnemo_ops.agent.stack.cluster.server import Server
from mnemo_ops.agent.stack.sql import identifier
from mnemo_ops.errors import Refused

_TOKEN = re.compile(
    r"""--[^\n]*\n|\\(?:un)?restrict [A-Za-z0-9]+\n|('(?:[^']|'')*'|"(?:[^"]|"")*"|[^'"\\;-]+|-(?!-))|(;)"""
)
_KNOWN = re.compile(
    r"\s*(CREATE ROLE|ALTER ROLE|COMMENT ON ROLE|SECURITY LABEL|GRANT|REVOKE|SET|SELECT pg_catalog\.set_config)\b"
)
_GRANTOR = re.compile(r""" GRANTED BY (?:[a-z0-9_$]+|"(?:[^"]|"")*")$""")
INHERITS = 16  # from this major on a membership has options, and who granted it must have been allowed to

# pg_dumpall forgets what is set for all roles; a list stands in the catalog as it must be said
FOR_ALL = r"""SELECT coalesce(json_agg(format('ALTER ROLE ALL SET %I TO %s;', split_part(s, '=', 1), CASE
 WHEN split_part(s, '=', 1) IN ('search_path', 'temp_tablespaces', 'local_preload_libraries',
  'session_preload_libraries') THEN regexp_replace(substr(s, strpos(s, '=') + 1),
  '(^|, )""(?=, |$)', '\1''''', 'g')
 ELSE quote_literal(substr(s, strpos(s, '=') + 1)) END)), '[]')
FROM pg_db_role_setting, unnest(setconfig) s WHERE setdatabase = 0 AND setrole = 0;"""


def told(server: Server, query: Callable[[str], Any]) -> str:
    """What makes the roles of a cluster, with hashes of their passwords. :raises CommandFailed: Postgres' words (6)."""
    return roles(server) + for_all(query)


def roles(server: Server) -> str:
    """All of it but what is set for all roles. Errors as :func:`told`."""
    words = ["--roles-only", "-l", server.entry, "-d", server.to(server.entry, client_encoding="UTF8")]
    return server.machine.ask(server.run("pg_dumpall", *words), timeout=3600).out


def for_all(query: Callable[[str], Any]) -> str:
    """What is set for all roles. Errors as :func:`told`."""
    return "\n".join(["", *query(FOR_ALL), ""])


def statements(text: str) -> Iterator[str]:
    """The statements of globals, without their ends and without comments.

    :raises Refused: there is something else in them: a command of psql, or what makes no role (3).
    """
    said, end = "", 0
    while end < len(text):
        token = _TOKEN.match(text, end)
        if token is None:
            break
        end = token.end()
        said += token.group(1) or ""
        if token.group(2):
            if not _KNOWN.match(said):
                break
            yield said.strip()
            said = ""
    if end < len(text) or said.strip():
        raise Refused(
            f"the dump of the roles contains an unexpected statement at character {end}", hint="choose another backup"
        )


def adapted(text: str, superuser: str, before: int, now: int) -> str:
    """The statements for a server that ``initdb`` made: its superuser is there.

    :param before: major of the server the globals are of. :param now: of the one they are for.
    :raises Refused: as :func:`statements` (3).
    """
    made = {f"CREATE ROLE {superuser}", f"CREATE ROLE {identifier(superuser)}"}
    lines: List[str] = [said for said in statements(text) if said not in made]
    if before < INHERITS <= now:  # what an older server says of grantors need not be true
        lines = [_GRANTOR.sub("", said) if said.startswith("GRANT ") else said for said in lines]
    return "".join(f"{said};\n" for said in lines)
