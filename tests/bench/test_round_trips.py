"""The number of round trips of a play does not depend on the number of its tasks."""

from __future__ import annotations

from pathlib import Path

import pytest
from loopback import Sshd
from round_trips import measure, slope, table

COUNTS = (1, 50, 200)
ROUND_TRIP_TIMES = (0.0, 0.4)  # seconds; so long that a busy machine's noise is a small part of a round trip
ALL, OURS = 8, 4  # round trips of a play; those after SSH's handshake
NOISE = 0.5  # of a round trip: one more would add a whole one


def test_as_many_tasks_as_you_like_cost_the_same_round_trips(
    server: Sshd, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = measure(server, tmp_path, COUNTS, ROUND_TRIP_TIMES, runs=3)
    with capsys.disabled():
        print("\n" + table(found))
    with_handshake = {count: slope(everything) for count, (everything, _) in found.items()}
    assert with_handshake[200] - with_handshake[1] < NOISE
    assert max(with_handshake.values()) < ALL + NOISE
    assert max(slope(after) for _, after in found.values()) < OURS + NOISE
