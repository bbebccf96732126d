"""Whether the database that is there is the one that the settings speak of: they make a cluster, and change none."""

from __future__ import annotations

from typing import Any, ClassVar, Mapping

from mnemo_ops.agent.base.progress import Report
from mnemo_ops.agent.base.record import dataclass, field
from mnemo_ops.agent.engine.action import Action
from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.stack import containers
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
