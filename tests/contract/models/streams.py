"""The programs that move data: the real ones below the root, and models of those that reach another host or encrypt."""

# ruff: noqa: PTH123
from __future__ import annotations

import contextlib
import os
import shutil
import sys

from state import fail, read


def main(root: str, argv: list[str]) -> None:
    name = argv[0].rpartition("/")[2]
    words = [root + word if word.startswith("/") else word for word in argv[1:]]
    if name in ("tar", "zstd", "cat"):
        os.execv(f"/usr/bin/{name}", [name, *words])
    {"age": age, "rsync": rsync, "ssh": ssh}[name](root, words)


def age(root: str, words: list[str]) -> None:
    """Encryption that anybody can read: the header is there, and then all in clear."""
    if "-o" in words:
        with open(words[words.index("-o") + 1], "wb") as file:
            file.write(b"age-encryption.org/v1\n--- nobody\n")
            shutil.copyfileobj(sys.stdin.buffer, file)
        return
    with contextlib.ExitStack() as opened:
        named = words[words.index("-i") + 2 :]
        source = opened.enter_context(open(named[0], "rb")) if named else sys.stdin.buffer
        for _ in range(2):
            source.readline()
        shutil.copyfileobj(source, sys.stdout.buffer)


def rsync(root: str, words: list[str]) -> None:
    """The same tree, what is superfluous removed."""
    source, target = words[-2:]
    ours = {word.partition("=/")[2] for word in words if word.startswith("--exclude=")}
    for name in set(os.listdir(target)) - ours:  # noqa: PTH208
        path = target + name
        shutil.rmtree(path) if os.path.isdir(path) else os.unlink(path)  # noqa: PTH108, PTH112
    shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True, ignore=lambda where, names: ours & set(names))


def ssh(root: str, words: list[str]) -> None:
    """The other host gives the file that is asked for, of those in ``/var/lib/model/other``."""
    path = f"{root}/var/lib/model/other/{sys.stdin.readline().strip()}"
    if not os.path.exists(path):  # noqa: PTH110
        fail("no such file", 1)
    sys.stdout.write(read(path))
