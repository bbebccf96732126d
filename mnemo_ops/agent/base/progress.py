"""Progress: what a deed tells while it works; a deed is a generator of it that returns its report."""

from __future__ import annotations

from typing import Any, Dict, Generator

from mnemo_ops.agent.base.record import dataclass


@dataclass(frozen=True)
class Progress:
    """How far a deed is: ``done`` of ``total`` (bytes, unless ``note`` says otherwise); ``total`` 0 when unknown."""

    done: int = 0
    total: int = 0
    note: str = ""


Report = Dict[str, Any]
Deed = Generator[Progress, None, Report]
