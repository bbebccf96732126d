"""Volumes of a cluster of hosts."""

from __future__ import annotations

from example import Example
from running import run, task
from world import World

GLUSTER = ("gluster",)
GV0 = {
    "name": "gv0",
    "cluster": ["10.0.0.1", "10.0.0.2"],
    "host": "10.0.0.1",
    "bricks": "/data/gv0",
    "replicas": 2,
    "options": {"auth.allow": "10.0.0.*", "network.ping-timeout": 10},
}


def made(world: World) -> None:
    run(task("gluster_volume", **GV0, state="started"), world.machine())


def never_started(world: World) -> None:
    made(world)
    bricks = ["10.0.0.1:/data/gv0", "10.0.0.2:/data/gv0"]
    world.model("gluster", {"gv0": {"status": 0, "copies": 2, "bricks": bricks, "options": {}}})


EXAMPLES: tuple[Example, ...] = (
    Example("new", "gluster_volume", {**GV0, "state": "present"}, tools=GLUSTER),
    Example("not-started", "gluster_volume", {**GV0, "state": "present", "start_on_create": False}, tools=GLUSTER),
    Example("cut", "gluster_volume", {**GV0, "state": "present"}, never_started, tools=GLUSTER),
    Example(
        "options", "gluster_volume", {"name": "gv0", "state": "started", "options": {"x.y": True}}, made, tools=GLUSTER
    ),
    Example("stopped", "gluster_volume", {"name": "gv0", "state": "stopped"}, made, tools=GLUSTER),
    Example("never-started", "gluster_volume", {**GV0, "state": "stopped"}, never_started, tools=GLUSTER),
    Example(
        "alone",
        "gluster_volume",
        {"name": "a", "state": "started", "cluster": ["10.0.0.1"], "host": "10.0.0.1", "bricks": "/root/a, /root/b",
         "force": True},
        tools=GLUSTER,
    ),
)  # fmt: skip
