"""Every example the contract is tried on: ``EXAMPLES`` of each ``examples_FAMILY.py`` beside this file."""

from __future__ import annotations

import importlib
from pathlib import Path

from example import Example

FAMILIES = sorted(path.stem for path in Path(__file__).parent.glob("examples_*.py"))
EXAMPLES: tuple[Example, ...] = tuple(
    example for family in FAMILIES for example in importlib.import_module(family).EXAMPLES
)
