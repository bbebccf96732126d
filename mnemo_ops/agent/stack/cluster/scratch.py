"""An empty data directory, filled from a dump by a throw-away server that nobody can reach, and proven there."""

from __future__ import annotations

import contextlib
import re
import sys
from functools import cached_property
from typing import IO, Any, Callable, Iterator, List, Mapping

from mnemo_ops.agent.base.progress import Deed, Progress
from mnemo_ops.agent.base.record import dataclass, replace
from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.stack.cluster import extensions, passwords, proof, second_try, settings
from mnemo_ops.agent.stack.cluster import globals as cluster_globals
from mnemo_ops.agent.stack.cluster.place import Place
from mnemo_ops.agent.stack.cluster.server import OPTIONS, Server
from mnemo_ops.agent.stack.sql import identifier, literal
from mnemo_ops.errors import Broken, Refused, StepFailed

_PROVIDERS = {"i": "icu", "b": "builtin"}

Keep = Callable[[Mapping[str, str]], Mapping[str, str]]

_SHUT_DOWN = 1  # DB_SHUTDOWNED, the third field of pg_control in every version

# what would reach outside, or is only in the way of one who fills a directory and writes it to the disk at the end
_OPTIONS = {
    "listen_addresses": "",
    "archive_mode": "off",
    "primary_conninfo": "",
    "logging_collector": "off",
    "fsync": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "4GB",
    "autovacuum": "off",
    "max_locks_per_transaction": "1024",  # a dump of the schema locks every table
    "max_worker_processes": "0",  # what an extension does in the background (jobs of pg_cron) is not to be done here
    "dynamic_shared_memory_type": "mmap",  # a container has 64 MB of the other one
    "maintenance_work_mem": "256MB",
    "pg_stat_statements.save": "off",  # it would keep what made the roles, hashes of passwords and all
}

# made first, and by name: what follows finds the extensions in their versions
_FIRST = re.compile(rb"\d+; \d+ \d+ (?:DATABASE |SCHEMA |(?:ACL|COMMENT|SECURITY LABEL) - DATABASE )")
_EXTENSION = re.compile(rb"\d+; \d+ (\d+) EXTENSION ")
_LAST = re.compile(rb"\d+; \d+ \d+ (?:[A-Z ]+ - )?EVENT TRIGGER ")  # one would see, or refuse, what is still to come
_VERSION = "version of extension "  # of the proof
_VERSIONS = "SELECT json_agg(format('%s %s', name, version)) FROM pg_available_extension_versions;"

_UNSUBSCRIBE = r"""SELECT format('ALTER SUBSCRIPTION %I SET (slot_name = NONE)', subname),
 format('DROP SUBSCRIPTION %I', subname) FROM pg_subscription JOIN pg_database d ON d.oid = subdbid
WHERE datname = current_database() \gexec
"""


def refuse_older(facts: Mapping[str, Any], major: int) -> None:
    """:raises Refused: a Postgres of this major cannot read what the other one dumped (3)."""
    if major < facts["major"]:
        raise Refused(
            f"Postgres {major} cannot read what Postgres {facts['version']} dumped",
            hint=f"give the service an image with Postgres {facts['major']} or newer",
        )


def version_of(said: str) -> int:
    """The major in what ``postgres --version`` says. :raises Broken: there is none (6)."""
    found = re.search(r"\) (\d+)", said)
    if found is None:
        raise Broken(f"postgres does not tell its version but {said.strip()[:100]}")
    return int(found[1])


@dataclass(frozen=True)
class Scratch:
    """A cluster to be filled.

    :param facts: and ``secret``: what :func:`.dump.dump` returned. :param directory: where its files lie.
    """

    machine: Machine
    place: Place
    facts: Mapping[str, Any]
    directory: str
    secret: Mapping[str, Any]

    @property
    def own(self) -> str:
        """A role and a database that the dump does not have: everybody else may be kept from a login."""
        name = "mnemo_ops"
        while any(other.startswith(name) for other in (*self.facts["roles"], *self.facts["databases"])):
            name += "_"
        return name

    def create(self) -> None:
        """``initdb`` with what the source's was told.

        :raises Refused: the programs are older than the dump (3). :raises CommandFailed: Postgres' own words (6).
        """
        place = self.place
        self.machine.write(place.users, f"postgres:x:{place.uid}:{place.gid}::/:/bin/sh\n".encode(), 0o644)
        made = self.machine.run(place.make(self.facts["major"], self.since_18, *self.words()))
        self.__dict__["major"] = version_of(made.out)
        try:
            refuse_older(self.facts, self.major)
        except Refused:
            self.machine.remove(place.users)
            raise

    @property
    def since_18(self) -> str:
        """One more word for ``initdb`` from that version on: checksums are what nobody asked for then."""
        return "--data-checksums" if self.facts["checksums"] else "--no-data-checksums"

    def words(self) -> List[str]:
        """What ``initdb`` is told."""
        facts, first = self.facts, self.facts["databases"]["template0"]
        words = ["-D", self.place.data, "-U", facts["superuser"], "--auth=trust", "--no-sync", "--locale=C"]
        words += ["-E", first["encoding"], f"--lc-collate={first['collate']}", f"--lc-ctype={first['ctype']}"]
        words += [f"--wal-segsize={facts['segment']}", *(["--allow-group-access"] if facts["mode"] == "0750" else [])]
        if name := _PROVIDERS.get(first["provider"]):
            words += [f"--locale-provider={name}", f"--{name}-locale={first['locale']}"]
            words += [f"--icu-rules={first['rules']}"] if first["rules"] else []
        return [*words, *(["--data-checksums"] if facts["checksums"] else [])]

    @cached_property
    def major(self) -> int:
        """Of the programs that fill it."""
        return version_of(self.machine.ask(self.place.once("postgres", "--version")).out)

    @contextlib.contextmanager
    def running(self, user: str, entry: str) -> Iterator[Server]:
        """The throw-away server, until the block ends; it is then shut down in good order.

        :raises Broken: it does not start, or does not end as it should (6).
        """
        options = {**_OPTIONS, "unix_socket_directories": self.place.socket}
        options["shared_preload_libraries"] = self.facts["preloaded"]
        options["session_preload_libraries"] = self.facts.get("session_preloaded", "")
        if self.facts["cron"]:  # its extension can only be made there
            options["cron.database_name"] = self.facts["cron"]
        words = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        more = " -c event_triggers=off" if self.major >= 17 else ""  # one may refuse whoever logs in
        server = Server(self.machine, self.place.inside, user, entry, self.place.socket, OPTIONS + more)
        self.machine.run(self.place.start("-D", self.place.data, *words))
        try:
            with server.held():
                self._wait(server)
                yield server
        finally:
            for argv in (self.place.stop(), self.place.gone()):
                self.machine.run(argv)
        control = self.machine.read(f"{self.place.data}/global/pg_control", 20) or b""
        if int.from_bytes(control[16:20], sys.byteorder) != _SHUT_DOWN:
            raise Broken("the temporary Postgres did not shut down cleanly")

    def _wait(self, server: Server) -> None:
        try:
            replace(server, run=self.place.awaiting).query("SELECT 1;")
        except StepFailed as error:
            said = self.machine.ask(self.place.said(), check=False)
            why = (said.out + said.err).strip()[-1500:]
            raise Broken(f"the temporary Postgres does not answer: {error.message}; its log: {why}") from None

    def fill(self, keep: Keep = lambda restored: {}) -> Deed:
        """All of it: globals, every database, statistics, the proof, the files; who puts it in place syncs it first.

        :param keep: hashes of passwords as they were dumped -> those that are put in their place, once all was proven.
        :returns: ``differences``: sentences, none when it is what was dumped; ``kept``: roles of those passwords;
            ``unknown``: settings that this major does not know.
        :raises Refused: as :meth:`create` (3). :raises StepFailed: the first error, in Postgres' own words (6).
        """
        own = self.own
        self.machine.run(self.place.gone())  # of a run that was killed
        self.create()
        with self.running(self.facts["superuser"], "template1") as first:
            first.sql(f"CREATE ROLE {own} SUPERUSER LOGIN;\nCREATE DATABASE {own} TEMPLATE template0;")
            server = replace(first, user=own, entry=own)
            had = self.facts["major"]
            server.sql(cluster_globals.adapted(self.secret["globals"], self.facts["superuser"], had, self.major))
            yield from self.load(server)
            yield Progress(note="comparing the tables")
            differences = self.prove(server)
            kept = keep(passwords.hashes(server))
            if kept:
                server.sql("".join(f"ALTER ROLE {identifier(x)} PASSWORD {literal(y)};\n" for x, y in kept.items()))
            self.machine.remove(f"{self.place.home}/list")
            own_files = self.secret["files"]
            settings.put(self.machine, self.place, own_files)
            unknown: List[str] = []
            if self.major != had:
                unknown = settings.leave_out(self.machine, self.place, own_files, server, self.major)
            # one cannot remove oneself
            user, other = identifier(self.facts["user"]), next(iter(self.facts["files"]))
            server.sql(f"SET SESSION AUTHORIZATION {user};\nDROP DATABASE {own};\nDROP ROLE {own};", other)
        return {"differences": differences, "kept": sorted(kept), "unknown": unknown}

    def load(self, server: Server) -> Deed:
        """Every database from its archive. Errors as :meth:`fill`."""
        made = [name for name in ("template1", "postgres") if self._as_made(server, name)]
        # what the cluster has of the others comes from its dump, with all that is said of them
        if "template1" not in made:
            server.sql("ALTER DATABASE template1 IS_TEMPLATE false;\nDROP DATABASE template1;")
        if "postgres" not in made:
            server.sql("DROP DATABASE postgres;")
        done = 0
        for name in (each for each in self.facts["files"] if each not in made):
            yield from self._load(server, name, done, self.facts["bytes"])
            # what has no owner in a dump belongs to who restores it; of a partition elsewhere nobody gets a sample
            owned = f"REASSIGN OWNED BY {self.own} TO {identifier(self.facts['superuser'])};"
            server.sql(f"{owned}\n\\set ON_ERROR_STOP off\nANALYZE;", name)
            done += self.facts["databases"][name]["bytes"]
        return {}

    def _as_made(self, server: Server, name: str) -> bool:
        """Whether a database that ``initdb`` made is all that the proof says of it: then nothing is to be restored."""
        every, of = self.secret["proof"], f"database {name}"
        if self.major != self.facts["major"]:  # another one makes other ones
            return False
        with server.snapshot(name) as talk:
            here = {**proof.rows(talk), **proof.within(talk)}
            cluster = proof.of_cluster(talk.query, self.secret["salt"], self.own)
        about = [{key: value for key, value in one.items() if key.endswith(of)} for one in (cluster, every[""])]
        return (
            name in self.facts["files"] and about[0] == about[1] and here == {**every[name], **self.facts["rows"][name]}
        )

    def prove(self, server: Server) -> List[str]:
        """What of the running server is not as it was dumped, a sentence each. Errors as :meth:`fill`."""
        rows = self.facts["rows"]
        before = {name: {**one, **rows.get(name, {})} for name, one in self.secret["proof"].items()}
        after = proof.describe(server, list(self.facts["files"]), self.secret["salt"], self.own)
        versions = server.query(_VERSIONS)
        for name, one in before.items():  # another image brings other ones
            gone = {
                key for key in one if key.startswith(_VERSION) and f"{key[len(_VERSION) :]} {one[key]}" not in versions
            }
            one.update({key: after[name][key] for key in gone if key in after[name]})
        return proof.differences(before, after, lambda name: self._reread(server, name))

    def _reread(self, server: Server, name: str) -> proof.Facts:
        """What a database is whose schema was just made from the dump."""
        aside, own = identifier(self.own + "2"), identifier(name)
        server.sql(f"ALTER DATABASE {own} RENAME TO {aside};")
        for _ in self._load(server, name, 0, 0, "--schema-only"):
            pass
        found = proof.entries(server, name, self.secret["salt"])
        self._drop(server, name)
        server.sql(f"ALTER DATABASE {aside} RENAME TO {own};")
        return found

    def _drop(self, server: Server, name: str) -> None:
        own = identifier(name)
        server.sql(_UNSUBSCRIBE, name)  # else nobody may drop it
        server.sql(f"ALTER DATABASE {own} IS_TEMPLATE false;\nDROP DATABASE {own};")

    def _load(self, server: Server, name: str, done: int, total: int, *what: str) -> Deed:
        """A database from its archive. :param what: options of ``pg_restore``: all of it, or its schema alone."""
        lines = self._listed(name, "--create", *what)
        first = [line for line in lines if _FIRST.match(line)]
        rest = [line for line in lines if not _FIRST.match(line)]
        order = [int(found[1]) for found in map(_EXTENSION.match, rest) if found]
        # a materialized view is filled as its owner fills it; else a policy for him is an error
        words = ["--enable-row-security", *what]

        def empty() -> Deed:
            yield from self._take(name, first, done, total, *words, "--create", "-d", server.to(server.entry))
            extensions.make(server, name, self.facts, order, self.major)
            return {}

        def take(chosen: List[bytes], *more: str) -> Deed:
            return self._take(name, chosen, done, total, *words, "-d", server.to(name), *more)

        def anew() -> Deed:
            self._drop(server, name)
            return (yield from empty())

        yield from empty()
        yield from second_try.load(server, name, rest, take, lambda chosen: self._said(name, chosen), anew)
        return {}

    def _listed(self, name: str, *words: str) -> List[bytes]:
        """What an archive holds, a line each, in the order of a restore."""
        text = self._piped(name, "--list", *words)
        lines = [line for line in text.split(b"\n") if line[:1].isdigit()]
        return sorted(lines, key=lambda line: bool(_LAST.match(line)))

    def _said(self, name: str, lines: List[bytes]) -> bytes:
        """The SQL that restores these lines."""
        return self._piped(name, "--use-list", self._list(lines), "-f", "-")

    def _piped(self, name: str, *words: str) -> bytes:
        with self._archive(name) as source, self.machine.spool() as sink:
            self.machine.pipe(self.place.inside("pg_restore", *words), source=source, sink=sink)
            sink.seek(0)
            return sink.read()

    def _list(self, lines: List[bytes]) -> str:
        path = f"{self.place.home}/list"
        self.machine.write(path, b"\n".join([*lines, b""]), 0o600, self.place.uid, self.place.gid)
        return path

    def _take(self, name: str, lines: List[bytes], done: int, total: int, *words: str) -> Deed:
        """These lines of an archive; the first error ends it."""
        path = self._list(lines)
        argv = self.place.inside("pg_restore", "--exit-on-error", "--use-list", path, *words)
        with self._archive(name) as source:
            yield from self.machine.moving(argv, path, done, total, f"restoring {name}", source=source)
        return {}

    def _archive(self, name: str) -> IO[bytes]:
        return self.machine.open(f"{self.directory}/{self.facts['files'][name]}")
