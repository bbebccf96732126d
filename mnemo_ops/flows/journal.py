"""Run ids, and the journal that says how far a run got: on the controller and on both hosts, durable line by line."""

from __future__ import annotations

import json
import os
import secrets
import time
from contextlib import suppress
from pathlib import Path
from typing import Any


def new_id() -> str:
    """UTC time and a random suffix: sorts by time, never twice the same. For runs and for sets."""
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()) + "-" + secrets.token_hex(2)


class Journal:
    """Append-only JSON lines below ``home/runs``; ``home`` lies beside the inventory."""

    def __init__(self, home: Path, run: str) -> None:
        self.path = home / "runs" / f"{run}.jsonl"

    def steps(self) -> list[str]:
        """Phase and status of each line: ``verify done``; none when there is no such journal here."""
        found = []
        for line in self.path.read_text().splitlines() if self.path.exists() else ():
            with suppress(ValueError, KeyError, TypeError):  # the last one may be half written
                row = json.loads(line)
                found.append(f"{row['phase']} {row['status']}")
        return found

    def write(self, entry: dict[str, Any]) -> None:
        """One line, on disk when this returns."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(handle, json.dumps(entry).encode() + b"\n")
            os.fsync(handle)
        finally:
            os.close(handle)
