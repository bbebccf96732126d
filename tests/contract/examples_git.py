"""Checkouts, with the real git."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from example import Example
from world import World

GIT = shutil.which("git") or "git"
WHO = {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b"}
WHEN = {"GIT_AUTHOR_DATE": "2024-01-01T00:00:00Z", "GIT_COMMITTER_DATE": "2024-01-01T00:00:00Z"}


def git(where: Path, *words: str) -> str:
    alone = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null", "HOME": "/nonexistent"}
    done = subprocess.run(
        [GIT, "-C", str(where), *words],
        env={"PATH": os.environ["PATH"], **WHO, **WHEN, **alone},
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


def commit(where: Path, **texts: str) -> str:
    for name, text in texts.items():
        (where / name).write_text(text)
    git(where, "add", "--all")
    git(where, "commit", "--quiet", "--message", "text")
    return git(where, "rev-parse", "HEAD")


def repository(world: World) -> Path:
    """Two commits on main, the first one tagged v1 (annotated), a branch old; git itself on the host."""
    (world.root / "usr/bin/git").symlink_to(GIT)
    where = world.root / "home/repo"
    where.mkdir()
    git(where, "init", "--quiet", "--initial-branch=main")
    git(where, "config", "uploadpack.allowAnySHA1InWant", "true")
    commit(where, file="one\n")
    git(where, "tag", "--annotate", "--message", "first", "v1")
    git(where, "branch", "old")
    commit(where, file="two\n", other="new\n")
    return where


def cloned(*then: Callable[[Path, Path], Any]) -> Callable[[World], dict[str, Any]]:
    """A checkout of the repository, after which something happened to one of them."""

    def prepare(world: World) -> dict[str, Any]:
        args = fresh(world)
        dest = world.root / "srv/app"
        git(dest.parent, "clone", "--quiet", args["repo"], str(dest))
        for one in then:
            one(world.root / "home/repo", dest)
        return args

    return prepare


def fresh(world: World) -> dict[str, Any]:
    return {"repo": f"file://{repository(world)}"}


TOOL = ("git",)
EXAMPLES: tuple[Example, ...] = (
    Example("new", "git", {"dest": "/srv/app"}, fresh, tools=TOOL),
    Example("tag", "git", {"dest": "/srv/a/b", "version": "v1", "depth": 1}, fresh, tools=TOOL),
    Example("newer", "git", {"dest": "/srv/app"}, cloned(lambda repo, dest: commit(repo, file="three\n")), tools=TOOL),
    Example("branch", "git", {"dest": "/srv/app", "version": "old"}, cloned(), tools=TOOL),
    Example(
        "forced",
        "git",
        {"dest": "/srv/app", "force": True, "version": "main"},
        cloned(lambda repo, dest: (dest / "file").write_text("mine")),
        tools=TOOL,
    ),
)
