"""The way into the Postgres of a container, and where on the host its data directory lies."""

from __future__ import annotations

from typing import List, Mapping

from mnemo_ops.agent.base.record import dataclass
from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.stack.cluster.server import Server, entered
from mnemo_ops.agent.stack.containers import Container
from mnemo_ops.errors import Refused

_USERS = ("POSTGRES_USER", "POSTGRESQL_USERNAME")  # variables of images
_PLACE = """SELECT json_build_object('data', current_setting('data_directory'),
 'programs', (SELECT setting FROM pg_config WHERE name = 'BINDIR'));"""


@dataclass(frozen=True)
class Home:
    """Where a cluster lies, and who keeps it.

    :param data: its directory as the container sees it. :param path: the same on the host.
    :param programs: the directory of Postgres' programs in the image. :param image: its id.
    :param uid: and ``gid``: of the user whom the directory belongs to.
    """

    data: str
    path: str
    programs: str
    image: str
    uid: int
    gid: int


@dataclass(frozen=True)
class Entrance:
    """A running server and its home."""

    server: Server
    home: Home


def enter(machine: Machine, container: Container) -> Entrance:
    """:raises Refused: nobody is let in as a superuser, or the data lie in no volume (3)."""

    def run(program: str, *words: str) -> List[str]:
        return ["docker", "exec", "-i", container.name, program, *words]

    users = [container.env[name] for name in _USERS if name in container.env]
    databases = [container.env["POSTGRES_DB"]] if "POSTGRES_DB" in container.env else []
    server = entered(machine, run, [*users, "postgres"], [*databases, *users, "postgres", "template1"])
    place = server.query(_PLACE)
    path = on_host(container, place["data"])
    found = machine.stat(path)
    if found is None:
        raise Refused(f"{path}, where Postgres of {container.name} keeps its data, does not exist on this host")
    return Entrance(server, Home(place["data"], path, place["programs"], container.image_id, found.uid, found.gid))


def home_of(container: Container, facts: Mapping[str, object]) -> Home:
    """Where a container that never ran will keep the cluster that ``facts`` are of. :raises Refused: as :func:`enter`."""
    data = container.env.get("PGDATA") or str(facts["data"])
    uid, gid = int(str(facts["uid"])), int(str(facts["gid"]))
    return Home(data, on_host(container, data), str(facts["programs"]), container.image_id, uid, gid)


def on_host(container: Container, path: str) -> str:
    """A path of a container on the host. :raises Refused: it lies in no volume (3)."""
    around = [each for each in container.mounts if (path + "/").startswith(str(each.get("Destination")) + "/")]
    mount = max(around, key=lambda each: len(str(each["Destination"])), default=None)
    if mount is None or not mount.get("Source"):
        raise Refused(
            f"Postgres of {container.name} keeps its data in {path}, which lies in no volume: they go with the container",
            hint="mount a volume there in the compose file",
        )
    return str(mount["Source"]) + path[len(str(mount["Destination"])) :]
