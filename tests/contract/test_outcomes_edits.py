"""What edits and looks promise beyond the contract."""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import Any

import pytest
from example import files, links
from running import run, run_all, task
from world import World


@pytest.fixture
def world(tmp_path: Path) -> World:
    (tmp_path / "host").mkdir()
    return World(tmp_path / "host")


def seen(world: World, kind: str, **args: Any) -> dict[str, Any]:
    event = run(task(kind, register=True, **args), world.machine(read_only=True))
    assert event.status == "ok" and event.after is not None, event
    return event.after


def test_a_diff_shows_the_texts_and_register_what_was_done(world: World) -> None:
    files(x="a\n")(world)
    event = run(task("lineinfile", path="/srv/x", line="b"), world.machine(read_only=True), check=True)
    assert (event.before, event.after) == ({"content": "a\n"}, {"content": "a\nb\n"})
    event = run(task("lineinfile", register=True, path="/srv/x", line="b", backup=True), world.machine())
    assert event.after is not None and event.after["msg"] == "line added"
    assert (world.root / event.after["backup_file"].lstrip("/")).read_text() == "a\n"


def test_an_edit_goes_through_a_link(world: World) -> None:
    links(link="target")(world)
    assert run(task("lineinfile", path="/srv/link", line="b"), world.machine()).status == "changed"
    assert (world.root / "srv/link").is_symlink() and world.read("srv/target") == "text\nb\n"


def test_a_file_of_another_encoding_keeps_every_byte(world: World) -> None:
    (world.root / "srv/x").write_bytes(b"caf\xe9\nb\n")
    assert run(task("lineinfile", path="/srv/x", line="c", regexp="^b"), world.machine()).status == "changed"
    assert (world.root / "srv/x").read_bytes() == b"caf\xe9\nc\n"
    assert run(task("replace", path="/srv/x", regexp="é", replace="e", encoding="latin-1"), world.machine()).status == (
        "changed"
    )
    assert (world.root / "srv/x").read_bytes() == b"cafe\nc\n"


def test_a_file_that_an_earlier_task_makes_is_unknown_in_a_check(world: World) -> None:
    tasks = [task("copy", content="a\n", dest="/srv/x"), task("lineinfile", path="/srv/x", line="b")]
    checked = run_all(tasks, world.machine(read_only=True), check=True)
    assert [event.status for event in checked] == ["changed", "unknown"]
    event = run(tasks[1], world.machine())
    assert event.status == "failed" and "/srv/x does not exist" in event.why
    assert [event.status for event in run_all(tasks, world.machine())] == ["changed", "changed"]


def test_an_edit_that_fails_its_validation_changes_nothing(world: World) -> None:
    files(x="a\n")(world)
    world.script("looker", "print('line 2: no', file=sys.stderr); sys.exit(1)")
    event = run(task("lineinfile", path="/srv/x", line="b", validate="looker %s"), world.machine())
    assert event.status == "failed" and "line 2: no" in event.why
    assert world.read("srv/x") == "a\n" and [path.name for path in (world.root / "srv").iterdir()] == ["x"]


def test_stat_says_what_a_path_is(world: World) -> None:
    files(x="text", d__y="1")(world)
    (world.root / "srv/link").symlink_to("x")
    assert seen(world, "stat", path="/srv/none") == {"stat": {"exists": False}}
    plain = seen(world, "stat", path="/srv/x")["stat"]
    assert plain["exists"] and plain["isreg"] and not plain["isdir"] and not plain["islnk"]
    assert (plain["mode"], plain["size"], plain["rusr"], plain["xoth"]) == ("0600", 4, True, False)
    assert plain["checksum"] == "372ea08cab33e71c02c651dbc83a474d32c676ea"
    assert plain["uid"] == os.geteuid() and plain["pw_name"] == ("root" if os.geteuid() == 0 else str(os.geteuid()))
    assert seen(world, "stat", path="/srv/d")["stat"]["isdir"]
    link = seen(world, "stat", path="/srv/link")["stat"]
    assert link["islnk"] and link["lnk_target"] == "x" and link["lnk_source"] == "/srv/x" and "checksum" not in link
    assert seen(world, "stat", path="/srv/link", follow=True)["stat"]["isreg"]


def test_slurp_brings_the_bytes(world: World) -> None:
    (world.root / "srv/x").write_bytes(b"\0\xff")
    found = seen(world, "slurp", src="/srv/x")
    assert base64.b64decode(found["content"]) == b"\0\xff" and found["encoding"] == "base64"
    assert run(task("slurp", src="/srv/none"), world.machine()).status == "failed"


@pytest.mark.parametrize(
    ("args", "names"),
    [
        ({}, ["a.conf", "b.txt"]),
        ({"patterns": ["*.conf"]}, ["a.conf"]),
        ({"patterns": ["[ab]\\..*"], "use_regex": True, "excludes": ["b.*"]}, ["a.conf"]),
        ({"recurse": True}, ["a.conf", "b.txt", "c.conf", "e.conf"]),
        ({"recurse": True, "depth": 2}, ["a.conf", "b.txt", "c.conf"]),
        ({"recurse": True, "limit": 1}, ["a.conf"]),
        ({"hidden": True}, [".h", "a.conf", "b.txt"]),
        ({"file_type": "directory", "recurse": True}, ["d", "e"]),
        ({"file_type": "link"}, ["link"]),
        ({"file_type": "any"}, ["a.conf", "b.txt", "d", "link"]),
        ({"recurse": True, "follow": True}, ["a.conf", "b.txt", "c.conf", "e.conf"]),
        ({"contains": "wor"}, ["b.txt"]),
        ({"contains": "o w"}, []),
        ({"contains": "hello\nworld", "read_whole_file": True}, ["b.txt"]),
        ({"size": "5"}, ["b.txt"]),
        ({"size": "-1k", "patterns": ["a*"]}, ["a.conf"]),
        ({"age": "1d"}, ["b.txt"]),
        ({"age": "-1d"}, ["a.conf"]),
        ({"mode": "0600"}, ["a.conf", "b.txt"]),
        ({"mode": "0400"}, []),
        ({"mode": "0400", "exact_mode": False}, ["a.conf", "b.txt"]),
    ],
    ids=str,
)
def test_find_selects(world: World, args: dict[str, Any], names: list[str]) -> None:
    files(**{"a.conf": "1", "b.txt": "hello\nworld\n", ".h": "1", "d__c.conf": "2", "d__e__e.conf": "3"})(world)
    (world.root / "srv/link").symlink_to(".")  # round in circles for whoever follows
    os.utime(world.root / "srv/b.txt", (0, 0))
    found = seen(world, "find", paths=["/srv"], **args)
    assert sorted(Path(row["path"]).name for row in found["files"]) == names
    assert found["matched"] == len(names) <= found["examined"]
