"""What a set lists is what tar brings back: odd names and kinds, directories behind links."""

from __future__ import annotations

import os
import socket
import struct
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from mnemo_ops.agent.base.progress import Deed
from mnemo_ops.agent.files import listing as tree
from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.stack.packing import pack, unpack
from mnemo_ops.agent.stack.restore_record import AFTER, sibling
from mnemo_ops.agent.stack.stack import Dataset, Stack, root
from mnemo_ops.agent.stack.volume_move.sync import Twin, unequal
from mnemo_ops.errors import Refused
from mnemo_ops.flows.journal import new_id

STACK: dict[str, Any] = {"project": "p", "files": (), "env_file": ".env", "store": "/store"}


BEFORE = ".mnemo-before-20260102T030405Z-0a1b-1700000000-odd"
OURS = (
    *(BEFORE, ".mnemo-restore-20260102T030405Z-0a1b-a b\n*", ".mnemo-kept-uploads-20260102t030405z-0a1b"),
    *(".mnemo-probe-x_1y2z3a", ".mnemo-probe", ".mnemo-volume", ".mnemo-proof-app-1"),
)
THEIRS = (
    *(".mnemo-x", ".mnemo-", ".mnemo-before-1", ".mnemo-restore-notes", ".mnemo-kept-it", ".mnemonic", ".mnemo-probes"),
    *(".MNEMO-volume", ".mnemo-Volume", ".mnemo-volume.bak", ".mnemo-0123456789ab", "x" + BEFORE),
)


@pytest.fixture
def odd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with everything a file system may hold."""
    path = tmp_path / "odd"
    (path / "below").mkdir(parents=True)
    for name in (b"caf\xe9", b"new\nline", b"-rf", b"a\tb ", b"*", b"[x]"):
        Path(os.fsdecode(os.fsencode(path) + b"/" + name)).write_bytes(name)
    os.mkfifo(path / "pipe")
    os.link(path / "-rf", path / "below/same")
    (path / "nowhere").symlink_to("nowhere")
    (path / BEFORE).mkdir()
    (path / ".mnemo-x").mkdir()
    (path / f"below/{BEFORE}").write_text("x")
    monkeypatch.chdir(path / "below")  # the name of a socket is short
    with socket.socket(socket.AF_UNIX) as end:
        end.bind("socket")
    assert (path / "below/socket").is_socket()
    return path


def done(deed: Deed) -> None:
    for _ in deed:
        pass


def packed(path: Path, to: Path, exclude: Sequence[str] = ()) -> Path:
    """There and back, as a set and a restore do it."""
    machine, archive = Machine("/"), to.with_suffix(".tar.zst")
    done(pack(machine, str(path), exclude, ["zstd", "-q"], str(archive), 1, "packing"))
    to.mkdir()
    done(unpack(machine, ["zstd", "-q", "-d", "-c", str(archive)], str(to), "unpacking"))
    return to


def test_a_set_lists_what_tar_brings_back(odd: Path, tmp_path: Path) -> None:
    """With a socket among the rows, which tar leaves out, no such set could ever be restored."""
    machine = Machine("/")
    before = list(tree.entries(machine, str(odd)))
    assert tree.differences(before, list(tree.entries(machine, str(packed(odd, tmp_path / "back"))))) == []
    assert len(before) == 15
    kinds = {row["path"]: row["kind"] for row in before}
    assert (kinds[".mnemo-x"], kinds[BEFORE]) == ("directory", "ours"), "what is not ours is data"
    assert kinds[f"below/{BEFORE}"] == "file", "the application may call files so"
    assert kinds["below/socket"] == "socket"
    assert tree.summary(before)["left_out"] == [f"{BEFORE} (of mnemo_ops itself)", "below/socket (a socket)"]
    beside = {row["path"]: row["kind"] for row in tree.entries(machine, str(odd), ("below/odd",))}
    assert beside == {**kinds, f"below/{BEFORE}": "ours"}, "beside another dataset it is what a restore left there"


def test_names_of_ours_are_told_from_those_of_the_application(tmp_path: Path) -> None:
    for name in (*OURS, *THEIRS):
        (tmp_path / name).mkdir()
    assert [Path(path).name for path in tree.below(Machine("/"), str(tmp_path), str(tmp_path))] == sorted(THEIRS)
    assert sibling("/a/odd", "before", "20260102T030405Z-0a1b-1700000000") == f"/a/{BEFORE}"
    for word in ("before", AFTER, "stray-1700000000"):
        assert tree.is_ours(Path(sibling("/a/b c", word, new_id())).name)


@pytest.mark.parametrize("exclude", [(), ("uploads", "a/b")])
def test_names_like_ours_are_data_of_the_application(tmp_path: Path, exclude: Sequence[str]) -> None:
    """The config left them out without a word."""
    names = [".mnemo-0123456789ab", ".mnemo-new-x", "x.mnemo-link", ".mnemo-notes", ".mnemo-after-x", f"a/{BEFORE}x/y"]
    names += ["a/.mnemo-volume", "a/.mnemo-probe", "a/.mnemo-proof-1", "a/.mnemo-x-b", f"a/c/{BEFORE}"]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    rows = {row["path"]: row["kind"] for row in tree.entries(Machine("/"), str(tmp_path), exclude)}
    found = {path for path, kind in rows.items() if kind == "file"}
    assert {*names} == found


def test_what_is_left_out_is_a_name_and_no_pattern(odd: Path, tmp_path: Path) -> None:
    """As patterns, [x] kept itself, and * took everything else with it."""
    back = packed(odd, tmp_path / "back", ("*", "[x]"))
    assert not (back / "*").exists() and not (back / "[x]").exists() and (back / "-rf").exists()


by_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root sets what the kernel relies on")

# -- attributes --------------------------------------------------------------------------------------------------------


def access_list(*entries: tuple[int, int, int]) -> bytes:
    """As the kernel keeps it: tag, permissions, number (linux/posix_acl_xattr.h)."""
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *one) for one in entries)


NOBODY = 0xFFFFFFFF
ACL = access_list((1, 6, NOBODY), (2, 6, 65534), (2, 4, 4242), (4, 4, NOBODY), (16, 6, NOBODY), (32, 0, NOBODY))
NET_BIND = struct.pack("<IIIII", 0x02000001, 1 << 10, 0, 0, 0)  # setcap cap_net_bind_service+ep
ATTRIBUTES = {
    "user.colour": b"a=b\n\0",
    "user.[*]": b"",
    "trusted.x": b"x",
    "security.mine": b"x",
    "security.capability": NET_BIND,
    "system.posix_acl_access": ACL,
}


@pytest.fixture
def adorned(tmp_path: Path) -> Path:
    """What makes a difference and is not in the content."""
    path = tmp_path / "adorned"
    (path / "below").mkdir(parents=True)
    for name in (*ATTRIBUTES, "plain"):
        (path / "below" / name).write_text("x")
        os.chown(path / "below" / name, 1000, 1000)
    for name, value in ATTRIBUTES.items():
        os.setxattr(path / "below" / name, name, value)
    os.setxattr(path / "below", "system.posix_acl_default", ACL)
    os.setxattr(path, "trusted.top", b"x")
    (path / "link").symlink_to("/absolute")
    os.setxattr(path / "link", "trusted.link", b"x", follow_symlinks=False)
    os.link(path / "link", path / "another", follow_symlinks=False)
    os.link(path / "below/plain", path / "same")
    os.link(path / "below/plain", tmp_path / "outside")
    os.mkfifo(path / "pipe")
    os.mknod(path / "device", 0o20600, os.makedev(1, 3))
    os.mknod(path / "whiteout", 0o20000, os.makedev(0, 0))
    with (path / "sparse").open("wb") as file:
        file.truncate(64 << 20)
    return path


@by_root
def test_attributes_come_back_and_are_compared(adorned: Path, tmp_path: Path) -> None:
    machine, around = Machine("/"), tmp_path / "around"
    around.mkdir()
    os.setxattr(around, "system.posix_acl_default", ACL)  # which what is made in it inherits, unless it is undone
    before = list(tree.entries(machine, str(adorned)))
    back = packed(adorned, around / "back")
    assert tree.differences(before, list(tree.entries(machine, str(back)))) == []
    for name, value in ATTRIBUTES.items():
        assert os.getxattr(back / "below" / name, name) == value
    assert not os.listxattr(back / "below/plain")
    assert (back / "same").samefile(back / "below/plain")
    assert (back / "sparse").stat().st_blocks < 100
    assert sum("xattrs" in row for row in before) == len(ATTRIBUTES) + 4
    assert {row["path"]: row["special"] for row in before if "special" in row} == {
        "device": "char 1:3",
        "pipe": "fifo",
        "whiteout": "char 0:0",
    }


@by_root
def test_the_order_in_which_an_access_list_was_written_is_no_difference(adorned: Path) -> None:
    before = list(tree.entries(Machine("/"), str(adorned)))
    turned = access_list((1, 6, NOBODY), (2, 4, 4242), (2, 6, 65534), (4, 4, NOBODY), (16, 6, NOBODY), (32, 0, NOBODY))
    os.setxattr(adorned / "below/system.posix_acl_access", "system.posix_acl_access", turned)
    assert list(tree.entries(Machine("/"), str(adorned))) == before


@by_root
def test_an_access_list_goes_by_numbers(adorned: Path, tmp_path: Path) -> None:
    """By its name a user has another number on another host."""
    packed(adorned, tmp_path / "back")
    expand = ["zstd", "-q", "-d", "-c", str(tmp_path / "back.tar.zst")]
    headers = subprocess.run(expand, capture_output=True, check=True).stdout
    assert b"SCHILY.xattr.system.posix_acl_access" in headers and b"SCHILY.acl" not in headers


@by_root
@pytest.mark.parametrize("name", ATTRIBUTES)
def test_an_attribute_that_is_lost_or_differs_is_named(name: str, adorned: Path) -> None:
    machine, file = Machine("/"), adorned / "below" / name
    before = list(tree.entries(machine, str(adorned)))
    other = {"system.posix_acl_access": access_list((1, 6, NOBODY), (4, 4, NOBODY), (32, 4, NOBODY))}
    os.setxattr(file, name, other.get(name, struct.pack("<IIIII", 0x02000001, 1 << 9, 0, 0, 0)))
    (line,) = [one for one in tree.differences(before, list(tree.entries(machine, str(adorned)))) if "xattrs" in one]
    assert line.startswith(f"below/{name}: ") and name in line
    if not name.startswith("system."):
        os.removexattr(file, name)
        assert f"below/{name}: xattrs {name}" in tree.differences(before, list(tree.entries(machine, str(adorned))))


@by_root
def test_a_set_made_before_attributes_were_listed_is_compared_as_it_was_made(adorned: Path) -> None:
    rows = list(tree.entries(Machine("/"), str(adorned), attributes=False, times=False))
    assert {key for row in rows for key in row} == {*("path", "kind", "mode", "uid", "gid", "size", "sha256", "target")}


@by_root
def test_what_nobody_may_rename_is_named_before_anything(adorned: Path, tmp_path: Path) -> None:
    machine = Machine("/")
    tree.refuse_fixed(machine, str(adorned))
    for path, flag in ((adorned / "below/plain", "i"), (adorned / "below", "a"), (adorned, "i"), (tmp_path, "a")):
        subprocess.run(["chattr", f"+{flag}", path], check=True)
        try:
            with pytest.raises(Refused, match=str(path)) as caught:
                tree.refuse_fixed(machine, str(adorned))
        finally:
            subprocess.run(["chattr", "-i", "-a", path], check=True)
        assert caught.value.hint.startswith(f"chattr -i -a {path}")
    # what its writers change meanwhile
    assert not any(machine.is_fixed(str(adorned / name)) for name in ("gone", "same/gone", "link"))


@pytest.mark.parametrize(
    "dataset", [Dataset("uploads", "files", path="uploads"), Dataset("config", "config", path=".")]
)
def test_a_directory_behind_a_link_is_what_is_listed(dataset: Dataset, odd: Path, tmp_path: Path) -> None:
    """The link itself as the first row is nothing that could be restored."""
    (tmp_path / "srv").mkdir()
    (tmp_path / "srv/p").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/uploads").symlink_to(odd)
    stack = Stack(directory=str(tmp_path / "srv/p"), datasets=(dataset,), keep=(), waived={}, **STACK)
    where = root(Machine("/"), stack, dataset)
    assert where == str(odd if dataset.name == "uploads" else tmp_path / "elsewhere")
    assert next(tree.entries(Machine("/"), where))["kind"] == "directory"


def test_a_socket_is_no_difference_of_twins(odd: Path, tmp_path: Path) -> None:
    machine = Machine("/")
    twins = [Twin(machine, str(path)) for path in (odd, packed(odd, tmp_path / "back"))]
    for twin in twins:
        for _ in twin.hash(0, "hashing"):
            pass
    for path in tmp_path.rglob("*"):
        os.utime(path, (1, 1), follow_symlinks=False)
    assert unequal(*twins) == []
