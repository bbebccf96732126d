"""The number of round trips of a play does not depend on the number of its tasks."""

from __future__ import annotations

from pathlib import Path

import pytest
import sampling
from loopback import Sshd
from round_trips import Found, measure, slope, table

COUNTS = (1, 50, 200)
ROUND_TRIP_TIMES = (0.0, 0.4)  # seconds; so long that a busy machine's noise is a small part of a round trip
ALL, OURS = 8, 4  # round trips of a play; those after SSH's handshake
NOISE = 0.5  # of a round trip: one more would add a whole one
TRIES = 5  # other work on the machine only ever adds time: the best of more runs is nearer to what the network costs


@pytest.mark.thorough
def test_as_many_tasks_as_you_like_cost_the_same_round_trips(
    server: Sshd, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    counts, runs = (COUNTS, 3) if sampling.thorough else ((COUNTS[0], COUNTS[-1]), 1)
    found = measure(server, tmp_path, counts, ROUND_TRIP_TIMES, runs=runs)
    for _ in range(TRIES - 1):
        if not too_many(found):
            break
        found = measure(server, tmp_path, counts, ROUND_TRIP_TIMES, runs=runs, before=found)
    with capsys.disabled():
        print("\n" + table(found))
    assert not too_many(found)


def too_many(found: Found) -> list[str]:
    """What takes more round trips than it may."""
    with_handshake = {count: slope(everything) for count, (everything, _) in found.items()}
    more = with_handshake[200] - with_handshake[1]
    every, ours = max(with_handshake.values()), max(slope(after) for _, after in found.values())
    return [
        *([f"200 tasks take {more:.2f} more than one"] if more >= NOISE else []),
        *([f"{every:.2f} in all"] if every >= ALL + NOISE else []),
        *([f"{ours:.2f} after the handshake"] if ours >= OURS + NOISE else []),
    ]
