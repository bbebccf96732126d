"""A set whose archive was made to break out: the real tar brings it back below its directory or nowhere."""

from __future__ import annotations

import os
from pathlib import Path

import hostile_archives as hostile
import pytest
from hostile_archives import FILE, FOLDER, HARD, LINK, Row, entry, tar_of
from world import _print

from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.stack.packing import unpack
from mnemo_ops.errors import CommandFailed

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away, as a restore does")


def around(top: Path) -> dict[str, object]:
    inside = str(top / "here")
    return {str(path): _print(path) for path in top.rglob("*") if not str(path).startswith(inside)}


def restored(top: Path, data: bytes) -> bool:
    """Whether tar was content."""
    (top / "part").write_bytes(data)
    (top / "here").mkdir()
    before = around(top)
    try:
        for _ in unpack(Machine("/"), ["cat", str(top / "part")], str(top / "here"), "unpacking"):
            pass
        return True
    except CommandFailed as error:
        assert error.exit_code == 6
        return False
    finally:
        assert around(top) == before


@pytest.fixture
def top(tmp_path: Path) -> Path:
    (tmp_path / "outside").mkdir(mode=0o700)
    (tmp_path / "outside" / "precious").write_text("precious")
    return tmp_path


@pytest.mark.parametrize("name", [name for name in hostile.breaking_out("/") if name != "disk"])
def test_a_part_stays_below_its_directory(top: Path, name: str) -> None:
    restored(top, tar_of(hostile.breaking_out(str(top / "outside"))[name]))


@pytest.mark.parametrize(
    ("rows", "content"),
    [
        ([entry("/etc/mnemo-broke-out", FILE, "new")], True),  # --absolute-names is not given: it lands below
        ([entry("../mnemo-broke-out", FILE, "new")], False),
        ([entry("x", LINK, ".."), entry("x/mnemo-broke-out", FILE, "new")], False),
        ([entry("x", LINK, "../outside"), entry("x/precious", FILE, "new")], False),
        ([entry("x", HARD, "/etc/passwd"), entry("x", FILE, "new")], False),
        ([entry("a", FOLDER), entry("x", LINK, "a"), entry("x/y", FILE, "new")], True),  # followed, and inside
        ([entry("x", LINK, "/no/where"), entry("y", LINK, "../../y")], True),  # what links point to is kept
    ],
)
def test_what_tar_makes_of_a_way_out(top: Path, rows: list[Row], content: bool) -> None:
    assert restored(top, tar_of(rows)) is content
    assert not Path("/etc/mnemo-broke-out").exists()
    for link in [path for path in (top / "here").iterdir() if path.is_symlink()]:
        assert str(link.readlink()) == dict((row[0], row[2]) for row in rows)[link.name]
