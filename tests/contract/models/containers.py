"""A model of single containers: what ``docker create`` was told, in the shape ``docker inspect`` shows it."""

# ruff: noqa: PTH103, PTH104, PTH123
from __future__ import annotations

import csv
import os
import sys

from engine import digest
from state import fail, save

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

UNITS = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
TEXTS = {
    "--hostname": "Config.Hostname", "--user": "Config.User", "--workdir": "Config.WorkingDir",
    "--log-driver": "HostConfig.LogConfig.Type",
}  # fmt: skip
LISTS = {"--volume": "HostConfig.Binds", "--cap-drop": "HostConfig.CapDrop", "--add-host": "HostConfig.ExtraHosts"}
MAPS = {"--label": "Config.Labels", "--sysctl": "HostConfig.Sysctls", "--log-opt": "HostConfig.LogConfig.Config"}
FLAGS = {"--read-only": "HostConfig.ReadonlyRootfs", "--init": "HostConfig.Init"}


def put(row: Any, place: str, value: Any) -> None:
    *path, last = place.split(".")
    for name in path:
        row = row.setdefault(name, {})
    row[last] = value


def create(root: str, state: Any, words: list[str]) -> None:
    found: dict[str, list[str]] = {}
    while words[0].startswith("-"):
        name, equals, value = words.pop(0).partition("=")
        found.setdefault(name, []).append(value if equals else words.pop(0))
    image, *command = words
    name = found["--name"][0]
    if image not in state["images"]:
        fail(f"Unable to find image '{image}' locally")
    if any(row["Name"] == f"/{name}" for row in state["containers"].values()):
        fail(f'Error response from daemon: Conflict. The container name "/{name}" is already in use')
    row: dict[str, Any] = {
        "Name": f"/{name}", "Image": state["images"][image], "Health": "", "Checked": "", "Log": "", "Started": 0,
        "State": {"Status": "created", "ExitCode": 0}, "Networks": [], "Volumes": [],
        "NetworkSettings": {"Networks": {}},
        "Config": {"Image": image, "Labels": {}, "Cmd": command or ["server"], "Env": ["PATH=/bin"]},
        "HostConfig": {"RestartPolicy": {"Name": "no", "MaximumRetryCount": 0}, "PortBindings": {}},
    }  # fmt: skip
    fill(root, state, row, found)
    row["Id"] = digest([name, len(state["containers"])])
    state["containers"][row["Id"]] = row
    save(root, "docker", state)


def fill(root: str, state: Any, row: dict[str, Any], found: dict[str, list[str]]) -> None:
    for option, values in found.items():
        if option in TEXTS:
            put(row, TEXTS[option], values[0])
        elif option in LISTS:
            put(row, LISTS[option], values)
        elif option in MAPS:
            put(row, MAPS[option], dict(value.split("=", 1) for value in values))
        elif option in FLAGS:
            put(row, FLAGS[option], values[0] == "true")
        elif option == "--env-file":
            for line in sys.stdin.read().split("\n"):  # as Go's ScanLines
                if len(line) > 65535:
                    fail("bufio.Scanner: token too long", 125)
                row["Config"]["Env"] += [line.removesuffix("\r")] if line and not line.startswith("#") else []
        elif option == "--env":
            row["Config"]["Env"] += [f"{name}={os.environ[name]}" for name in values]
        elif option == "--mount":
            put(row, "HostConfig.Mounts", [mounted(next(csv.reader([value], strict=True))) for value in values])
        elif option == "--entrypoint":
            row["Config"]["Entrypoint"] = [values[0]]
        elif option == "--memory":
            text = values[0].lower()
            put(row, "HostConfig.Memory", int(text[:-1]) * UNITS[text[-1]] if text[-1] in UNITS else int(text))
        elif option == "--restart":
            policy(row, values[0])
        elif option == "--publish":
            for value in values:
                publish(row["HostConfig"]["PortBindings"], *value.split(":"))
        elif option == "--network":
            join(state, row, values[0], found.get("--network-alias", []), found.get("--ip", [""])[0])
        elif option not in ("--name", "--network-alias", "--ip"):
            fail(f"unknown flag: {option}", 125)


def mounted(words: list[str]) -> dict[str, Any]:
    names = {"type": "Type", "source": "Source", "target": "Target"}
    found = dict(word.split("=", 1) for word in words if word != "readonly")
    return {
        **{names[key]: value for key, value in found.items()},
        **({"ReadOnly": True} if "readonly" in words else {}),
    }


def publish(bindings: Any, *words: str) -> None:
    *address, outside, inside = words
    for one, two in zip(every(outside), every(inside)):
        bindings.setdefault(f"{two}/tcp", []).append({"HostIp": "".join(address), "HostPort": str(one)})


def every(text: str) -> range:
    first, _, last = text.partition("-")
    return range(int(first), int(last or first) + 1)


def policy(row: dict[str, Any], text: str) -> None:
    name, _, retries = text.partition(":")
    row["HostConfig"]["RestartPolicy"] = {"Name": name, "MaximumRetryCount": int(retries or 0)}


def join(state: Any, row: dict[str, Any], network: str, aliases: list[str], address: str) -> None:
    if network not in state["networks"]:
        fail(f"Error response from daemon: network {network} not found")
    config = {"IPv4Address": address} if address else None
    row["NetworkSettings"]["Networks"][network] = {"Aliases": aliases, "IPAMConfig": config}
    row["Networks"] = list(row["NetworkSettings"]["Networks"])


def named(state: Any, name: str) -> Any:
    for row in state["containers"].values():
        if row["Name"] == f"/{name}":
            return row
    return fail(f"Error response from daemon: No such container: {name}")


def act(root: str, state: Any, verb: str, names: list[str], found: dict[str, list[str]]) -> None:
    for name in names[: 1 if verb == "rename" else None]:
        act_on(root, state, verb, named(state, name), names, found)


def act_on(root: str, state: Any, verb: str, row: Any, names: list[str], found: dict[str, list[str]]) -> None:
    if verb in ("start", "restart"):
        ends = row["Config"].get("Cmd") == ["job"]
        row["State"] = {"Status": "exited" if ends else "running", "ExitCode": 0}
    elif verb in ("stop", "kill"):
        row["State"] = {"Status": "exited", "ExitCode": 137}
    elif verb == "wait":
        print(row["State"]["ExitCode"])
        return
    elif verb == "rename":
        row["Name"] = f"/{names[1]}"
    elif verb == "update":
        policy(row, found["--restart"][0])
    elif row["State"]["Status"] == "running" and "--force" not in found:
        fail(f"Error response from daemon: cannot remove container {row['Name']}: container is running")
    else:
        del state["containers"][row["Id"]]
    save(root, "docker", state)


def prune(root: str, state: Any, what: str, found: dict[str, list[str]]) -> None:
    if what == "container":
        kept = {id: row for id, row in state["containers"].items() if row["State"]["Status"] == "running"}
        state["containers"] = kept
    elif what == "network":
        used = {name for row in state["containers"].values() for name in row["Networks"]}
        state["networks"] = {name: row for name, row in state["networks"].items() if name in used}
    save(root, "docker", state)


def log_in_or_out(directory: str, words: list[str]) -> None:
    """The registry of this model knows one password."""
    import base64
    import json

    path = f"{directory}/config.json"
    try:
        with open(path) as file:
            config = json.load(file)
    except FileNotFoundError:
        config = {}
    server = words[-1] if "." in words[-1] else "https://index.docker.io/v1/"
    if words[0] == "logout":
        config.get("auths", {}).pop(server, None)
    else:
        name, password = words[words.index("--username") + 1], sys.stdin.read()
        if password != "right":
            fail("Error response from daemon: Get https://registry/v2/: unauthorized")
        auth = base64.b64encode(f"{name}:{password}".encode()).decode()
        config.setdefault("auths", {})[server] = {"auth": auth}
    os.makedirs(directory, exist_ok=True)
    with open(path + ".new", "w") as file:
        json.dump(config, file)
    os.rename(path + ".new", path)
