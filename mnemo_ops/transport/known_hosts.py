"""What a known_hosts file says of one host (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT).

Paramiko decodes every key of the file for every connection, and compares each line with all before it: of fifty hosts
with a line each that was most of what a connection cost us.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import paramiko
from paramiko.hostkeys import HostKeyEntry, InvalidHostKey


def keys(path: Path, name: str) -> dict[str, Any]:
    """The keys of a host, by kind; of two of a kind the first. One that a line marks ``@revoked`` counts as unknown.

    :param name: as files know it: the address, or ``[address]:port`` where that is not 22.
    :raises OSError: the file exists and cannot be read.
    """
    found: dict[str, Any] = {}
    revoked = []
    for marker, line in _lines_of(path, name):
        with contextlib.suppress(paramiko.SSHException, InvalidHostKey):  # ssh passes such a line over, too
            entry = HostKeyEntry.from_line(line)
            if entry is not None and entry.key is not None:
                if marker == "@revoked":
                    revoked.append(entry.key)
                elif not marker:
                    found.setdefault(entry.key.get_name(), entry.key)
    return {kind: key for kind, key in found.items() if key not in revoked}


def _lines_of(path: Path, name: str) -> Iterator[tuple[str, str]]:
    """Marker and line of each entry for this name."""
    try:
        state = path.stat()
    except FileNotFoundError:
        return
    for names, marker, line in _read(path, state.st_mtime_ns, state.st_size):
        hashed = (one for one in names if one.startswith("|1|"))
        everybody = marker and "*" in names
        if everybody or name in names or any(paramiko.HostKeys.hash_host(name, one) == one for one in hashed):
            yield marker, line


@functools.lru_cache(maxsize=8)
def _read(path: Path, mtime_ns: int, size: int) -> tuple[tuple[frozenset[str], str, str], ...]:
    """Names, marker and line of each entry. :param mtime_ns: and ``size``: a file that changed is read again."""
    found = []
    for text in path.read_text(errors="replace").splitlines():
        line = " ".join(text.split())
        marker, _, rest = line.partition(" ") if line.startswith("@") else ("", "", line)
        if rest and not rest.startswith("#"):
            found.append((frozenset(rest.split(" ", 1)[0].split(",")), marker, rest))
    return tuple(found)
