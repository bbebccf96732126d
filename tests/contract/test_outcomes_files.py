"""What file, copy and template promise beyond the contract."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
from example import files, links
from running import run, task
from world import World

from mnemo_ops.errors import PlaybookError
from mnemo_ops.playbook import module_args
from mnemo_ops.playbook.sources import prepared
from mnemo_ops.templates.render import Scope


@pytest.fixture
def world(tmp_path: Path) -> World:
    (tmp_path / "host").mkdir()
    return World(tmp_path / "host")


def converge(world: World, place: Path, kind: str, **args: Any) -> list[str]:
    """A task with what it takes from the controller's directory ``place``; the statuses of all it becomes."""
    statuses = []
    for one in prepared(kind, args, Scope([place], [place]), "play.yml:1"):
        for path in one.files.values():
            world.offer(path if isinstance(path, bytes) else path.read_bytes())
        module_args.build(one.kind, one.args, "play.yml:1")
        statuses.append(run(task(one.kind, **one.args), world.machine()).status)
    return statuses


def mode(world: World, path: str) -> str:
    return f"{(world.root / path).stat().st_mode & 0o7777:04o}"


def test_a_tree_of_the_host_is_copied_with_its_modes(world: World) -> None:
    files(d__x="1", d__e__y="2")(world)
    (world.root / "srv/d/e/y").chmod(0o750)
    (world.root / "srv/d/e").chmod(0o700)
    (world.root / "srv/d/l").symlink_to("x")
    args = {"src": "/srv/d", "dest": "/srv/new", "remote_src": True}
    check = run(task("copy", **args), world.machine(read_only=True), check=True)
    assert check.status == "changed" and check.before is not None and "/srv/new/d/e/y" in check.before["differing"]
    assert run(task("copy", **args), world.machine()).status == "changed"
    assert world.read("srv/new/d/e/y") == "2" and mode(world, "srv/new/d/e/y") == "0750"
    assert (
        mode(world, "srv/new/d/e") == "0700"
        and mode(world, "srv/new") == "0755"
        and not (world.root / "srv/new/d/l").is_symlink()
    )
    (world.root / "srv/new/d/x").write_text("other")
    check = run(task("copy", **args), world.machine(read_only=True), check=True)
    assert check.before == {"differing": ["/srv/new/d/x"]}
    args["local_follow"], args["dest"] = False, "/srv/linked"
    assert run(task("copy", **args), world.machine()).status == "changed"
    assert (world.root / "srv/linked/d/l").readlink() == Path("x")


def test_what_is_not_there_to_copy_is_unknown_or_an_error(world: World) -> None:
    event = run(task("copy", src="/srv/none", dest="/srv/x", remote_src=True), world.machine())
    assert event.status == "failed" and "/srv/none" in event.why


def test_a_checksum_that_does_not_fit_copies_nothing(world: World, tmp_path: Path) -> None:
    files(a="1")(world)
    args = {"dest": "/srv/b", "checksum": "0" * 40}
    event = run(task("copy", src="/srv/a", remote_src=True, **args), world.machine())
    assert event.status == "failed" and not (world.root / "srv/b").exists()
    (tmp_path / "a").write_text("1")
    with pytest.raises(PlaybookError, match="checksum"):
        converge(world, tmp_path, "copy", src="a", **args)
    args["checksum"] = hashlib.sha1(b"1").hexdigest()
    assert converge(world, tmp_path, "copy", src="a", **args) == ["changed"]


def test_a_record_says_what_is_there(world: World) -> None:
    for kind, more in (("copy", {}), ("template", {"src": "x.j2"})):
        event = run(
            task(kind, register=True, content="text", dest="/srv/" + kind, mode="0600", **more), world.machine()
        )
        assert event.after is not None
        wanted = {"dest": f"/srv/{kind}", "mode": "0600", "size": 4, "state": "file", "owner": "root", "group": "root"}
        assert {key: event.after[key] for key in wanted} == wanted
        assert event.after["checksum"] == hashlib.sha1(b"text").hexdigest()
    event = run(task("copy", register=True, content="new", dest="/srv/copy", backup=True), world.machine())
    assert event.after is not None and world.read(event.after["backup_file"].lstrip("/")) == "text"
    event = run(task("file", register=True, path="/srv/d", state="directory", mode="u=rwx,go="), world.machine())
    assert event.after is not None and (event.after["path"], event.after["state"]) == ("/srv/d", "directory")
    assert event.after["mode"] == "0700" and event.after["owner"] == "root"


def test_the_home_directory_is_meant_by_a_tilde(world: World) -> None:
    world.write("root/.keep", "")
    assert run(task("copy", content="a\n", dest="~/x"), world.machine()).status == "changed"
    assert run(task("lineinfile", path="~/x", line="b"), world.machine()).status == "changed"
    assert run(task("file", path="~/x", mode="0600"), world.machine()).status == "changed"
    assert world.read("root/x") == "a\nb\n" and mode(world, "root/x") == "0600"


def test_a_tree_of_the_controller_keeps_what_it_is_told_to(world: World, tmp_path: Path) -> None:
    (tmp_path / "tree/sub").mkdir(parents=True)
    (tmp_path / "tree/sub/run").write_text("#!/bin/sh\n")
    (tmp_path / "tree/sub/run").chmod(0o750)
    (tmp_path / "tree/link").symlink_to("sub/run")
    args = {"src": "tree/", "dest": "/srv/out", "mode": "preserve", "directory_mode": "0711"}
    assert set(converge(world, tmp_path, "copy", **args)) == {"changed"}
    assert mode(world, "srv/out/sub/run") == "0750" and mode(world, "srv/out/sub") == "0711"
    assert not (world.root / "srv/out/link").is_symlink()
    (world.root / "srv/out/sub").chmod(0o755)  # directories that are there stay as they are
    assert set(converge(world, tmp_path, "copy", **args)) == {"ok"}
    args.update(dest="/srv/again", local_follow=False)
    assert set(converge(world, tmp_path, "copy", **args)) == {"changed"}
    assert (world.root / "srv/again/link").readlink() == Path("sub/run")
    (tmp_path / "x.j2").write_text("a{{ 1 + 1 }}\n")
    (tmp_path / "x.j2").chmod(0o640)
    assert converge(world, tmp_path, "template", src="x.j2", dest="/srv/x", mode="preserve") == ["changed"]
    assert world.read("srv/x") == "a2\n" and mode(world, "srv/x") == "0640"


def test_a_template_ends_its_lines_and_encodes_as_it_is_told(world: World, tmp_path: Path) -> None:
    (tmp_path / "x.j2").write_text("[% if true %]\n  ü\n[% endif %]\n")
    args = {"newline_sequence": "\\r\\n", "block_start_string": "[%", "block_end_string": "%]"}
    wanted = {"src": "x.j2", "dest": "/srv/x", "output_encoding": "latin-1", **args}
    assert converge(world, tmp_path, "template", **wanted) == ["changed"]
    assert (world.root / "srv/x").read_bytes() == "  ü\r\n".encode("latin-1")
    assert converge(world, tmp_path, "template", **wanted) == ["ok"]


def test_a_link_itself_and_times(world: World) -> None:
    links(link="target")(world)
    event = run(task("file", path="/srv/link", follow=False, owner=77, mode="0600"), world.machine())
    assert event.status == "changed"
    assert (world.root / "srv/link").lstat().st_uid == 77 and (world.root / "srv/target").stat().st_uid != 77
    with pytest.raises(ValueError):
        task("file", path="/x", modification_time="yesterday").resource()
    event = run(task("file", path="/srv/target", modification_time="200001010000.00"), world.machine())
    assert event.status == "changed" and (world.root / "srv/target").stat().st_mtime < 1e9


def test_a_path_no_system_call_takes_is_no_bug(world: World) -> None:
    event = run(task("file", path="/srv/a\0b", state="touch"), world.machine())
    assert event.status == "failed" and event.error is not None and event.error["class"] == "StepFailed"
