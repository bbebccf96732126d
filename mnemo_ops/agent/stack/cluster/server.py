"""A Postgres server as a whole: its programs, reached by one who may do everything, whatever is set for whom."""

from __future__ import annotations

import contextlib
from typing import Any, Callable, ContextManager, Iterator, List, Optional, Sequence

from mnemo_ops.agent.base.record import dataclass, field
from mnemo_ops.agent.machine import Conversation, Machine
from mnemo_ops.agent.stack.postgres_digest import SETTINGS
from mnemo_ops.agent.stack.sql import literal
from mnemo_ops.errors import CommandFailed, Refused

How = Callable[..., List[str]]  # a program of Postgres and its words -> the argument vector that runs it

# what a database or a role may have set, and what would then change, hide, refuse or log what is moved
_PINNED = {
    "search_path": "pg_catalog",
    "role": "none",
    "default_transaction_read_only": "off",
    "default_transaction_isolation": "read\\ committed",
    "session_replication_role": "origin",
    "row_security": "off",
    "array_nulls": "on",
    "transform_null_equals": "off",
    "quote_all_identifiers": "off",
    "standard_conforming_strings": "on",
    "DateStyle": "ISO,YMD",
    "IntervalStyle": "postgres",
    "TimeZone": "UTC",
    "lc_monetary": "C",
    "default_tablespace": "",
    "statement_timeout": "0",
    "lock_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "log_statement": "none",  # what is said to a server may hold passwords
    "log_min_duration_statement": "-1",
    "log_min_error_statement": "panic",
}
OURSELVES = "mnemo_ops"  # as the server knows our sessions
PATIENCE = 3600.0  # seconds for an answer
OPTIONS = " ".join(f"-c {name}={value}" for name, value in _PINNED.items())


_CLIENTS = """SELECT coalesce(json_agg(json_build_object('user', usename, 'application', application_name)), '[]')
FROM pg_stat_activity WHERE backend_type = 'client backend' AND application_name <> {ourselves}
 AND pid <> pg_backend_pid();"""
_TABLES = """SELECT coalesce(json_agg(format('%I.%I', nspname, relname)), '[]')
FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
WHERE relkind IN ('r', 'p') AND relpersistence <> 't' AND nspname !~ '^pg_' AND nspname <> 'information_schema';"""


class Sessions:
    """Sessions of psql that nobody asks just now: to come into a container takes a tenth of a second, or three."""

    def __init__(self) -> None:
        self._holders = 0
        self._idle: List[Conversation] = []

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Meanwhile a session that was asked is kept."""
        self._holders += 1
        try:
            yield
        finally:
            self._holders -= 1
            if not self._holders:
                self.end()

    @contextlib.contextmanager
    def one(self, machine: Machine, argv: Sequence[str], where: str) -> Iterator[Conversation]:
        """Connected anew: what one question set, the next does not see. Errors as :meth:`Conversation.ask`."""
        there = self._idle.pop() if self._idle else None
        talk = there or machine.talk(argv)
        try:
            if there:
                talk.ask(f"\\set ON_ERROR_STOP on\n\\connect -reuse-previous=off {_word(where)}\n\\encoding UTF8")
            yield talk
        except BaseException:
            talk.kill()
            talk.__exit__()
            raise
        self._idle.append(talk)
        if not self._holders:
            self.end()

    def end(self) -> None:
        """Nobody who stops the server waits for one of them."""
        while self._idle:
            self._idle.pop().__exit__()


@dataclass(frozen=True)
class Server:
    """A running server.

    :param run: makes the argument vector of one of its programs. :param user: a superuser of it.
    :param entry: a database it can be asked through. :param socket: directory of its socket; empty: its programs' own.
    :param options: settings of every session. :param sessions: of it and of what was made of it by ``replace``.
    """

    machine: Machine
    run: How
    user: str
    entry: str
    socket: str = ""
    options: str = OPTIONS
    sessions: Sessions = field(default_factory=Sessions, repr=False)

    def to(self, database: str, **more: str) -> str:
        """The connection string for one of its databases."""
        words = {"host": self.socket, "user": self.user, "dbname": database, "options": self.options, **more}
        words["application_name"] = OURSELVES
        return " ".join(f"{key}={_quoted(value)}" for key, value in words.items() if value)

    def held(self) -> ContextManager[None]:
        """Meanwhile one program asks what is asked."""
        return self.sessions.held()

    def _psql(self, where: str) -> List[str]:
        # it would read a password from what it is to run
        return self.run("psql", "-XqAtw", "-v", "ON_ERROR_STOP=1", "-d", where)

    def _talk(self, database: str) -> ContextManager[Conversation]:
        # psql would speak the encoding of the database
        where = self.to(database or self.entry, client_encoding="UTF8")
        return self.sessions.one(self.machine, self._psql(where), where)

    def sql(self, text: str, database: str = "") -> None:
        """Run SQL. :raises CommandFailed: Postgres' own words (6)."""
        self.machine.writing()
        with self._talk(database) as talk:
            talk.ask(text, PATIENCE)

    def query(self, text: str, database: str = "") -> Any:
        """The JSON value of a query, which only reads. :raises CommandFailed: Postgres' own words (6)."""
        with self._talk(database) as talk:
            return talk.query(text, PATIENCE)

    def clients(self) -> List[str]:
        """Who else is connected, and could still write."""
        found = self.query(_CLIENTS.format(ourselves=literal(OURSELVES)))
        return sorted({f"{each['user']} ({each['application'] or 'no name'})" for each in found})

    @contextlib.contextmanager
    def shut(self, databases: Sequence[str]) -> Iterator[Callable[[], None]]:
        """Meanwhile nobody writes a row: the tables are locked, reading and dumping them goes on.

        :returns: what raises Broken (6) where that is not so any more: somebody ended one of the sessions.
        :raises Broken: somebody holds a table for longer than ten seconds (6).
        """
        every: List[Conversation] = []
        with contextlib.ExitStack() as talks:
            for name in databases:
                argv = self._psql(self.to(name, client_encoding="UTF8"))
                talk = talks.enter_context(self.machine.talk(argv))
                every.append(talk)
                talk.ask(f"{SETTINGS}BEGIN; SET LOCAL lock_timeout = '10s';")
                if tables := talk.query(_TABLES):
                    talk.ask(f"LOCK TABLE {', '.join(tables)} IN SHARE ROW EXCLUSIVE MODE;")

            def held() -> None:
                for talk in every:
                    talk.ask("SELECT;")

            yield held

    @contextlib.contextmanager
    def snapshot(self, database: str, access: str = "READ ONLY") -> Iterator[Conversation]:
        """A conversation inside one repeatable-read transaction. :raises CommandFailed: Postgres' own words (6)."""
        with self._talk(database) as talk:
            talk.ask(f"{SETTINGS}BEGIN ISOLATION LEVEL REPEATABLE READ {access};")
            yield talk
            talk.ask("ROLLBACK;")


def entered(
    machine: Machine,
    run: How,
    users: Sequence[str],
    databases: Sequence[str],
    socket: str = "",
    sessions: Optional[Sessions] = None,
) -> Server:
    """The server as the first of these users who is a superuser, through the first of these databases that is there.

    :param sessions: to ask it through.
    :raises Refused: there is no such user, or none may enter without a password (3).
    """
    for user in users:
        for database in databases:
            server = Server(machine, run, user, database, socket, sessions=sessions or Sessions())
            with contextlib.suppress(CommandFailed):
                if server.query("SELECT to_json(rolsuper) FROM pg_roles WHERE rolname = current_user;"):
                    return server
                break  # in no database is he one
    raise Refused(
        f"Postgres lets none of {', '.join(users)} in as a superuser (databases {', '.join(databases)})",
        hint="say who is one there, and that pg_hba.conf lets that user in over the socket",
    )


def _quoted(value: str) -> str:
    """A value of a connection string."""
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _word(value: str) -> str:
    """A connection string as the command of psql takes it, which reads both kinds of quotes."""
    for one, told in (('"', '""'), ("\\", "\\\\"), ("'", "''"), ("\n", "\\n"), ("\r", "\\r")):
        value = value.replace(one, told)
    return f"""'"{value}"'"""
