"""Filters and tests of Ansible's templates under its names; meaning and defaults are those of ansible-core 2.19.

Sources: the pages of ``ansible.builtin`` filters and tests, and what ansible-core answered to the same expressions
(tests/unit/ansible_expressions.py keeps its answers).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mnemo_ops.templates.filters import encodings, hashing, lists, mappings, numbers, paths, texts, times
from mnemo_ops.templates.filters import tests as questions
from mnemo_ops.templates.filters.lists import flatten

__all__ = ["FILTERS", "TESTS", "flatten"]

FILTERS: dict[str, Callable[..., Any]] = {
    **encodings.FILTERS,
    **hashing.FILTERS,
    **lists.FILTERS,
    **mappings.FILTERS,
    **numbers.FILTERS,
    **paths.FILTERS,
    **texts.FILTERS,
    **times.FILTERS,
}
TESTS: dict[str, Callable[..., Any]] = questions.TESTS
