"""The form of a run's id: when it began, and four digits that tell two of one second apart."""

from __future__ import annotations

RUN_ID = r"\d{8}T\d{6}Z-[0-9a-f]{4}"  # of a run, and of the set that it made
