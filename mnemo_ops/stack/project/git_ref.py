"""The source of a stack as a commit of its repository has it: what lies in the directory by chance is not deployed."""

from __future__ import annotations

import functools
import subprocess
import tempfile
from pathlib import Path

from mnemo_ops.errors import InventoryError

KEPT = ".mnemo/sources"  # beside the inventory


def exported(source: Path, ref: str, home: Path) -> Path:
    """A directory with the files of ``source`` at a branch, tag or commit (git-archive(1)): without submodules.

    :param home: where the inventory lies. :raises InventoryError: there is no such commit, or no git (2).
    """
    return _exported(source, _commit(source, ref), home)


@functools.lru_cache(8)  # of one command all of it is of one commit, whatever somebody pushes meanwhile
def _commit(source: Path, ref: str) -> str:
    words = ("rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}")
    return _git(source, *words, what=ref).decode().strip()


@functools.lru_cache(8)
def _exported(source: Path, commit: str, home: Path) -> Path:
    prefix = _git(source, "rev-parse", "--show-prefix", what=commit).decode().strip().replace("/", "-")
    target = home / KEPT / f"{prefix}{commit}"
    if not target.is_dir():
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryDirectory(dir=target.parent) as made:
            archive = _git(source, "archive", "--format=tar", commit, what=commit)
            tree = Path(made) / "tree"
            tree.mkdir()
            subprocess.run(["tar", "-x", "-C", str(tree)], input=archive, check=True)
            try:
                tree.rename(target)
            except OSError:
                if not target.is_dir():  # another command was faster
                    raise
    return target


def _git(source: Path, *words: str, what: str) -> bytes:
    try:
        done = subprocess.run(["git", "-C", str(source), *words], capture_output=True, check=False)
    except FileNotFoundError:
        raise InventoryError("git is not installed here, and stack.ref needs it", hint="apt install git") from None
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        why = f": {said[-1]}" if said else ""
        raise InventoryError(
            f"stack.ref: {source} has no commit {what}{why}", hint=f"git -C {source} log --oneline shows those it has"
        )
    return done.stdout
