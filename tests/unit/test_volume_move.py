"""Twins of directories, and what a move of a volume is asked for."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mnemosyne
import pytest

from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.stack.volume_checks import volumes
from mnemo_ops.agent.stack.volume_move.move_plan import refuse_owners
from mnemo_ops.agent.stack.volume_move.sync import Twin, squashed, unequal
from mnemo_ops.errors import Refused, UsageError
from mnemo_ops.execution.report import Report, Style
from mnemo_ops.flows.engine import Flow
from mnemo_ops.flows.volume_move import Move, _declared, _where
from mnemo_ops.stack import definition


class Reads(Machine):
    """A machine that knows which files were read."""

    def __init__(self, root: Path) -> None:
        super().__init__(str(root))
        self.read_files: list[str] = []
        self.later = 0.0

    def open(self, path: str, *args: bool, **options: bool) -> Any:
        self.read_files.append(path)
        return super().open(path, *args, **options)

    def now(self) -> float:
        return super().now() + self.later


def hashed(twin: Twin) -> Twin:
    for _ in twin.hash(0, "hashing"):
        pass
    return twin


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for end in ("a", "b"):
        (tmp_path / end / "below").mkdir(parents=True)
        (tmp_path / end / "below/file").write_text("content")
        (tmp_path / end / "link").symlink_to("nowhere")
        os.utime(tmp_path / end / "below/file", (1, 1))
    return tmp_path


def test_a_file_that_did_not_change_is_read_once(tree: Path) -> None:
    machine = Reads(tree)
    machine.later = 10.0  # it is long since anything changed
    twin = hashed(Twin(machine, "/a"))
    assert machine.read_files == ["/a/below/file"]
    before = hashed(twin).rows()
    assert len(machine.read_files) == 1
    with (tree / "a/below/file").open("r+") as file:  # same size, same time
        file.write("CONTENT")
    os.utime(tree / "a/below/file", (1, 1))
    assert hashed(twin).rows() != before and len(machine.read_files) == 2


def test_a_file_that_may_have_changed_unseen_is_read_again(tree: Path) -> None:
    machine = Reads(tree)
    twin = hashed(Twin(machine, "/a"))
    hashed(twin)
    assert len(machine.read_files) == 2, "it was changed within the clock's grain of being read"


def change(path: Path, what: str) -> None:
    file = path / "below/file"
    if what == "content":
        file.write_text("CONTENT")
        os.utime(file, (1, 1))
    elif what == "mode":
        file.chmod(0o755)
    elif what == "mtime":
        os.utime(file, (1, 5))
    elif what == "xattrs":
        os.setxattr(file, "user.a", b"b")
    elif what == "same_as":
        os.link(file, path / "below/other")
    elif what == "target":
        (path / "link").unlink()
        (path / "link").symlink_to("elsewhere")
    elif what == "missing":
        (path / "link").unlink()


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("content", "below/file: sha256"),
        ("mode", "below/file: mode"),
        ("mtime", "below/file: mtime 1 != 5"),
        ("xattrs", "below/file: xattrs"),
        ("same_as", "below/other: not in the original"),
        ("target", "link: target nowhere != elsewhere"),
        ("missing", "link: missing"),
    ],
)
def test_whatever_differs_is_named(tree: Path, what: str, said: str) -> None:
    machine = Machine(str(tree))
    assert unequal(hashed(Twin(machine, "/a")), hashed(Twin(machine, "/b"))) == []
    try:
        change(tree / "b", what)
    except OSError:
        pytest.skip("this file system has no such attributes")
    (tree / "b/.mnemo-volume").write_text("ours is no part of it")
    lines = unequal(hashed(Twin(machine, "/a")), hashed(Twin(machine, "/b")))
    assert any(line.startswith(said) for line in lines), lines


def test_two_names_are_not_two_files(tree: Path) -> None:
    machine = Machine(str(tree))
    os.link(tree / "a/below/file", tree / "a/below/other")
    (tree / "b/below/other").write_text("content")
    os.utime(tree / "b/below/other", (1, 1))
    lines = unequal(hashed(Twin(machine, "/a")), hashed(Twin(machine, "/b")))
    assert any("same_as below/file" in line for line in lines), lines


def test_a_hole_takes_no_room(tree: Path) -> None:
    with (tree / "a/hole").open("wb") as file:
        file.truncate(1 << 30)
    size, entries = Twin(Machine(str(tree)), "/a").size()
    assert size < 1 << 20 and entries == 4


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as another")
def test_where_root_is_nobody_the_owner_is_acted_as() -> None:
    nobody = (65534, 65534)
    with tempfile.TemporaryDirectory() as root:  # where anybody may pass
        machine = Machine(root)
        Path(root).chmod(0o755)
        (Path(root) / "a").mkdir(mode=0o755)
        (Path(root) / "a/.mnemo-probe-x_1y2z3a").touch()  # of one that was killed
        (Path(root) / "a/.mnemo-probe-notes of mine").touch()
        assert squashed(machine, "/a") is None and machine.names("/a") == [".mnemo-probe-notes of mine"]
        (Path(root) / "a/.mnemo-probe-notes of mine").unlink()
        with machine.reaching_as(*nobody), pytest.raises(Refused):
            squashed(machine, "/a")
        (Path(root) / "a").chmod(0o700)
        with machine.reaching_as(*nobody), pytest.raises(PermissionError):
            machine.names("/a")
        os.chown(Path(root) / "a", 4711, 4712)
        with machine.reaching_as(*nobody):
            assert squashed(machine, "/a") == (4711, 4712)
        assert machine.names("/a") == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root sets what the kernel relies on")
@pytest.mark.parametrize("name", ["user.x", "trusted.x", "security.x"])
def test_what_only_root_may_set_is_named_where_root_is_nobody(tree: Path, name: str) -> None:
    machine = Machine(str(tree))
    for path in [tree / "a", *(tree / "a").rglob("*")]:
        os.chown(path, 4711, 4712, follow_symlinks=False)
    os.setxattr(tree / "a/below/file", name, b"x")
    with nullcontext() if name == "user.x" else pytest.raises(Refused, match="/a/below/file"):
        refuse_owners(Twin(machine, "/a"), Twin(machine, "/b", (4711, 4712)))


# -- what is asked for ---------------------------------------------------------------------------------------------


def rows(**stored: Any) -> list[dict[str, Any]]:
    return definition.volumes(mnemosyne.settings(volumes=stored))


MADE = {"type": "none", "o": "bind", "device": "/data/graph"}
BIND = {"type": "bind", "path": "/data/graph"}


@pytest.mark.parametrize(
    ("key", "to", "undo", "said", "hint"),
    [
        ("", "bind", False, "--volume is missing", "lightrag_data"),
        ("lightrag", "bind", False, "no volume 'lightrag'", "lightrag_data"),
        ("lightrag_data", "nfs", False, "says bind, not nfs", "{lightrag_data: {type: nfs, ...}}"),
        ("lightrag_data", "bind", True, "--to and --undo", "--undo"),
    ],
)
def test_what_cannot_be_meant(key: str, to: str, undo: bool, said: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        _declared(rows(lightrag_data=BIND), key, to, undo)
    assert said in caught.value.message and hint in caught.value.hint


def test_a_move_to_another_place_is_not_followed_as_if_it_were_this_one(tmp_path: Path) -> None:
    """Its end would be told as the end of this: the volume lies where it does not."""
    host = mnemosyne.host(volumes={"lightrag_data": BIND})
    there = {"name": "mnemosyne_lightrag_data", "driver": "local", "options": MADE, "external": False}
    answer = {"alive": True, "plan": None, "last": {"id": "20261129T220719Z-0001", "state": "copying", "target": there}}
    session = SimpleNamespace(ready=lambda action: answer)
    flow: Any = Flow(SimpleNamespace(session=lambda host: session), Report("volumes", Style()), tmp_path)  # type: ignore[arg-type]
    plays: Any = SimpleNamespace(inventory=SimpleNamespace(hosts={}), options=SimpleNamespace(check=False))
    assert Move(flow, plays, host, "lightrag_data", "bind", False).is_needed()
    answer["last"] = {**answer["last"], "target": {**there, "options": {**MADE, "device": "/data/other"}}}  # type: ignore[dict-item]
    with pytest.raises(Refused, match=r"20261129T220719Z-0001 .*lightrag_data .*/data/other") as caught:
        Move(flow, plays, host, "lightrag_data", "bind", False).is_needed()
    assert "wait for it" in caught.value.hint


def test_what_people_read_of_a_place() -> None:
    found = rows(lightrag_data=BIND, api_logs={"type": "nfs", "server": "10.0.0.5"})
    shown = {row["key"]: _where({**row, "options": row["driver_options"]}) for row in found}
    assert shown["lightrag_data"] == "bind /data/graph" and shown["redis_data"] == "a local volume"
    assert shown["api_logs"] == "nfs 10.0.0.5:/srv/nfs/api_logs"
    assert _where({"name": "x", "external": True}) == "the volume x"


@pytest.mark.parametrize(
    ("there", "used", "said"),
    [
        (
            {"mnemosyne_lightrag_data": {"Driver": "local", "Options": None}},
            {},
            "is a local volume, asked for bind /data/graph",
        ),
        (
            {"mnemosyne_lightrag_data": {"Driver": "local", "Options": {**MADE, "device": "/x"}}},
            {},
            "is bind /x, asked for",
        ),
        (
            {"mnemosyne_lightrag_data": {"Driver": "local", "Options": {**MADE, "o": "bind,ro"}}},
            {},
            "has other options: o is bind,ro, asked for bind",
        ),
        (
            {"mnemosyne_lightrag_data": {"Driver": "nfsdriver", "Options": {}}},
            {},
            "is a volume of the driver nfsdriver, asked for bind",
        ),
        ({}, {"lightrag_data": "/srv/mnemosyne/graph"}, "are in /srv/mnemosyne/graph"),
        ({"other": {"Driver": "local", "Options": None}}, {"lightrag_data": "other"}, "are in other"),
    ],
)
def test_another_definition_is_told_with_the_command_that_moves(
    there: Mapping[str, Any], used: Mapping[str, str], said: str
) -> None:
    (found,) = volumes._elsewhere(rows(lightrag_data=BIND), there, used)
    assert said in found.evidence and "invoke volumes --volume lightrag_data --to bind" in found.remedy


def test_what_lies_where_it_is_declared_is_not_told() -> None:
    there = {"mnemosyne_lightrag_data": {"Driver": "local", "Options": MADE}, "mnemosyne_x": {}}
    assert list(volumes._elsewhere(rows(lightrag_data=BIND), there, {"lightrag_data": "mnemosyne_lightrag_data"})) == []
