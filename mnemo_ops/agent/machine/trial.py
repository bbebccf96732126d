"""Trial: what an application asks of a directory that must not lose anything: write, fsync, rename, lock.

A program of its own, sent to a python3 on its stdin, so that it can be run in a container, as another user, and be
killed: standard library only, nothing of ours; ``agent/process/code_cache.py`` keeps its source. Its one argument is
JSON, and so is
the line it prints.

A mount it makes is in a mount namespace of its own: it is gone with the process, however that ends.
"""

from __future__ import annotations

import ctypes
import fcntl
import hashlib
import json
import math
import os
import sys
import time
from typing import Any, Dict, List

NEW_NAMESPACE, RECURSIVE, PRIVATE = 0x20000, 0x4000, 0x40000  # CLONE_NEWNS, MS_REC, MS_PRIVATE
SHARE = 4096  # bytes written before each fsync

doing = ""  # the step an error belongs to


def step(name: str) -> None:
    global doing
    doing = name


def mount(source: str, target: str, options: str) -> None:
    """mount(2) as Docker calls it, without mount.nfs, in a namespace of this process."""
    libc = ctypes.CDLL(None, use_errno=True)
    _check(libc.unshare(NEW_NAMESPACE))
    _check(libc.mount(None, b"/", None, RECURSIVE | PRIVATE, None))
    _check(libc.mount(source.encode(), target.encode(), b"nfs", 0, options.encode()))


def _check(answer: int) -> None:
    if answer != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def attempt(directory: str, rounds: int) -> Dict[str, Any]:
    """Everything in a directory of its own; the file ``written`` is left there for the server to be compared.

    :param rounds: how many pieces are written, with an fsync after each.
    """
    step("make a directory")
    os.mkdir(directory)
    content, path = os.urandom(SHARE * rounds), directory + "/written"
    step("write and fsync")
    with open(path + ".partial", "xb", buffering=0) as file:
        seconds = [_durable(file.fileno(), content[SHARE * at : SHARE * (at + 1)]) for at in range(rounds)]
    step("rename")
    os.rename(path + ".partial", path)
    handle = os.open(directory, os.O_RDONLY)
    os.fsync(handle)
    os.close(handle)
    step("lock")
    _lock(path)
    step("read back")
    with open(path, "rb") as file:
        if file.read() != content:
            raise OSError(0, "what was read is not what was written")
    return {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content), "fsync_ms": _latency(seconds)}


def _durable(handle: int, piece: bytes) -> float:
    os.write(handle, piece)
    began = time.perf_counter()
    os.fsync(handle)
    return time.perf_counter() - began


def _latency(seconds: List[float]) -> Dict[str, float]:
    ordered = sorted(seconds)
    found = {"median": ordered[len(ordered) // 2], "p99": ordered[math.ceil(0.99 * len(ordered)) - 1]}
    return {name: round(1000 * value, 2) for name, value in found.items()}


def _lock(path: str) -> None:
    """A lock of each kind (flock(2), fcntl(2)) is given, and the first one to nobody else."""
    with open(path, "rb+") as mine, open(path, "rb+") as other:
        fcntl.flock(mine, fcntl.LOCK_EX | fcntl.LOCK_NB)
        try:
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            fcntl.flock(mine, fcntl.LOCK_UN)
        else:
            raise OSError(0, "two held the same lock")
        fcntl.lockf(mine, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.lockf(mine, fcntl.LOCK_UN)


def main(asked: Dict[str, Any]) -> Dict[str, Any]:
    """What became of it; where something failed: ``step``, ``errno``, ``error``.

    :param asked: ``look``: mount points that should answer; ``source``, ``target``, ``options``: to mount first;
        ``uid``, ``gid``: to become then; ``directory``, ``rounds``: of :func:`attempt`.
    """
    try:
        for path in asked.get("look", ()):
            step("look at " + path)
            with os.scandir(path) as entries:
                next(entries, None)
        if "source" in asked:
            step("mount")
            mount(asked["source"], asked["target"], asked["options"])
            step("look at the mount")
            os.stat(asked["target"])
        if "uid" in asked:
            os.setgroups([])
            os.setgid(asked["gid"])
            os.setuid(asked["uid"])
        return attempt(asked["directory"], asked["rounds"]) if "directory" in asked else {}
    except OSError as error:
        return {"step": doing, "errno": error.errno, "error": error.strerror}


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]))), flush=True)
