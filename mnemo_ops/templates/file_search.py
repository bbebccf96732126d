"""Files of the controller that are named without their directory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Optional

from mnemo_ops.core.paths import shown
from mnemo_ops.core.suggest import nearest
from mnemo_ops.errors import TemplateError


def matching(pattern: str, directory: Path = Path()) -> list[str]:
    """Files, not directories, of a pattern of shells (``*.conf``), by name."""
    path = Path(pattern).expanduser()
    start, parts = (Path("/"), path.parts[1:]) if path.is_absolute() else (directory, path.parts)
    return sorted(str(found) for found in start.glob("/".join(parts)) if found.is_file()) if parts else []


def look_for(name: str, directories: Sequence[Path]) -> Optional[Path]:
    """The nearest file or directory of that name, if any."""
    path = Path(name).expanduser()
    places = [Path("/")] if path.is_absolute() else directories
    return next((directory / path for directory in places if (directory / path).exists()), None)


def find(name: str, directories: Sequence[Path]) -> Path:
    """As :func:`look_for`. :raises TemplateError: there is none (2)."""
    found = look_for(name, directories)
    if found is not None:
        return found
    places = ", ".join(shown(directory) for directory in directories) or "nowhere else"
    names = [path.name for directory in directories if directory.is_dir() for path in directory.iterdir()]
    near = nearest(Path(name).name, names)
    raise TemplateError(f"'{name}' does not exist", hint=f"did you mean '{near}'?" if near else f"looked in {places}")
