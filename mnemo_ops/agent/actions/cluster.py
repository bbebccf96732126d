"""Whether the database that is there is the one that the settings speak of: they make a cluster, and change none."""

from __future__ import annotations

import json
import re
from typing import Any, ClassVar, Mapping

from mnemo_ops.agent.base.progress import Deed, Progress, Report
from mnemo_ops.agent.base.record import dataclass, field
from mnemo_ops.agent.engine.action import Action
from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.stack import containers
from mnemo_ops.agent.stack.cluster.home import programs
from mnemo_ops.agent.stack.cluster.place import Place
from mnemo_ops.agent.stack.cluster.scratch import Scratch, refuse_older, version_of
from mnemo_ops.agent.stack.stack import Stack
from mnemo_ops.errors import Refused

# the password comes on stdin: an argument or a variable of `docker exec` shows in every process list
LOGIN = 'PGPASSWORD=$(cat) exec psql -XqAt -h "$1" -U "$2" -d "$3" -c "SELECT 1"'


@dataclass(frozen=True)
class CompareCluster(Action):
    """The image of Postgres reads user, password and database when it makes a cluster, and never again.

    :raises Refused: the services would be started with others than the cluster has (3).
    """

    stack: Mapping[str, Any]
    user: str
    database: str
    password: str = field(repr=False)
    kind: ClassVar[str] = "compare_cluster"

    def ready(self, machine: Machine) -> Report:
        stack = Stack.from_json(self.stack)
        service = stack.dataset("postgres").service
        mine = [each for each in containers.containers(machine, stack.project) if each.service == service]
        if not mine:
            return {"cluster": "none yet"}
        there = mine[0]
        for key, wanted in (("POSTGRES_USER", self.user), ("POSTGRES_DB", self.database)):
            was = there.env.get(key, wanted)
            if wanted != was:
                told = f"{key} is {wanted} in the env file and {was} in the cluster of {there.name}"
                raise Refused(
                    f"{told}, which it cannot change", hint=f"set {key} back; only a new volume gets a new cluster"
                )
        if there.env.get("POSTGRES_PASSWORD", self.password) == self.password:
            return {"cluster": "as declared"}
        if not there.running:
            raise Refused(
                "the env file has another POSTGRES_PASSWORD than the cluster was started with, and Postgres is stopped",
                hint=f"docker start {there.name}, then deploy again, which tries the password",
            )
        words = ["docker", "exec", "-i", there.name, "sh", "-c", LOGIN, "sh", *there.addresses[:1], self.user]
        if machine.ask([*words, self.database], data=self.password.encode(), check=False).rc != 0:
            raise Refused(
                f"POSTGRES_PASSWORD of the env file does not open the cluster of {there.name}: deploying changes no "
                "password there, and every service would be locked out",
                hint=f"change it there first: docker exec -it {there.name} psql -U {self.user} -d {self.database} "
                f"-c '\\password {self.user}'; then deploy again",
            )
        return {"cluster": "as declared"}


# constant: an empty cluster in memory, and what a server of it could have
_TRY = """cd "$1" && shift && libraries=$1 && shift && ./initdb "$@" >/dev/null &&
echo 'SELECT name FROM pg_available_extensions' |
./postgres --single -D /mnemo/data -c shared_preload_libraries="$libraries" template1"""
_NAMED = re.compile(r'(?m)^\s*1: name = "([^"]+)"')
_NOBODY = "65534:65534"


@dataclass(frozen=True)
class TryImage(Action):
    """Whether an image can hold what another host's Postgres has: an empty cluster is made as that one was.

    Nothing of it is on a disk, and it goes with its container.

    :param cluster: what :class:`~.survey.Survey` says of the other one.
    :raises Refused: it is older, or lacks a locale, a library or an extension (3).
    """

    image: str
    cluster: Mapping[str, Any]
    kind: ClassVar[str] = "try_image"

    def ready(self, machine: Machine) -> Report:
        """``major``: as images say it that are made as the official one is; 0: this one is not here, or does not."""
        found = machine.ask(["docker", "image", "inspect", self.image], check=False).out
        env = [each for row in json.loads(found or "[]") for each in row["Config"].get("Env") or ()]
        said = [each for each in env if re.fullmatch(r"PG_MAJOR=\d{1,4}", each)]
        return {"major": int(said[0].partition("=")[2]) if said else 0}

    def run(self, machine: Machine) -> Deed:
        yield Progress(note=f"trying {self.image}")
        facts = {**self.cluster, "databases": {"template0": self.cluster["template0"]}}
        place = programs(machine, self.image, self.cluster["programs"])
        base = ["docker", "run", "--rm", "--pull", "never", "--network", "none", "-e", "LC_ALL=C", "--user", _NOBODY]
        version = [*base, "--entrypoint", f"{place}/postgres", self.image, "--version"]
        major = version_of(machine.run(version).out)
        refuse_older(facts, major)
        says = self.ready(machine)["major"]
        if says not in (0, major):
            raise Refused(f"the image {self.image} is of Postgres {says}, and its initdb of {major}", hint=_OTHER)
        words = Scratch(machine, Place(self.image, "/mnemo", "", 0, 0), facts, "", {}).words(major)
        script = [*base, "--tmpfs", "/mnemo", "--entrypoint", "sh", self.image, "-c", _TRY, "sh", place]
        said = machine.run([*script, facts["preloaded"], *words], check=False)
        if said.rc != 0:
            why = (said.err.strip() or said.out.strip())[-600:]
            raise Refused(f"the image {self.image} makes no cluster like the one of the stack: {why}", hint=_OTHER)
        if missing := sorted({*self.cluster["extensions"]} - {*_NAMED.findall(said.out), "plpgsql"}):
            raise Refused(f"the image {self.image} lacks extensions: {', '.join(missing)}", hint=_OTHER)
        return {"major": major}


_OTHER = "name an image in stack.images that has what the present one has"
