"""The lab's engine: what takes long says so."""

from __future__ import annotations

import time

import pytest
from pace import eventually

from mnemo_ops.lab import engine


def test_what_takes_long_is_told_and_told_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "QUIET", 0.01)
    said: list[str] = []
    with engine.working(said.append, "building"):
        eventually(lambda: len(said) >= 3)
    assert said[0] == "building"
    assert said[1].startswith("  ... building: ")
    told = len(said)
    assert not [each for each in said if not each.strip()]
    time.sleep(0.05)
    assert len(said) == told, "silent once it is over"
