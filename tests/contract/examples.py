"""For every kind: worlds and arguments the contract is tried on. A new kind adds its rows here."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from world import World

IMAGE = "sha256:" + "a" * 64
OTHER = "sha256:" + "b" * 64


@dataclass(frozen=True)
class Example:
    """:param prepare: makes the world, and returns arguments that depend on it.
    :param deed: done each time: a second run changes again.
    :param tools: the programs the kind works with.
    """

    name: str
    kind: str
    args: dict[str, Any]
    prepare: Callable[[World], dict[str, Any] | None] = lambda world: None
    deed: bool = False
    tools: tuple[str, ...] = field(default=())

    def __str__(self) -> str:
        return f"{self.kind}-{self.name}"


ACCOUNTS = ("useradd", "usermod", "userdel", "groupadd", "groupmod", "groupdel", "chpasswd", "mkhomedir_helper")
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

EXAMPLES: tuple[Example, ...] = (
    Example("installs", "apt", {"name": ["zstd", "curl"]}, package(), tools=APT),
    Example("one-of-two", "apt", {"name": "zstd,curl", "install_recommends": False}, package("zstd=1.5.7"), tools=APT),
    Example("with-index", "apt", {"name": "zstd", "update_cache": True}, tools=APT),
    Example("index-only", "apt", {"update_cache": True, "cache_valid_time": 3600}, tools=APT),
    Example("version", "apt", {"name": "zstd=1.5.6"}, package(), tools=APT),
    Example("version-pattern", "apt", {"name": "zstd=1.5.7*"}, package("zstd=1.5.6"), tools=APT),
    Example("latest", "apt", {"name": ["zstd"], "state": "latest"}, package("zstd=1.5.6"), tools=APT),
    Example("absent", "apt", {"name": "zstd", "state": "absent"}, package("zstd=1.5.6"), tools=APT),
    Example("purge", "apt", {"name": "zstd", "state": "absent", "purge": True}, package("zstd=1.5.6"), tools=APT),
    Example(
        "directory", "file", {"path": "/srv/a/b", "state": "directory", "mode": "0750", "owner": 1234, "group": 1234}
    ),
    Example("symbolic", "file", {"path": "/srv/x", "mode": "u=rw,g=r,o="}, files(x="text")),
    Example("owner", "file", {"path": "/srv/x", "state": "file", "owner": "old", "group": "adm"}, files(x="text")),
    Example(
        "recurse",
        "file",
        {"path": "/srv", "recurse": True, "state": "directory", "owner": "old", "mode": "u=rwX,go=rX"},
        files(x="1", d__y="2", d__e__z="3"),
    ),
    Example("absent", "file", {"path": "/srv/d", "state": "absent"}, files(d__x="1", d__e__y="2")),
    Example("touch", "file", {"path": "/srv/new", "state": "touch", "mode": "0600"}, deed=True),
    Example(
        "touch-once",
        "file",
        {
            "path": "/srv/new",
            "state": "touch",
            "mode": "0600",
            "access_time": "preserve",
            "modification_time": "preserve",
        },
    ),
    Example("link", "file", {"path": "/srv/link", "state": "link", "src": "target"}, links()),
    Example(
        "relink", "file", {"path": "/srv/link", "state": "link", "src": "target", "owner": 77}, links(link="other")
    ),
    Example("dangling", "file", {"path": "/srv/link", "state": "link", "src": "nowhere", "force": True}),
    Example("link-for-file", "file", {"path": "/srv/other", "state": "link", "src": "target", "force": True}, links()),
    Example("hard", "file", {"path": "/srv/hard", "state": "hard", "src": "target"}, links()),
    Example("text", "copy", {"content": "new\n", "dest": "/srv/x", "mode": "0640", "owner": 1234}, files(x="old\n")),
    Example("data", "copy", {"content": {"a": [1, 2]}, "dest": "/srv/x.json"}),
    Example("large-text", "copy", {"content": "y" * 70000, "dest": "/srv/x"}, files(x="z" * 70000)),
    Example("sent", "copy", {"src": "tls/cert.pem", "dest": "/srv/tls/"}, controller_file(b"\0\xff binary" * 9000)),
    Example("sent-into-directory", "copy", {"src": "cert.pem", "dest": "/srv"}, controller_file(b"one")),
    Example("backup", "copy", {"content": "new", "dest": "/srv/x", "backup": True}, files(x="old")),
    Example("on-host", "copy", {"src": "/srv/a", "dest": "/srv/b", "remote_src": True}, files(a="text", b="other")),
    Example("mode-only", "copy", {"content": "same", "dest": "/srv/x", "mode": "0644"}, files(x="same")),
    Example(
        "only-when-missing",
        "copy",
        {"content": "new", "dest": "/srv/x", "force": False, "mode": "0644"},
        files(x="old"),
    ),
    Example("over-a-link", "copy", {"content": "new", "dest": "/srv/link"}, links(link="target")),
    Example(
        "validated",
        "copy",
        {"content": "good", "dest": "/srv/x", "validate": "looker %s"},
        lambda world: (
            files(x="old")(world),
            world.script("looker", "open(sys.argv[0].rsplit('/', 3)[0] + sys.argv[1])"),
        )[0],
    ),
    Example(
        "rendered",
        "template",
        {"src": "env.j2", "content": "A=1\n", "dest": "/srv/env", "mode": "0600"},
        files(env="A=0\n"),
    ),
    Example("into-directory", "template", {"src": "t/env.j2", "content": "A=1\n", "dest": "/srv/new/"}),
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
    Example("runs", "command", {"cmd": "say 'a b'"}, script("say", "print(sys.argv[1])"), deed=True, tools=("say",)),
    Example(
        "creates",
        "command",
        {"argv": ["make"], "creates": "/srv/made*"},
        script("make", "open(os.path.dirname(sys.argv[0]) + '/../../srv/made.1', 'w')"),
        tools=("make",),
    ),
    Example(
        "removes",
        "command",
        {"cmd": "drop", "removes": "/srv/x"},
        lambda world: (
            files(x="1")(world),
            world.script("drop", "os.unlink(os.path.dirname(sys.argv[0]) + '/../../srv/x')"),
        )[0],
        tools=("drop",),
    ),
    Example("fresh", "docker_engine", {"daemon": {"live-restore": True, "log-driver": "local"}}, tools=APT),
    Example(
        "settings",
        "docker_engine",
        {"daemon": {"log-driver": "local", "debug": None}},
        old_engine_settings,
        tools=SYSTEMD,
    ),
    Example("reloadable", "docker_engine", {"daemon": {"live-restore": True}}, old_engine_settings, tools=SYSTEMD),
    Example("stopped", "docker_engine", {}, stopped_engine, tools=SYSTEMD),
    Example("own-repository", "docker_engine", {**REPOSITORY, "version": "5:27.5*"}, tools=APT),
    Example("held", "docker_engine", {"hold": True}, old_engine_settings, tools=("apt-mark",)),
    Example(
        "new",
        "docker_volume",
        {"volume_name": "app_data", "labels": {"mnemo.role": "db", "n": 1}, "owner": 999, "group": 999, "mode": "0700"},
        engine(),
        tools=DOCKER,
    ),
    Example(
        "bind",
        "docker_volume",
        {"volume_name": "app_data", "driver_options": {"type": "none", "o": "bind", "device": "/srv/disk"}},
        engine(),
        tools=DOCKER,
    ),
    Example(
        "owner",
        "docker_volume",
        {"volume_name": "app_data", "owner": 999},
        engine(volumes=volume("app_data")),
        tools=DOCKER,
    ),
    Example(
        "removed-on-purpose",
        "docker_volume",
        {"volume_name": "app_data", "state": "absent", "force": True},
        engine(volumes=volume("app_data")),
        tools=DOCKER,
    ),
    Example(
        "new",
        "docker_network",
        {
            "name": "app",
            "ipam_config": [{"subnet": "172.20.0.0/16", "gateway": "172.20.0.9"}],
            "labels": {"a": "b"},
            "internal": True,
        },
        engine(),
        tools=DOCKER,
    ),
    Example(
        "another-subnet",
        "docker_network",
        {"name": "app", "ipam_config": [{"subnet": "10.9.0.0/24"}]},
        engine(networks=network("app", "10.8.0.0/24")),
        tools=DOCKER,
    ),
    Example(
        "absent",
        "docker_network",
        {"name": "app", "state": "absent"},
        engine(networks=network("app", "10.8.0.0/24")),
        tools=DOCKER,
    ),
    Example(
        "pulled",
        "docker_image",
        {"name": "docker.io/library/redis", "tag": "7", "source": "pull"},
        pullable,
        tools=DOCKER,
    ),
    Example(
        "pulled-again",
        "docker_image",
        {"name": "redis:7", "source": "pull", "force_source": True},
        pullable,
        deed=True,
        tools=DOCKER,
    ),
    Example(
        "sent", "docker_image", {"name": "api:2", "source": "load", "archive": "images/api.tar"}, archive, tools=DOCKER
    ),
    Example(
        "on-host",
        "docker_image",
        {"name": "api:2", "source": "load", "load_path": "/srv/api.tar"},
        archive_on_host,
        tools=DOCKER,
    ),
    Example(
        "absent", "docker_image", {"name": "api:1", "state": "absent"}, engine(images={"api:1": IMAGE}), tools=DOCKER
    ),
    Example("new", "docker_compose_v2", {**APP, "wait": True}, stack(), tools=DOCKER),
    Example("env-file-changed", "docker_compose_v2", APP, changed_stack, tools=DOCKER),
    Example("image-changed", "docker_compose_v2", {**APP, "wait": True}, new_image, tools=DOCKER),
    Example("orphans", "docker_compose_v2", {**APP, "remove_orphans": True}, orphaned, tools=DOCKER),
    Example("stopped", "docker_compose_v2", {**APP, "state": "stopped"}, stack(up=True), tools=DOCKER),
    Example("restarted", "docker_compose_v2", {**APP, "state": "restarted"}, stack(up=True), deed=True, tools=DOCKER),
    Example("recreated", "docker_compose_v2", {**APP, "recreate": "always"}, stack(up=True), deed=True, tools=DOCKER),
    Example("one-service", "docker_compose_v2", {**APP, "services": ["db"]}, stack(), tools=DOCKER),
    Example("absent", "docker_compose_v2", {**APP, "state": "absent"}, stack(up=True), tools=DOCKER),
)
