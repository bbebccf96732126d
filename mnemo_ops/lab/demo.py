"""The demo: two bare servers, the stack on one, moved to the other while a writer writes; nothing acknowledged is lost.

Every step is a command of the README, run as a user would. Usage: ``python -m mnemo_ops.lab.demo``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from mnemo_ops.errors import MnemoError, StepFailed, VerificationFailed
from mnemo_ops.lab import server
from mnemo_ops.lab.load import Load, check

DOCUMENTS = 600  # acknowledged before the migration begins; the writer goes on until the fence
WRITING = 600.0  # seconds after which the writer stops by itself, whatever happened
OUT = Path("build/demo")


class Demo:
    """Commands with their output shown, and the time each took."""

    def __init__(self, root: Path, home: Path | None = None) -> None:
        """:param home: where the commands are typed, with an inventory of its own; else the lab's is meant."""
        self.root, self.home = root, home or root
        self.began = time.monotonic()
        inventory = "inventory.yml" if home else str(root / ".lab" / "inventory.yml")
        self.environment = {**os.environ, "MNEMO_INVENTORY": inventory}

    def say(self, text: str) -> None:
        print(f"\n[{time.monotonic() - self.began:5.0f} s] {text}", flush=True)

    def run(self, *words: str, into: Path | None = None, where: Path | None = None) -> None:
        """One command of the product. :raises StepFailed: it did not end with 0 (6)."""
        print(f"$ invoke {' '.join(words)}", flush=True)
        argv = [str(Path(sys.executable).parent / "mnemo-ops"), *words]
        with open(into or os.devnull, "w") as file:  # noqa: PTH123
            out = file if into else None
            done = subprocess.run(argv, env=self.environment, stdout=out, check=False, cwd=where or self.home)
        if done.returncode != 0:
            raise StepFailed(f"`invoke {' '.join(words)}` ended with {done.returncode}")

    def address(self, name: str) -> str:
        found = next(each for each in server.status(self.root) if each.name == name)
        return f"https://{found.address}"


def demo(root: Path) -> dict[str, Any]:
    """Run it; the report. :raises StepFailed: a command failed (6). :raises VerificationFailed: documents lost (7)."""
    (root / OUT).mkdir(parents=True, exist_ok=True)
    for stale in (root / OUT).glob("*"):
        stale.unlink()
    show = Demo(root)
    show.say("two bare Debian servers: systemd, OpenSSH, no Docker")
    show.run("lab.down")
    show.run("lab.up")
    show.say("provision both over SSH")
    show.run("bootstrap")
    show.say("the same again: nothing to do")
    show.run("bootstrap")
    show.say("volumes and the stack on old")
    show.run("volumes", "--limit", "old")
    show.run("deploy", "--limit", "old")
    show.say(f"somebody writes to old: {DOCUMENTS} documents first, and on until old no longer answers")
    load = Load(show.address("old"), root / OUT, writers=4, seconds=WRITING)
    load.start()
    try:
        _first(load, show)
        show.say("move the stack to new, while the writer goes on")
        show.run("migrate", "--from", "old", "--to", "new", "--yes", "--json", into=root / OUT / "migrate.json")
    finally:
        load.stop()
    show.say("look for every acknowledged document on new")
    found = check(show.address("new"), root / OUT / "acknowledged.jsonl")
    document: dict[str, Any] = json.loads((root / OUT / "migrate.json").read_text())
    document.update(documents_acknowledged=found.acknowledged, documents_found=found.found)
    path = root / OUT / "report.json"
    path.write_text(json.dumps(document, indent=2) + "\n")
    if not found.whole or found.acknowledged < DOCUMENTS:
        raise VerificationFailed(f"{found.found} of {found.acknowledged} acknowledged documents are whole on new")
    _recap(show, document, path)
    return document


def _first(load: Load, show: Demo) -> None:
    """Wait for the first documents, with a sign of life. :raises StepFailed: they do not come (6)."""
    deadline, spoke = time.monotonic() + 120, 0.0
    while load.acknowledged < DOCUMENTS:
        if time.monotonic() > deadline:
            raise StepFailed(f"only {load.acknowledged} documents were acknowledged within two minutes")
        if time.monotonic() - spoke > 3:
            spoke = time.monotonic()
            print(f"  {load.acknowledged} documents acknowledged", flush=True)
        time.sleep(0.1)


def _recap(show: Demo, document: dict[str, Any], path: Path) -> None:
    show.say("done")
    print(f"  documents acknowledged {document['documents_acknowledged']}, whole on new {document['documents_found']}")
    print(
        f"  write outage {document['write_outage_seconds']:.1f} s, {document['bytes_in_outage'] / 1e6:.1f} MB inside it"
    )
    for phase in document["phases"]:
        print(f"    {phase['name']:12} {phase['seconds']:6.1f} s")
    print(f"  report: {path.relative_to(show.root)}")
    print(f"  new serves at {show.address('new')}; old is stopped and intact. `make demo-down` removes both.")


def main() -> int:
    try:
        demo(Path.cwd())
    except MnemoError as error:
        print(f"ERROR {error}" + (f"\n  -> {error.hint}" if error.hint else ""), file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
