"""Run ids, and the journal that says how far a run got: on the controller and on both hosts, durable line by line."""

from __future__ import annotations

import json
import os
import re
import secrets
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from mnemo_ops.agent.base.run_id import RUN_ID


def new_id() -> str:
    """UTC time and a random suffix: sorts by time, never twice the same. For runs and for sets."""
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()) + "-" + secrets.token_hex(2)


class Journal:
    """Append-only JSON lines below ``home/runs``; ``home`` lies beside the inventory."""

    def __init__(self, home: Path, run: str) -> None:
        self.path = home / "runs" / f"{run}.jsonl"

    def steps(self) -> list[str]:
        """Phase and status of each line: ``verify done``; none when there is no such journal here."""
        return [f"{row['phase']} {row['status']}" for row in self.lines()]

    def lines(self) -> list[dict[str, Any]]:
        """What was written, as far as it has a phase and a status."""
        text, found = "", []
        with suppress(OSError):  # there is none, or it is somebody else's
            text = self.path.read_text(errors="replace")
        for line in text.splitlines():
            with suppress(ValueError, KeyError, TypeError):  # the last one may be half written
                row = json.loads(line)
                found.append({**row, "phase": str(row["phase"]), "status": str(row["status"])})
        return found

    def write(self, entry: dict[str, Any]) -> None:
        """One line, on disk when this returns."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.fdopen(os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600), "a+b") as file:
            file.seek(max(0, file.tell() - 1))
            half = file.read() not in (b"", b"\n")  # the line before: the disk was full, or the power went
            file.write(b"\n" * half + json.dumps(entry).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())


def journals(home: Path) -> Iterator[tuple[str, Journal]]:
    """Those of this machine, with the ids of their runs, newest first."""
    for path in sorted((home / "runs").glob("*.jsonl"), reverse=True):
        if re.fullmatch(RUN_ID, path.stem, re.ASCII):
            yield path.stem, Journal(home, path.stem)
