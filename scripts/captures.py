#!/usr/bin/env python3
"""What an operator sees on a terminal of 80 columns: docs/captures.md, made again on two servers of a lab of its own.

As root, in the checkout, with its interpreter: ``.venv/bin/python scripts/captures.py``. It takes some five minutes.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from screen import Screen, on_a_terminal  # noqa: E402

PROGRAM = Path(sys.executable).with_name("mnemo-ops")
OUT = ROOT / "docs" / "captures.md"
HEAD = """# What you see

Real output on a terminal of 80 columns, of servers made by `lab.up`; `scripts/captures.py` makes this page again.
Rows at the bottom belong to hosts that are at work: they are drawn over, and gone at the end. Without a terminal, or
with `NO_COLOR`, lines of at most 79 columns say the same now and then.
"""
COMMANDS = ("bootstrap", "volumes --limit old", "deploy --limit old", "migrate --from old --to new --yes")
SHOWN = ("bootstrap", "deploy", "migrate")
ROW = re.compile(r"^  \S+ .*(  \d+:\d\d|  left \d+:\d\d)$")  # of a host at work
LINES = 24  # of a terminal


def main() -> None:
    page = [HEAD]
    with lab() as home:
        for command in COMMANDS:
            print(f"$ mnemo-ops {command}", flush=True)
            screen = on_a_terminal(
                [str(PROGRAM), *command.split()], 1800, cwd=home, MNEMO_INVENTORY=".lab/inventory.yml"
            )
            if command.split()[0] in SHOWN:
                page.append(section(command, screen))
                OUT.write_text("\n".join(page))


@contextmanager
def lab() -> Iterator[Path]:
    """A directory with two bare servers; gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="lab-") as made:
        home = Path(made)
        try:
            subprocess.run([PROGRAM, "lab.up"], cwd=home, check=True)
            yield home
        finally:
            subprocess.run([PROGRAM, "lab.down"], cwd=home, check=True)


def section(command: str, screen: Screen) -> str:
    """The fullest moment of its work, and its end."""
    working = max(screen.seen, key=worth)
    parts = [f"## mnemo-ops {command}", "While it works:", block(working[-LINES:])]
    return "\n\n".join([*parts, "At its end:", block(screen.shown())]) + "\n"


def worth(frame: list[str]) -> tuple[int, int]:
    """How much a frame shows: rows with a bar, rows at all."""
    rows = [line for line in frame if ROW.search(line)]
    return sum("#" in line for line in rows), len(rows)


def block(lines: list[str]) -> str:
    text = "\n".join(lines).strip("\n")
    return f"```\n{text}\n```"


if __name__ == "__main__":
    main()
