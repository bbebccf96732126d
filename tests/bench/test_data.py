"""What the bench of data measures, small: that both sides do it, and that each file is read once."""

from __future__ import annotations

from pathlib import Path

import data


def test_each_file_is_read_once(tmp_path: Path) -> None:
    found = data.of_files(tmp_path, 1, files=300, size=10_000)
    assert found["bytes"] <= found["read"] < 1.1 * found["bytes"]


def test_a_database_is_dumped_on_both_sides(tmp_path: Path) -> None:
    found = data.of_database(tmp_path, 1, (500, 500, 10))
    assert found["alone"] > 0 and found["ours"] > 0
