"""An archive writes below its directory or nowhere."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Optional

import hostile_archives as hostile
import pytest
from hostile_archives import FILE, FOLDER, KNOWN, LINK, Row, around, entry, tar_of, unpacked, zip_of
from test_outcomes_archives import sent
from world import World

from mnemo_ops.agent.machine import Machine
from mnemo_ops.errors import Refused, StepFailed


@pytest.fixture
def world(tmp_path: Path) -> World:
    return hostile.world(tmp_path)


@pytest.mark.parametrize("made", [tar_of, zip_of], ids=["tar", "zip"])
@pytest.mark.parametrize("bare", [False, True], ids=["in a root", "bare"])
@pytest.mark.parametrize("name", hostile.breaking_out("/"))
def test_nothing_leaves_the_directory(world: World, name: str, bare: bool, made: Callable[[list[Row]], bytes]) -> None:
    data = made(hostile.breaking_out(str(world.root.parent / "outside"))[name])
    before = around(world)
    for _ in "12":  # what the first one left is not followed by the second one either
        event = unpacked(world, data, bare=bare)
        assert around(world) == before
        assert event.status in ("ok", "changed") or (event.error or {}).get("class") in KNOWN, event


@pytest.mark.parametrize("name", hostile.breaking_out("/"))
def test_nor_with_an_archive_of_the_controller(world: World, tmp_path: Path, name: str) -> None:
    (world.root / "srv/here").mkdir()
    (tmp_path / "x").write_bytes(tar_of(hostile.breaking_out(str(tmp_path / "outside"))[name]))
    before = around(world)
    try:
        event = sent(world, tmp_path, "unarchive", src="x", dest="/srv/here")
        assert event.status in ("ok", "changed") or (event.error or {}).get("class") in KNOWN, event
    except (Refused, StepFailed):
        pass
    assert around(world) == before


@pytest.mark.parametrize(
    ("rows", "options"),
    [
        ([entry("a/x", LINK, "{}"), entry("b/x", FOLDER), entry("b/x/y", FILE, "new")], ["--strip-components=1"]),
        ([entry("a", LINK, "{}"), entry("b", FOLDER), entry("b/y", FILE, "new")], ["--transform=s/^b/a/"]),
        ([entry("b", FOLDER), entry("b/y", FILE, "new"), entry("a", LINK, "{}")], ["--transform=s/^b/a/"]),
    ],
)
def test_names_that_are_made_to_meet(world: World, rows: list[Row], options: list[str]) -> None:
    rows = [(name, kind, what.format(world.root.parent / "outside"), more) for name, kind, what, more in rows]
    before = around(world)
    assert unpacked(world, tar_of(rows), extra_opts=options).status in ("changed", "failed")
    assert around(world) == before


def test_of_two_entries_with_one_name_the_later_one_is_there(world: World) -> None:
    rows = [
        *(entry("a", LINK, "/etc"), entry("a", FILE, "1"), entry("b", FILE, "2"), entry("b", LINK, "a")),
        *(entry("c", FILE, "old"), entry("c", FILE, "new", mode=0o4755), entry("d", FOLDER), entry("d", FILE, "4")),
    ]
    assert unpacked(world, tar_of(rows)).status == "changed"
    here = world.root / "srv/here"
    assert ((here / "a").read_text(), str((here / "b").readlink())) == ("1", "a")
    assert ((here / "c").read_text(), (here / "d").read_text()) == ("new", "4")
    assert (here / "c").stat().st_mode & 0o7777 == 0o4755  # as with Ansible
    assert unpacked(world, tar_of(rows)).status == "ok"


def test_a_link_of_the_host_is_passed_where_it_stays_inside(world: World) -> None:
    here = world.root / "srv/here"
    (here / "usr/lib").mkdir(parents=True)
    (here / "lib").symlink_to("usr/lib")
    rows = [entry("lib", FOLDER, mode=0o750), entry("lib/x", FILE, "new")]
    assert unpacked(world, tar_of(rows), bare=True).status == "changed"
    assert (here / "usr/lib/x").read_text() == "new" and (here / "lib").is_symlink()
    (here / "lib").unlink()
    (here / "lib").symlink_to(world.root.parent / "outside")
    before = around(world)
    for more in (rows, rows[:1], rows[1:]):
        event = unpacked(world, tar_of(more), bare=True, owner="1500", mode="0777")
        assert event.status == "failed" and event.error is not None and event.error["class"] == "Refused"
    assert around(world) == before


def test_an_archive_that_is_exchanged_while_it_is_read_writes_nothing(world: World) -> None:
    """Its maker may be a user of the host, who waits until it was looked through."""

    class Exchanged(Machine):
        def free_bytes(self, path: str) -> int:  # asked between the two
            (world.root / "srv/x").write_bytes(tar_of([entry("x/y", FILE, "new"), entry("x", LINK, "/")]))
            return super().free_bytes(path)

    event = unpacked(world, tar_of([entry("x", FOLDER), entry("x/y", FILE, "new")]), Exchanged)
    assert (event.error or {}).get("class") == "StepFailed" and list((world.root / "srv/here").iterdir()) == []


@pytest.mark.parametrize("what", ["bytes", "inodes"])
def test_what_does_not_fit_is_not_begun(world: World, what: str) -> None:
    class Full(Machine):
        def free_bytes(self, path: str) -> int:
            return 1999 if what == "bytes" else 1 << 40

        def free_inodes(self, path: str) -> Optional[int]:
            return 1 if what == "inodes" else None

    data = tar_of([entry("a", FILE, "x" * 1000), entry("b", FILE, "y" * 1000)])
    event = unpacked(world, data, Full)
    assert (event.error or {}).get("class") == "Refused" and list((world.root / "srv/here").iterdir()) == []
    assert unpacked(world, data).status == "changed"
    assert unpacked(world, data, Full).status == "ok"  # what is there needs no place


def test_names_may_be_odd(world: World) -> None:
    names = ["a\nb", "\x1b]0;x\x07", "\udcff\udcfe", "-rf", " ", "\\", "c:d", "*"]
    data = tar_of([entry(name, FILE, name.encode("utf-8", "surrogateescape").hex()) for name in names])
    assert unpacked(world, data).status == "changed"
    assert sorted(path.name for path in (world.root / "srv/here").iterdir()) == sorted(names)
    assert unpacked(world, data).status == "ok"
    event = unpacked(world, tar_of([entry("n" * 300, FILE, "new")]))
    assert (event.error or {}).get("class") == "StepFailed"
