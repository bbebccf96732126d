"""A model of compose: JSON files (JSON is YAML), env_file, hashes, up, stop, restart, down.

Like compose 2.26, ``config --hash`` of a file leaves out what ``env_file`` adds, and containers carry the hash with it.
"""

# ruff: noqa: PTH110, PTH119
from __future__ import annotations

import os
import sys
import time

from engine import add_network, add_volume, digest
from state import dumps, fail, load, loads, options, read, save

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

LABEL = "com.docker.compose."
VALUED = {"--ansi", "--project-directory", "--project-name", "--file", "--env-file", "--profile", "--format", "--hash"}
VALUED |= {"--timeout", "--pull", "--scale", "--wait-timeout"}
SHORT = {"-p": "--project-name", "-f": "--file"}


class Project:
    def __init__(self, root: str, found: dict[str, list[str]]) -> None:
        self.root = root
        self.directory = found.get("--project-directory", ["/"])[0]
        files = found.get("--file", [])
        if not files and os.path.exists(f"{root}{self.directory}/compose.yaml"):
            files = [f"{self.directory}/compose.yaml"]
        self.model: dict[str, Any] = {"services": {}, "volumes": {}, "networks": {}}
        for name in files:
            part = loads(sys.stdin.read()) if name == "-" else loads(read(root + name))
            for key in self.model:
                for each, value in (part.get(key) or {}).items():
                    self.model[key][each] = {**self.model[key].get(each, {}), **(value or {})}
        self.described = bool(files)
        self.name = found.get("--project-name", [os.path.basename(self.directory)])[0]

    def resolved(self, environment: bool) -> dict[str, Any]:
        """Services with (or, as ``config --hash`` sees them, without) what their env_file says."""
        services = {}
        for name, service in self.model["services"].items():
            each = {key: value for key, value in service.items() if key != "env_file"}
            for file in service.get("env_file", []) if environment else []:
                lines = read(f"{self.root}{self.directory}/{file}").splitlines()
                each["environment"] = {**dict(line.split("=", 1) for line in lines), **each.get("environment", {})}
            services[name] = each
        return {
            "name": self.name,
            "services": services,
            "volumes": {key: {"name": f"{self.name}_{key}", **row} for key, row in self.model["volumes"].items()},
            "networks": self.model["networks"],
        }


def main(root: str, state: Any, words: list[str]) -> None:
    found, rest = options([SHORT.get(word, word) for word in words], VALUED)
    if rest[0] == "version":
        print(dumps({"version": load(root, "versions", {}).get("compose", "2.26.1")}))
        return
    project = Project(root, found)
    if not project.described and rest[0] != "down":
        fail("no configuration file provided: not found", 14)
    if rest[0] == "config" and "--hash" in found:
        for name, service in project.resolved(environment=False)["services"].items():
            print(name, digest(service))
    elif rest[0] == "config":
        print(dumps(project.resolved(environment=True)))
    else:
        {"up": up, "stop": stop, "restart": restart, "down": down}[rest[0]](project, state, rest[1:], found)
        save(root, "docker", state)


def mine(project: Project, state: Any) -> dict[str, Any]:
    rows = state["containers"].items()
    return {id: row for id, row in rows if row["Config"]["Labels"].get(LABEL + "project") == project.name}


def up(project: Project, state: Any, names: list[str], found: dict[str, list[str]]) -> None:
    labels = {LABEL + "project": project.name}
    if f"{project.name}_default" not in state["networks"]:
        add_network(project.root, state, f"{project.name}_default", "bridge", [], labels)
    for name in project.model["volumes"]:
        add_volume(project.root, state, f"{project.name}_{name}", "local", {}, labels)
    services = project.resolved(environment=True)["services"]
    if "--remove-orphans" in found:
        remove(project, state, lambda row: row["Config"]["Labels"][LABEL + "service"] not in services)
    for name, service in services.items():
        if names and name not in names:
            continue
        if service["image"] not in state["images"]:
            save(project.root, "docker", state)
            fail(f"Error response from daemon: No such image: {service['image']}")
        one(project, state, name, service, found)


def one(project: Project, state: Any, name: str, service: dict[str, Any], found: dict[str, list[str]]) -> None:
    labels = {LABEL + "project": project.name, LABEL + "service": name, LABEL + "config-hash": digest(service)}
    old = {id: row for id, row in mine(project, state).items() if row["Config"]["Labels"][LABEL + "service"] == name}
    for id, row in old.items():
        another = row["Config"]["Labels"] != labels or row["Image"] != state["images"][service["image"]]
        if "--force-recreate" in found or (another and "--no-recreate" not in found):
            del state["containers"][id]
    asked = dict(one.split("=") for one in found.get("--scale", []))
    for number in range(1, int(asked.get(name, service.get("scale", 1))) + 1):
        id = digest([project.name, name, number])
        row = state["containers"].setdefault(id, {
            "Id": id, "Name": f"/{project.name}-{name}-{number}", "Image": state["images"][service["image"]],
            "Config": {"Labels": labels, "Image": service["image"], "Env": []}, "Mounts": mounts(project, service),
            "HostConfig": {"RestartPolicy": {"Name": service.get("restart", "no")}},
            "State": {"Status": "created", "ExitCode": 0}, "Health": "", "Checked": "",
            "Networks": [f"{project.name}_default"],
            "Volumes": [f"{project.name}_{each}" for each in service.get("volumes", [])],
            "Log": "", "Started": 0,
        })  # fmt: skip
        if "--no-start" not in found and row["State"]["Status"] != "running":
            start(row, service)


def mounts(project: Project, service: dict[str, Any]) -> list[dict[str, Any]]:
    named = {f"{project.name}_{each}": f"/{each}" for each in service.get("volumes", [])}
    return [
        {
            "Type": "volume",
            "Name": name,
            "Source": f"/var/lib/docker/volumes/{name}/_data",
            "Destination": to,
            "RW": True,
        }
        for name, to in named.items()
    ]


def start(row: dict[str, Any], service: dict[str, Any]) -> None:
    """``x-model`` says what the program would do: its exit code, its output, the outcome of its healthcheck."""
    acts = service.get("x-model", {})
    status = "exited" if "exits" in acts else "running"
    row.update(
        State={"Status": status, "ExitCode": acts.get("exits", 0)},
        Health=acts.get("health", "healthy") if "healthcheck" in service else "",
        Checked=acts.get("checked", ""),
        Log=acts.get("log", ""),
        Started=time.time(),
    )


def stop(project: Project, state: Any, names: list[str], found: dict[str, list[str]]) -> None:
    for row in mine(project, state).values():
        if row["State"]["Status"] == "running":
            row["State"] = {"Status": "exited", "ExitCode": 143}


def restart(project: Project, state: Any, names: list[str], found: dict[str, list[str]]) -> None:
    services = project.resolved(environment=True)["services"]
    for row in mine(project, state).values():
        start(row, services[row["Config"]["Labels"][LABEL + "service"]])


def down(project: Project, state: Any, names: list[str], found: dict[str, list[str]]) -> None:
    assert not {"-v", "--volumes", "--rmi"} & set(found), "down must keep what it was not asked to remove"
    described = project.model["services"]
    remove(
        project,
        state,
        lambda row: "--remove-orphans" in found or row["Config"]["Labels"][LABEL + "service"] in described,
    )
    if not mine(project, state):
        state["networks"].pop(f"{project.name}_default", None)


def remove(project: Project, state: Any, true: Any) -> None:
    for id, row in mine(project, state).items():
        if true(row):
            del state["containers"][id]
