"""Files by their own names: nothing that is a link, a FIFO or a device is followed, opened or written to."""

from __future__ import annotations

import contextlib
import os
import stat
from typing import IO, Iterator

from mnemo_ops.agent.machine import Machine
from mnemo_ops.errors import Refused


def opened(machine: Machine, directory: str, name: str) -> IO[bytes]:
    """A file of a directory, for reading. :raises Refused: it is none (3)."""
    at = os.open(machine.path(directory), os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        handle = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=at)
    finally:
        os.close(at)
    file = os.fdopen(handle, "rb")
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        file.close()
        raise Refused(f"{directory}/{name} is not a file")
    return file


@contextlib.contextmanager
def made(machine: Machine, path: str) -> Iterator[IO[bytes]]:
    """A new file (0600): on the disk when the block ends well, gone when it does not."""
    machine.remove(path)
    handle = os.open(machine.path(path), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(handle)
    except BaseException:
        machine.remove(path)
        raise
