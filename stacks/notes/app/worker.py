"""Takes notes off the queue and marks each in the archive."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from pathlib import Path

ARCHIVE = Path("/archive")


def queue(*words: str) -> list[str]:
    """The lines of an answer of Redis' protocol, without lengths.

    :raises OSError: it does not answer, or refuses.
    """
    request = "".join(f"${len(word.encode())}\r\n{word}\r\n" for word in words)
    with socket.create_connection((os.environ.get("CACHE_HOST", "cache"), 6379), timeout=10) as connection:
        connection.sendall(f"*{len(words)}\r\n{request}".encode())
        answer = connection.makefile("r", newline="\r\n")
        first = answer.readline().strip()
        if not first or first[0] == "-":
            raise OSError(first or "the queue hung up")
        count = int(first[1:]) if first[0] == "*" else 0
        return [answer.readline().strip() for _ in range(2 * count)][1::2]


def work() -> None:
    while True:
        try:
            found = queue("BRPOP", "notes", "5")
        except OSError as error:
            print(error, file=sys.stderr)
            time.sleep(1)
            continue
        if found:
            (ARCHIVE / found[1]).write_text(f"{socket.gethostname()}\n")


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    work()
