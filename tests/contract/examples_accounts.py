"""Users and groups."""

from __future__ import annotations

from collections.abc import Callable

from example import Example
from world import ACCOUNTS, World

ADA = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJnWJHJrZDqzOVbMT1F/8L0d8cVbOJ5IUsZ1sgzKHS4o"
BEN = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAhG1mHlTmHEeqkBhVHU3cPAWgjWZVWqIVEpiZoJvCkK"


def at_home(path: str, text: str) -> Callable[[World], None]:
    """The user has a home, and a file in it."""

    def prepare(world: World) -> None:
        world.write(f"home/old/{path}", text)

    return prepare


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
    Example("shared-number", "group", {"name": "mnemo", "gid": 4, "non_unique": True}, tools=ACCOUNTS),
    Example("range", "group", {"name": "mnemo", "gid_min": 5000, "gid_max": 5100}, tools=ACCOUNTS),
    Example(
        "ageing",
        "user",
        {"name": "old", "expires": 1900000000, "password_expire_max": 90, "password_expire_account_disable": -1},
        tools=ACCOUNTS,
    ),
    Example("never-expires", "user", {"name": "new", "expires": -1, "umask": "077", "uid_min": 3000}, tools=ACCOUNTS),
    Example("locked", "user", {"name": "old", "password_lock": True}, tools=ACCOUNTS),
    Example("locked-and-new", "user", {"name": "old", "password": "$6$x", "password_lock": True}, tools=ACCOUNTS),
    Example("no-password", "user", {"name": "old", "password": "!"}, tools=ACCOUNTS),
    Example(
        "moves", "user", {"name": "old", "home": "/srv/old", "move_home": True}, at_home("x", "kept"), tools=ACCOUNTS
    ),
    Example(
        "key",
        "user",
        {"name": "old", "generate_ssh_key": True, "ssh_key_type": "ed25519", "ssh_key_comment": "old"},
        at_home("x", ""),
        tools=("ssh-keygen",),
    ),
    Example("first", "authorized_key", {"user": "old", "key": ADA + " ada"}, at_home("x", "")),
    Example(
        "options-change",
        "authorized_key",
        {"user": "old", "key": ADA, "key_options": 'no-pty,command="echo hi"', "comment": "c"},
        at_home(".ssh/authorized_keys", f"# kept\n{ADA} ada\n{BEN}\n"),
    ),
    Example(
        "exclusive",
        "authorized_key",
        {"user": "old", "key": f"{ADA} ada\n", "exclusive": True},
        at_home(".ssh/authorized_keys", f"{BEN} ben\n{ADA} ada\n"),
    ),
    Example(
        "absent",
        "authorized_key",
        {"user": "old", "key": ADA, "state": "absent"},
        at_home(".ssh/authorized_keys", f"no-pty {ADA} ada\n{BEN}\n"),
    ),
    Example(
        "elsewhere",
        "authorized_key",
        {"user": "old", "key": "file:///srv/keys", "path": "/srv/%u.keys", "manage_dir": False},
        lambda world: world.write("srv/keys", f"# all\n{ADA}\n{BEN} ben\n"),
    ),
    Example("new", "known_hosts", {"name": "a.example", "key": "a.example " + ADA, "path": "/srv/known"}),
    Example(
        "another-key",
        "known_hosts",
        {"name": "A.example", "key": "a.example " + ADA, "path": "/srv/known"},
        lambda world: world.write("srv/known", f"# hosts\na.example,10.0.0.1 {BEN}\nb.example {BEN}\n"),
    ),
    Example(
        "hashed",
        "known_hosts",
        {"name": "[a.example]:22022", "key": "[a.example]:22022 " + ADA, "path": "/srv/known", "hash_host": True},
        lambda world: world.write("srv/known", f"[a.example]:22022 {ADA}\n"),
    ),
    Example(
        "absent",
        "known_hosts",
        {"name": "a.example", "path": "/srv/known", "state": "absent"},
        lambda world: world.write("srv/known", f"a.example {ADA}\nb.example {BEN}\n"),
    ),
)
