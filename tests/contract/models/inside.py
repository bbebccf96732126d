"""A model of what ``docker exec`` runs in a container with a Postgres: its files, this machine's shell, and psql.

``inside.json``: ``env`` of the container; ``files``; ``real`` paths behind links; ``is``: inode, user and group of the
data directory; ``place``: what the server says of it; ``roles``: who is let in through which ``hosts`` (host to the
password or the user who is, or null), and whether he is a superuser.
"""

# ruff: noqa: PTH123
from __future__ import annotations

import json
import os
import re
import sys


def main(root: str, argv: list[str]) -> None:
    with open(f"{root}/inside.json") as file:
        state = json.load(file)
    if argv[0].endswith("psql"):
        return psql(root, state, argv[-1])
    if argv[1] != "exec":
        os.execv(f"{root}/usr/bin/engine", argv)
    words = [word for word in argv[2:] if word != "-i"]
    user = words.pop(1) if words[0] == "--user" else ""
    words = words[2 if user else 1 :]
    if words[0] == "cat":
        print(state["files"].get(words[-1], ""))
    elif words[0] == "stat":
        print("1000 keeper")
    elif "pwd -P" in words[2]:
        print("\n".join([*(state["real"].get(path, path) for path in words[4:]), state["is"], "ext4"]))
    else:
        words[2] = words[2].replace("/usr/lib/", f"{root}/usr/lib/")  # not this machine's
        os.execve("/bin/sh", words, {**state["env"], "PATH": f"{root}/usr/libexec:/usr/bin:/bin", "AS": user})
    return None


def psql(root: str, state: dict[str, dict[str, dict[str, object]]], where: str) -> None:
    said = dict(re.findall(r"(\w+)='((?:[^'\\]|\\.)*)'", where))
    env = {key: os.environ[key] for key in os.environ if key.startswith("PG") or key == "AS"}
    with open(f"{root}/heard", "a") as file:
        print(json.dumps({**env, **said}), file=file)
    role = state["roles"].get(said["user"], {"hosts": {}})
    hosts = role["hosts"]
    assert isinstance(hosts, dict)
    if hosts.get(said["host"], "nobody") not in (None, env["PGPASSWORD"], env["AS"]):
        sys.exit(2)
    for line in sys.stdin:
        if "data_directory" in line:
            print(json.dumps(state["place"]))
        elif "rolsuper" in line:
            print(json.dumps(role["super"]))
        elif line.startswith("\\echo"):
            print(line.split()[1], flush=True)
