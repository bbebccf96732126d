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
        found = []
        for line in self.path.read_text(errors="replace").splitlines() if self.path.exists() else ():
            with suppress(ValueError, KeyError, TypeError):  # the last one may be half written
                row = json.loads(line)
                found.append({**row, "phase": str(row["phase"]), "status": str(row["status"])})
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


def journals(home: Path) -> Iterator[tuple[str, Journal]]:
    """Those of this machine, with the ids of their runs, newest first."""
    for path in sorted((home / "runs").glob("*.jsonl"), reverse=True):
        if re.fullmatch(RUN_ID, path.stem, re.ASCII):
            yield path.stem, Journal(home, path.stem)
