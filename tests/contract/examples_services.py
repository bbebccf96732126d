"""Services."""

from __future__ import annotations

from example import SYSTEMD, Example, unit

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
)
