"""Numbers of this machine: one version against the next, and the product against its peers. ``make bench``.

What is compared runs alternately, and medians are shown. Everything goes into build/bench.json.
"""

from __future__ import annotations

import argparse
import difflib
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from data import measured
from loopback import Sshd
from rivals import OURS, Rival, Run, rivals
from rivals import run as execute
from round_trips import measure, slope, table
from servers import Servers

from mnemo_ops.core.model import Host
from mnemo_ops.transport import bundle
from mnemo_ops.transport.local_pipe import LocalPipe
from mnemo_ops.transport.session import AgentSession

ROOT = Path(__file__).parents[2]
TASKS = 40
LONG = 60.0  # seconds


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
    AgentSession(host, lambda blob: LocalPipe(bundle.command(blob, sys.executable)), None).close()


def start_up(runs: int) -> dict[str, float]:
    invoke = str(Path(sys.executable).parent / "invoke")
    rivals = {
        "python3 -c pass": program(sys.executable, "-c", "pass"),
        "agent, until hello": start_agent,
        "invoke --list": program(invoke, "--list"),
    }
    return medians(runs, rivals)


# -- side by side --------------------------------------------------------------------------------------------------


def line(name: str, runs: Sequence[Run], ours: Sequence[Run]) -> dict[str, Any]:
    """Medians of a rival's runs, and how many of our runs fit into one of his."""
    seconds = statistics.median(run.seconds for run in runs)
    return {
        "name": name,
        "runs": len(runs),
        "seconds": round(seconds, 2),
        "cpu": round(statistics.median(run.cpu for run in runs), 2),
        "mib": round(max(run.mib for run in runs)),
        "ratio": round(statistics.median(run.seconds for run in ours) / seconds, 3),
    }


def already_right(chosen: Sequence[Rival], runs: int, folder: Path) -> list[dict[str, Any]]:
    """Everybody in turn, after one run of each for its caches; who takes longer than :data:`LONG` runs once."""
    taken: dict[str, list[Run]] = {rival.name: [] for rival in chosen}
    for number in range(runs + 1):
        for rival in chosen:
            if number > 1 and taken[rival.name][0].seconds > LONG:
                continue
            done = execute(rival.argv, rival.environment, folder)
            assert re.search(rival.unchanged, done.said), f"{rival.name} changed something:\n{done.said[-3000:]}"
            if number:
                taken[rival.name].append(done)
    return [line(name, found, taken[OURS]) for name, found in taken.items()]


def first_converge(
    chosen: Sequence[Rival], hosts: int, servers: Servers, folder: Path, runs: int
) -> list[dict[str, Any]]:
    """Everybody in turn on servers without any of it; all of them must leave the same behind."""
    taken: dict[str, list[Run]] = {rival.name: [] for rival in chosen}
    left: dict[str, str] = {}
    for number in range(runs):
        for rival in chosen:
            if number and taken[rival.name][0].seconds > LONG:
                continue
            servers.reset()
            taken[rival.name].append(execute(rival.argv, rival.environment, folder))
            left[rival.name] = servers.digest(hosts)
    for name, digest in left.items():
        differs = difflib.unified_diff(left[OURS].splitlines(), digest.splitlines(), OURS, name, n=0, lineterm="")
        assert digest == left[OURS], "not the same was left behind:\n" + "\n".join(differs)
    return [line(name, found, taken[OURS]) for name, found in taken.items()]


def side_by_side(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    counts = sorted(options.hosts)
    with Servers(ROOT / "build" / "bench-lab", min(options.servers, counts[-1])) as servers:
        servers.prepare(counts[-1])
        for hosts in counts:
            where = folder / str(hosts)
            where.mkdir()
            everybody = rivals(servers.places(hosts), servers.lab.key, servers.known_hosts, where)
            chosen = [rival for rival in everybody if rival.name == OURS or not options.only_us]
            if hosts <= options.servers:
                found[f"{hosts}, first converge"] = first_converge(chosen, hosts, servers, where, min(options.runs, 3))
                show(f"{hosts} hosts, first converge", found[f"{hosts}, first converge"])
            else:
                execute(chosen[0].argv, chosen[0].environment, where)
            found[f"{hosts}, already right"] = already_right(chosen, options.runs, where)
            show(f"{hosts} hosts, {TASKS} tasks already right", found[f"{hosts}, already right"])
    return found


def show(title: str, rows: Sequence[Mapping[str, Any]]) -> None:
    print(f"\n{title}\n  wall s    CPU s   MiB  runs  ours/theirs", flush=True)
    for row in rows:
        numbers = f"{row['seconds']:8.2f} {row['cpu']:8.2f} {row['mib']:5} {row['runs']:5} {row['ratio']:12.3f}"
        print(f"{numbers}  {row['name']}", flush=True)


# -- everything ----------------------------------------------------------------------------------------------------


def bench(options: argparse.Namespace) -> dict[str, Any]:
    runs = options.runs
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "sshd").mkdir()
        (folder / "files").mkdir()
        with Sshd(folder / "sshd") as server:
            trips = measure(server, folder / "files", (1, 50, 200), (0.0, 0.05, 0.1), runs=3)
            print(table(trips), flush=True)
            starts = {**start_up(runs), **medians(runs, {"ssh host true": program(*server.ssh("true"))})}
        deeds = len(bundle.pack(bundle.deeds()))
        found = {
            "machine": {"python": platform.python_version(), "cores": os.cpu_count(), "kernel": platform.release()},
            "load": os.getloadavg(),
            "round_trips": {count: round(slope(everything), 2) for count, (everything, _) in trips.items()},
            "round_trips_after_handshake": {count: round(slope(after), 2) for count, (_, after) in trips.items()},
            "blob_bytes": {"core": len(bundle.bundle()), "deeds": deeds, "budget of each": bundle.BUDGET},
            "seconds": starts,
        }
        print(f"\nblob {found['blob_bytes']}\nmedian of {runs} alternating runs:")
        for name, seconds in starts.items():
            print(f"{seconds:8.3f} s  {name}")
        return {**found, "data": measured(runs), "side_by_side": side_by_side(options, folder)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--hosts", type=int, nargs="+", default=[1, 8, 50])
    parser.add_argument("--servers", type=int, default=8, help="real servers; more hosts are more names of them")
    parser.add_argument("--only-us", action="store_true", help="without the peers")
    parser.add_argument("--output", type=Path, default=ROOT / "build" / "bench.json")
    options = parser.parse_args()
    found = bench(options)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(found, indent=2) + "\n")
    print(f"\nwritten to {options.output}")


if __name__ == "__main__":
    main()
