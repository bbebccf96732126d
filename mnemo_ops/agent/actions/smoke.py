"""The deep check of a running stack: what `/health` alone would not prove."""

from __future__ import annotations

from typing import Any, ClassVar, List, Mapping

from mnemo_ops.agent.actions.prove import check_health
from mnemo_ops.agent.base.progress import Deed, Progress
from mnemo_ops.agent.base.record import dataclass
from mnemo_ops.agent.engine.action import Action
from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.stack import containers
from mnemo_ops.agent.stack.cluster.entrance import enter
from mnemo_ops.agent.stack.stack import Stack
from mnemo_ops.errors import StepFailed

WRITE = 'echo probe > "$1" && cat "$1" && rm "$1"'


@dataclass(frozen=True)
class Smoke(Action):
    """SQL answers, the application may write where it must, health is 200, and every container runs.

    :param health: service -> ``port/path``. :param writable: service -> directories inside it.
    :raises StepFailed: names what is wrong (6).
    """

    stack: Mapping[str, Any]
    health: Mapping[str, str]
    writable: Mapping[str, Any]
    kind: ClassVar[str] = "smoke"

    def run(self, machine: Machine) -> Deed:
        stack = Stack.from_json(self.stack)
        found = containers.containers(machine, stack.project)
        wrong: List[str] = [f"{each.service} is {each.state}" for each in found if not (each.running or each.ended)]
        versions: List[str] = []
        for each in stack.of_kind("postgres"):
            yield Progress(note=f"asking the database of {each.service}")
            server = enter(machine, containers.one(found, each.service)).server
            versions.append(str(server.query("SELECT to_json(current_setting('server_version'));")))
        for service, directories in self.writable.items():
            for directory in directories:
                yield Progress(note=f"{service} writes {directory}")
                probe = f"{directory}/.mnemo-probe"
                argv = ["docker", "exec", containers.one(found, service).name, "sh", "-c", WRITE, "sh", probe]
                if machine.run(argv, check=False).rc != 0:
                    wrong.append(f"{service} may not write {directory}")
        for service, where in self.health.items():
            yield Progress(note=f"health of {service}")
            check_health(machine, found, service, where, wrong)
        if wrong:
            raise StepFailed("the stack runs, but: " + "; ".join(wrong), hint="docker compose logs shows why")
        return {"postgres": ", ".join(versions) or "none", "containers": len(found), "health": "200"}
