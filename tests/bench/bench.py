"""Numbers of this machine, for comparing one version with the next: ``python tests/bench/bench.py``.

What is compared runs alternately, and medians are shown. Everything goes into build/bench.json.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from loopback import Sshd
from round_trips import measure, play, slope, table, tasks

from mnemo_ops import bundle
from mnemo_ops.local import LocalPipe
from mnemo_ops.model import Host
from mnemo_ops.session import AgentSession

ROOT = Path(__file__).parents[2]
TASKS = 40


def medians(runs: int, rivals: Mapping[str, Callable[[], object]]) -> dict[str, float]:
    """Median seconds of each, run alternately after one run of each for the caches."""
    taken: dict[str, list[float]] = {name: [] for name in rivals}
    for run in range(runs + 1):
        for name, work in rivals.items():
            began = time.perf_counter()
            work()
            if run:
                taken[name].append(time.perf_counter() - began)
    return {name: round(statistics.median(seconds), 4) for name, seconds in taken.items()}


def program(*argv: str) -> Callable[[], object]:
    return lambda: subprocess.run(argv, check=True, capture_output=True, cwd=ROOT)


def start_agent() -> None:
    host = Host("here", "here", local=True)
    AgentSession(host, lambda blob: LocalPipe(bundle.command(blob, sys.executable)), None, actions=False).close()


def start_up(runs: int) -> dict[str, float]:
    invoke = str(Path(sys.executable).parent / "invoke")
    rivals = {
        "python3 -c pass": program(sys.executable, "-c", "pass"),
        "agent, until hello": start_agent,
        "invoke --list": program(invoke, "--list"),
    }
    return medians(runs, rivals)


def files(server: Sshd, folder: Path) -> Sequence[str]:
    """An inventory and a playbook for :data:`TASKS` copies; the arguments that play it."""
    host = {
        "ansible_host": "127.0.0.1",
        "ansible_port": server.port,
        "ansible_user": server.host().user,
        "ansible_ssh_private_key_file": str(server.folder / "user_key"),
        "mnemo_known_hosts_file": str(server.known_hosts),
    }
    (folder / "inventory.yml").write_text(yaml.safe_dump({"all": {"hosts": {"loopback": host}}}))
    copies = [task.resource for task in tasks(folder, TASKS).tasks]
    rows = [{"name": copy.dest, "copy": {"dest": copy.dest, "content": copy.content}} for copy in copies]  # type: ignore[attr-defined]
    plays = [{"name": "bench", "hosts": "all", "gather_facts": False, "tasks": rows}]
    (folder / "play.yml").write_text(yaml.safe_dump(plays))
    invoke = str(Path(sys.executable).parent / "invoke")
    return [invoke, "play", "--playbook", str(folder / "play.yml"), "-i", str(folder / "inventory.yml")]


def against_ssh(server: Sshd, folder: Path, runs: int) -> dict[str, float]:
    command = files(server, folder)
    subprocess.run(command, check=True, capture_output=True, cwd=ROOT)
    rivals = {
        "ssh host true": program(*server.ssh("true")),
        f"{TASKS} tasks already right, one session": lambda: play(server.host(), tasks(folder, TASKS)),
        f"{TASKS} tasks already right, invoke play": program(*command),
    }
    return medians(runs, rivals)


def bench(runs: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "sshd").mkdir()
        (folder / "files").mkdir()
        with Sshd(folder / "sshd") as server:
            found = measure(server, folder / "files", (1, 50, 200), (0.0, 0.05, 0.1), runs=3)
            print(table(found), flush=True)
            return {
                "machine": {"python": platform.python_version(), "cores": os.cpu_count(), "kernel": platform.release()},
                "runs": runs,
                "round_trips": {count: round(slope(everything), 2) for count, (everything, _) in found.items()},
                "round_trips_after_handshake": {count: round(slope(after), 2) for count, (_, after) in found.items()},
                "blob_bytes": len(bundle.bundle()),
                "blob_budget": bundle.BUDGET,
                "seconds": {**start_up(runs), **against_ssh(server, folder / "files", runs)},
            }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--output", type=Path, default=ROOT / "build" / "bench.json")
    options = parser.parse_args()
    found = bench(options.runs)
    print(f"\nblob {found['blob_bytes']} of {found['blob_budget']} bytes\nmedian of {options.runs} alternating runs:")
    for name, seconds in found["seconds"].items():
        print(f"{seconds:8.3f} s  {name}")
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(found, indent=2) + "\n")
    print(f"written to {options.output}")


if __name__ == "__main__":
    main()
