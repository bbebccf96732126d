"""Files that are on disk when the function returns."""

from __future__ import annotations

import os
from pathlib import Path


def sync_directory(directory: Path) -> None:
    """Make the names in `directory` durable."""
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_synced(path: Path, content: bytes) -> None:
    """Write `path` in place; its name is durable only after :func:`sync_directory`."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def write_below(root: Path, path: str, content: bytes) -> None:
    """Write `root`/`path` durably, with the directories above it; a kill leaves it whole or absent."""
    target = root / path
    missing = [directory for directory in target.parents if directory != root and not directory.exists()]
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.tmp")
    write_synced(temporary, content)
    temporary.replace(target)
    for directory in [target.parent, *(made.parent for made in missing)]:
        sync_directory(directory)
