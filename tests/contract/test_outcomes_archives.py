"""What unarchive, script, assemble and tempfile promise beyond the contract."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path
from typing import Any

import pytest
from example import files
from examples_archives import TREE, tar, zipped
from running import run, run_all, task
from world import World

from mnemo_ops.agent.base.protocol import Event
from mnemo_ops.agent.files.archive_names import selection
from mnemo_ops.playbook import module_args
from mnemo_ops.playbook.sources import prepared
from mnemo_ops.templates.render import Scope


@pytest.fixture
def world(tmp_path: Path) -> World:
    (tmp_path / "host").mkdir()
    return World(tmp_path / "host")


def sent(world: World, place: Path, kind: str, check: bool = False, **args: Any) -> Event:
    """A task with what it takes from the controller's directory ``place``."""
    (one,) = prepared(kind, args, Scope([place], [place]), "play.yml:1")
    for content in one.files.values():
        world.offer(content if isinstance(content, bytes) else content.read_bytes())
    module_args.build(one.kind, one.args, "play.yml:1")
    return run(task(one.kind, register=True, **one.args), world.machine(read_only=check), check)


def test_an_archive_of_the_controller_travels_only_when_something_differs(world: World, tmp_path: Path) -> None:
    (tmp_path / "x.tgz").write_bytes(tar(link="run"))
    args = {"src": "x.tgz", "dest": "/srv", "list_files": True}
    check = sent(world, tmp_path, "unarchive", check=True, **args)
    assert check.status == "changed" and check.before is not None
    assert check.before["differing"] == [
        "/srv/app",
        "/srv/app/run",
        "/srv/app/sub",
        "/srv/app/sub/data",
        "/srv/app/link",
    ]
    assert sent(world, tmp_path, "unarchive", **args).status == "changed"
    assert (world.root / "srv/app/sub/data").read_bytes() == TREE["app/sub/data"]
    found = (world.root / "srv/app/run").stat()
    assert (found.st_mode & 0o7777, found.st_uid, found.st_gid, found.st_mtime) == (0o750, 1500, 4321, 1_000_000_000)
    assert (world.root / "srv/app/link").readlink() == Path("run")
    event = sent(world, tmp_path, "unarchive", **args)
    assert event.status == "ok" and event.after is not None and event.after["files"][0] == "app"
    world.fetch = lambda sha256, into: pytest.fail("asked for")  # type: ignore[method-assign,assignment]
    assert sent(world, tmp_path, "unarchive", **args).status == "ok"


@pytest.mark.parametrize("what", ["content", "mode", "owner", "link", "missing"])
def test_what_differs_is_put_right_and_nothing_else(world: World, tmp_path: Path, what: str) -> None:
    (tmp_path / "x.tgz").write_bytes(tar(link="run"))
    args = {"src": "x.tgz", "dest": "/srv"}
    sent(world, tmp_path, "unarchive", **args)
    good, own = world.tree(), world.root / "srv/app/own"
    own.write_text("mine")
    run_file = world.root / "srv/app/run"
    if what == "content":
        run_file.write_bytes(run_file.read_bytes()[::-1])
    elif what == "mode":
        run_file.chmod(0o777)
    elif what == "owner":
        os.chown(run_file, 1, 1)
    elif what == "link":
        (world.root / "srv/app/link").unlink()
        (world.root / "srv/app/link").symlink_to("sub")
    else:
        run_file.unlink()
    event = sent(world, tmp_path, "unarchive", **args)
    assert event.status == "changed" and event.before is not None and len(event.before["differing"]) == 1
    assert own.read_text() == "mine"
    own.unlink()
    same = {name: row[:3] + row[5:] for name, row in world.tree().items()}
    assert same == {name: row[:3] + row[5:] for name, row in good.items()}


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({}, ["app", "app/run", "app/sub", "app/sub/data"]),
        ({"extra_opts": ["--strip-components=1"]}, ["run", "sub", "sub/data"]),
        ({"extra_opts": ["--strip-components", "2"]}, ["data"]),
        ({"extra_opts": ["--exclude=sub"]}, ["app", "app/run"]),
        ({"exclude": ["app/run"]}, ["app", "app/sub", "app/sub/data"]),
        ({"include": ["app/sub"]}, ["app", "app/sub", "app/sub/data"]),
        ({"extra_opts": ["--transform=s/^app/new/"]}, ["new", "new/run", "new/sub", "new/sub/data"]),
    ],
    ids=str,
)
def test_what_is_asked_for_comes_out(world: World, tmp_path: Path, options: dict[str, Any], names: list[str]) -> None:
    (tmp_path / "x").write_bytes(tar("w"))
    assert sent(world, tmp_path, "unarchive", src="x", dest="/srv", **options).status == "changed"
    assert sorted(str(path.relative_to(world.root / "srv")) for path in (world.root / "srv").rglob("*")) == names
    assert sent(world, tmp_path, "unarchive", src="x", dest="/srv", **options).status == "ok"


def test_options_that_cannot_be_honoured_are_refused() -> None:
    for option in ("--totals", "-x", "--strip-components=x", "--transform=y/a/b/"):
        with pytest.raises(ValueError, match="extra_opts"):
            selection([option], [], [])


def test_nothing_is_written_outside_of_the_directory(world: World, tmp_path: Path) -> None:
    for name, first in (("../out", ""), ("link/out", "/etc")):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w") as archive:
            if first:
                info = tarfile.TarInfo("link")
                info.type, info.linkname = tarfile.SYMTYPE, first
                archive.addfile(info)
            archive.addfile(tarfile.TarInfo(name))
        (tmp_path / "x").write_bytes(out.getvalue())
        event = sent(world, tmp_path, "unarchive", src="x", dest="/srv")
        assert event.status == "failed" and event.error is not None and event.error["class"] == "Refused"
        assert not (world.root / "etc/out").exists() and not (world.root / "out").exists()


def test_what_is_no_archive_says_so(world: World) -> None:
    files(x="not an archive")(world)
    event = run(task("unarchive", src="/srv/x", dest="/srv", remote_src=True), world.machine())
    assert event.status == "failed" and "/srv/x is not an archive" in event.why
    tasks = [
        task("file", path="/srv/new", state="directory"),
        task("unarchive", src="/srv/x", dest="/srv/new", copy=False),
    ]
    statuses = [event.status for event in run_all(tasks, world.machine(read_only=True), check=True)]
    assert statuses == ["changed", "unknown"]


def test_creates_says_it_was_done(world: World, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(zipped())
    files(done="")(world)
    assert sent(world, tmp_path, "unarchive", src="x", dest="/none", creates="/srv/done").status == "ok"
    args = {"src": "x", "dest": "/srv", "creates": "/srv/app/run", "list_files": True}
    event = sent(world, tmp_path, "unarchive", **args)
    assert event.status == "changed" and event.after is not None and "app/run" in event.after["files"]
    assert sent(world, tmp_path, "unarchive", **args).status == "ok"


def test_a_script_gets_its_arguments_and_leaves_nothing(world: World, tmp_path: Path) -> None:
    (tmp_path / "my script.sh").write_text('#!/bin/sh\necho "$1|$2"; pwd; exit 3\n')
    event = sent(world, tmp_path, "script", cmd="'my script.sh' 'a  b' $((1+1))", chdir="/srv")
    assert event.status == "failed" and event.before is not None
    assert event.before["stdout"] == f"a  b|2\n{world.root}/srv" and event.before["rc"] == 3
    assert not list((world.root / "var/lib/mnemo_ops").glob("script*"))
    (tmp_path / "x.txt").write_text("echo by sh $1\n")
    event = sent(world, tmp_path, "script", cmd="x.txt one", executable="/bin/sh -u")
    assert event.status == "changed" and event.after is not None and event.after["stdout"] == "by sh one"


def test_fragments_are_put_together(world: World, tmp_path: Path) -> None:
    files(d__2="b\n", d__1="a", d__10="c\n")(world)
    assert run(task("assemble", src="/srv/d", dest="/srv/x", delimiter="#\\n"), world.machine()).status == "changed"
    assert world.read("srv/x") == "a\n#\nc\n#\nb\n"
    for name in ("1", "2", ".h", "sub"):
        (tmp_path / "d").mkdir(exist_ok=True)
        (tmp_path / "d" / name).mkdir() if name == "sub" else (tmp_path / "d" / name).write_text(name)
    args = {"src": "d", "dest": "/srv/y", "remote_src": False, "ignore_hidden": True}
    assert sent(world, tmp_path, "assemble", **args).status == "changed"
    assert world.read("srv/y") == "1\n2"


def test_a_temporary_file_is_a_new_one_each_time(world: World) -> None:
    made = [run(task("tempfile", register=True, path="/srv", prefix="p", suffix=".s"), world.machine()) for _ in "12"]
    paths = {event.after["path"] for event in made if event.after}
    assert len(paths) == 2 and all(path.startswith("/srv/p") and path.endswith(".s") for path in paths)
    assert all((world.root / path.lstrip("/")).stat().st_mode & 0o7777 == 0o600 for path in paths)


def test_a_directory_no_entry_names_gets_what_is_declared(world: World, tmp_path: Path) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        archive.addfile(tarfile.TarInfo("app/bin/run"), io.BytesIO(b""))
    (tmp_path / "x.tgz").write_bytes(out.getvalue())
    args = {"src": "x.tgz", "dest": "/srv", "owner": "1500", "group": "4321"}
    assert sent(world, tmp_path, "unarchive", **args).status == "changed"
    found = (world.root / "srv/app").stat()
    assert (found.st_uid, found.st_gid) == (1500, 4321)
    assert (world.root / "srv/app/bin").stat().st_uid == os.geteuid()  # as with Ansible, only at the top
    assert sent(world, tmp_path, "unarchive", **args).status == "ok"
