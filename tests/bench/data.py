"""What it takes to hash and save data, beside what only saves it: ``tar | zstd`` and ``pg_dump``. ``make bench``.

Both sides run alternately over the same files, and compress alike. ``MNEMO_POSTGRES``: other programs of Postgres.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.stack.cluster import facts
from mnemo_ops.agent.stack.cluster.dump import compression
from mnemo_ops.agent.stack.cluster.server import Server
from mnemo_ops.agent.stack.packing import pack

sys.path += [str(Path(__file__).parents[1]), str(Path(__file__).parents[1] / "postgres")]
from engine import PROGRAMS, Engine, dump, engine, entrance, returned

FILES, BYTES = 20_000, 50_000  # of each
ZSTD = ["zstd", "-q", "-f", "-T0", "-3"]
OWNER = "mnemo"

# long texts with JSON, short rows of numbers, vectors: a gigabyte with their indexes
_ROWS = """SET search_path = public; SELECT setseed(0.5);
CREATE TABLE texts (id bigint PRIMARY KEY, at timestamptz, title text, body text, meta jsonb, price numeric(12,2));
INSERT INTO texts SELECT i, now() - i * interval '1 min', 'title ' || md5(i::text),
 (SELECT string_agg(md5((i * 31 + j)::text) || ' lorem ipsum dolor sit amet ', ' ') FROM generate_series(1, 8) j),
 jsonb_build_object('a', i, 'b', md5(i::text), 'c', array[i, i + 1]), i * 1.17 FROM generate_series(1, {}) i;
CREATE TABLE numbers (id int PRIMARY KEY, doc int, n int, w real, t text);
INSERT INTO numbers SELECT i, i % 1000, i * 7, random(), 'x' || i FROM generate_series(1, {}) i;
CREATE TABLE vectors (id int PRIMARY KEY, e real[]);
INSERT INTO vectors SELECT i, (SELECT array_agg(random()) FROM generate_series(1, 384) WHERE i > 0)
 FROM generate_series(1, {}) i; VACUUM ANALYZE;"""
TEXTS, NUMBERS, VECTORS = 800_000, 3_000_000, 60_000


def tree(top: Path, files: int = FILES, size: int = BYTES) -> Path:
    """One half as an archive or a picture, which no program makes smaller, the other as text."""
    chance = random.Random(1)
    words = [chance.randbytes(4).hex()[: chance.randint(2, 8)].encode() for _ in range(5000)]
    text = b" ".join(chance.choices(words, k=400_000))
    for number in range(files):
        folder = top / f"{number % 100:02}"
        folder.mkdir(parents=True, exist_ok=True)
        at = chance.randrange(len(text) - size)
        (folder / f"{number:05}").write_bytes(text[at : at + size] if number % 2 else chance.randbytes(size))
    return top


def packed(where: str, to: str) -> tuple[float, int]:
    """Seconds for the archive and the hashes, and bytes that this process read meanwhile."""
    before, began = _read(), time.perf_counter()
    for _ in pack(Machine("/"), where, (), ZSTD, to, 1, "packing"):
        pass
    return time.perf_counter() - began, _read() - before


def _read() -> int:
    return int(Path("/proc/thread-self/io").read_text().split()[1])  # rchar; of a process it counts ended children, too


def archived(where: Path, to: Path) -> float:
    began = time.perf_counter()
    with subprocess.Popen(["tar", "-C", where, "-cf", "-", "."], stdout=subprocess.PIPE) as tar:
        subprocess.run([*ZSTD, "-o", to], stdin=tar.stdout, check=True)
    assert tar.returncode == 0
    return time.perf_counter() - began


def of_files(folder: Path, runs: int, files: int = FILES, size: int = BYTES) -> dict[str, Any]:
    where, to = tree(folder / "files", files, size), folder / "archive"
    read = 0

    def ours() -> float:  # as an agent, which is there already
        nonlocal read
        argv = [sys.executable, __file__, "--pack", where, to]
        seconds, read = subprocess.run(argv, check=True, capture_output=True, text=True).stdout.split()
        return float(seconds)

    found = alternately(runs, {"alone": lambda: archived(where, to), "ours": ours})
    subprocess.run(["zstd", "-q", "-t", to], check=True)
    return {**found, "bytes": files * size, "read": int(read)}


def of_database(folder: Path, runs: int, rows: tuple[int, int, int] = (TEXTS, NUMBERS, VECTORS)) -> dict[str, Any]:
    with engine() as made:
        place = made.fresh("bench", OWNER)
        with made.started(place, OWNER, "postgres", "-c", "max_wal_size=4GB") as server:
            server.sql("CREATE DATABASE shop;")
            server.sql(_ROWS.format(*rows), "shop")
            return _of_database(made, server, folder, runs)


def _of_database(made: Engine, server: Server, folder: Path, runs: int) -> dict[str, Any]:
    known = facts.look(server)
    way = compression(known)

    def alone() -> float:
        argv = [PROGRAMS / "pg_dump", "-Fc", "-Z", way, "-f", folder / "alone.dump", "-d", server.to("shop")]
        began = time.perf_counter()
        subprocess.run(argv, check=True)
        return time.perf_counter() - began

    def ours() -> float:
        with tempfile.TemporaryDirectory(dir=folder) as to:
            began = time.perf_counter()
            returned(dump(entrance(server, made.places[server.socket]), to, "bench", way))
            return time.perf_counter() - began

    found = alternately(runs, {"alone": alone, "ours": ours})
    major, size = known["major"], known["databases"]["shop"]["bytes"]
    return {**found, "bytes": size, "postgres": major, "compression": way}


def alternately(runs: int, sides: Mapping[str, Callable[[], float]]) -> dict[str, float]:
    """Median seconds of each after one run for the caches, and the median ratio of the runs beside each other."""
    taken = [{name: side() for name, side in sides.items()} for _ in range(runs + 1)][1:]
    found = {name: round(statistics.median(one[name] for one in taken), 2) for name in sides}
    return {**found, "ratio": round(statistics.median(one["ours"] / one["alone"] for one in taken), 2)}


def measured(runs: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="mnemo-data-", dir="/var/tmp") as name:
        found: dict[str, Any] = {"files": of_files(Path(name), runs), "database": of_database(Path(name), runs)}
    sides = {side: round(sum(found[what][side] for what in ("files", "database")), 2) for side in ("alone", "ours")}
    found["both"] = {**sides, "ratio": round(sides["ours"] / sides["alone"], 2)}
    print(f"\nhash and save, median of {runs} alternating runs; load {os.getloadavg()[0]:.1f}")
    print("   alone s     ours s  ratio")
    for what, one in found.items():
        print(f"{one['alone']:10.2f} {one['ours']:10.2f} {one['ratio']:6.2f}  {what}", flush=True)
    files, database = found["files"], found["database"]
    print(f"files: {files['read']} bytes read of {files['bytes']}")
    print(f"database: {database['bytes']} bytes, Postgres {database['postgres']}, -Z {database['compression']}")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--pack", nargs=2, metavar=("DIRECTORY", "ARCHIVE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.pack:
        print(*packed(*options.pack))
    else:
        measured(options.runs)


if __name__ == "__main__":
    main()
