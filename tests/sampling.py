"""What is tried each time, and what only thoroughly: the sample is another one every day.

``make check`` tries a few of the many points of a test that is marked ``thorough``, ``make thorough`` all of them.
``MNEMO_SEED`` chooses the sample again that found something: the first lines of a run say it.
"""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from datetime import date
from typing import TypeVar

T = TypeVar("T")
SEED = int(os.environ.setdefault("MNEMO_SEED", str(date.today().toordinal())))  # the workers of xdist inherit it
thorough = False  # set by ``pytest --thorough``


def sample(every: Sequence[T], few: int, of: str = "") -> list[T]:
    """So many of them, in their order; all when it is to be thorough.

    :param of: what they are of, so that not all tests choose the same places.
    """
    if thorough or len(every) <= few:
        return list(every)
    chosen = random.Random(f"{SEED} {of}").sample(range(len(every)), few)
    return [every[place] for place in sorted(chosen)]
