"""Whatever an archive is like, what is wrong with it is a failure of its task: never a bug, and nothing is written."""

from __future__ import annotations

import bz2
import io
import os
import tarfile
from pathlib import Path

import hostile_archives as hostile
import pytest
from hostile_archives import FILE, FOLDER, HARD, KNOWN, LINK, around, entry, tar_of, unpacked
from test_outcomes_archives import sent
from world import World

from mnemo_ops.agent.files import archive
from mnemo_ops.agent.files.archive import listed
from mnemo_ops.errors import MnemoError, Refused, StepFailed


@pytest.fixture
def world(tmp_path: Path) -> World:
    return hostile.world(tmp_path)


@pytest.mark.parametrize("name", hostile.damaged())
def test_a_damaged_one_is_a_failure(world: World, tmp_path: Path, name: str) -> None:
    data = hostile.damaged()[name]()
    before = around(world)
    event = unpacked(world, data)
    assert event.status == "failed" and event.error is not None and event.error["class"] in KNOWN
    assert around(world) == before and list((world.root / "srv/here").iterdir()) == []
    (tmp_path / "x").write_bytes(data)
    with pytest.raises(MnemoError) as caught:
        event = sent(world, tmp_path, "unarchive", src="x", dest="/srv/here")
        assert event.status == "failed" and event.error is not None and event.error["class"] in KNOWN
        raise StepFailed(event.why)
    assert caught.value.exit_code in (3, 6)


def test_a_hard_link_is_what_it_names(world: World) -> None:
    rows = [
        *(entry("./f", FILE, "data"), entry("g", HARD, "f"), entry("h", HARD, "g")),
        *(entry("l", LINK, "/no/where"), entry("m", HARD, "l")),
    ]
    assert unpacked(world, tar_of(rows)).status == "changed"
    here = world.root / "srv/here"
    assert [(here / name).read_text() for name in "fgh"] == ["data"] * 3
    assert [str((here / name).readlink()) for name in "lm"] == ["/no/where"] * 2  # a link is only a name
    assert unpacked(world, tar_of(rows)).status == "ok"


@pytest.mark.parametrize("target", ["/etc/passwd", "../../etc/passwd", "none", "y", "d"])
def test_a_hard_link_to_what_is_not_in_it_is_refused_by_name(world: World, target: str) -> None:
    event = unpacked(world, tar_of([entry("d", FOLDER), entry("y", HARD, target), entry("none", FILE, "later")]))
    assert event.status == "failed" and event.error is not None and event.error["class"] == "Refused"
    assert "y" in event.why and target in event.why and not (world.root / "srv/here/y").exists()


def test_a_file_of_nothing_but_holes_is_not_read_to_its_end() -> None:
    holes = {"GNU.sparse.map": "0,0", "GNU.sparse.size": str(1 << 60), "GNU.sparse.name": "a"}
    with pytest.raises(Refused):
        listed(io.BytesIO(tar_of([entry("a", FILE, "", pax_headers=holes)])), "x")


def test_a_bomb_is_not_expanded_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "HARMLESS", 1 << 20)
    monkeypatch.setattr(archive, "EXPANDS", 1000)
    out, size = io.BytesIO(), 64 << 20
    with tarfile.open(fileobj=out, mode="w") as made:
        info = tarfile.TarInfo("a")
        info.size = size
        made.addfile(info, io.BytesIO(b"\0" * size))
    bomb = bz2.compress(out.getvalue(), 9)
    assert len(bomb) < 1 << 12
    with pytest.raises(Refused):
        listed(io.BytesIO(bomb), "x")
    info.type = b"Z"  # of a kind that is only skipped
    with pytest.raises(MnemoError):
        listed(io.BytesIO(bz2.compress(info.tobuf() + b"\0" * size, 9)), "x")


def test_a_large_file_of_noise_is_no_bomb(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "HARMLESS", 1 << 10)
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as made:
        info = tarfile.TarInfo("a")
        info.size = 1 << 20
        made.addfile(info, io.BytesIO(os.urandom(info.size)))
    assert listed(out, "x")[0]["size"] == 1 << 20


def test_a_tar_that_ends_with_a_zip_is_a_tar(world: World) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as made:
        inner = hostile.zip_of([entry("other", FILE, "no")])
        info = tarfile.TarInfo("inner.zip")
        info.size = len(inner)
        made.addfile(info, io.BytesIO(inner))
    assert unpacked(world, out.getvalue()).status == "changed"
    assert (world.root / "srv/here/inner.zip").read_bytes() == inner
