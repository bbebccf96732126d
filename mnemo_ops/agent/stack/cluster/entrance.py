"""The way into the Postgres of a container, whatever its image."""

from __future__ import annotations

import contextlib
import re
from typing import Iterator, List, Pattern, Sequence, Tuple

from mnemo_ops.agent.base.record import dataclass
from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.stack.cluster.home import Home, home
from mnemo_ops.agent.stack.cluster.server import How, Server, Sessions, entered
from mnemo_ops.agent.stack.containers import Container
from mnemo_ops.errors import Refused

_SUPERUSERS = ("postgres", "supabase_admin")
# variables of images; those of files name them
_USER = re.compile(r"(?:PG|POSTGRES|PATRONI)\w*USER(?:NAME)?(?:_FILE)?")
_DATABASE = re.compile(r"(?:PG|POSTGRES)\w*(?:DB|DATABASE)(?:_FILE)?")
_PASSWORD = re.compile(r"(?:PG|POSTGRES|PATRONI)\w*PASSWORD(?:_\w+)?")
_SOCKET = re.compile(r"(?m) (/\S*)/\.s\.PGSQL\.(\d+)$")
_PLACE = """SELECT json_build_object('data', current_setting('data_directory'), 'port', current_setting('port'),
 'programs', (SELECT setting FROM pg_config WHERE name = 'BINDIR'));"""

Way = Tuple[str, str, str, str, Tuple[str, ...]]
# constant: the container itself looks its password up, so that no list of processes shows it; of its other variables
# none speaks to us (PGTZ, PGHOSTADDR, PGSSLMODE)
_RUN = r"""case $1 in *_FILE) secret=$(cat "$(printenv "$1")") ;; ?*) secret=$(printenv "$1") ;; *) secret= ;; esac
unset $(env | sed -n 's/^\(PG[A-Z]*\)=.*/\1/p')
for each in /opt/*/bin /opt/*/*/bin /usr/local/pgsql/bin /usr/pgsql-*/bin /usr/lib/postgresql/*/bin
do PATH=$each:$PATH; done
export PATH PGPASSWORD="$secret" PGPORT="$2" PGCONNECT_TIMEOUT=10
shift 2; exec "$@"
"""


@dataclass(frozen=True)
class Entrance:
    """A running server and its home."""

    server: Server
    home: Home


def enter(machine: Machine, container: Container) -> Entrance:
    """The way into a running container.

    :raises Refused: nobody is let in as a superuser, or the data lie in no volume (3).
    :raises CommandFailed: Docker's own words (6).
    """
    found: Entrance = machine.once(f"entrance/{container.id}", lambda: _enter(machine, container))
    return found


def _enter(machine: Machine, container: Container) -> Entrance:
    secrets = [key for key, value in container.env.items() if value and _PASSWORD.fullmatch(key)]
    named = _values(machine, container, _USER)
    databases = _once("postgres", *(_values(machine, container, _DATABASE) or named), "template1")
    tried: List[str] = []
    for place, port, secret, uid, name in _ways(machine, container, secrets):
        users = _once(*name, *named, *_SUPERUSERS)
        tried = _once(*tried, *users)
        sessions = Sessions()
        with contextlib.suppress(Refused), sessions.held():
            server = entered(machine, _run(container, port, secret, uid), users, databases, place, sessions)
            facts = server.query(_PLACE)
            break
    else:
        raise Refused(
            f"Postgres of {container.name} lets none of {', '.join(tried)} in as a superuser, neither without a "
            f"password nor with {' or '.join(secrets) or 'one, for no variable of the container has it'}",
            hint=f"set POSTGRES_USER and POSTGRES_PASSWORD of the service {container.service} to a superuser and the "
            "password that is valid now, or let one in over the socket (`local all USER peer` in pg_hba.conf)",
        )
    run = _run(container, port, secret, uid, facts["programs"] + "/")
    return Entrance(Server(machine, run, server.user, server.entry, place), home(machine, container, facts))


def _once(*words: str) -> List[str]:
    return list(dict.fromkeys(words))


def _exec(container: Container, *words: str) -> List[str]:
    return ["docker", "exec", "-i", container.name, *words]


def _run(container: Container, port: str, secret: str, uid: str, programs: str = "") -> How:
    who = ["--user", uid] if uid else []

    def run(program: str, *words: str) -> List[str]:
        text = ["sh", "-c", _RUN, "sh", secret, port]
        return ["docker", "exec", "-i", *who, container.name, *text, programs + program, *words]

    return run


def _values(machine: Machine, container: Container, names: Pattern[str]) -> List[str]:
    """What variables of the container say, or the files that they name."""
    found = {key: value for key, value in container.env.items() if value and names.fullmatch(key)}
    for key in found:
        if key.endswith("_FILE"):
            found[key] = machine.ask(_exec(container, "cat", "--", found[key]), check=False).out.strip()
    return [value for value in found.values() if value]


def _ways(machine: Machine, container: Container, secrets: Sequence[str]) -> Iterator[Way]:
    """Directory and port of a socket, the variable with the password, and number and name of who is a peer."""
    listed = machine.ask(_exec(container, "cat", "/proc/net/unix")).out
    sockets = sorted(set(_SOCKET.findall(listed))) or [("/var/run/postgresql", "5432"), ("/tmp", "5432")]
    for secret in (*secrets, ""):
        for place, port in (*sockets, ("127.0.0.1", container.env.get("PGPORT", sockets[0][1]))):
            yield place, port, secret, "", ()
    for place, port in sockets:
        argv = _exec(container, "stat", "-c", "%u %U", f"{place}/.s.PGSQL.{port}")
        for uid, name in re.findall(r"(\d+) (\S+)", machine.ask(argv, check=False).out):
            yield place, port, "", uid, (name,)
