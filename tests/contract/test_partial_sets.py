"""A set and the stack of today need not hold the same: what both have is put in place, and the rest is named."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from postgres_model import FACTS, Server
from test_alone import container, host, tools

from mnemo_ops.agent.actions.load import LoadSet
from mnemo_ops.agent.base.record import replace
from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.stack.cluster import facts
from mnemo_ops.agent.stack.cluster.entrance import Entrance
from mnemo_ops.agent.stack.cluster.home import Home
from mnemo_ops.agent.stack.datasets import postgres
from mnemo_ops.agent.stack.manifest import Manifest, Part, Saved
from mnemo_ops.agent.stack.match import match
from mnemo_ops.agent.stack.stack import Dataset, Stack
from mnemo_ops.errors import Broken, CommandFailed, Refused, VerificationFailed
from mnemo_ops.stack.definition import wire
from mnemo_ops.transport import answers

ID, RUN, SUM = "20260101T120000Z-00a1", "20260102T120000Z-00b2", "5" * 64
DB = Dataset("db", "postgres", volume="graph", service="postgres")
GRAPH, UPLOADS = Dataset("graph", "files", path="graph"), Dataset("uploads", "files", path="uploads")
CONFIG = Dataset("config", "config", path=".")
STACK = Stack("p", "/srv/p", (), ".env", "/var/backups/p", (DB, GRAPH, UPLOADS, CONFIG), ("postgres",), {})
HEADER = "age-encryption.org/v1\n-> X25519 a\nb\n--- c\n"
SEALED = HEADER.encode() + b"payload"
TREE = {"bytes": 1, "sha256": SUM}
DATABASE: dict[str, Any] = {**FACTS, "files": {"app": "db.1.dump"}, "rows": {"app": {}}, "secrets": "db.secrets.age"}
EARLIER: dict[str, Any] = {
    **{"bytes": 1, "major": 16, "encoding": "UTF8", "collate": "C", "ctype": "C"},
    **{"extensions": {}, "tables": {}, "sequences": {}},
}


def saved(*held: tuple[str, str], parts: bool = True) -> Manifest:
    """A set of these datasets, names and kinds. :param parts: with their files."""
    rows = tuple(Saved(name, {"kind": kind, **(DATABASE if kind == "postgres" else TREE)}) for name, kind in held)
    sealed = hashlib.sha256(SEALED).hexdigest()
    sums = {name: sealed if name.endswith(".age") else SUM for row in rows for name in row.files if parts}
    files = tuple(Part(name, 1, each) for name, each in sums.items())
    return Manifest(ID, "p", 1.0, "quiesced", files, rows, {})


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A host that serves, with a directory for each dataset; its database is not asked."""
    world = host(tmp_path, container("p-postgres", "p_graph", "postgres"))
    tools(tmp_path)
    for name in ("graph", "uploads"):
        world.write(f"srv/p/{name}/file", "today")
    world.write("srv/p/pg/PG_VERSION", "16")
    home = Home("/pg", "/srv/p/pg", "/bin", "sha256:1", 0, 0)
    made = world.machine()
    monkeypatch.setattr(postgres, "enter", lambda *_: Entrance(Server(made), home))
    monkeypatch.setattr(facts, "look", lambda server: dict(FACTS))
    return made


def look(machine: Machine, made: Manifest, fresh: bool = False, accept: bool = False, stack: Stack = STACK) -> Any:
    machine.mkdir("/var/backups")
    machine.mkdir("/var/backups/p")
    machine.mkdir(f"/var/backups/p/{ID}")
    machine.write(f"/var/backups/p/{ID}/db.secrets.age", SEALED)
    machine.write(f"/var/backups/p/{ID}/manifest.json", json.dumps(made.to_json()).encode())
    return LoadSet(wire(stack), ID, fresh, RUN, accept_loss=accept).ready(machine)


WHOLE = (("db", "postgres"), ("graph", "files"), ("uploads", "files"), ("config", "config"))


def test_a_set_of_all_leaves_nothing(machine: Machine) -> None:
    found = look(machine, saved(*WHOLE))
    assert (found["untouched"], found["losses"]) == ([], [])


def test_what_the_set_does_not_hold_stays_and_is_named(machine: Machine) -> None:
    """It was refused: a dataset that was declared since made every older set useless."""
    made = saved(("db", "postgres"), ("graph", "files"))
    assert look(machine, made)["untouched"] == ["uploads"]
    load = LoadSet(wire(STACK), ID, False, RUN)
    assert load._plan(machine, STACK, made)["paths"] == ["/srv/p/pg", "/srv/p/graph"], "and nothing else is renamed"
    assert machine.read_text("/srv/p/uploads/file") == "today"


@pytest.mark.parametrize("other", [("old_graph", "files"), ("graph", "postgres")], ids=["another name", "another kind"])
def test_what_the_stack_does_not_declare_is_refused_until_it_may_stay_in_the_set(
    machine: Machine, other: tuple[str, str]
) -> None:
    """It was passed over in silence, and the set called restored and compared."""
    made = saved(("db", "postgres"), ("uploads", "files"), other)
    with pytest.raises(Refused, match=other[0]) as caught:
        look(machine, made)
    assert "--accept-loss" in caught.value.hint
    found = look(machine, made, accept=True)
    assert other[0] in found["losses"][0] and found["untouched"] == ["graph"]
    assert [each.name for each in match(STACK, made, False).directories] == ["db", "uploads"]


def test_files_that_a_redis_wrote_may_come_back_as_files(machine: Machine) -> None:
    """Which of the two a directory is called may depend on whether its server runs; it is archived alike."""
    made = saved(("db", "postgres"), ("uploads", "files"), ("graph", "redis"))
    assert look(machine, made)["untouched"] == []


@pytest.mark.parametrize("held", [WHOLE[:1], WHOLE[:2]], ids=["the database alone", "with files"])
def test_what_is_put_in_place_has_room_where_it_goes(
    held: Any, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only where a dataset of files was restored anybody looked: a server that fills its own disk stops serving."""
    monkeypatch.setattr(Machine, "free_bytes", lambda *_: 0)
    with pytest.raises(Refused, match="restore needs"):
        look(machine, saved(*held))


def test_the_database_is_never_what_stays(machine: Machine) -> None:
    for held in ((("graph", "files"),), (("other", "postgres"), ("graph", "files"))):
        with pytest.raises(Refused, match=" db"):
            look(machine, saved(*held), accept=True)


def test_a_dataset_whose_file_is_no_part_is_not_there(machine: Machine) -> None:
    with pytest.raises(Refused, match=r"db\.secrets\.age, db\.1\.dump, graph\.tar\.zst"):
        look(machine, saved(*WHOLE[:2], parts=False))


@pytest.mark.parametrize(
    ("held", "named"), [(WHOLE[:3], "config"), ((*WHOLE, ("more", "files")), "more")], ids=["too little", "too much"]
)
def test_where_nothing_is_yet_both_must_be_the_same(machine: Machine, held: Any, named: str) -> None:
    """On a fresh host what is left out is nowhere."""
    with pytest.raises(Refused, match=named):
        look(machine, saved(*held), fresh=True, accept=True)


def test_where_the_stack_has_it_today_is_where_it_goes(machine: Machine) -> None:
    moved = replace(STACK, datasets=(DB, replace(GRAPH, path="elsewhere"), UPLOADS, CONFIG))
    machine.mkdir("/srv/p/elsewhere")
    load = LoadSet(wire(moved), ID, False, RUN)
    assert load._plan(machine, moved, saved(*WHOLE))["paths"] == ["/srv/p/pg", "/srv/p/elsewhere", "/srv/p/uploads"]


def with_database(facts: Any) -> Manifest:
    """A set of all, with these facts of its database."""
    made = saved(*WHOLE)
    row = Saved("db", {"kind": "postgres", **facts})
    parts = (*made.parts, Part("db.dump", 1, SUM))
    return replace(made, datasets=(row, *made.datasets[1:]), parts=parts)


def test_a_set_of_an_earlier_version_is_of_one_database_and_says_so(machine: Machine) -> None:
    made = with_database(EARLIER)
    with pytest.raises(Refused, match="other databases") as caught:
        look(machine, made)
    assert "--accept-loss" in caught.value.hint
    assert look(machine, made, accept=True)["sealed"] == {}
    assert look(machine, saved(*WHOLE))["sealed"] == {"db.secrets.age": HEADER}


VECTOR = {"9": {"name": "vector", "version": "1", "schema": "public", "owner": "app"}}


def test_what_the_server_here_cannot_take_is_refused(machine: Machine) -> None:
    of_app = {**FACTS["databases"]["app"], "extensions": VECTOR}
    lacks = {**DATABASE, "databases": {**FACTS["databases"], "app": of_app}}
    of_other = {**FACTS["databases"]["app"], "needs": ["$libdir/own"]}
    needs = {**DATABASE, "databases": {**FACTS["databases"], "app": of_other}}
    for said, named in (({**DATABASE, "major": 17}, "17"), (lacks, "vector"), (needs, "libdir/own")):
        with pytest.raises(Refused, match=named):
            look(machine, with_database(said))


def test_both_sides_of_what_is_replaced_are_told(machine: Machine) -> None:
    machine.write("/srv/p/graph/more", b"of today")
    found = look(machine, saved(*WHOLE[:2]))["replaces"]
    assert set(found) == {"db", "graph"}, "what stays is not replaced"
    assert found["graph"]["now"] == {"files": 2, "bytes": 13} and found["graph"]["comes"]["bytes"] == 1
    assert set(found["db"]["now"]["databases"]) == {"app"} and found["db"]["now"]["databases"]["app"]["rows"] == 3
    assert found["db"]["comes"]["files"] == {"app": "db.1.dump"}


@pytest.mark.parametrize("error", [Broken("a database is corrupt"), OSError(5, "Input/output error")], ids=type)
def test_what_is_broken_can_be_replaced(machine: Machine, error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    """A restore is what mends it: that nobody can look into it is told, and refuses nothing."""

    def broken(server: Any) -> Any:
        raise error

    monkeypatch.setattr(facts, "look", broken)
    found = look(machine, saved(*WHOLE))["replaces"]
    assert str(error.args[-1]) in found["db"]["now"]["why"] and found["db"]["comes"]["kind"] == "postgres"
    assert found["graph"]["now"]["files"] == 1
    assert answers.of("ready", "load_set")({**look(machine, saved(*WHOLE))})["replaces"]["db"]["now"]


def test_a_damaged_file_of_secrets_is_damaged_and_not_of_another_key(machine: Machine) -> None:
    made = saved(*WHOLE)
    parts = tuple(replace(each, sha256=SUM) for each in made.parts)
    with pytest.raises(VerificationFailed, match=r"damaged: db\.secrets\.age"):
        look(machine, replace(made, parts=parts))


def test_a_cluster_that_does_not_answer_is_restored_over(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was refused: what is broken is what one restores over."""

    def broken(*_: object) -> Entrance:
        raise CommandFailed("psql: no server")

    monkeypatch.setattr(postgres, "enter", broken)
    where = "/var/lib/docker/volumes/p_graph/_data/broken"
    machine.mkdir(where)
    home = Home("/pg", where, "/bin", "sha256:1", 7, 7)
    monkeypatch.setattr(postgres, "home_of", lambda *_: home)
    assert look(machine, saved(*WHOLE))["losses"] == []
    assert LoadSet(wire(STACK), ID, False, RUN)._plan(machine, STACK, saved(*WHOLE))["paths"][0] == where
    with pytest.raises(Refused, match="earlier version"):
        look(machine, with_database(EARLIER), accept=True)
