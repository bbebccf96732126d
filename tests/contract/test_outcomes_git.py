"""What git promises beyond the contract."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from example import files
from examples_git import cloned, commit, fresh, git
from running import run, task
from world import World

from mnemo_ops.agent.base.protocol import Event


@pytest.fixture
def world(tmp_path: Path) -> World:
    (tmp_path / "host").mkdir()
    return World(tmp_path / "host")


def checked_out(world: World, repo: str, check: bool = False, **args: Any) -> Event:
    wanted = task("git", register=True, repo=repo, dest="/srv/app", **args)
    return run(wanted, world.machine(read_only=check), check)


def test_versions_of_every_sort(world: World) -> None:
    repo = fresh(world)["repo"]
    origin, dest = world.root / "home/repo", world.root / "srv/app"
    one, two = git(origin, "rev-parse", "v1^{commit}"), git(origin, "rev-parse", "main")
    before = None
    for version, commit_, text in [
        ("v1", one, "one\n"),
        ("main", two, "two\n"),
        ("old", one, "one\n"),
        (two, two, "two\n"),
        (one[:8], one, "one\n"),
    ]:
        event = checked_out(world, repo, version=version)
        assert event.status == "changed" and event.after is not None, (version, event)
        assert (event.after["before"], event.after["after"]) == (before, commit_)
        assert (dest / "file").read_text() == text and git(dest, "rev-parse", "HEAD") == commit_
        event = checked_out(world, repo, version=version)
        assert event.status == "ok" and event.after is not None and event.after["before"] == commit_
        before = commit_
    event = checked_out(world, repo, version="nonesuch")
    assert event.status == "failed" and "nonesuch" in event.why
    assert sorted(path.name for path in dest.iterdir()) == [".git", "file"]


def test_a_check_knows_without_fetching(world: World) -> None:
    args = cloned(lambda repo, dest: commit(repo, file="three\n"))(world)
    before = world.tree()
    event = checked_out(world, args["repo"], check=True)
    newest = git(world.root / "home/repo", "rev-parse", "HEAD")
    assert event.status == "changed" and event.before is not None
    assert event.before["after"] == git(world.root / "srv/app", "rev-parse", "HEAD") != newest
    assert world.tree() == before
    assert checked_out(world, args["repo"], update=False).status == "ok"


def test_local_changes_are_an_error_or_thrown_away(world: World) -> None:
    args = cloned(lambda repo, dest: (dest / "file").write_text("mine"))(world)
    event = checked_out(world, args["repo"])
    assert event.status == "failed" and event.error is not None and "local changes" in event.why
    assert event.error["class"] == "Refused" and world.read("srv/app/file") == "mine"
    world.write("srv/app/untracked", "kept")
    assert checked_out(world, args["repo"], force=True).status == "changed"
    assert world.read("srv/app/file") == "two\n" and world.read("srv/app/untracked") == "kept"


def test_what_a_killed_run_left_is_no_local_change(world: World) -> None:
    args = cloned(lambda repo, dest: (dest / "file").write_text("half"))(world)
    world.write("srv/app/.git/mnemo-unfinished", "")
    world.write("srv/app/.git/index.lock", "")
    assert checked_out(world, args["repo"]).status == "changed"
    assert world.read("srv/app/file") == "two\n" and checked_out(world, args["repo"]).status == "ok"


def test_another_server_is_told(world: World) -> None:
    args = cloned()(world)
    (world.root / "home/repo").rename(world.root / "home/moved")
    repo = args["repo"].replace("/home/repo", "/home/moved")
    event = checked_out(world, repo)
    assert event.status == "changed" and event.after is not None and event.after["remote_url_changed"]
    assert git(world.root / "srv/app", "remote", "get-url", "origin") == repo


def test_shallow_bare_and_not_at_all(world: World) -> None:
    repo = fresh(world)["repo"]
    assert run(task("git", repo=repo, dest="/srv/none", clone=False), world.machine()).status == "ok"
    assert not (world.root / "srv/none").exists()
    assert run(task("git", repo=repo, dest="/srv/few", depth=1), world.machine()).status == "changed"
    assert git(world.root / "srv/few", "rev-list", "--count", "HEAD") == "1"
    commit(world.root / "home/repo", file="three\n")
    assert run(task("git", repo=repo, dest="/srv/few", depth=1), world.machine()).status == "changed"
    assert git(world.root / "srv/few", "rev-list", "--count", "HEAD") == "1"
    assert world.read("srv/few/file") == "three\n"
    assert run(task("git", repo=repo, dest="/srv/x.git", bare=True), world.machine()).status == "changed"
    assert run(task("git", repo=repo, dest="/srv/x.git", bare=True), world.machine()).status == "ok"
    commit(world.root / "home/repo", file="four\n")
    assert run(task("git", repo=repo, dest="/srv/x.git", bare=True), world.machine()).status == "changed"
    assert git(world.root / "srv/x.git", "show", "main:file") == "four"


def test_what_is_there_already_is_not_replaced(world: World) -> None:
    files(app__mine="1")(world)
    event = checked_out(world, fresh(world)["repo"])
    assert event.status == "failed" and event.error is not None and event.error["class"] == "Refused"
    event = checked_out(world, "file:///nonexistent/repo")
    assert event.status == "failed"


def test_what_is_fetched_is_no_option(world: World) -> None:
    repo, planted = fresh(world)["repo"], world.root / "planted"
    with pytest.raises(ValueError, match="refspec"):
        checked_out(world, repo, refspec=f"--upload-pack=touch {planted}; git-upload-pack")
    assert not planted.exists()


@pytest.mark.parametrize("depth", [None, 1])
def test_a_server_whose_head_is_no_branch(world: World, depth: int) -> None:
    repo, origin = fresh(world)["repo"], world.root / "home/repo"
    git(origin, "update-ref", "refs/odd", "main")
    git(origin, "symbolic-ref", "HEAD", "refs/odd")
    assert checked_out(world, repo, depth=depth).status == "changed"
    assert (world.root / "srv/app/file").read_text() == "two\n"
