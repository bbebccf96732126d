"""Whether the database that is there is the one that the settings speak of: they make a cluster, and change none."""

from __future__ import annotations

import json
import re
from typing import Any, ClassVar, Dict, List, Mapping, Sequence

from mnemo_ops.agent.base.progress import Deed, Progress, Report
from mnemo_ops.agent.base.record import dataclass, field
from mnemo_ops.agent.engine.action import Action
from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.stack import containers
from mnemo_ops.agent.stack.cluster.earlier import creation
from mnemo_ops.agent.stack.cluster.home import programs
from mnemo_ops.agent.stack.cluster.place import Place
from mnemo_ops.agent.stack.cluster.scratch import Scratch, refuse_older, version_of
from mnemo_ops.agent.stack.stack import Stack
from mnemo_ops.errors import Broken, Refused

# the password comes on stdin: an argument or a variable of `docker exec` shows in every process list
LOGIN = 'PGPASSWORD=$(cat) exec psql -XqAt -h "$1" -U "$2" -d "$3" -c "SELECT 1"'
VARIABLES = {"POSTGRES_USER", "POSTGRES_DB", "POSTGRES_PASSWORD"}  # of an image that makes a cluster


@dataclass(frozen=True)
class CompareCluster(Action):
    """The image of Postgres reads user, password and database when it makes a cluster, and never again.

    Of several clusters the variables are those of one: it is enough if they fit any.

    :param password: empty: the env file does not say it, and what the compose file says is not looked at here.
    :raises Refused: the services would be started with others than the cluster has (3).
    """

    stack: Mapping[str, Any]
    user: str
    database: str
    password: str = field(repr=False)
    kind: ClassVar[str] = "compare_cluster"

    def ready(self, machine: Machine) -> Report:
        stack = Stack.from_json(self.stack)
        services = {each.service for each in stack.of_kind("postgres")}
        every = [each for each in containers.containers(machine, stack.project) if VARIABLES & each.env.keys()]
        # where nobody declares which, those of images that are made as the official one is
        mine = [each for each in every if (each.service in services if services else "PG_MAJOR" in each.env)]
        if not mine or not self.password:
            return {"cluster": "none yet" if self.password else "not declared"}
        differing: List[Refused] = []
        for there in mine:
            try:
                self._compare(machine, there)
                return {"cluster": "as declared"}
            except Refused as error:
                differing.append(error)
        raise differing[0]

    def _compare(self, machine: Machine, there: containers.Container) -> None:
        for key, wanted in (("POSTGRES_USER", self.user), ("POSTGRES_DB", self.database)):
            was = there.env.get(key, wanted)
            if wanted != was:
                told = f"{key} is {wanted} in the env file and {was} in the cluster of {there.name}"
                raise Refused(
                    f"{told}, which it cannot change", hint=f"set {key} back; only a new volume gets a new cluster"
                )
        if there.env.get("POSTGRES_PASSWORD", self.password) == self.password:
            return
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


# constant: an empty cluster in memory, and what a server of it says to what it is asked
_TRY = """cd "$1" && shift && libraries=$1 && shift && ./initdb "$@" >/dev/null </dev/null &&
./postgres --single -j -D /mnemo/data -c shared_preload_libraries="$libraries" template1"""
_ZSTD = "--with-zstd"
_ASKED = (
    "SELECT name FROM pg_available_extensions;",
    f"SELECT '{_ZSTD}' AS name FROM pg_config WHERE name = 'CONFIGURE' AND setting ~ '{_ZSTD}';",
)
_NAMED = re.compile(r'(?m)^\s*1: name = "([^"]+)"')
_ERROR = re.compile(r"(?m)(?:ERROR|FATAL|PANIC): .*")
# constant: whom the image runs as, and whom it knows, for initdb asks
_WHO = "id -u && cat /etc/passwd"


@dataclass(frozen=True)
class TryImage(Action):
    """Whether an image can hold what another host's Postgres has: an empty cluster is made as that one was.

    Nothing of it is on a disk, and it goes with its container.

    :param cluster: what :class:`~.survey.Survey` says of the other one.
    :param declared: what our compose file for this host says of the service: ``PGDATA`` and ``user`` are heard.
    :raises Refused: it is older, lacks a locale, a library or an extension, or would keep or own its data elsewise (3).
    :raises Broken: Docker does not run it (6).
    """

    image: str
    cluster: Mapping[str, Any]
    declared: Sequence[str] = ()
    kind: ClassVar[str] = "try_image"

    def ready(self, machine: Machine) -> Report:
        """``major``: as images say it that are made as the official one is; 0: this one is not here, or does not."""
        said = self._env(machine).get("PG_MAJOR", "")
        return {"major": int(said) if re.fullmatch(r"[0-9]{1,4}", said) else 0}

    def run(self, machine: Machine) -> Deed:
        yield Progress(note=f"trying {self.image}")
        facts = {**self.cluster, "databases": {"template0": self.cluster["template0"]}}
        place = programs(machine, self.image, self.cluster["programs"])
        base = ["docker", "run", "--rm", "--pull", "never", "--network", "none", "-e", "LC_ALL=C"]
        own, *known = machine.run([*base, "--entrypoint", "sh", self.image, "-c", _WHO]).out.split("\n")
        self._refuse_place(machine, own)
        base += ["--user", _somebody(own, known)]
        version = [*base, "--entrypoint", f"{place}/postgres", self.image, "--version"]
        major = version_of(machine.run(version).out)
        refuse_older(facts, major)
        says = self.ready(machine)["major"]
        if says not in (0, major):
            raise Refused(f"the image {self.image} is of Postgres {says}, and its initdb of {major}", hint=_OTHER)
        scratch = Scratch(machine, Place(self.image, "/mnemo", "", 0, 0), facts, "", {})
        words = [*scratch.words(), *([scratch.since_18] if major >= 18 else [])]
        script = [*base, "-i", "--tmpfs", "/mnemo", "--entrypoint", "sh", self.image, "-c", _TRY, "sh", place]
        asked = "".join(f"{each}\n\n" for each in (*_ASKED, *self._databases(major)))  # the end of one, with -j
        said = machine.run([*script, facts["preloaded"], *words], data=asked.encode(), check=False)
        if said.rc == 125:  # Docker's own
            raise Broken(f"docker does not run the image {self.image}: {said.err.strip()[-600:]}")
        errors = _ERROR.findall(said.err)
        if said.rc != 0 or errors:
            why = "; ".join(errors[:3]) or (said.err.strip() or said.out.strip())[-600:]
            raise Refused(f"the image {self.image} makes no cluster like the one of the stack: {why}", hint=_OTHER)
        has = {*_NAMED.findall(said.out), "plpgsql"}
        if missing := sorted({*self.cluster["extensions"]} - has):
            raise Refused(f"the image {self.image} lacks extensions: {', '.join(missing)}", hint=_OTHER)
        if self.cluster["zstd"] and _ZSTD not in has:
            raise Refused(f"the image {self.image} cannot read zstd, which the dump is compressed with", hint=_OTHER)
        return {"major": major}

    def _env(self, machine: Machine) -> Dict[str, str]:
        found = machine.ask(["docker", "image", "inspect", self.image], check=False).out
        every = [each for row in json.loads(found or "[]") for each in row["Config"].get("Env") or ()]
        return {key: value for key, _, value in (each.partition("=") for each in every)}

    def _refuse_place(self, machine: Machine, own: str) -> None:
        data, mount = self._env(machine).get("PGDATA", ""), self.cluster["mount"]
        if data and mount and "PGDATA" not in self.declared and not f"{data}/".startswith(f"{mount}/"):
            raise Refused(
                f"Postgres of the image {self.image} would keep its data in {data}, and the volume is in {mount}",
                hint=f"set PGDATA to a directory in {mount}, for the service's environment in stack.override",
            )
        if (
            "user" not in self.declared
            and self.cluster["uid"] is not None
            and own not in ("0", str(self.cluster["uid"]))
        ):
            raise Refused(
                f"the image {self.image} runs as user {own}, and the data belong to {self.cluster['uid']}",
                hint=f'set user to "{self.cluster["uid"]}" for the service in stack.override, or name another image',
            )

    def _databases(self, major: int) -> List[str]:
        """SQL: an empty one for each locale that the cluster's databases have."""
        first = {**self.cluster["template0"]}
        every = [each for each in self.cluster["locales"] if each != first]
        told = [{**each, "provider": each["provider"] if major >= 15 else ""} for each in every]
        return [creation(f"mnemo_ops_{number}", each) for number, each in enumerate(told)]


def _somebody(own: str, known: Sequence[str]) -> str:
    """Whom initdb may run as: no root, and somebody whom the image knows."""
    every = {row[2]: f"{row[2]}:{row[3]}" for row in (each.split(":") for each in known) if len(row) > 3}
    every.pop("0", None)
    return every.get(own) or every.get("65534") or next(iter(every.values()), "65534:65534")


_OTHER = "name an image in stack.images that has what the present one has"
