"""Examples of actions: a host with a stack, what is done to it, and how a run goes on that was killed at it."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from example import IMAGE, engine
from postgres_model import ROWS
from test_contract import Counting
from world import World

from mnemo_ops.agent.engine.action import Action
from mnemo_ops.agent.process import lease
from mnemo_ops.agent.stack.stack import Dataset, Stack
from mnemo_ops.stack.definition import wire

RUN, LATER = "20261129T220719Z-0001", "20261129T220719Z-0002"
DATASETS = (
    Dataset("postgres", "postgres", volume="pg", service="db"),
    Dataset("graph", "files", volume="graph"),
    Dataset("config", "config", path="."),
)
STACK = wire(Stack("p", "/srv/p", ("c.yml",), ".env", "/sets", DATASETS, ("db",), {}))
SERVICES: dict[str, Any] = {
    "db": {"image": "pg:16", "volumes": ["pg"], "restart": "always"},
    "api": {"image": "api:1", "volumes": ["graph"], "restart": "unless-stopped"},
}
GRAPH = "var/lib/docker/volumes/p_graph/_data"
COMPOSE = ["docker", "compose", "--project-directory", "/srv/p", "-p", "p", "-f", "/srv/p/c.yml"]


@dataclass(frozen=True)
class Acted:
    """:param prepare: makes the host as it is before; what it returns are further arguments.
    :param late: the host's timer comes between the kill and the next try, and after it: so it is with jobs.
    :param before: what the flow does before it tries again. :param quiet: it writes nothing.
    :param timed: the host's timer comes when it was done again, and only then.
    :param inodes: it knows directories by their number, which a copy of a host does not keep.
    """

    name: str
    action: Callable[[], Action]
    prepare: Callable[[World], object] = lambda world: None
    late: bool = False
    before: Callable[[World], object] = lambda world: None
    timed: bool = False
    quiet: bool = False
    inodes: bool = False

    def __str__(self) -> str:
        return self.name


class Acting(Counting):
    """Durable enough for a test; it dies for good before the first write at which :attr:`deadly` is true."""

    deadly: Callable[[Acting], bool] = staticmethod(lambda machine: False)
    dead = False

    def __init__(self, root: str, **options: Any) -> None:
        super().__init__(root, **options)
        self.program = lambda: b"a program"

    def writing(self) -> None:
        super().writing()
        self.dead = self.dead or self.deadly(self)
        if self.dead:
            raise Killed

    def sync_all(self) -> None:
        pass

    def sleep(self, seconds: float) -> None:
        pass


class Killed(BaseException):
    pass


def do(world: World, *actions: Action, cls: type[Acting] = Acting) -> Any:
    """One after the other, by one agent; the report of the last."""
    machine, report = world.machine(cls), None
    for each in actions:
        running = each.run(machine)
        try:
            while True:
                next(running)
        except StopIteration as end:
            report = end.value
    return report


def killed(world: World, action: Action, when: Callable[[Acting], bool]) -> None:
    """The action as a kill leaves it, before the first write at which ``when`` is true."""
    cls = type("Dying", (Acting,), {"deadly": staticmethod(when)})
    try:
        do(world, action, cls=cls)
    except Killed:
        return
    raise AssertionError(f"{action.kind} came to its end")


def bare(world: World) -> None:
    """Docker with the images of the stack, and nothing of it."""
    engine(images={"pg:16": IMAGE, "api:1": IMAGE})(world)
    world.install_streams()
    (world.root / "usr/bin/test").symlink_to("/usr/bin/test")
    me = f"me:x:{os.getuid()}:{os.getgid()}::/home/me:/bin/sh\n"
    world.write("etc/passwd", me)
    world.write("etc/ssh/ssh_host_ed25519_key.pub", "ssh-ed25519 AAAA old\n")


def described(world: World) -> None:
    world.write("srv/p/c.yml", json.dumps({"services": SERVICES, "volumes": {"pg": {}, "graph": {}}}))
    world.write("srv/p/.env", "A=b\n")


def serving(world: World) -> None:
    """The stack runs, and holds something."""
    bare(world)
    described(world)
    world.machine().run([*COMPOSE, "up", "-d"])
    world.write(f"{GRAPH}/file", "original")
    world.write(ROWS, "original")


def stopped(world: World) -> None:
    serving(world)
    world.machine().run(["docker", "stop", "--time", "1", "p-db-1", "p-api-1"])


def forsake(world: World) -> None:
    """Time passes, and the host's timer undoes what nobody renews."""
    for path in (world.root / "var/lib/mnemo_ops/leases").glob("*.json"):
        path.write_text(json.dumps({**json.loads(path.read_text()), "until": 0.0, "deadline": 0.0}))
    lease.expire(world.machine(Acting))


# -- what is compared ------------------------------------------------------------------------------------------------

# of what is written down, what two ways to one end may differ in
TIMES = {"at", "created", "deadline", "until", "settled_at", "seconds", "source_inode", "target_inode"}


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _timeless(each) for key, each in value.items() if key not in TIMES}
    return [_timeless(each) for each in value] if isinstance(value, list) else value


def outcome(world: World) -> dict[str, Any]:
    """What of a host matters to its owner, and to the next run."""
    docker = world.state("docker")
    rows = [(row["Name"], row["State"]["Status"], row["HostConfig"]["RestartPolicy"]) for row in each(docker)]
    volumes = {name: row["Options"] for name, row in docker["volumes"].items()}
    found: dict[str, Any] = {"containers": sorted(rows, key=str), "volumes": volumes, "images": docker["images"]}
    for name, (mode, *_, content) in world.outcome().items():
        if (
            name.startswith("var/lib/model")
            or name.endswith((".lock", "/verified.json"))
            or (name.startswith("var/lib/mnemo_ops") and content == "")
        ):
            continue
        if name.startswith("sets/"):  # archives hold times
            found[name] = mode
        elif name.startswith("var/lib/mnemo_ops") and name.endswith(".json"):
            written = _timeless(json.loads(content))
            if name.endswith("/restores/p.json"):  # it came to its end: how far is over
                written.pop("state")
            found[name] = mode, written
        else:
            found[name] = mode, re.sub(rb'expiry-time="\w+"', b"", content) if isinstance(content, bytes) else content
    return found


def each(docker: dict[str, Any]) -> Sequence[dict[str, Any]]:
    return list(docker["containers"].values())


def copied(world: World, number: int) -> World:
    return world.at(Path(f"{world.root}.{number}"))
