"""Filters and functions on time."""

from __future__ import annotations

import time
from datetime import datetime, timezone
from typing import Any, Callable, Optional


def strftime(format: str, second: Any = None, utc: bool = False) -> str:
    """A point in time (seconds since 1970; now when not given) as text."""
    moment = None if second is None else float(second)
    return time.strftime(format, time.gmtime(moment) if utc else time.localtime(moment))


def now(utc: bool = False, fmt: Optional[str] = None) -> Any:
    """The function ``now()``: a point in time, or its text."""
    moment = datetime.now(timezone.utc).replace(tzinfo=None) if utc else datetime.now()
    return moment.strftime(fmt) if fmt else moment


FILTERS: dict[str, Callable[..., Any]] = {
    "strftime": strftime,
    "to_datetime": lambda value, format="%Y-%m-%d %H:%M:%S": datetime.strptime(value, format),
}
