"""The Postgres of images of many layouts is entered and found on its host; what cannot be is refused by name."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from layouts import LAYOUTS, PROGRAMS, REFUSED

from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.stack import containers
from mnemo_ops.agent.stack.cluster import facts
from mnemo_ops.agent.stack.cluster.entrance import Entrance, enter
from mnemo_ops.agent.stack.cluster.place import Place
from mnemo_ops.agent.stack.cluster.scratch import Scratch
from mnemo_ops.errors import Refused
from mnemo_ops.lab.engine import docker, ensure_engine, kept, stop_engine_if_ours

EVERY = {**LAYOUTS, **REFUSED}
QUICK = ("bitnami", "supabase", "a user and a password in files", "GitLab", "data in no volume")
CASE = {each: pytest.param(each, marks=() if each in QUICK else pytest.mark.soak) for each in EVERY}


class Running:
    """Containers of those layouts that tests ask for, side by side."""

    def __init__(self, chosen: list[str], home: Path) -> None:
        self.home = home
        self.prefix = "mnemo-layout-" + secrets.token_hex(4)
        self.names = {layout: f"{self.prefix}-{number}" for number, layout in enumerate(chosen)}
        home.chmod(0o755)
        (home / "secrets").mkdir()
        (home / "secrets/password").write_text("right\n")
        (home / "secrets/user").write_text("the owner\n")
        # as libnss_wrapper of the image would
        (home / "users").write_text("own:x:1234:1234::/:/bin/sh\n")
        (home / "own").mkdir()
        os.chown(home / "own", 1234, 1234)

    def enter(self, case: str) -> Entrance:
        """Once the server has started."""
        end = time.monotonic() + 60
        while "ready to accept connections" not in (said := docker("logs", self.names[case])):
            assert time.monotonic() < end, said
            time.sleep(0.1)
        (container,) = containers.named(Machine(), [self.names[case]])
        return enter(Machine(), container)


@pytest.fixture(scope="module")
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    items = [item for item in request.session.items if item.path == request.path]
    chosen = dict.fromkeys(item.callspec.params["case"] for item in items)  # type: ignore[attr-defined]
    made = Running(list(chosen), tmp_path_factory.mktemp("layouts"))
    try:
        with kept():
            ensure_engine(print)
            for layout, name in made.names.items():
                EVERY[layout].start(name, made.home)
            yield made
    finally:
        docker("rm", "--force", "--volumes", *made.names.values())
        found = docker("volume", "ls", "--quiet", "--filter", f"name={made.prefix}").split()
        if found:
            docker("volume", "rm", *found)
        stop_engine_if_ours(print)


@pytest.mark.parametrize("case", [CASE[each] for each in LAYOUTS])
def test_a_layout(case: str, running: Running) -> None:
    layout, machine = LAYOUTS[case], Machine()
    server, home = (found := running.enter(case)).server, found.home
    assert server.user == layout.user and server.query("SELECT to_json(rolsuper) FROM pg_roles WHERE oid = 10;")
    assert (home.data, home.uid, home.programs) == (layout.data, layout.uid, PROGRAMS)
    assert machine.read_text(f"{home.path}/PG_VERSION") == "17\n"
    # what the container says of time zones is not ours
    assert server.query("SELECT to_json(reset_val) FROM pg_settings WHERE name = 'TimeZone';") == "UTC"
    assert "PostgreSQL database dump" in machine.ask(server.run("pg_dump", "-s", "-d", server.to("template1"))).out
    assert not {"right", "the app's"} & set(server.run("psql"))


@pytest.mark.parametrize("case", ["bitnami", CASE["a user whom the image does not know"]])
def test_a_cluster_beside_it(case: str, running: Running) -> None:
    """Made and served by the programs and the user of the image, which leaves nothing behind."""
    found, machine, home = running.enter(case), Machine(), running.home / f"beside-{LAYOUTS[case].uid}"
    home.mkdir()
    os.chown(home, found.home.uid, found.home.gid)
    name = f"{running.prefix}-beside"
    place = Place(found.home.image, str(home), name, found.home.uid, found.home.gid, programs=found.home.programs)
    scratch = Scratch(machine, place, facts.look(found.server), str(home), {})
    scratch.create()
    with scratch.running(found.server.user, "template1") as server:
        assert server.query("SELECT to_json(current_setting('data_directory'));") == place.data
        volume = docker("inspect", "--format", "{{range .Mounts}}{{.Name}}{{end}}", name).strip()
        assert volume in docker("volume", "ls", "--quiet").split()
    assert volume not in docker("volume", "ls", "--quiet").split()


@pytest.mark.parametrize("case", [CASE[each] for each in REFUSED])
def test_what_is_refused(case: str, running: Running) -> None:
    told = {"data in memory": "tmpfs", "nobody is let in": "POSTGRES_PASSWORD"}
    if case == "a directory that was replaced":
        (running.home / "replaced").rename(running.home / "away")
        (running.home / "replaced").mkdir()
    with pytest.raises(Refused, match=told.get(case, REFUSED[case].data)):
        running.enter(case)
