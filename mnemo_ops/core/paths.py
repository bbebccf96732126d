"""Paths as messages write them."""

from pathlib import Path


def shown(path: Path) -> str:
    """The path as messages write it: relative to the working directory when it lies below it."""
    text, here = str(path.absolute()), str(Path.cwd())
    return text.removeprefix(f"{here}/") if text != here else "."
