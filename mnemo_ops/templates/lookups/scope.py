"""What a lookup sees of the template that asks it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


class LookupScope(Mapping[str, Any]):
    """The variables, and where files and templates lie."""

    files: Sequence[Path]
    templates: Sequence[Path]

    @abstractmethod
    def run_file(self, path: Path, options: Mapping[str, Any], values: Mapping[str, Any]) -> Any:
        """What a template file gives. :param values: variables besides those of the scope."""
