"""An example of a kind: a world and arguments the contract is tried on; and the worlds many examples start from."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from world import World

from mnemo_ops.agent.base.state import Change
from mnemo_ops.agent.engine.resource import build

IMAGE = "sha256:" + "a" * 64
OTHER = "sha256:" + "b" * 64


@dataclass(frozen=True)
class Example:
    """:param prepare: makes the world, and returns arguments that depend on it.
    :param deed: done each time: a second run changes again.
    :param tools: the programs the kind works with.
    :param web: it asks the test's own web server.
    """

    name: str
    kind: str
    args: dict[str, Any]
    prepare: Callable[[World], dict[str, Any] | None] = lambda world: None
    deed: bool = False
    tools: tuple[str, ...] = field(default=())
    web: bool = False

    def __str__(self) -> str:
        return f"{self.kind}-{self.name}"


APT = ("apt-get",)
SYSTEMD = ("systemctl",)
DOCKER = ("docker",)


def package(*installed: str) -> Callable[[World], None]:
    """Packages ``name=version`` that are installed, and an index that has been loaded."""

    def prepare(world: World) -> None:
        world.write("var/lib/apt/lists/index", "index\n")
        world.write("var/lib/dpkg/status", status(*installed))

    return prepare


def status(*installed: str) -> str:
    blocks = []
    for word in installed:
        name, _, version = word.partition("=")
        blocks.append(f"Package: {name}\nStatus: install ok installed\nArchitecture: amd64\nVersion: {version}\n")
    return "\n".join(blocks)


def unit(name: str, text: str = "[Service]\n", **state: Any) -> Callable[[World], None]:
    def prepare(world: World) -> None:
        world.write(f"etc/systemd/system/{name}", text)
        if state:
            known = {"active": "inactive", "enabled": False, "masked": False, "read": text, "deeds": []}
            world.model("units", {name: {**known, **state}})

    return prepare


def controller_file(data: bytes, **files: str) -> Callable[[World], dict[str, Any]]:
    def prepare(world: World) -> dict[str, Any]:
        for path, text in files.items():
            world.write("srv/" + path, text)
        return {"sha256": world.offer(data)}

    return prepare


def files(**texts: str) -> Callable[[World], None]:
    def prepare(world: World) -> None:
        for path, text in texts.items():
            world.write("srv/" + path.replace("__", "/"), text, 0o600)

    return prepare


def links(**targets: str) -> Callable[[World], None]:
    def prepare(world: World) -> None:
        world.write("srv/target", "text")
        world.write("srv/other", "text")
        for path, target in targets.items():
            (world.root / "srv" / path).symlink_to(target)

    return prepare


def engine(**state: Any) -> Callable[[World], None]:
    """A running engine that holds this."""

    def prepare(world: World) -> None:
        world.install_docker()
        (world.root / "var/lib/docker").mkdir(exist_ok=True)
        world.model("docker", {"volumes": {}, "networks": {}, "images": {}, "containers": {}, **state})
        for volume in state.get("volumes", {}).values():
            (world.root / volume["Mountpoint"].lstrip("/")).mkdir(parents=True)

    return prepare


def volume(name: str, **more: Any) -> dict[str, Any]:
    where = f"/var/lib/docker/volumes/{name}/_data"
    return {name: {"Name": name, "Driver": "local", "Options": None, "Labels": None, "Mountpoint": where, **more}}


def network(name: str, subnet: str) -> dict[str, Any]:
    row = {"Name": name, "Id": "1" * 64, "Driver": "bridge", "Options": {}, "Labels": {}, "Internal": False}
    return {name: {**row, "Attachable": False, "IPAM": {"Config": [{"Subnet": subnet}]}}}


SERVICES: dict[str, Any] = {
    "db": {"image": "pg:17", "healthcheck": {"test": "true"}, "volumes": ["data"]},
    "api": {"image": "api:1", "env_file": [".env"], "scale": 2},
}


def stack(services: dict[str, Any] = SERVICES, *, up: bool = False) -> Callable[[World], None]:
    def prepare(world: World) -> None:
        engine(images={"pg:17": IMAGE, "api:1": IMAGE})(world)
        world.write("srv/app/compose.yaml", json.dumps({"services": services, "volumes": {"data": {}}}))
        world.write("srv/app/.env", "TOKEN=a-very-secret-value\n")
        if up:
            docker = ["docker", "compose", "--project-directory", "/srv/app", "--project-name", "app", "up", "--detach"]
            world.machine().run(docker)

    return prepare


def changed_stack(world: World) -> None:
    stack(up=True)(world)
    world.write("srv/app/.env", "TOKEN=another-secret-value\n")


def new_image(world: World) -> None:
    stack(up=True)(world)
    known = world.state("docker")
    known["images"]["api:1"] = OTHER
    world.model("docker", known)


def orphaned(world: World) -> None:
    stack({**SERVICES, "old": {"image": "api:1"}}, up=True)(world)
    world.write("srv/app/compose.yaml", json.dumps({"services": SERVICES, "volumes": {"data": {}}}))


def pullable(world: World) -> None:
    engine()(world)
    world.model("registry", {"redis:7": IMAGE})


def with_container(args: dict[str, Any] | None, env_file: str = "") -> Callable[[World], None]:
    """An engine with two networks, and perhaps a container that runs."""

    def prepare(world: World) -> None:
        nets = {**network("front", "10.1.0.0/24"), **network("back", "10.2.0.0/24")}
        engine(images={"api:1": IMAGE}, networks={name: {**row, "Id": name * 8} for name, row in nets.items()})(world)
        world.write("srv/web.env", env_file)
        if args is not None:
            machine = world.machine()
            build("docker_container", args).apply(machine, Change(None, build("docker_container", args).desired()))

    return prepare


def archive(world: World) -> dict[str, Any]:
    engine()(world)
    return {"sha256": world.offer(json.dumps({"api:2": OTHER}).encode())}


def archive_on_host(world: World) -> None:
    engine()(world)
    world.write("srv/api.tar", json.dumps({"api:2": OTHER}))


def old_engine_settings(world: World) -> None:
    package("docker.io=26.1.5+dfsg1-9", "docker-cli=26.1.5+dfsg1-9", "docker-compose=2.26.1-4")(world)
    unit("docker.service", active="active", enabled=True, settings=None)(world)
    engine()(world)
    world.write("etc/docker/daemon.json", '{"data-root": "/data/docker", "debug": true}')


def stopped_engine(world: World) -> None:
    old_engine_settings(world)
    unit("docker.service", active="inactive")(world)


def script(name: str, *lines: str) -> Callable[[World], None]:
    return lambda world: world.script(name, *lines)


APP = {"project_src": "/srv/app", "project_name": "app"}
REPOSITORY = {"source": "docker", "repository_url": "https://packages.invalid/linux/debian", "key": "-----KEY-----\n"}
