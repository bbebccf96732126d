"""Services."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from example import SYSTEMD, Example, unit
from world import World


def loaded_before(path: str) -> Callable[[World], None]:
    """systemd read its files an hour ago, or since it started if that is less; one of them is newer."""

    def prepare(world: World) -> None:
        world.write("var/lib/model/loaded", "")
        then = time.time() - min(3600.0, time.monotonic() / 2)
        os.utime(world.root / "var/lib/model/loaded", (then, then))
        world.write(path, "new\n")

    return prepare


def booted(world: World) -> None:
    unit("web.service", active="active", enabled=True)(world)
    (world.root / "run/systemd/system").mkdir(parents=True)


EXAMPLES: tuple[Example, ...] = (
    Example(
        "started", "systemd", {"name": "web", "state": "started", "enabled": True}, unit("web.service"), tools=SYSTEMD
    ),
    Example(
        "stopped",
        "systemd",
        {"name": "web", "state": "stopped", "enabled": False, "masked": True},
        unit("web.service", active="active", enabled=True),
        tools=SYSTEMD,
    ),
    Example(
        "file-changed",
        "systemd",
        {"name": "web", "daemon_reload": True, "state": "started"},
        unit("web.service", active="active", read="old text"),
        tools=SYSTEMD,
    ),
    Example(
        "any-file-changed", "systemd", {"daemon_reload": True}, unit("web.service", read="old text"), tools=SYSTEMD
    ),
    Example(
        "restarted",
        "systemd",
        {"name": "web", "state": "restarted"},
        unit("web.service", active="active"),
        deed=True,
        tools=SYSTEMD,
    ),
    Example("reloaded", "systemd", {"name": "web", "state": "reloaded"}, unit("web.service"), deed=True, tools=SYSTEMD),
    Example(
        "oneshot",
        "systemd",
        {"name": "job", "state": "started"},
        unit("job.service", "[Service]\nType=oneshot\n"),
        deed=True,
        tools=SYSTEMD,
    ),
    Example(
        "masked-before-it-exists", "systemd", {"name": "later", "masked": True}, unit("web.service"), tools=SYSTEMD
    ),
    Example(
        "new-file-anywhere",
        "systemd",
        {"daemon_reload": True},
        loaded_before("etc/fstab"),
        tools=SYSTEMD,
    ),
    Example("executed-anew", "systemd", {"daemon_reexec": True}, unit("web.service"), deed=True, tools=SYSTEMD),
    Example(
        "not-waited-for",
        "systemd",
        {"name": "web", "state": "restarted", "no_block": True},
        unit("web.service", active="active"),
        deed=True,
        tools=SYSTEMD,
    ),
    Example(
        "of-every-user",
        "systemd",
        {"name": "web", "enabled": True, "scope": "global", "force": True},
        unit("web.service"),
        tools=SYSTEMD,
    ),
    Example(
        "of-a-user", "systemd", {"name": "web", "state": "started", "scope": "user"}, unit("web.service"), tools=SYSTEMD
    ),
    Example(
        "started", "service", {"name": "web", "state": "started", "enabled": True}, unit("web.service"), tools=SYSTEMD
    ),
    Example(
        "restarted", "service", {"name": "web", "state": "restarted"}, unit("web.service"), deed=True, tools=SYSTEMD
    ),
    Example("all", "service_facts", {}, booted, tools=SYSTEMD),
)
