"""A Postgres server of this machine's own package, in a temporary directory, behind a stub ``docker exec``."""

from __future__ import annotations

import json
import os
import pwd
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, Optional

from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.stack import postgres_digest
from mnemo_ops.agent.stack.postgres import Postgres, creation

OWNER = "mnemo"
INSTALLED = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
PROGRAMS = Path(os.environ.get("MNEMO_POSTGRES") or INSTALLED[-1])  # the directory of another major's programs


class Application(Postgres):
    """What a test says in SQL is meant as an application says it: names without a schema are of ``public``."""

    def sql(self, text: str, database: Optional[str] = None) -> str:
        return super().sql("SET search_path = public; " + text, database)


class Server:
    """One cluster; ``docker exec -i ANY PROGRAM ...`` of :attr:`machine` speaks to it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        # Postgres does not run as root
        self.as_user = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"] if os.geteuid() == 0 else []
        stub = home / "bin" / "docker"
        stub.parent.mkdir()
        stub.write_text(
            "#!/bin/sh\n"
            '[ "$1 $2 $3" = "exec -i -e" ] || { echo "docker $*: no stub" >&2; exit 64; }\n'
            f'export "$4" PGHOST={shlex.quote(str(home))}; shift 5; program=$1; shift\n'
            f'exec {shlex.quote(str(PROGRAMS))}/"$program" "$@"\n'
        )
        stub.chmod(0o755)
        self.machine = Machine(search_path=f"{stub.parent}:/usr/bin:/bin")

    def start(self) -> None:
        if self.as_user:
            nobody = pwd.getpwnam("nobody")
            os.chown(self.home, nobody.pw_uid, nobody.pw_gid)
        data = self.home / "data"
        self._run("initdb", "-D", data, "-U", OWNER, "--auth=trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync")
        options = f"-k {self.home} -c listen_addresses='' -c fsync=off"
        self._run("pg_ctl", "-D", data, "-w", "-l", self.home / "log", "-o", options, "start")

    def stop(self) -> None:
        self._run("pg_ctl", "-D", self.home / "data", "-w", "-m", "immediate", "stop")

    def _run(self, program: str, *words: object) -> None:
        argv = [*self.as_user, str(PROGRAMS / program), *map(str, words)]
        done = subprocess.run(argv, cwd=self.home, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60)
        assert done.returncode == 0, f"{argv}: {done.stdout}{done.stderr}"

    def database(self, name: str) -> Postgres:
        return Application(self.machine, "any", OWNER, name)


Make = Callable[..., Postgres]


def copy(server: Postgres, make: Make, tmp_path: Path) -> tuple[dict[str, Any], Postgres]:
    """Dump and restore as a set does; the facts of the set, and the restored database."""
    facts: dict[str, Any]
    with server.snapshot() as talk:
        snapshot = json.loads(talk.ask("SELECT to_json(pg_export_snapshot());"))
        facts = postgres_digest.digest(talk)
        with (tmp_path / "dump").open("wb") as file:
            server.dump(snapshot, file, lambda: None)
        facts = {**server.facts(), **facts}
    restored = make()
    server.sql(f"DROP DATABASE {restored.database};", "postgres")
    server.sql(creation(restored.database, facts), "postgres")
    restored.make_roles(facts["needed_roles"])
    with (tmp_path / "dump").open("rb") as source:
        server.restore(restored.database, source, lambda: None)
    return facts, restored
