"""What a restore renames, and how it is taken back: at any point of a half-done swap, and again."""

from __future__ import annotations

import json
import posixpath
from typing import Any, ClassVar, Mapping

from mnemo_ops.agent import alone, docker, lease, mounts, project, tree
from mnemo_ops.agent.action import Action, Deed, Progress, Report
from mnemo_ops.agent.actions.services import PATIENCE, read_fence
from mnemo_ops.agent.actions.sets import Making
from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.postgres import Postgres, identifier, literal
from mnemo_ops.agent.record import dataclass
from mnemo_ops.agent.stack import Stack, root
from mnemo_ops.errors import Refused


def record_path(machine: Machine, name: str) -> str:
    return f"{machine.state_dir}/restores/{name}.json"


def sibling(path: str, word: str, id: str) -> str:
    """A name beside ``path`` on the same file system, left out of every set."""
    return f"{posixpath.dirname(path)}/{tree.OURS}{word}-{id}-{posixpath.basename(path)}"


@dataclass(frozen=True)
class UndoRestore(Action):
    """Put back what the last restore replaced; safe to run at any point of a half-done swap, and again.

    :param restart: start everything afterwards, also should this process be killed; a lease of the restore itself does
        that on its own.
    """

    stack: Mapping[str, Any]
    restart: bool = True
    kind: ClassVar[str] = "undo_restore"

    def ready(self, machine: Machine) -> Report:
        stack = Stack.from_json(self.stack)
        text = machine.read_text(record_path(machine, stack.project))
        if text is None:
            raise Refused(f"there is no restore of {stack.project} to undo on this host", hint="invoke backup.list")
        fence = read_fence(machine, stack.project)
        if fence is not None:
            raise Refused(f"the stack is fenced here by run {fence['run']}: it moved to another host")
        alone.refuse_others(machine, stack)
        there = docker.all_of(machine, "volume")
        for name in {stack.volume(dataset.volume) for dataset in stack.datasets if dataset.volume} & there.keys():
            mounts.refuse_gone(machine, there[name])  # what was replaced is there, too
        return dict(json.loads(text))

    def run(self, machine: Machine) -> Deed:
        stack = Stack.from_json(self.stack)
        if not self.restart:
            return (yield from self._put_back(machine, stack))
        plan = self.ready(machine)
        undo = [
            {"kind": "undo_restore", "args": {"stack": dict(self.stack), "restart": False}},
            {"kind": "start_containers", "args": {"names": plan["running"]}},
        ]
        # from here on it is finished by this process or, should that be killed, by the host
        lease.hold(machine, f"undo-{plan['stamp']}", "", undo)
        yield from quiet(machine, stack)
        yield Progress(note="putting back what was there before, starting the stack")
        lease.undo(machine, f"undo-{plan['stamp']}")
        return {"undone": plan["id"]}

    def _put_back(self, machine: Machine, stack: Stack) -> Making:
        text = machine.read_text(record_path(machine, stack.project))
        if text is None:
            return {}
        plan = json.loads(text)
        project.wait_for_docker(machine)
        yield from quiet(machine, stack)  # a reboot may have started it in the middle of the swap
        found = project.containers(machine, stack.project)
        project.start(machine, [found[service].name for service in stack.keep if service in found], PATIENCE)
        for path in plan["paths"]:
            before = sibling(path, "before", plan["stamp"])
            if machine.stat(before) is not None:
                if machine.stat(path) is not None:
                    machine.remove(sibling(path, "restore", plan["id"]))
                    machine.rename(path, sibling(path, "restore", plan["id"]))
                machine.rename(before, path)
            machine.remove(sibling(path, "restore", plan["id"]))
        server = database_of(machine, stack)
        if server.exists(plan["before"]):
            if server.exists(plan["database"]):
                drop(server, plan["scratch"])
                rename(server, plan["database"], plan["scratch"])
            rename(server, plan["before"], plan["database"])
        drop(server, plan["scratch"])
        if plan["previous"]:
            machine.write(record_path(machine, stack.project), json.dumps(plan["previous"]).encode(), 0o600)
        else:
            machine.remove(record_path(machine, stack.project))
        return {}


@dataclass(frozen=True)
class DropScratch(Action):
    """Remove what a restore unpacked and did not put in place."""

    stack: Mapping[str, Any]
    id: str
    kind: ClassVar[str] = "drop_scratch"

    def run(self, machine: Machine) -> Deed:
        stack = Stack.from_json(self.stack)
        yield Progress()
        for dataset in stack.datasets:
            if dataset.kind in ("files", "redis"):
                machine.remove(sibling(root(machine, stack, dataset), "restore", self.id))
        drop(database_of(machine, stack), scratch(self.id))
        return {}


def quiet(machine: Machine, stack: Stack) -> Making:
    """Stop everything but the database."""
    for container in project.ordered(project.containers(machine, stack.project), stack.stop_order):
        if container.service not in stack.keep:
            yield Progress(note=f"stopping {container.service}")
            project.stop(machine, [container], stack.grace)
    return {}


def drop_before(machine: Machine, server: Postgres, plan: Mapping[str, Any]) -> None:
    """Remove what an earlier restore replaced: it can no longer be undone."""
    for path in plan["paths"]:
        machine.remove(sibling(path, "before", plan["stamp"]))
    if "_before_" in plan["before"]:
        server.sql(f"DROP DATABASE IF EXISTS {identifier(plan['before'])} WITH (FORCE);", "postgres")


def forget_blank(machine: Machine, stack: Stack, server: Postgres, plan: Mapping[str, Any]) -> None:
    """On a fresh host what was "before" is blank: remove it, after looking once more that it is."""
    for path in plan["paths"]:
        before = sibling(path, "before", plan["stamp"])
        if not machine.names(before):
            machine.remove(before)
    if server.exists(plan["before"]) and not server.digest(plan["before"])["tables"]:
        server.sql(f"DROP DATABASE {identifier(plan['before'])} WITH (FORCE);", "postgres")
    machine.remove(record_path(machine, stack.project))


def scratch(id: str) -> str:
    return f"mnemosyne_restore_{short(id)}"


def short(id: str) -> str:
    return id.lower().replace("-", "_")


def database_of(machine: Machine, stack: Stack) -> Postgres:
    found = project.containers(machine, stack.project)
    return Postgres.of(machine, project.one(found, stack.dataset("postgres").service))


def rename(server: Postgres, old: str, new: str) -> None:
    server.sql(
        f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = {literal(old)};"
        f"ALTER DATABASE {identifier(old)} RENAME TO {identifier(new)};",
        "postgres",
    )


def drop(server: Postgres, database: str) -> None:
    """Drop a scratch database; its name is checked, so that no other can be meant."""
    if not database.startswith("mnemosyne_restore_"):
        raise Refused(f"{database} is not a scratch database")
    server.sql(f"DROP DATABASE IF EXISTS {identifier(database)} WITH (FORCE);", "postgres")
