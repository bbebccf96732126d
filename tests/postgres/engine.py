"""A stub ``docker`` whose images are directories of Postgres programs: containers are processes of this machine.

``MNEMO_POSTGRES`` is another directory of programs than that of this machine's own package.
"""

from __future__ import annotations

import os
import pwd
import shlex
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pace import PATIENCE

from mnemo_ops.agent.base.progress import Progress
from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.stack.cluster.dump import dump
from mnemo_ops.agent.stack.cluster.dump import told as told_of
from mnemo_ops.agent.stack.cluster.entrance import Entrance, Home
from mnemo_ops.agent.stack.cluster.place import Place
from mnemo_ops.agent.stack.cluster.scratch import Scratch
from mnemo_ops.agent.stack.cluster.server import Server

INSTALLED = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
PROGRAMS = Path(os.environ.get("MNEMO_POSTGRES") or INSTALLED[-1])
BOSS = "the boss"  # nobody's first superuser is called so
NAME = "db"  # of the dataset

# of a server that is thrown away
_QUICK = (
    "listen_addresses=",
    "fsync=off",
    "synchronous_commit=off",
    "full_page_writes=off",
    "jit=off",
    "autovacuum=off",
)
_STUB = """#!/bin/sh
as() {{
    [ "$(id -u)" = 0 ] && exec setpriv --reuid="${{user%:*}}" --regid="${{user#*:}}" --clear-groups "$@"
    exec "$@"
}}
# one that has ended may wait a while for whoever is to notice
lives() {{ kill -0 "$1" 2>/dev/null && ! grep -qs '^State:.Z' "/proc/$1/status"; }}
state={state}; verb=$1; shift
case $verb in
run)
    while :; do case $1 in
        --rm) shift ;;
        -d) detached=1; shift ;;
        --name) name=$2; shift 2 ;;
        --stop-signal | --network | -v) shift 2 ;;
        -e) export "$2"; shift 2 ;;
        --user) user=$2; shift 2 ;;
        --entrypoint) program=$2; shift 2 ;;
        -*) echo "docker run $1: no stub" >&2; exit 64 ;;
        *) break ;;
    esac; done
    image=$1; shift
    PATH=$image:$PATH; [ "$program" = sh ] || program=$image/$program
    [ "$detached" ] || as "$program" "$@"
    echo "$image" >"$state/$name.image"
    as setsid "$program" "$@" >"$state/$name.log" 2>&1 </dev/null &
    echo $! >"$state/$name.pid" ;;
exec)
    image=$(cat "$state/$2.image") || exit; lives "$(cat "$state/$2.pid")" || exit
    server=$(cat "$state/$2.pid"); program=$3; shift 3; PATH=$image:$PATH
    [ "$program" = sh ] || exec "$image/$program" "$@"
    exec 3<&0; sh "$@" <&3 3<&- &
    while lives "$server" && lives $!; do sleep 0.02; done
    lives $! && kill -9 $!  # nothing outlives the server of its container
    wait $! ;;
logs) tail "-n$2" "$state/$3.log" ;;
stop) pid=$(cat "$state/$3.pid"); kill -INT "$pid"; while lives "$pid"; do sleep 0.02; done ;;
rm) rm -f "$state/$2."* ;;
*) echo "docker $verb: no stub" >&2; exit 64 ;;
esac
"""


class Engine:
    """What :attr:`machine` calls docker; its directories have short names, as a socket must, and belong to nobody."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.places: dict[str, Place] = {}  # by the directory of their socket
        stub = home / "bin" / "docker"
        stub.parent.mkdir()
        stub.write_text(_STUB.format(state=shlex.quote(str(home))))
        stub.chmod(0o755)
        home.chmod(0o755)
        self.machine = Machine(search_path=f"{stub.parent}:/usr/bin:/bin")
        self.owner = pwd.getpwnam("nobody") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())

    def place(self, programs: Path, name: str) -> Place:
        """A directory for a cluster of these programs."""
        home = self.home / name
        home.mkdir()
        os.chown(home, self.owner.pw_uid, self.owner.pw_gid)
        made = Place(str(programs), str(home), name, self.owner.pw_uid, self.owner.pw_gid, str(home))
        self.places[made.socket] = made
        return made

    def fresh(self, name: str, user: str) -> Place:
        """An empty cluster of a superuser of that name."""
        place = self.place(PROGRAMS, name)
        words = ["--auth=trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"]
        self.machine.run(place.once("initdb", "-D", place.data, "-U", user, *words))
        return place

    @contextmanager
    def started(self, place: Place, user: str, entry: str, *words: str) -> Iterator[Server]:
        """A cluster that is there, running as its owner runs it."""
        server = Server(self.machine, place.inside, user, entry, place.socket)
        options = [word for setting in _QUICK for word in ("-c", setting)]
        self.machine.run(place.start("-D", place.data, "-k", place.socket, *options, *words))
        try:
            ready = place.inside("pg_isready", "-q", "-d", server.to(entry))
            self.machine.wait_until("an answer", lambda: self.machine.ask(ready, check=False).rc == 0, PATIENCE)
            yield server
        finally:
            self.machine.run(place.stop())
            self.machine.run(place.gone())


@contextmanager
def engine() -> Iterator[Engine]:
    home = Path(tempfile.mkdtemp(prefix="mnemo-pg-", dir="/tmp"))
    try:
        yield Engine(home)
    finally:
        shutil.rmtree(home)


def returned(deed: Any) -> dict[str, Any]:
    """What a deed reports."""
    try:
        while True:
            assert isinstance(next(deed), Progress)
    except StopIteration as end:
        return dict(end.value)


def entrance(server: Server, place: Place) -> Entrance:
    """The way into a cluster of this engine; its host sees it as its container does."""
    return Entrance(server, Home(place.data, place.data, place.image, place.image, place.uid, place.gid))


def dumped(server: Server, place: Place, directory: Path) -> dict[str, Any]:
    """Dump a running cluster: what a set says of it, and what is secret of it."""
    made = returned(dump(entrance(server, place), str(directory), NAME))
    returned(told_of(server, made["facts"], made["secret"], str(directory)))
    return made


def scratch(server: Server, source: Place, target: Place, directory: Path) -> Scratch:
    """A cluster to be filled with what a running one holds."""
    made = dumped(server, source, directory)
    return Scratch(server.machine, target, made["facts"], str(directory), made["secret"])


def told(server: Server, programs: Path) -> str:
    """What the ``pg_dumpall`` of these programs says of everything in a cluster."""
    words = ["--clean", "--restrict-key=x", "-l", server.entry, "-d", server.to(server.entry)]
    return server.machine.ask([str(programs / "pg_dumpall"), *words]).out
