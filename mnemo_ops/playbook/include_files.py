"""Files a template may choose: all are read before anything is opened, so that no mistake waits for its host."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Optional

from mnemo_ops.core.model import Loop

_TEMPLATE = re.compile(r"{{.*?}}")


def candidates(value: str, loop: Optional[Loop], directories: Iterable[Path]) -> dict[str, Path]:
    """Files by every name the template ``value`` may give them; a text without Jinja gives one, or none."""
    found: dict[str, Path] = {}
    for text in _texts(value, loop):
        pattern = _TEMPLATE.sub("*", text)
        for directory in reversed(list(directories)):
            for path in directory.glob(pattern.lstrip("/")) if "*" in pattern else [directory / pattern]:
                if path.is_file():
                    found[
                        posixpath.normpath(text if "*" not in pattern else path.relative_to(directory).as_posix())
                    ] = path
                    found[str(path)] = path
    return found


def _texts(value: str, loop: Optional[Loop]) -> list[str]:
    """The texts behind ``{{ item }}`` where the loop lists them."""
    if loop is None or _TEMPLATE.sub("*", value) != "*" or loop.var not in value:
        return [value]
    listed = loop.items if isinstance(loop.items, list) else [loop.items]
    texts: list[str] = []
    for one in listed:
        files = one.get("files", []) if isinstance(one, dict) else [one]
        texts += [str(text) for text in (files if isinstance(files, list) else [files])]
    return texts or [value]
