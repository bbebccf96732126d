"""Where on the host the data directory of a container's Postgres lies."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping

from mnemo_ops.agent.base.lines import each_line
from mnemo_ops.agent.base.record import dataclass
from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.stack.containers import Container
from mnemo_ops.agent.stack.stack import mountpoint
from mnemo_ops.errors import Broken, Refused

# directories without the links that lead to them, and what the first one is
_SEEN = """for each; do (cd "$each" 2>/dev/null && pwd -P) || echo; done
cd "$1" && stat -c "%i %u %g" . && stat -f -c %T ."""

# constant: where an image has its programs: on its search path, else there, else where packages put them
_PROGRAMS = """PATH=$PATH:$1
for each in /opt/*/bin /opt/*/*/bin /usr/local/pgsql/bin /usr/pgsql-*/bin /usr/lib/postgresql/*/bin
do PATH=$PATH:$each; done
command -v initdb"""


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


def home(machine: Machine, container: Container, facts: Mapping[str, str]) -> Home:
    """Where a running server keeps its data: what is the same directory inside and outside of its container.

    :param facts: ``data``, ``programs`` and ``port``, as the server says.
    :raises Refused: in no volume, or it is another server (3). :raises CommandFailed: Docker's own words (6).
    """
    mounts = [str(each["Destination"]) for each in container.mounts]
    said = machine.ask(["docker", "exec", container.name, "sh", "-c", _SEEN, "sh", facts["data"], *mounts]).out.split(
        "\n"
    )
    data, *real = said[: len(mounts) + 1]
    if any(each.startswith(f"{data}/pg_") for each in real):  # what a server keeps there belongs to this data directory
        raise Refused(
            f"a volume of {container.name} is mounted within {facts['data']}, which can only be swapped as a whole",
            hint="mount one volume for the whole data directory; move what is in the other one there",
        )
    inode, uid, gid = map(int, said[len(mounts) + 1].split())
    for path in _on_host(machine, container, data, dict(zip(mounts, real))):
        found = machine.stat(path)
        if found and (found.inode, found.uid, found.gid) == (inode, uid, gid):
            break
    else:
        raise _homeless(container, f"{facts['data']} (file system {said[len(mounts) + 2]})")
    # on the host's network another server may answer
    if facts["port"] not in each_line(machine.read_text(f"{path}/postmaster.pid") or "")[3:4]:
        raise Refused(
            f"what answers in {container.name} at port {facts['port']} is not the Postgres whose data are in {path}",
            hint="give each Postgres on the host's network a port of its own, in PGPORT",
        )
    return Home(facts["data"], path, facts["programs"], container.image_id, uid, gid)


def home_of(machine: Machine, container: Container, facts: Mapping[str, Any]) -> Home:
    """Where a container that never ran will keep a cluster. :param facts: of the one it is filled from.

    :raises Refused: in no volume (3).
    """
    data = container.env.get("PGDATA") or str(facts["data"])
    for path in _on_host(machine, container, data, {}):
        return Home(data, path, facts["programs"], container.image_id, facts["uid"], facts["gid"])
    raise _homeless(container, data)


def programs(machine: Machine, image: str, usual: str) -> str:
    """The directory of Postgres' programs in an image. :param usual: where another image has them.

    :raises Refused: there are none, or no shell that finds them (3). :raises Broken: Docker cannot tell (6).
    """
    argv = ["docker", "run", "--rm", "--pull", "never", "--network", "none", "--entrypoint", "sh", image]
    said = machine.ask([*argv, "-c", _PROGRAMS, "sh", usual], check=False)
    if said.rc in (125, 126):  # Docker's own, not the shell's
        raise Broken(f"docker does not run the image {image}: {said.err.strip()[-600:]}")
    place, _, name = said.out.strip().rpartition("/")
    if said.rc != 0 or name != "initdb":
        raise Refused(f"the image {image} has no initdb: it is none of Postgres", hint="correct stack.images")
    return place


def _on_host(machine: Machine, container: Container, path: str, real: Mapping[str, str]) -> List[str]:
    """What a path of a container may be on the host, the innermost mount first. :param real: places behind links."""
    found: Dict[str, str] = {}
    for each in container.mounts:
        place = (real.get(str(each["Destination"])) or str(each["Destination"])).rstrip("/")
        if each.get("Source") and (path + "/").startswith(place + "/"):
            source = mountpoint(machine, each["Name"]) if each.get("Type") == "volume" else str(each["Source"])
            found[source + path[len(place) :]] = place
    return sorted(found, key=lambda one: -len(found[one]))


def _homeless(container: Container, data: str) -> Refused:
    return Refused(
        f"Postgres of {container.name} keeps its data in {data}, and none of its volumes leads there on this host: the "
        "data go with the container",
        hint="mount a volume there in the compose file; where its directory on the host was replaced, put it back",
    )
