"""A database that its dump does not load as it is: once more, with what the source did without asking again.

``pg_restore`` looks for no name without a schema, and asks each check for each row. So functions get a search path
meanwhile, checks are not asked, and a foreign key that rows break is as valid afterwards as it was.
"""

from __future__ import annotations

import re
from typing import Callable, Iterator, List

from mnemo_ops.agent.base.progress import Deed, Progress
from mnemo_ops.agent.stack.cluster.server import Server
from mnemo_ops.agent.stack.postgres_tables import PATH
from mnemo_ops.errors import CommandFailed

Lines = List[bytes]  # of the list of an archive
Take = Callable[..., Deed]  # lines, options -> what restores them
Told = Callable[[Lines], bytes]  # lines -> the SQL that restores them

_KIND = rb"\d+; \d+ \d+ "
_FUNCTION = re.compile(_KIND + rb"(?:FUNCTION|PROCEDURE) ")
_TABLE = re.compile(_KIND + rb"TABLE ")
_KEY = re.compile(_KIND + rb"FK CONSTRAINT ")
_FILLED = re.compile(_KIND + rb"MATERIALIZED VIEW DATA ")
_EVENT = re.compile(_KIND + rb"(?:[A-Z ]+ - )?EVENT TRIGGER ")
_FULL = "No space left on device"  # the temporary server speaks the language of LC_ALL=C
_NO_PATH = b"SELECT pg_catalog.set_config('search_path', '', false);"

# a schema of this name tells what is lent from what the owner set. Of C, what may be given a query as a text (crosstab)
_LENT = "'search_path=' || " + PATH + " || ', \"mnemo_ops lends\"'"
_LEND = (
    f"UPDATE pg_proc p SET proconfig = proconfig || ({_LENT}) FROM pg_language l "
    "WHERE l.oid = prolang AND prokind IN ('f', 'p') AND pronamespace <> 'pg_catalog'::regnamespace"
    " AND (lanname NOT IN ('internal', 'c') OR lanname = 'c' AND proretset AND 'text'::regtype = ANY (proargtypes))"
    " AND NOT EXISTS (SELECT FROM unnest(proconfig) s WHERE s ~ '^search_path=');"
)
_TAKE_BACK = """UPDATE pg_proc SET proconfig = (SELECT array_agg(s ORDER BY n) FROM unnest(proconfig) WITH ORDINALITY
  AS u(s, n) WHERE s !~ ', "mnemo_ops lends"$')
 WHERE EXISTS (SELECT FROM unnest(proconfig) s WHERE s ~ ', "mnemo_ops lends"$');"""
_PATH = f"SELECT set_config('search_path', {PATH}, false) \\g /dev/null\nSET row_security = on;\n"

# none of a table is asked while it says that it has none, and none of a domain while it is of another kind
_UNASKED = """UPDATE pg_class SET relchecks = 0 WHERE relchecks > 0;
UPDATE pg_constraint SET contype = 'C' WHERE contype = 'c' AND contypid <> 0;"""
_ASKED = """UPDATE pg_constraint SET contype = 'c' WHERE contype = 'C';
UPDATE pg_class c SET relchecks = n FROM (SELECT conrelid, count(*) AS n FROM pg_constraint
 WHERE contype = 'c' AND conrelid <> 0 GROUP BY 1) k WHERE c.oid = conrelid;"""
_VALID = "UPDATE pg_constraint SET convalidated = true WHERE contype = 'f' AND NOT convalidated AND oid NOT IN ({});"
_INVALID = "SELECT json_agg(oid::text) FROM pg_constraint WHERE contype = 'f' AND NOT convalidated;"


def load(server: Server, name: str, lines: Lines, take: Take, told: Told, anew: Callable[[], Deed]) -> Deed:
    """Fill a database that has its extensions and nothing else: as its dump says, else with more patience.

    :param lines: of its archive, in the order of a restore. :param anew: makes the database once more, as empty.
    :raises CommandFailed: the first error, in Postgres' own words (6).
    """
    try:
        yield from take(lines)
    except CommandFailed as error:
        if _FULL in error.message:  # it would fill the disk once more
            raise
        yield Progress(note=f"{name} does not load as it was dumped: once more, with more patience")
        try:
            yield from anew()
            yield from _patiently(server, name, lines, take, told)
        except (CommandFailed, UnicodeError):  # SQL of an archive in another encoding is not told here
            raise error from None
    return {}


def _patiently(server: Server, name: str, lines: Lines, take: Take, told: Told) -> Deed:
    for part in _parts(lines):
        yield from take(part, "--section=pre-data")
        server.sql(_LEND, name)
    server.sql(_UNASKED, name)
    yield from take(lines, "--section=data")
    server.sql(_ASKED, name)
    apart = (_KEY, _FILLED, _EVENT)
    yield from take([line for line in lines if not any(kind.match(line) for kind in apart)], "--section=post-data")
    keys, filled, events = ([line for line in lines if kind.match(line)] for kind in apart)
    for key in keys:
        yield from _refer(server, name, key, told)
    if filled:  # a text that they run as a query is one of theirs; all else in them is known already
        server.sql(_PATH + told(filled).decode("utf-8").replace(_NO_PATH.decode(), ""), name)
    server.sql("\\set ON_ERROR_STOP off\nANALYZE;", name)
    server.sql(_TAKE_BACK, name)
    yield from take(events, "--section=post-data")
    return {}


def _parts(lines: Lines) -> Iterator[Lines]:
    """Cut where a table follows a function: it may have columns, or partitions, that the function makes."""
    begin, functions = 0, False
    for number, line in enumerate(lines):
        functions = functions or bool(_FUNCTION.match(line))
        if functions and _TABLE.match(line):
            yield lines[begin:number]
            begin, functions = number, False
    yield lines[begin:]


def _refer(server: Server, name: str, line: bytes, told: Told) -> Deed:
    """A foreign key; where rows break it, as the source has it: nobody asks them again."""
    text = told([line]).decode("utf-8")
    try:
        server.sql(text, name)
    except CommandFailed:
        before = server.query(_INVALID, name) or ["0"]
        end = text.rindex(";")
        server.sql(f"{text[:end]} NOT VALID{text[end:]}", name)
        server.sql(_VALID.format(", ".join(before)), name)
        yield Progress(note=f"rows of {name} refer to rows that the source does not have, either: {_tail(line)}")
    return {}


def _tail(line: bytes) -> str:
    return line.decode("utf-8", "replace").partition("FK CONSTRAINT ")[2]
