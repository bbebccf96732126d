"""What follows from compose projects of many makers: their mounts, as Compose resolves them, on a host with their data.

The shapes are those of compose files that people run: Immich, Paperless, Nextcloud, Gitea, Supabase, GitLab, and images
of Postgres that keep their data elsewhere.
"""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from example import IMAGE, engine, network, volume
from world import World

from mnemo_ops.agent.actions.project import ShowStack
from mnemo_ops.agent.base.record import replace
from mnemo_ops.agent.stack.project import kinds
from mnemo_ops.agent.stack.project.model import parse, seconds
from mnemo_ops.agent.stack.project.rows import datasets_of, derived
from mnemo_ops.agent.stack.stack import Dataset, Stack, root
from mnemo_ops.errors import CommandFailed, Refused
from mnemo_ops.stack.definition import wire
from mnemo_ops.transport import answers

STACK = Stack("p", "/srv/p", ("compose.yaml",), "", "/sets", (), (), {})
SECRET = "a-very-secret-value"


def service(*mounts: str, **more: Any) -> dict[str, Any]:
    """:param mounts: ``SOURCE:TARGET[:ro]``; a source with a slash is a bind."""
    rows = []
    for each in mounts:
        source, target, *mode = each.split(":")
        kind = "bind" if source.startswith("/") else "volume"
        rows.append({"type": kind, "source": source, "target": target, **({"read_only": True} if mode else {})})
    return {"image": "i", "environment": {"PASSWORD": SECRET}, "volumes": rows, **more}


class Project:
    """A project ``p`` in /srv/p, on a host of its own."""

    def __init__(self, world: World, services: dict[str, Any], volumes: tuple[str, ...] = (), **more: Any) -> None:
        self.world, self.services = world, services
        made = {name: row for each in volumes for name, row in volume(f"p_{each}").items()}
        made.update(more.get("others", {}))
        engine(images={"i": IMAGE}, volumes=made, networks=more.get("networks", {}))(world)
        text = {"services": services, "volumes": {**{key: {} for key in volumes}, **more.get("keys", {})}}
        world.write("srv/p/compose.yaml", json.dumps(text))

    def put(self, place: str, *names: str) -> Project:
        """Files in a volume, or below a path; one that ends with a slash is a directory."""
        for name in names:
            where = f"{place[1:]}" if place.startswith("/") else f"var/lib/docker/volumes/p_{place}/_data"
            if name.endswith("/"):
                (self.world.root / where / name).mkdir(parents=True)
            else:
                self.world.write(f"{where}/{name}", "16\n")
        return self

    def run(self, *names: str, **env: str) -> Project:
        """Containers of services, with what they mount."""
        docker = self.world.state("docker")
        for name in names:
            mounts = []
            for each in self.services[name].get("volumes", ()):
                known = each["type"] == "volume"
                at = f"/var/lib/docker/volumes/p_{each['source']}/_data" if known else each["source"]
                own = {"Name": f"p_{each['source']}"} if known else {}
                mounts.append({"Type": each["type"], "Source": at, "Destination": each["target"], "RW": True, **own})
            labels = {"project": "p", "service": name, "project.config_files": "/srv/p/compose.yaml"}
            labels["project.working_dir"] = "/srv/p"
            docker["containers"][name * 20] = {
                **{"Id": name * 20, "Name": f"/p-{name}-1", "Image": IMAGE, "Mounts": mounts, "Networks": []},
                "Config": {
                    "Labels": {f"com.docker.compose.{key}": text for key, text in labels.items()},
                    **{"Image": "i", "Env": [f"{key}={text}" for key, text in env.items()]},
                },
                "HostConfig": {"RestartPolicy": {"Name": "always"}},
                **{"State": {"Status": "running", "ExitCode": 0}, "Health": "", "Started": 0, "SizeRw": 7},
            }
        self.world.model("docker", docker)
        return self

    def report(self, stack: Stack = STACK) -> dict[str, Any]:
        """As the controller takes it; the host is as it was, and no secret is told."""
        before = self.world.tree()
        found: dict[str, Any] = answers.of("ready", "show_stack")(ShowStack(wire(stack)).ready(self.world.machine()))
        assert self.world.tree() == before and SECRET not in json.dumps(found)
        return found

    def rows(self, topic: str) -> dict[str, str]:
        return {row["what"]: row["value"] for row in self.report()["rows"] if row["topic"] == topic}

    def datasets(self) -> dict[str, tuple[str, str, str]]:
        """Name -> kind, where it is, and who serves it; but for config, which all have."""
        found = {each.name: each for each in datasets_of(self.report()["rows"])}
        assert found.pop("config") == Dataset("config", "config", path=".")
        for each in found.values():
            assert root(self.world.machine(), STACK, each)
        return {name: (each.kind, each.volume or each.path, each.service) for name, each in found.items()}


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture(autouse=True)
def entered(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Container -> the directory of the server in it; nobody is let into others."""
    homes: dict[str, str] = {}

    def enter(machine: Any, container: Any) -> Any:
        if container.name not in homes:
            raise Refused(f"Postgres of {container.name} lets nobody in")
        return SimpleNamespace(home=SimpleNamespace(path=homes[container.name]))

    monkeypatch.setattr(kinds, "enter", enter)
    return homes


CLUSTER = ("PG_VERSION", "global/", "postmaster.pid")


def test_immich(world: World, entered: dict[str, str]) -> None:
    services = {
        "server": service("/srv/p/library:/data", "/etc/localtime:/etc/localtime:ro", depends_on=["redis", "database"]),
        "ml": service("model-cache:/cache"),
        "redis": service(healthcheck={"test": ["CMD", "redis-cli", "ping"]}),
        "database": service("/srv/p/postgres:/var/lib/postgresql/data"),
    }
    project = Project(world, services, ("model-cache",)).put("/srv/p/postgres", *CLUSTER).put("/srv/p/library", "a")
    project.run(*services)
    entered["p-database-1"] = "/srv/p/postgres"
    assert project.datasets() == {
        "library-e2c672": ("files", "library", ""),
        "model-cache": ("files", "model-cache", ""),
        "postgres-822665": ("postgres", "postgres", "database"),
    }
    assert project.rows("writers")["postgres-822665"] == "database, server"
    assert list(project.rows("may be waived")) == ["model-cache"]
    assert list(project.rows("not data")) == ["/etc/localtime"]
    assert project.rows("health") == {"database, ml, server": "runs for ten seconds", "redis": "its own check"}


def test_paperless_with_a_database_outside_of_its_directory(world: World, entered: dict[str, str]) -> None:
    services = {
        "broker": service("redisdata:/data", command=["redis-server", "--requirepass", SECRET]),
        "db": service("/srv/volumes/pg:/var/lib/postgresql/data"),
        "webserver": service(
            *("data:/usr/src/paperless/data", "/srv/p/export:/usr/src/paperless/export"),
            depends_on={"db": {"condition": "service_started"}, "broker": {"condition": "service_started"}},
            ports=[{"target": 8000, "published": "8000", "protocol": "tcp"}],
        ),
    }
    project = Project(world, services, ("redisdata", "data")).put("/srv/volumes/pg", *CLUSTER)
    project.put("/srv/p/export", "x").run(*services)
    entered["p-db-1"] = "/srv/volumes/pg"
    assert project.datasets() == {
        "data": ("files", "data", ""),
        "export-3dc739": ("files", "export", ""),
        "redisdata": ("redis", "redisdata", "broker"),
        "srv-volumes-pg-f4cc0a": ("postgres", "/srv/volumes/pg", "db"),
    }
    assert project.rows("stop order") == {"p": "1. webserver  2. broker db"}
    assert project.rows("port") == {"8000": "every address, tcp"}


def test_nextcloud_with_mariadb(world: World) -> None:
    """Any other database is files; two services share a volume, one of them reads it only."""
    services = {
        "db": service("db:/var/lib/mysql"),
        "app": service("nextcloud:/var/www/html", depends_on=["db"]),
        "cron": service("nextcloud:/var/www/html"),
        "web": service("nextcloud:/var/www/html:ro", depends_on=["app"]),
    }
    project = Project(world, services, ("db", "nextcloud")).put("db", "ibdata1", "mysql/").run(*services)
    assert project.datasets() == {"db": ("files", "db", ""), "nextcloud": ("files", "nextcloud", "")}
    assert project.rows("writers")["nextcloud"] == "app, cron"


def test_gitea_with_sqlite_and_valkey(world: World) -> None:
    services = {
        "server": service("/srv/p/gitea:/data", "/etc/timezone:/etc/timezone"),
        "cache": service("valkey:/data"),
        "docker": service("/var/run/docker.sock:/var/run/docker.sock"),
    }
    project = Project(world, services, ("valkey",)).put("valkey", "appendonlydir/").put("/srv/p/gitea", "gitea.db")
    assert project.datasets() == {"gitea-5d9c1a": ("files", "gitea", ""), "valkey": ("redis", "valkey", "cache")}
    assert list(project.rows("not data")) == ["/etc/timezone", "/var/run/docker.sock"]


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        (
            ("data/PG_VERSION", "data/global/", "data/postmaster.pid", ".user_scripts_initialized"),
            "postgres",
        ),  # Bitnami
        (("18/docker/PG_VERSION", "18/docker/global/", "18/docker/postmaster.pid"), "postgres"),  # the official 18
        (("pgroot/data/PG_VERSION", "pgroot/data/global/", "pgroot/data/postmaster.pid", "pgroot/pg_log/"), "postgres"),
        (("postgresql/data/PG_VERSION", "postgresql/data/global/", "git-data/repositories/", "git-data/x"), "files"),
        (("17/docker/PG_VERSION", "17/docker/global/", "18/docker/PG_VERSION", "18/docker/global/"), "files"),
        (("PG_VERSION", "global/"), "files"),  # a copy of a cluster, which nobody serves
        (("PG_VERSION", "notes"), "files"),  # no cluster
        (("ibdata1", "mysql/"), "files"),
        (("WiredTiger", "collection-0.wt"), "files"),
    ],
)
def test_a_cluster_is_known_by_its_directory_and_its_server(names: tuple[str, ...], kind: str, world: World) -> None:
    services = {"x": service("v:/somewhere"), "reader": service("v:/copy:ro")}
    project = Project(world, services, ("v",)).put("v", *names).run("x")
    assert project.datasets() == {"v": (kind, "v", "x" if kind == "postgres" else "")}


def test_supabase(world: World, entered: dict[str, str]) -> None:
    """A cluster among shipped files, and a service that is let into no other's."""
    services = {
        "db": service("/srv/p/volumes/db/data:/var/lib/postgresql/data", "/srv/p/volumes/db/jwt.sql:/x.sql:ro"),
        "backup": service("/srv/p/volumes/db/data:/data", "/srv/p/init.sql:/init.sql"),
        "storage": service("/srv/p/volumes/storage:/var/lib/storage", depends_on={"db": {"condition": "x"}}),
        "imgproxy": service("/srv/p/volumes/storage:/var/lib/storage:ro"),
    }
    project = Project(world, services).put("/srv/p/volumes/db/data", *CLUSTER).put("/srv/p/volumes", "storage/")
    project.put("/srv/p", "volumes/db/jwt.sql", "init.sql").run("backup").run("db", PGDATA="/x").run("storage")
    entered["p-db-1"] = "/srv/p/volumes/db/data"
    assert project.datasets() == {
        "volumes-db-data-cdb27a": ("postgres", "volumes/db/data", "db"),
        "volumes-storage-bea91a": ("files", "volumes/storage", ""),
    }
    assert project.rows("writers") == {
        "volumes-db-data-cdb27a": "backup, db, storage",
        "volumes-storage-bea91a": "storage",
    }
    entered.clear()
    assert project.datasets()["volumes-db-data-cdb27a"] == ("postgres", "volumes/db/data", "db")


def test_what_lies_in_another_is_one_dataset_and_its_parents_writers_count(world: World) -> None:
    services = {
        "app": service("/srv/files/app/uploads:/uploads"),
        "sync": service("/srv/files:/files"),
        "look": service("/srv/files:/files:ro"),
        "sub": {
            **service(),
            "volumes": [{"type": "volume", "source": "v", "target": "/a", "volume": {"subpath": "b"}}],
        },
        "from": {**service(), "volumes_from": ["app:ro", "sub"]},
    }
    project = Project(world, services, ("v",)).put("/srv/files/app/uploads", "a")
    assert project.datasets() == {"srv-files-5ab27a": ("files", "/srv/files", ""), "v": ("files", "v", "")}
    assert project.rows("writers") == {"srv-files-5ab27a": "app, sync", "v": "from, sub"}


def test_what_is_only_mounted_read_only_or_never_ran_is_no_dataset(world: World) -> None:
    services = {"a": service("v:/v:ro", "late:/l", "/srv/p:/app", "/srv/p/never:/n", "/:/host:ro", "/mnt:/mnt")}
    project = Project(world, services, ("v",), keys={"late": {}})
    assert project.datasets() == {}
    assert set(project.rows("not data")) == {"v", "late", "/srv/p", "never", "/", "/mnt"}


def test_a_server_that_is_down_still_has_its_cluster(world: World) -> None:
    """While another container runs that mounts it, it was files for once, and no set of before fitted."""
    services = {"db": service("v:/var/lib/postgresql/data"), "look": service("v:/copy")}
    project = Project(world, services, ("v",)).put("v", "PG_VERSION", "global/").run("db", PGDATA="/x").run("look")
    world.machine().run(["docker", "stop", "--time", "1", "p-db-1"])
    assert project.datasets() == {"v": ("postgres", "v", "db")}


@pytest.mark.parametrize("place", ["/usr/src", "/etc/ssl", "/root/.ssh"])
def test_no_dataset_lies_among_the_systems_files(place: str, world: World) -> None:
    """Of a set, and told by another host, such a place is refused: so none is made."""
    project = Project(world, {"a": service(f"{place}:/x", "/srv/p/data:/d", "/root/shop:/s")})
    project.put(place, "x").put("/srv/p/data", "x").put("/root/shop", "x")
    assert sorted(where for _, where, _ in project.datasets().values()) == ["/root/shop", "data"]
    assert "among the system's files" in str(project.report()["rows"])
    with pytest.raises(Refused):
        answers.place(place)


def test_names_are_unique_stable_and_fit_files(world: World) -> None:
    services = {"a": service("data-db:/1", "/srv/p/data/db:/2", "/srv/p/config:/3", "/srv/Grüße:/4")}
    project = Project(world, services, ("data-db",))
    for path in ("p/data/db", "p/config", "Grüße"):
        project.put(f"/srv/{path}", "x")
    both = project.datasets()
    assert len(both) == 4 and all(answers.part_name(name).isascii() for name in both)
    assert both["data-db"][1] == "data-db" and "config" not in both
    assert project.datasets() == both


def test_a_name_stays_whatever_else_is_mounted_later(world: World) -> None:
    """A volume that was called as a directory was saved renamed the directory: no set of before had it."""
    project = Project(world, {"a": service("/srv/p/files:/1")}, ())
    project.put("/srv/p/files", "x")
    (before,) = project.datasets()
    more = Project(World(world.root / "more"), {"a": service("/srv/p/files:/1", "files:/2")}, ("files",))
    more.put("/srv/p/files", "x")
    assert before in more.datasets() and "files" in more.datasets()


def test_a_volume_that_is_not_ours_to_name(world: World) -> None:
    keys = {"data": {"name": "outer", "external": True}}
    project = Project(world, {"a": service("data:/d")}, others=volume("outer"), keys=keys)
    told = project.report()
    stack = derived(STACK, told)
    assert stack.volume("data") == "outer" and [each.name for each in stack.datasets] == ["config", "data"]
    assert derived(Stack(**{**wire(STACK), "names": {"data": "mine"}}), told).volume("data") == "mine"
    bare = derived(replace(STACK, files=()), {**told, "env_files": ["/srv/p/.env"]})
    assert (stack.files, bare.files, bare.env_file) == (STACK.files, ("/srv/p/compose.yaml",), "/srv/p/.env")
    waived = derived(Stack(**{**wire(STACK), "waived": ["data"]}), told)
    assert [each.name for each in waived.datasets] == ["config"], "waived and archived all the same"


def test_what_no_backup_holds_is_named(world: World) -> None:
    project = Project(world, {"a": service("v:/v")}, ("v",)).run("a")
    docker = world.state("docker")
    source = "/var/lib/docker/volumes/" + "f" * 64
    mount = {
        "Type": "volume",
        "Name": "f" * 64,
        "Source": source,
        "Destination": "/var/lib/postgresql/data",
        "RW": True,
    }
    docker["containers"]["a" * 20]["Mounts"].append(mount)
    world.model("docker", docker)
    world.write(f"{source[1:]}/PG_VERSION", "16")
    world.model(
        "diffs", {"p-a-1": ["C /app", "A /app/state.json", "C /tmp", "A /tmp/x", "A /v", "C /var", "C /var/lib"]}
    )
    found = project.rows("no backup holds")
    assert found["a:/var/lib/postgresql/data"] == "a cluster of Postgres" and found["p-a-1"] == "7 bytes"
    reasons = [row["reason"] for row in project.report()["rows"] if row["what"] == "p-a-1"]
    assert "/app/state.json" in reasons[0] and "/tmp" not in reasons[0]


def test_what_is_around_it_is_named(world: World) -> None:
    label = {"com.docker.compose.project": "p"}
    net = network("proxy", "10.1.0.0/16")
    net["proxy"]["Containers"] = {"1": {"Name": "traefik"}, "2": {"Name": "p-a-1"}}
    services = {"a": service(ports=[{"target": 80, "published": "3000", "host_ip": "127.0.0.1"}], container_name="x")}
    more = {"networks": net, "others": volume("p_gone", Labels=label)}
    project = Project(world, services, **more).run("a")
    text = {"services": services, "networks": {"proxy": {"external": True, "name": "proxy"}}}
    world.write("srv/p/compose.yaml", json.dumps(text))
    world.write("etc/nginx/sites-enabled/a", "proxy_pass http://127.0.0.1:3000;\n")
    world.write("etc/nginx/sites-enabled/b", "proxy_pass http://127.0.0.1:30001;\n# :3000\n")
    world.write("etc/cron.d/dump", "0 3 * * * root cd /srv/p && docker compose exec db pg_dump\n")
    world.write("etc/cron.d/other", "0 3 * * * root cd /srv/p2\n")
    assert project.rows("around it") == {
        **{"traefik": "other containers", "p_gone": "an orphaned volume"},
        **dict.fromkeys(("/etc/nginx/sites-enabled/a", "/etc/cron.d/dump"), "of the host"),
    }
    assert project.rows("fixed name") == {"x": "the container of a"}


def test_files_are_those_that_the_containers_name(world: World) -> None:
    """The settings' own are not there: somebody else started it."""
    project = Project(world, {"a": service()}).run("a")
    other = Stack("p", "/srv/elsewhere", ("c.yml",), ".env", "/sets", (), (), {})
    assert project.report(other)["directory"] == "/srv/p"
    (world.root / "srv/p/compose.yaml").unlink()
    with pytest.raises(Refused, match=r"/srv/p/compose\.yaml") as caught:
        project.report()
    assert caught.value.exit_code == 3


def test_compose_is_quoted_without_what_the_env_file_says(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    project = Project(world, {"a": service()})
    world.write("srv/p/.env", f"TOKEN='{SECRET}'\n")
    machine, said = world.machine(), SimpleNamespace(rc=1, out="", err=f"invalid port {SECRET}\n")
    real = machine.ask
    monkeypatch.setattr(machine, "ask", lambda argv, **more: said if "config" in argv else real(argv, **more))
    with pytest.raises(CommandFailed) as caught:
        ShowStack(wire(STACK)).ready(machine)
    assert "invalid port" in caught.value.message and SECRET not in str(caught.value)
    assert project.services


def test_forms_of_a_model() -> None:
    """As Compose 2.26 prints them."""
    web = {
        **{"command": None, "entrypoint": None, "stop_grace_period": "1m30s", "healthcheck": {"test": ["NONE"]}},
        **{"tmpfs": ["/run"], "deploy": {"replicas": 3}, "network_mode": "service:vpn", "profiles": ["x"]},
        **{"secrets": [{"source": "s", "target": "/run/secrets/s"}], "networks": {"default": None}},
        "build": {"context": "/srv/p/web"},
    }
    pool = {"name": "p_n", "ipam": {"config": [{"subnet": "10.9.0.0/16"}]}}
    found = parse(json.dumps({"name": "p", "services": {"web": web}, "networks": {"n": pool}}))
    one = found.services["web"]
    assert (one.grace, one.check, one.replicas, one.build) == (90.0, False, 3, "/srv/p/web")
    assert (one.secrets, one.networks, one.network_mode) == (("s",), ("default",), "service:vpn")
    assert found.networks["n"].subnets == ("10.9.0.0/16",)
    assert seconds("500ms") == 0.5 and seconds("1h0m2s") == 3602


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("path", path) for path in ("/", "/etc", "/usr/bin", "../x", "a/../../b", "/srv//x", "a\nb", "/dev/sda")),
        *(("service", name) for name in ("--rm", "a b", "a/b")),
        *(("volume", "-v"), ("docker", "/srv"), ("kind", "mysql"), ("name", "../x")),
    ],
)
def test_a_dataset_that_a_host_may_not_tell(key: str, value: str, world: World) -> None:
    """It goes on to another host, as arguments of programs and as places that are exchanged."""
    report = Project(world, {"a": service("v:/v")}, ("v",)).report()
    for row in report["rows"]:
        if row["dataset"]:
            row["dataset"][key] = value
    with pytest.raises(Refused):
        answers.of("ready", "show_stack")(report)


def test_a_stopped_cluster_is_served_by_who_has_its_variables(world: World) -> None:
    """No container is left of it; a service for dumps mounts it, too."""
    services = {"archiver": service("v:/v"), "store": service("v:/v", environment={"POSTGRES_PASSWORD": SECRET})}
    project = Project(world, services, ("v",)).put("v", "PG_VERSION", "global/")
    assert project.datasets() == {"v": ("postgres", "v", "store")}
