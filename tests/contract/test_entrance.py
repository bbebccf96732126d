"""The way into a container's Postgres: whom it tries, what the server's programs are told, and where the data lie."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from example import engine, volume
from in_process import MODELS
from test_alone import container
from world import World

from mnemo_ops.agent.base.record import replace
from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.stack import containers
from mnemo_ops.agent.stack.cluster.entrance import Entrance, enter
from mnemo_ops.agent.stack.cluster.home import home_of
from mnemo_ops.errors import Refused

DATA, PORT = "/var/lib/pg/data", "5432"
HOST = "/run/pg"
SOCKETS = f"0: 2 0 10000 1 1 7 {HOST}/.s.PGSQL.5432\n0: 3 0 0 1 3 8\n0: 3 0 0 1 3 9 {HOST}/.s.PGSQL.5432\n"
PLACE = {"data": DATA, "port": PORT, "programs": "/opt/pg"}
MOUNT = {"Type": "volume", "Name": "p_db", "Source": "/docker/p_db", "Destination": "/var/lib/pg"}
BIND = {"type": "none", "o": "bind", "device": "/srv/db"}


def role(password: str | None, host: str = HOST, superuser: bool = True) -> dict[str, Any]:
    return {"hosts": {host: password}, "super": superuser}


class Inside:
    """A container with a Postgres that lets some roles in; its data lie in a volume, a directory of the host."""

    def __init__(self, root: Path, roles: dict[str, Any], env: dict[str, str] | None = None, **more: Any) -> None:
        self.root, world = root, World(root)
        engine(volumes=volume("p_db", Options=more.pop("options", BIND)))(world)
        world.write("srv/db/data/postmaster.pid", f"1\n{DATA}\n0\n{more.pop('listens', PORT)}\n")
        found = (root / "srv/db/data").stat()
        state = {"env": env or {}, "roles": roles, "real": {}, "place": PLACE, "files": {"/proc/net/unix": SOCKETS}}
        state.update({"is": f"{found.st_ino} {found.st_uid} {found.st_gid}", **more})
        world.write("inside.json", json.dumps(state))
        (root / "usr/bin/test").symlink_to("/usr/bin/test")
        (root / "usr/bin/docker").rename(root / "usr/bin/engine")
        (root / "usr/libexec").mkdir()
        for name in ("bin/docker", "libexec/psql"):
            world.script(
                "inside",
                f"sys.path.insert(0, {str(MODELS)!r})",
                "from inside import main",
                f"main({str(root)!r}, sys.argv)",
            )
            (root / "usr/bin/inside").rename(root / "usr" / name)
        row = container("db", "/srv/db", "db")
        row.update(Mounts=[MOUNT])
        row["Config"]["Env"] = [f"{key}={value}" for key, value in state["env"].items()]
        self.container = containers._container(row)
        self.machine: Machine = world.machine(read_only=True)

    def enter(self) -> Entrance:
        return enter(self.machine, self.container)

    @property
    def heard(self) -> list[dict[str, str]]:
        """What each psql was told."""
        return [json.loads(line) for line in (self.root / "heard").read_text().splitlines()]


def test_who_is_trusted_is_asked_once(tmp_path: Path) -> None:
    inside = Inside(tmp_path, {"the boss": role(None)}, {"POSTGRES_USER": "the boss", "PGTZ": "Asia/Tokyo"})
    found = inside.enter()
    assert (found.server.user, found.server.entry, found.server.socket) == ("the boss", "postgres", HOST)
    assert found.home.path == "/srv/db/data" and found.home.programs == "/opt/pg"
    assert [each["user"] for each in inside.heard] == ["the boss"] and "PGTZ" not in inside.heard[0]
    assert inside.enter() is found


# variables -> the superuser, and through which of them he is let in
PASSWORDS = {
    "docker-library": ({"POSTGRES_USER": "app", "POSTGRES_PASSWORD": "right"}, "app", "POSTGRES_PASSWORD"),
    "a file": ({"POSTGRES_PASSWORD_FILE": "FILE"}, "postgres", "POSTGRES_PASSWORD_FILE"),
    "Bitnami": (
        {"POSTGRESQL_USERNAME": "plain", "POSTGRESQL_PASSWORD": "other", "POSTGRESQL_POSTGRES_PASSWORD": "right"},
        "postgres",
        "POSTGRESQL_POSTGRES_PASSWORD",
    ),
    "Supabase": ({"POSTGRES_PASSWORD": "right", "PGHOSTADDR": "192.0.2.1"}, "supabase_admin", "POSTGRES_PASSWORD"),
    "Patroni": (
        {"PATRONI_SUPERUSER_USERNAME": "root", "PATRONI_SUPERUSER_PASSWORD": "right"},
        "root",
        "PATRONI_SUPERUSER_PASSWORD",
    ),
}


@pytest.mark.parametrize("case", PASSWORDS)
def test_the_container_itself_knows_the_password(case: str, tmp_path: Path) -> None:
    env, user, variable = PASSWORDS[case]
    (tmp_path / "secret").write_text("right\n")
    env = {key: str(tmp_path / "secret") if value == "FILE" else value for key, value in env.items()}
    roles = {"plain": role("other", superuser=False), "postgres": role("other", superuser=False), user: role("right")}
    inside = Inside(tmp_path / "host", roles, env)
    found = inside.enter()
    argv = found.server.run("psql", "-c", "x")
    assert found.server.user == user and variable in argv
    assert not {"right", "other"} & set(argv) and inside.heard[-1]["PGPASSWORD"] == "right"
    assert "PGHOSTADDR" not in inside.heard[-1]


def test_who_keeps_the_data_is_a_peer(tmp_path: Path) -> None:
    found = Inside(tmp_path, {"keeper": role("1000")}).enter()
    assert found.server.user == "keeper" and "1000" in found.server.run("psql")


def test_a_server_without_a_socket(tmp_path: Path) -> None:
    inside = Inside(
        tmp_path,
        {"postgres": role(None, "127.0.0.1")},
        {"PGPORT": "6000"},
        files={"/proc/net/unix": ""},
        place={**PLACE, "port": "6000"},
        listens="6000",
    )
    assert inside.enter().server.socket == "127.0.0.1" and inside.heard[-1]["PGPORT"] == "6000"


def test_the_innermost_mount_is_the_one_that_is_the_directory(tmp_path: Path) -> None:
    """Where one lies behind a link, it is on top of the other."""
    inside = Inside(tmp_path, {"postgres": role(None)}, real={"/behind": "/var/lib/pg"})
    anonymous = {"Type": "bind", "Source": "/srv/other", "Destination": "/var/lib/pg"}
    (tmp_path / "srv/other/data").mkdir(parents=True)
    inside.container = replace(inside.container, mounts=(anonymous, {**MOUNT, "Destination": "/behind"}))
    assert inside.enter().home.path == "/srv/db/data"


def test_nobody_is_let_in(tmp_path: Path) -> None:
    roles = {"app": role("right", superuser=False), "postgres": role("right")}
    inside = Inside(tmp_path, roles, {"POSTGRES_USER": "app", "POSTGRES_PASSWORD": "an earlier one"})
    with pytest.raises(Refused, match=r"app, postgres, supabase_admin, keeper .* POSTGRES_PASSWORD") as told:
        inside.enter()
    assert "an earlier one" not in str(told.value)
    assert len({tuple(sorted(each.items())) for each in inside.heard}) == len(inside.heard), "nothing is tried twice"


# what is not as it should be -> what of the model, words of the refusal
WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "another directory": ({"is": "1 0 0"}, DATA),
    "a user of another name space": ({"is": "INODE 100000 100000"}, DATA),
    "another server": ({"listens": "5433"}, "/srv/db/data"),
    "a server of files": ({"options": {"type": "nfs4", "o": "addr=192.0.2.1", "device": ":/x"}}, "NFS"),
    "no volume": ({"place": {**PLACE, "data": "/srv/else"}}, "/srv/else"),
}


@pytest.mark.parametrize("case", WRONG)
def test_where_the_data_are_not(case: str, tmp_path: Path) -> None:
    more, words = WRONG[case]
    inside = Inside(tmp_path, {"postgres": role(None)}, **more)
    if "INODE" in str(more):
        state = json.loads((tmp_path / "inside.json").read_text())
        inode = (tmp_path / "srv/db/data").stat().st_ino
        (tmp_path / "inside.json").write_text(json.dumps({**state, "is": state["is"].replace("INODE", str(inode))}))
    with pytest.raises(Refused, match=words):
        inside.enter()


def test_the_home_of_a_container_that_never_ran(tmp_path: Path) -> None:
    inside = Inside(tmp_path, {}, {"PGDATA": "/var/lib/pg/18"})
    facts = {"data": DATA, "programs": "/opt/pg", "uid": 999, "gid": 999}
    assert home_of(inside.machine, inside.container, facts).path == "/srv/db/18"
    bare = replace(inside.container, env={}, mounts=({"Type": "tmpfs", "Source": "", "Destination": "/var/lib/pg"},))
    with pytest.raises(Refused, match=DATA):
        home_of(inside.machine, bare, facts)
