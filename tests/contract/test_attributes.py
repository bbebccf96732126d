"""What takes a file's place keeps its access list and attributes, and never lets anybody do more (acl(5), xattr(7))."""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pytest
from example import Example, files
from examples import EXAMPLES
from running import run, task
from world import World

from mnemo_ops.agent.engine.converge import Task
from mnemo_ops.agent.machine import Machine, attributes
from mnemo_ops.core.atomic_file import replace_file
from mnemo_ops.errors import StepFailed

WEB = True  # some examples fetch
OWNER, USER, GROUP, MASK, OTHER = 0x01, 0x02, 0x04, 0x10, 0x20
NOBODY, NO_ID = 65534, 0xFFFFFFFF
# kinds that write a file of the host that may have been there before
REPLACING = (
    *("apt_key", "apt_repository", "assemble", "authorized_key", "blockinfile", "copy", "cron", "deb822_repository"),
    *("docker_engine", "get_url", "ini_file", "known_hosts", "lineinfile", "locale_gen", "modprobe", "mount"),
    *("nfs_export", "replace", "sysctl", "template", "unarchive"),
)
WITH_MODE = ("authorized_key", "deb822_repository", "unarchive")  # the mode is part of what they say
VALUES = {"user.x": b"1", "trusted.x": b"2", "security.x": b"3"}
CAPABLE = struct.pack("<5I", 0x02000001, 1 << 10, 0, 0, 0)  # cap_net_bind_service+ep


def access_list(*rows: tuple[int, int, int]) -> bytes:
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *row) for row in rows)


def shared(mode: int) -> bytes:
    """For a user, too, and with a mask that is more than the group has."""
    rows = ((OWNER, mode >> 6 & 7), (USER, 6), (GROUP, 4), (MASK, 6), (OTHER, mode & 7))
    return access_list(*((tag, bits, NOBODY if tag == USER else NO_ID) for tag, bits in rows))


def decorate(path: Path, **more: bytes) -> None:
    os.setxattr(path, attributes.ACL, shared(path.stat().st_mode))
    for name, value in {**VALUES, **more}.items():
        os.setxattr(path, name, value)


def entries(file: Path) -> dict[tuple[int, int], int]:
    """(tag, id) -> bits; of a file without a list, what its mode says."""
    mode = file.stat().st_mode
    try:
        acl = os.getxattr(file, attributes.ACL)
    except OSError as error:
        assert error.errno == errno.ENODATA
        return {(OWNER, NO_ID): mode >> 6 & 7, (GROUP, NO_ID): mode >> 3 & 7, (OTHER, NO_ID): mode & 7}
    return {(tag, who): bits for tag, bits, who in struct.iter_unpack("<HHI", acl[4:])}


def access(file: Path) -> dict[tuple[int, int], int]:
    """(tag, id) -> what they may do; the owning group by its number."""
    found, state = entries(file), file.stat()
    mask = found.get((MASK, NO_ID), 7)
    who = {key: bits & (7 if key[0] in (OWNER, OTHER) else mask) for key, bits in found.items() if key[0] != MASK}
    return {(tag, state.st_gid if tag == GROUP else number): bits for (tag, number), bits in who.items()}


def others(file: Path) -> dict[tuple[int, int], int]:
    return {key: bits for key, bits in access(file).items() if key[0] != OWNER and bits}


class Writer(Machine):
    """Notes which files that were there before it has written anew."""

    def __init__(self, root: str, **options: Any) -> None:
        super().__init__(root, **options)
        self.replaced: set[Path] = set()

    @contextmanager
    def replacing(self, path: str, *args: Any, **options: Any) -> Iterator[IO[bytes]]:
        if Path(self.path(path)).exists():
            self.replaced.add(Path(os.path.realpath(self.path(path))))
        with super().replacing(path, *args, **options) as file:
            yield file


@pytest.fixture
def world(tmp_path: Path) -> World:
    (tmp_path / "host").mkdir()
    return World(tmp_path / "host")


@pytest.fixture
def shared_file(world: World) -> Path:
    files(x="one\n")(world)
    decorate(world.root / "srv/x")
    return world.root / "srv/x"


def replaced_by(example: Example, root: Path) -> int:
    """Run an example on a host where every file has a list and attributes; how many it replaced."""
    root.mkdir()
    world = World(root)
    more = example.prepare(world)
    known: dict[Path, tuple[dict[tuple[int, int], int], dict[tuple[int, int], int]]] = {}
    for path in (path for top in ("etc", "srv", "home", "root") for path in (root / top).rglob("*")):
        if path.is_file() and not path.is_symlink() and path.stat().st_nlink == 1:
            decorate(path)
            known[path] = entries(path), others(path)
    machine: Writer = world.machine(Writer)
    args = {**example.args, **(more if isinstance(more, dict) else {})}
    event = run(Task("task", example.kind, args), machine)
    assert event.status in ("changed", "ok"), event
    left = {path for path in machine.replaced if path in known and path.exists()}
    for path in left:
        before, could = known[path]
        assert {name: os.getxattr(path, name) for name in VALUES} == VALUES, path
        named = {key: bits for key, bits in before.items() if key[0] in (USER, GROUP)}
        assert {key: bits for key, bits in entries(path).items() if key in named} == named, path
        if "mode" not in args and example.kind not in WITH_MODE:
            assert entries(path) == before, path
        if "mode" not in args and example.kind not in WITH_MODE[1:] and "group" not in args:
            assert all(bits & ~could.get(key, 0) == 0 for key, bits in others(path).items()), path
    return len(left)


@pytest.mark.parametrize("kind", sorted({example.kind for example in EXAMPLES}))
def test_a_replaced_file_keeps_its_access_list_and_attributes(kind: str, tmp_path: Path) -> None:
    mine = [example for example in EXAMPLES if example.kind == kind]
    replaced = sum(replaced_by(example, tmp_path / str(number)) for number, example in enumerate(mine))
    assert (replaced > 0) == (kind in REPLACING), "REPLACING names the kinds whose examples replace files"


ATTEMPTS: dict[str, dict[str, Any]] = {
    "copy": {"dest": "/srv/x", "content": "two\n"},
    "copy, validated": {"dest": "/srv/x", "content": "two\n", "validate": "looker %s"},
    "copy, mode": {"dest": "/srv/x", "content": "two\n", "mode": "0604"},
    "copy, group": {"dest": "/srv/x", "content": "two\n", "group": "77", "mode": "0600"},
    "copy, owner": {"dest": "/srv/x", "content": "two\n", "owner": "77", "group": "88"},
    "template": {"dest": "/srv/x", "content": "two\n", "src": "x.j2"},
    "lineinfile": {"path": "/srv/x", "line": "two"},
    "lineinfile, backup": {"path": "/srv/x", "line": "two", "backup": True},
    "blockinfile": {"path": "/srv/x", "block": "two"},
    "replace": {"path": "/srv/x", "regexp": "one", "replace": "two"},
    "ini_file": {"path": "/srv/x", "section": "a", "option": "b", "value": "c"},
    "known_hosts": {
        "path": "/srv/x",
        "name": "h",
        "key": "h ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJnWJHJrZDqzOVbMT1F/8L0d8cVbOJ5IUsZ1sgzKHS4o",
    },
}


@pytest.mark.parametrize("said", ATTEMPTS)
@pytest.mark.parametrize("listed", [True, False], ids=["list", "mode"])
def test_at_no_instant_anybody_may_do_more(
    said: str, listed: bool, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    files(x="one\n")(world)
    world.script("looker")
    path = world.root / "srv/x"
    path.chmod(0o640)
    os.chown(path, 11, 22)
    if listed:
        decorate(path)
    # a default list: what is made here is for everybody at first
    rows = ((OWNER, 7, NO_ID), (USER, 7, 4321), (GROUP, 7, NO_ID), (MASK, 7, NO_ID), (OTHER, 7, NO_ID))
    os.setxattr(path.parent, "system.posix_acl_default", access_list(*rows))
    before, seen = others(path), []

    def watched(call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **options: Any) -> Any:
            answer = call(*args, **options)
            seen.extend((call.__name__, others(one)) for one in path.parent.iterdir())
            return answer

        return wrapped

    for name in ("open", "fchown", "fchmod", "chmod", "lchown", "setxattr", "removexattr", "rename", "fsync"):
        monkeypatch.setattr(os, name, watched(getattr(os, name)))
    event = run(task(said.partition(",")[0], **ATTEMPTS[said]), world.machine())
    monkeypatch.undo()
    assert event.status == "changed", event
    after = others(path)
    allowed = [before, after] if "mode" in ATTEMPTS[said] or "group" in ATTEMPTS[said] else [before]
    for call, found in seen:
        for key, bits in found.items():
            assert any(bits & ~one.get(key, 0) == 0 for one in allowed), (call, key, bits)
    assert seen and (not listed or os.getxattr(path, "user.x") == b"1")


@pytest.mark.parametrize("kind", ["copy", "file", "lineinfile"])
def test_a_mode_on_a_file_with_a_list_is_its_mask(kind: str, world: World, shared_file: Path) -> None:
    """As chmod(1)."""
    args = {"copy": {"dest": "/srv/x", "content": "two\n"}, "file": {"path": "/srv/x"}}
    args["lineinfile"] = {"path": "/srv/x", "line": "two"}
    assert run(task(kind, **args[kind], mode="0644"), world.machine()).status == "changed"
    wanted = {(OWNER, NO_ID): 6, (USER, NOBODY): 6, (GROUP, NO_ID): 4, (MASK, NO_ID): 4, (OTHER, NO_ID): 4}
    assert entries(shared_file) == wanted
    assert run(task(kind, **args[kind], mode="0644"), world.machine()).status == "ok"


def test_a_backup_is_for_those_who_could_read_the_file(world: World, shared_file: Path) -> None:
    event = run(task("lineinfile", register=True, path="/srv/x", line="two", backup=True), world.machine())
    assert event.after is not None
    kept = world.root / event.after["backup_file"].lstrip("/")
    assert entries(kept) == entries(shared_file) and os.getxattr(kept, "user.x") == b"1"


def test_a_copy_with_the_mode_of_its_source_is_not_for_more(world: World, shared_file: Path) -> None:
    args = {"src": "/srv/x", "remote_src": True, "mode": "preserve"}
    assert run(task("copy", dest="/srv/y", **args), world.machine()).status == "changed"
    assert (world.root / "srv/y").stat().st_mode & 0o777 == 0o640  # 0660 would be the mask
    assert run(task("copy", dest="/srv/y", **args), world.machine()).status == "ok"


def test_a_new_file_has_the_list_of_its_directory_within_its_mode(world: World) -> None:
    rows = ((OWNER, 7, NO_ID), (USER, 7, NOBODY), (GROUP, 7, NO_ID), (MASK, 7, NO_ID), (OTHER, 7, NO_ID))
    os.setxattr(world.root / "srv", "system.posix_acl_default", access_list(*rows))
    assert run(task("copy", dest="/srv/x", content="x", mode="0640"), world.machine()).status == "changed"
    assert others(world.root / "srv/x") == {(USER, NOBODY): 4, (GROUP, 0): 4}


def test_capabilities_stay_with_their_owner(world: World, shared_file: Path) -> None:
    os.setxattr(shared_file, attributes.CAPABILITY, CAPABLE)
    shared_file.chmod(0o4750)
    assert run(task("copy", dest="/srv/x", content="two\n"), world.machine()).status == "changed"
    assert os.getxattr(shared_file, attributes.CAPABILITY) == CAPABLE and shared_file.stat().st_mode & 0o7000 == 0o4000
    assert run(task("copy", dest="/srv/x", content="3\n", owner="77"), world.machine()).status == "changed"
    assert attributes.CAPABILITY not in os.listxattr(shared_file) and shared_file.stat().st_mode & 0o7000 == 0


def test_a_link_keeps_what_it_points_to(world: World, shared_file: Path) -> None:
    (world.root / "srv/link").symlink_to("x")
    assert run(task("lineinfile", path="/srv/link", line="two"), world.machine()).status == "changed"
    assert os.getxattr(shared_file, "user.x") == b"1" and (USER, NOBODY) in entries(shared_file)
    assert (world.root / "srv/link").is_symlink()


def test_other_names_of_a_file_keep_the_old_content(world: World, shared_file: Path) -> None:
    """As with Ansible: a rename gives one name another file."""
    other = world.root / "srv/other"
    other.hardlink_to(shared_file)
    assert run(task("copy", dest="/srv/x", content="two\n"), world.machine()).status == "changed"
    assert (other.read_text(), shared_file.read_text()) == ("one\n", "two\n")


@pytest.mark.parametrize("name", ["user.x", "trusted.x", "security.x", attributes.ACL])
def test_what_cannot_be_kept_fails_before_anything_is_lost(
    name: str, world: World, shared_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, before = os.setxattr, entries(shared_file)

    def refuse(file: Any, one: str, value: bytes) -> None:
        if one == name:
            raise PermissionError(errno.EPERM, "Operation not permitted")
        real(file, one, value)

    monkeypatch.setattr(os, "setxattr", refuse)
    event = run(task("copy", dest="/srv/x", content="two\n"), world.machine())
    assert event.status == "failed" and event.error is not None and event.error["class"] == "StepFailed"
    assert name in event.why and "become" in event.error["hint"]
    assert shared_file.read_text() == "one\n" and entries(shared_file) == before
    assert list((world.root / "srv").iterdir()) == [shared_file]


def test_a_file_system_without_attributes_will_do(
    world: World, shared_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unsupported(*_: Any, **__: Any) -> Any:
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    for call in ("listxattr", "getxattr", "setxattr", "removexattr"):
        monkeypatch.setattr(os, call, unsupported)
    assert run(task("copy", dest="/srv/x", content="two\n"), world.machine()).status == "changed"
    assert shared_file.read_text() == "two\n"


def test_signatures_of_the_old_content_go(world: World, shared_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed, got = os.listxattr, os.getxattr
    monkeypatch.setattr(os, "listxattr", lambda file: [*listed(file), "security.ima", "trusted.gfid"])
    monkeypatch.setattr(os, "getxattr", lambda file, name: b"?" if name == "security.ima" else got(file, name))
    assert set(attributes.attributes_of(str(shared_file))) == {attributes.ACL, *VALUES}


def test_an_immutable_file_says_so(world: World, shared_file: Path) -> None:
    get, put, immutable = 0x80086601, 0x40086602, 0x10  # FS_IOC_GETFLAGS, FS_IOC_SETFLAGS, FS_IMMUTABLE_FL
    with shared_file.open() as file:
        flags = struct.unpack("L", fcntl.ioctl(file, get, bytes(8)))[0]
        fcntl.ioctl(file, put, struct.pack("L", flags | immutable))
        try:
            event = run(task("copy", dest="/srv/x", content="two\n"), world.machine())
        finally:
            fcntl.ioctl(file, put, struct.pack("L", flags))
    assert event.status == "failed" and event.error is not None and "chattr -i" in event.error["hint"]
    assert "/srv/x" in event.why and ".mnemo" not in event.why
    assert shared_file.read_text() == "one\n" and list((world.root / "srv").iterdir()) == [shared_file]


def test_who_is_not_root_keeps_what_he_may(world: World, shared_file: Path) -> None:
    """In a child: what the kernel lets another user do."""
    os.removexattr(shared_file, "security.x")
    os.chown(shared_file, NOBODY, NOBODY)
    for directory in (world.root, *world.root.parents):
        if directory != Path("/") and not directory.stat().st_mode & 0o001:
            directory.chmod(directory.stat().st_mode | 0o011)
    os.chown(world.root / "srv", NOBODY, NOBODY)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            Machine(str(world.root)).write("/srv/x", b"two\n")
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert shared_file.read_text() == "two\n" and os.getxattr(shared_file, "user.x") == b"1"
    assert (USER, NOBODY) in entries(shared_file) and "trusted.x" not in os.listxattr(shared_file)


def test_a_file_of_the_controller_keeps_them_too(shared_file: Path) -> None:
    replace_file(shared_file, b"two\n")
    assert os.getxattr(shared_file, "user.x") == b"1" and others(shared_file) == {}
    assert shared_file.read_bytes() == b"two\n"


def test_an_unreadable_attribute_is_no_reason_to_lose_it(
    shared_file: Path, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(file: Any, name: str) -> bytes:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "getxattr", refuse)
    with pytest.raises(StepFailed):
        world.machine().write("/srv/x", b"two\n")
    assert shared_file.read_text() == "one\n"
