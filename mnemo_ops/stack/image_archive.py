"""What a file of ``docker save`` says of an image in it."""

from __future__ import annotations

import json
import tarfile
from typing import IO, Optional


def major_of(path: str, image: str) -> int:
    """The major of Postgres that an image names, as the official one does (``PG_MAJOR``); 0: it does not, or is not in.

    :param path: of the archive on this machine.
    """
    try:
        with tarfile.open(path) as archive:
            rows = json.loads(_read(archive, "manifest.json"))
            config = next((row["Config"] for row in rows if image in (row.get("RepoTags") or ())), None)
            env = json.loads(_read(archive, config))["config"].get("Env") or () if config else ()
    except (OSError, tarfile.TarError, ValueError, KeyError, TypeError):
        return 0  # who loads it says what is wrong with it
    found = [each.partition("=")[2] for each in env if each.startswith("PG_MAJOR=")]
    return int(found[0]) if found and found[0].isdecimal() and len(found[0]) < 4 else 0


def _read(archive: tarfile.TarFile, name: str) -> bytes:
    file: Optional[IO[bytes]] = archive.extractfile(name)
    return file.read() if file else b""
