"""Directories for other hosts."""

from __future__ import annotations

from example import Example
from running import run, task
from world import World

EXPORTFS = ("exportfs",)
UPLOADS = {"path": "/srv/nfs/uploads", "clients": ["10.0.0.0/24", "10.0.1.7(ro,sync,no_subtree_check)"]}


def directory(world: World) -> None:
    (world.root / "srv/nfs/uploads").mkdir(parents=True)


def exported(world: World) -> None:
    directory(world)
    run(task("nfs_export", **UPLOADS), world.machine())


def not_loaded(world: World) -> None:
    """The file is there, the kernel has not been told."""
    exported(world)
    world.model("exports", [])


EXAMPLES: tuple[Example, ...] = (
    Example("new", "nfs_export", UPLOADS, directory, tools=EXPORTFS),
    Example("other-clients", "nfs_export", {**UPLOADS, "clients": ["10.0.2.0/24"]}, exported, tools=EXPORTFS),
    Example("not-loaded", "nfs_export", UPLOADS, not_loaded, tools=EXPORTFS),
    Example("world", "nfs_export", {**UPLOADS, "clients": ["*"], "allow_world": True}, directory, tools=EXPORTFS),
    Example("absent", "nfs_export", {**UPLOADS, "state": "absent"}, exported, tools=EXPORTFS),
)
