"""Docker."""

from __future__ import annotations

from example import (
    APP,
    APT,
    DOCKER,
    IMAGE,
    OTHER,
    REPOSITORY,
    SYSTEMD,
    Example,
    archive,
    archive_on_host,
    changed_stack,
    engine,
    network,
    new_image,
    old_engine_settings,
    orphaned,
    pullable,
    stack,
    stopped_engine,
    volume,
    with_container,
)
from running import run, task
from world import World

WEB = {
    "name": "web",
    "image": "api:1",
    "command": ["serve", "--port", "80"],
    "env": {"A": 1, "B": "two words"},
    "labels": {"n": True},
    "published_ports": ["8080:80", "127.0.0.1:9000-9001:90-91"],
    "volumes": ["data:/data", "/srv:/srv:ro"],
    "networks": [{"name": "front", "aliases": ["www"]}],
    "memory": "512M",
    "restart_policy": "on-failure",
    "restart_retries": 3,
    "read_only": True,
    "log_driver": "local",
    "log_options": {"max-size": "1m"},
    "cap_drop": ["all"],
}

LOGIN = {"username": "a", "password": "right"}


def logged_in(world: World) -> None:
    engine()(world)
    run(task("docker_login", **LOGIN), world.machine())


def ended(world: World) -> None:
    """Two networks, one container that runs in one of them and one that has ended."""
    with_container(WEB)(world)
    run(task("docker_container", name="job", image="api:1", command="job", detach=False), world.machine())


EXAMPLES: tuple[Example, ...] = (
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
    Example("there", "docker_volume_info", {"name": "app_data"}, engine(volumes=volume("app_data")), tools=DOCKER),
    Example("not-there", "docker_volume_info", {"name": "app_data"}, engine(), tools=DOCKER),
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
    Example("new", "docker_container", WEB, with_container(None), tools=DOCKER),
    Example("first-of-its-image", "docker_container", {"name": "c", "image": "redis:7"}, pullable, tools=DOCKER),
    Example("differs", "docker_container", {**WEB, "command": "other 'a b'"}, with_container(WEB), tools=DOCKER),
    Example(
        "in-place",
        "docker_container",
        {**WEB, "restart_policy": "always", "networks": [{"name": "front"}, {"name": "back", "aliases": ["w"]}]},
        with_container(WEB),
        tools=DOCKER,
    ),
    Example("stopped", "docker_container", {"name": "web", "state": "stopped"}, with_container(WEB), tools=DOCKER),
    Example("killed", "docker_container", {"name": "web", "state": "absent", "force_kill": True}, with_container(WEB)),
    Example("present", "docker_container", {**WEB, "state": "present"}, with_container(None), tools=DOCKER),
    Example("restarted", "docker_container", {**WEB, "restart": True}, with_container(WEB), deed=True, tools=DOCKER),
    Example("recreated", "docker_container", {**WEB, "recreate": True}, with_container(WEB), deed=True, tools=DOCKER),
    Example(
        "job",
        "docker_container",
        {"name": "job", "image": "api:1", "command": "job", "detach": False},
        with_container(None),
        deed=True,
        tools=DOCKER,
    ),
    Example(
        "environment-from-a-file",
        "docker_container",
        {**WEB, "env_file": "/srv/web.env"},
        with_container(WEB, "C=2\n# comment\nB=x y\n"),
        tools=DOCKER,
    ),
    Example(
        "environment-of-every-kind",
        "docker_container",
        {**WEB, "env": {"KEY": "-\nb\n", "END": "x\r", "LONG": "x" * 70000, "HASH": "#", "E": "a=b ", "EMPTY": ""}},
        with_container(None),
        tools=DOCKER,
    ),
    Example(
        "mounts-with-commas",
        "docker_container",
        {
            **WEB,
            "mounts": [
                {"type": "bind", "source": '/srv/a,b "c"', "target": "/d", "read_only": True},
                {"source": "data", "target": "/srv/x,readonly"},
            ],
        },
        with_container(None),
        tools=DOCKER,
    ),
    Example("login", "docker_login", {**LOGIN, "registry_url": "https://registry.example.org"}, engine(), tools=DOCKER),
    Example("another-user", "docker_login", {**LOGIN, "username": "b"}, logged_in, tools=DOCKER),
    Example("again", "docker_login", {**LOGIN, "reauthorize": True}, logged_in, deed=True, tools=DOCKER),
    Example("logout", "docker_login", {"state": "absent"}, logged_in),
    Example("ended", "docker_prune", {"containers": True, "networks": True}, ended),
    Example(
        "second-name",
        "docker_image",
        {"name": "api:1", "source": "local", "repository": "registry.example.org/api:1"},
        engine(images={"api:1": IMAGE}),
        tools=DOCKER,
    ),
    Example(
        "tag-moves",
        "docker_image",
        {"name": "api:1", "source": "local", "repository": "api:stable", "force_tag": True},
        engine(images={"api:1": IMAGE, "api:stable": OTHER}),
        tools=DOCKER,
    ),
    Example(
        "joins",
        "docker_network",
        {"name": "back", "connected": ["web"], "appends": True},
        with_container(WEB),
        tools=DOCKER,
    ),
    Example("scaled", "docker_compose_v2", {**APP, "scale": {"api": 3}}, stack(up=True), tools=DOCKER),
)
