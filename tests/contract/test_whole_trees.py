"""A tree with one of everything goes into a set and comes back; other programs find it the same, and whatever is
changed afterwards is named with its path."""

from __future__ import annotations

import json
import os
import shutil
import socket
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import chdir, contextmanager
from pathlib import Path
from typing import Any

import pytest
from photograph import photograph, room, said
from tree_of_everything import (
    ACL,
    ALL_NAMES,
    DEFAULT,
    LONG,
    MEBI,
    SECOND,
    capable,
    chattr,
    everything,
    set_time,
    shared,
    write,
)

from mnemo_ops.agent.files import listing as tree
from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.stack.manifest import Saved, listing_of
from mnemo_ops.agent.stack.packing import pack, unpack
from mnemo_ops.errors import Broken

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away, and makes devices")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    top = tmp_path_factory.mktemp("source") / "top"
    top.mkdir()
    everything(top)
    (write(top / "fixed"), write(top / "log"))
    set_time(top, SECOND + 1)
    chattr("+i", top / "fixed")
    chattr("+a", top / "log")
    yield top
    chattr("-i", top / "fixed")
    chattr("-a", top / "log")


def drained(deed: Any) -> Any:
    while True:
        try:
            next(deed)
        except StopIteration as end:
            return end.value


def make_set(directory: Path, top: Path) -> Saved:
    rows = drained(pack(Machine("/"), str(top), (), ["zstd", "-q"], str(directory / "top.tar.zst"), 1, ""))
    (directory / listing_of("top")).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return Saved("top", json.loads(json.dumps({**tree.summary(rows), "kind": "files", "attributes": True})))


@pytest.fixture(scope="module")
def made(source: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Saved]:
    directory = tmp_path_factory.mktemp("set")
    return directory, make_set(directory, source)


def restore(directory: Path, to: Path) -> Path:
    to.mkdir()
    drained(unpack(Machine("/"), ["zstd", "-q", "-d", "-c", str(directory / "top.tar.zst")], str(to), ""))
    return to


@pytest.fixture
def back(made: tuple[Path, Saved], tmp_path: Path) -> Path:
    return restore(made[0], tmp_path / "back")


def test_other_programs_find_the_same(source: Path, back: Path) -> None:
    before, after = photograph(source), photograph(back)
    for program, lines in before.items():
        assert after[program] == lines, program
    assert len(before["find"]) > 80 and len(before["attributes"]) > 13 and len(before["one file"]) == 2
    for name in ("hole", "begin", "middle", "end"):
        assert room(back / name) <= room(source / name) < 64 << 10, name


def test_we_find_the_same_and_name_what_is_not_there(made: tuple[Path, Saved], back: Path) -> None:
    directory, saved = made
    assert saved.differences(Machine("/"), str(directory), str(back)) == []
    assert saved.facts["left_out"] == ["a/socket (a socket)", "fixed (flags +i of chattr)", "log (flags +a of chattr)"]


def test_a_listing_says_what_an_archive_does(source: Path, made: tuple[Path, Saved]) -> None:
    listed = [json.loads(line) for line in (made[0] / listing_of("top")).read_text().splitlines()]
    assert listed == json.loads(json.dumps(list(tree.entries(Machine("/"), str(source)))))


def test_tar_alone_reads_an_archive(made: tuple[Path, Saved], back: Path, tmp_path: Path) -> None:
    """Who has lost us loses no data."""
    plain = tmp_path / "plain"
    plain.mkdir()
    said(plain, "sh", "-c", f"zstd -dc {made[0]}/top.tar.zst | tar -xp --numeric-owner --xattrs --xattrs-include='*'")
    one, other = photograph(back), photograph(plain)
    for program in ("find", "sizes", "stat", "sha256sum", "one file", "getcap"):
        assert one[program] == other[program], program


def test_what_is_around_a_tree_leaves_no_trace_in_it(made: tuple[Path, Saved], tmp_path: Path) -> None:
    around = tmp_path / "around"
    around.mkdir()
    os.setxattr(around, DEFAULT, shared(65534))
    chattr("+dA", around)
    directory, saved = made
    assert saved.differences(Machine("/"), str(directory), str(restore(directory, around / "back"))) == []


# -- whatever is changed is named ------------------------------------------------------------------------------------

Change = Callable[[Path], object]


@contextmanager
def unnoticed(*paths: Path) -> Iterator[None]:
    """The times of these stay: what is changed is one thing alone."""
    times = {path: path.lstat().st_mtime_ns for path in paths}
    yield
    for path, time in times.items():
        if path.is_symlink() or path.exists():
            set_time(path, time)


def edit(path: Path, offset: int, text: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(text)


def copied(path: Path) -> None:
    """A file of its own in the place of one of its names."""
    shutil.copy2(path, path.with_name("copy"), follow_symlinks=False)
    attributes = {name: os.getxattr(path, name) for name in os.listxattr(path)} if not path.is_symlink() else {}
    assert not attributes
    flags = said(path.parent, "lsattr", "-d", path.name) if not path.is_symlink() else b""
    path.with_name("copy").rename(path)
    if b"d" in flags.split(b" ")[0]:
        chattr("+d", path)


def replaced(path: Path, make: Change) -> None:
    time = path.lstat().st_mtime_ns
    path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
    make(path)
    set_time(path, time)


def mknod(kind: int, major: int, minor: int) -> Change:
    return lambda path: (os.mknod(path, kind, os.makedev(major, minor)), path.chmod(kind & 0o7777))


def ticked(nanoseconds: int) -> Change:
    return lambda path: set_time(path, path.lstat().st_mtime_ns + nanoseconds)


def attribute(name: str, value: bytes | None) -> Change:
    def change(path: Path) -> None:
        if value is None:
            os.removexattr(path, name, follow_symlinks=False)
        else:
            os.setxattr(path, name, value, follow_symlinks=False)

    return change


def owner(uid: int, gid: int) -> Change:
    return lambda path: os.lchown(path, uid, gid)


def mode(bits: int) -> Change:
    return lambda path: path.chmod(bits)


def flag(letters: str) -> Change:
    return lambda path: chattr(letters, path)


def at(offset: int, text: bytes) -> Change:
    return lambda path: edit(path, offset, text)


def link_to(target: str) -> Change:
    return lambda path: replaced(path, lambda new: new.symlink_to(target))


def joined(path: Path) -> None:
    path.unlink()
    os.link(path.with_name("twin 1"), path)


CHANGES: dict[str, tuple[str, Change, str]] = {
    "an access list": ("a/shared", attribute(ACL, shared(65533)), ACL),
    "a right in an access list": ("a/shared", attribute(ACL, shared(65534, 4)), ACL),
    "an access list is gone": ("inherits", attribute(ACL, None), ACL),
    "a default access list": ("inherits", attribute(DEFAULT, shared(65534, 7)), DEFAULT),
    "a default access list is gone": ("inherits", attribute(DEFAULT, None), DEFAULT),
    "an access list where none was": ("a/first", attribute(ACL, shared(65534)), ACL),
    "a capability": ("a/capable", attribute("security.capability", capable(12)), "security.capability"),
    "a capability is gone": ("a/capable", attribute("security.capability", None), "security.capability"),
    "a capability where none was": ("setuid", attribute("security.capability", capable(0)), "security.capability"),
    "the value of an attribute": ("a/user.a", attribute("user.a", b"\0\n=\xfe"), "user.a"),
    "an attribute is gone": ("a/user.b=%3D", attribute("user.b=%3D", None), "user.b=%3D"),
    "an empty attribute is gone": ("a/trusted.t", attribute("trusted.t", None), "trusted.t"),
    "an attribute where none was": ("nothing", attribute("user.new", b""), "user.new"),
    "an attribute of security": ("a/security.s", attribute("security.s", bytes(2999)), "security.s"),
    "an attribute of a directory": ("b", attribute("user.of_directory", b"y"), "user.of_directory"),
    "an attribute of the root": (".", attribute("trusted.top", None), "trusted.top"),
    "an attribute of a link": ("nowhere", attribute("trusted.of_link", b"y"), "trusted.of_link"),
    "an attribute of a device": ("null", attribute("trusted.of_device", None), "trusted.of_device"),
    "a name is a copy": ("b/second", copied, "same_as"),
    "two files are one": ("twin 2", joined, "same_as"),
    "a name of a link is a copy": ("to", copied, "same_as"),
    "a nanosecond": ("odd", ticked(1), "mtime"),
    "a second": ("large", ticked(SECOND), "mtime"),
    "a nanosecond before 1970": ("nothing", ticked(-1), "mtime"),
    "a nanosecond of a link": ("far", ticked(1), "mtime"),
    "a nanosecond of a directory": ("empty", ticked(1), "mtime"),
    "a nanosecond of the root": (".", ticked(1), "mtime"),
    "a nanosecond of a fifo": ("pipe", ticked(1), "mtime"),
    "a nanosecond of a device": ("disk", ticked(1), "mtime"),
    "an owner": ("odder", owner(70001, -1), "uid"),
    "a group": ("oddest", owner(-1, 8), "gid"),
    "the owner of a link": ("far", owner(4241, -1), "uid"),
    "the group of a directory": ("empty", owner(-1, 5), "gid"),
    "the owner of a device": ("disk", owner(1, -1), "uid"),
    "a mode": ("sticky", mode(0o1640), "mode"),
    "setuid is gone": ("setuid", mode(0o755), "mode"),
    "setgid is gone": ("setgid", mode(0o755), "mode"),
    "the sticky bit is gone": ("b", mode(0o2777), "mode"),
    "a closed directory is open": ("closed", mode(0o700), "mode"),
    "the mode of the root": (".", mode(0o711), "mode"),
    "the mode of a fifo": ("pipe", mode(0o644), "mode"),
    "a byte": ("large", at(2 * MEBI, b"?"), "sha256"),
    "a byte at the end": ("block", at(511, b"y"), "sha256"),
    "a byte more": ("nothing", at(0, b"\0"), "size"),
    "a byte less": ("block", lambda path: os.truncate(path, 511), "size"),
    "a byte in a hole": ("middle", at(MEBI, b"x"), "sha256"),
    "a hole at the end is shorter": ("end", lambda path: os.truncate(path, 4 * MEBI), "size"),
    "the target of a link": ("nowhere", lambda path: (link_to("no\nwhere/")(path), set_link(path)), "target"),
    "the target of a long link": ("long", link_to("x"), "target"),
    "a device number": ("whiteout", lambda path: replaced(path, mknod(stat.S_IFCHR | 0o600, 0, 1)), "special"),
    "a block device is a character device": (
        "whiteout",
        lambda path: replaced(path, mknod(stat.S_IFBLK | 0o600, 0, 0)),
        "special",
    ),
    "a fifo is a file": ("pipe", lambda path: replaced(path, lambda new: write(new, "", 0o640)), "kind"),
    "a file is a link": ("twin 1", link_to("twin 2"), "kind"),
    "a link is a file": ("up", lambda path: replaced(path, write), "kind"),
    "an empty directory is a file": ("empty", lambda path: replaced(path, write), "kind"),
    "a flag is gone": ("odd", flag("-A"), "flags"),
    "the flag of a file with several names is gone": ("a/first", flag("-d"), "flags"),
    "a flag where none was": ("odder", flag("+d"), "flags"),
    "a flag of a directory": ("quiet", flag("-D"), "flags"),
    "a file is missing": ("large", Path.unlink, "missing"),
    "an empty file is missing": ("nothing", Path.unlink, "missing"),
    "an empty directory is missing": ("empty", Path.rmdir, "missing"),
    "a link is missing": ("-l", Path.unlink, "missing"),
    "a fifo is missing": ("pipe", Path.unlink, "missing"),
    "a device is missing": ("disk", Path.unlink, "missing"),
    "a name with a newline is missing": ("new\nline", Path.unlink, "missing"),
    "a name of other bytes is missing": (os.fsdecode(b"caf\xe9"), Path.unlink, "missing"),
    "a name of 255 bytes is missing": ("a/" + LONG, Path.unlink, "missing"),
    "a name like ours is missing": (".mnemo-notes", Path.unlink, "missing"),
    "a deeper name like ours is missing": ("a/.mnemo-after-x", Path.unlink, "missing"),
    "a file more": ("b/more", write, "not in the backup"),
    "a directory more": ("empty/more", Path.mkdir, "not in the backup"),
    "a link more": ("more", lambda path: path.symlink_to("a"), "not in the backup"),
    "a name like ours more": (".mnemo-more", write, "not in the backup"),
}


def set_link(path: Path) -> None:
    time = path.lstat().st_mtime_ns
    os.setxattr(path, "trusted.of_link", b"x", follow_symlinks=False)
    set_time(path, time)


@pytest.mark.parametrize("change", CHANGES)
def test_whatever_is_changed_is_named(change: str, made: tuple[Path, Saved], back: Path) -> None:
    directory, saved = made
    name, act, word = CHANGES[change]
    path = back / name
    around = [path.parent] if path != back else []
    names = {name, *(ALL_NAMES if name == ALL_NAMES[0] and word in (ACL, "flags") else ())}
    kept = [path] if os.path.lexists(path) and word != "mtime" else []
    with unnoticed(*kept, *around):
        act(path)
    lines = saved.differences(Machine("/"), str(directory), str(back))
    assert sorted(line.partition(": ")[0] for line in lines) == sorted(names)
    assert all(word in line.partition(": ")[2] for line in lines), lines


def test_a_hole_that_is_filled_is_no_difference(made: tuple[Path, Saved], back: Path) -> None:
    """Where zeros lie is the file system's own: one without holes could never hold such a set."""
    with unnoticed(back / "hole"):
        edit(back / "hole", 0, bytes(MEBI))
    assert room(back / "hole") >= MEBI
    assert made[1].differences(Machine("/"), str(made[0]), str(back)) == []


@pytest.mark.parametrize("grain", [SECOND, 1000, 100])
def test_a_file_system_without_nanoseconds_is_no_difference(made: tuple[Path, Saved], back: Path, grain: int) -> None:
    """As an ext4 of small inodes: no restore into it could ever be equal. A second is one."""
    directory, saved = made
    every = [*tree.below(Machine("/"), str(back), str(back)), str(back)]
    for path in map(Path, every):
        set_time(path, path.lstat().st_mtime_ns // grain * grain)
    assert saved.differences(Machine("/"), str(directory), str(back)) == []
    set_time(back / "odd", 7 * SECOND)
    (line,) = saved.differences(Machine("/"), str(directory), str(back))
    assert line.startswith("odd: mtime ")
    set_time(back / "odd", 7 * SECOND + 1)
    assert len(saved.differences(Machine("/"), str(directory), str(back))) > 10, "it has nanoseconds"


class Busy(Machine):
    """Where somebody writes to a file as soon as it is open."""

    change: Change

    def opened(self, path: str, strict: bool = True, follow: bool = True) -> int:
        handle = super().opened(path, strict, follow)
        if Path(path).name == "log":
            self.change(Path(path))
        return handle


@pytest.mark.parametrize("change", [at(9 * MEBI, b"x"), lambda path: os.truncate(path, MEBI), at(0, b"x"), ticked(1)])
def test_a_file_that_changes_while_it_is_read_makes_no_set(change: Change, tmp_path: Path) -> None:
    top, machine = tmp_path / "top", Busy("/")
    top.mkdir()
    (top / "log").write_bytes(os.urandom(8 * MEBI))
    machine.__dict__["change"] = change
    with pytest.raises(Broken, match="log"):
        drained(pack(machine, str(top), (), ["zstd", "-q", "-f"], str(tmp_path / "out"), 1, ""))


# -- sets of earlier versions ----------------------------------------------------------------------------------------


def small(top: Path) -> None:
    """The same on every host."""
    (top / "below").mkdir(parents=True)
    top.chmod(0o755)
    (top / "below").chmod(0o1777)
    os.link(write(top / "file", "data"), top / "below/same")
    os.setxattr(top / "file", "user.a", b"b")
    (top / "link").symlink_to("file")
    os.mknod(top / "null", 0o600 | stat.S_IFCHR, os.makedev(1, 3))
    with chdir(top), socket.socket(socket.AF_UNIX) as end:
        end.bind("socket")


# what those versions wrote down of it
OLDER = {
    "attributes": "7eec016069d8aae9d6ce44d6c6539f8d0a54f7a89b6612763775134638ffdc1f",
    "": "dd8e69d7a866a6f4d531126cac73ab1adcb7f5ba0ae39609a1b2f5f03fae8ead",
}


@pytest.mark.parametrize("known", OLDER)
def test_a_set_of_an_earlier_version_is_compared_as_it_was_made(known: str, tmp_path: Path) -> None:
    top = tmp_path / "top"
    small(top)
    saved = Saved("top", {"kind": "files", "sha256": OLDER[known], **({known: True} if known else {})})
    assert saved.differences(Machine("/"), str(tmp_path), str(top)) == []
    (top / "file").write_text("date")
    assert saved.differences(Machine("/"), str(tmp_path), str(top))


def test_an_archive_of_an_earlier_version_is_unpacked(tmp_path: Path) -> None:
    top = tmp_path / "top"
    small(top)
    keeping = ["--numeric-owner", "--no-acls", "--xattrs", "--xattrs-include=*", "--sparse", "--format=posix"]
    said(top, "tar", "-c", *keeping, "-I", "zstd -q", "-f", str(tmp_path / "top.tar.zst"), ".")
    saved = Saved("top", {"kind": "files", "sha256": OLDER["attributes"], "attributes": True})
    assert saved.differences(Machine("/"), str(tmp_path), str(restore(tmp_path, tmp_path / "back"))) == []


def test_flags_that_a_file_system_does_not_know_are_named(source: Path, made: tuple[Path, Saved]) -> None:
    """As everything that is lost: a restore says so before it changes anything."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as memory:
        back = restore(made[0], Path(memory, "back"))
        before, after = (list(tree.entries(Machine("/"), str(top))) for top in (source, back))
        assert made[1].differences(Machine("/"), str(made[0]), str(back))
    lines = [line for line in tree.differences(before, after, 1000) if "flags" in line]
    assert {"odd", "quiet"} <= {line.partition(": ")[0] for line in lines}
