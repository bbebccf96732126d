"""Round trips of a play, as the slope of its wall time over the round-trip time."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Optional
from unittest import mock

from loopback import DelayProxy, Sshd

from mnemo_ops.agent.resources.copy import Copy
from mnemo_ops.core.model import Batch, Host, Task
from mnemo_ops.transport import ssh_pipe
from mnemo_ops.transport.session import connect

Seconds = float


def tasks(folder: Path, count: int) -> Batch:
    """``count`` copies of a text below ``folder``."""
    copies = [Copy(str(folder / f"file-{number}"), content=f"text {number}\n", mode="0644") for number in range(count)]
    return Batch(tuple(Task(f"task {n}", f"task {n}", copy, f"bench.yml:{n}") for n, copy in enumerate(copies, 1)))


def play(host: Host, batch: Batch) -> tuple[Seconds, Seconds]:
    """Connect, converge, hang up. Seconds until the last event: of everything, and after SSH let us in."""
    entered = 0.0

    def opening(*args: Any) -> Any:
        nonlocal entered
        connection = open_connection(*args)
        entered = time.perf_counter()
        return connection

    open_connection = ssh_pipe._open
    with mock.patch.object(ssh_pipe, "_open", opening):
        began = time.perf_counter()
        with connect(host, become=False) as session:
            statuses = [event.status for event in session.converge(batch) if event.status != "progress"]
            ended = time.perf_counter()
    assert statuses == ["ok"] * len(batch.steps), "the bench measures plays that change nothing"
    return ended - began, ended - entered


def slope(points: Mapping[Seconds, Seconds]) -> float:
    """Least squares: by how many seconds the wall time grows for each second of round-trip time."""
    mean_x, mean_y = sum(points) / len(points), sum(points.values()) / len(points)
    covariance = sum((x - mean_x) * (y - mean_y) for x, y in points.items())
    return covariance / sum((x - mean_x) ** 2 for x in points)


Found = dict[int, tuple[dict[Seconds, Seconds], dict[Seconds, Seconds]]]


def measure(
    server: Sshd,
    folder: Path,
    counts: Sequence[int],
    round_trip_times: Sequence[Seconds],
    runs: int,
    before: Optional[Found] = None,
) -> Found:
    """Best wall time of ``runs`` alternating runs: count -> (everything, after SSH let us in), by round-trip time.

    :param before: what was measured already, of which the best counts, too.
    """
    with connect(server.host(), become=False) as session:
        list(session.converge(tasks(folder, max(counts))))
    found: Found = before or {count: ({}, {}) for count in counts}
    with DelayProxy(server.port) as proxy:
        server.trust(proxy.port)
        host = server.host(proxy.port)
        play(host, tasks(folder, 1))
        for _ in range(runs):
            for rtt in round_trip_times:
                proxy.one_way = rtt / 2
                for count in counts:
                    for points, seconds in zip(found[count], play(host, tasks(folder, count)), strict=True):
                        points[rtt] = min(seconds, points.get(rtt, seconds))
    return found


def table(found: Mapping[int, tuple[Mapping[Seconds, Seconds], Mapping[Seconds, Seconds]]]) -> str:
    times = next(iter(found.values()))[0]
    lines = ["tasks  " + "".join(f"{rtt * 1000:5.0f} ms RTT" for rtt in times) + "  round trips  after the handshake"]
    for count, (everything, after) in found.items():
        seconds = "".join(f"{value:10.3f} s" for value in everything.values())
        lines.append(f"{count:5}  {seconds}  {slope(everything):11.2f}  {slope(after):19.2f}")
    return "\n".join(lines)
