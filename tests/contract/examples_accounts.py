"""Users and groups."""

from __future__ import annotations

from example import ACCOUNTS, Example

EXAMPLES: tuple[Example, ...] = (
    Example("gid", "group", {"name": "mnemo", "gid": 4200}, tools=ACCOUNTS),
    Example("system", "group", {"name": "mnemo", "system": True}, tools=ACCOUNTS),
    Example("renumbered", "group", {"name": "adm", "gid": 4201}, tools=ACCOUNTS),
    Example("absent", "group", {"name": "adm", "state": "absent"}, tools=ACCOUNTS),
    Example(
        "new",
        "user",
        {
            "name": "deploy",
            "uid": 4200,
            "groups": ["sudo", "adm"],
            "shell": "/bin/bash",
            "comment": "Deploys",
            "password": "$6$x",
        },
        tools=ACCOUNTS,
    ),
    Example("once", "user", {"name": "deploy", "password": "$6$x", "update_password": "on_create"}, tools=ACCOUNTS),
    Example("system", "user", {"name": "svc", "system": True, "create_home": False, "group": "adm"}, tools=ACCOUNTS),
    Example("joins", "user", {"name": "old", "groups": "sudo", "append": True}, tools=ACCOUNTS),
    Example("leaves", "user", {"name": "old", "groups": []}, tools=ACCOUNTS),
    Example(
        "changes", "user", {"name": "old", "shell": "/bin/bash", "password": "$6$new", "group": 27}, tools=ACCOUNTS
    ),
    Example("new-home", "user", {"name": "old", "home": "/srv/old"}, tools=ACCOUNTS),
    Example("absent", "user", {"name": "old", "state": "absent"}, tools=ACCOUNTS),
)
