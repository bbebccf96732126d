"""Filters on paths; those that look at the file system look at the controller's."""

from __future__ import annotations

import ntpath
import os.path
import posixpath
from typing import Any, Callable

from mnemo_ops.templates.file_search import matching


def path_join(parts: Any) -> str:
    return posixpath.join(*([parts] if isinstance(parts, str) else parts))


FILTERS: dict[str, Callable[..., Any]] = {
    "basename": os.path.basename,
    "commonpath": os.path.commonpath,
    "dirname": os.path.dirname,
    "expanduser": os.path.expanduser,
    "expandvars": os.path.expandvars,
    "fileglob": matching,
    "normpath": os.path.normpath,
    "path_join": path_join,
    "realpath": os.path.realpath,
    "relpath": os.path.relpath,
    "splitext": lambda path: list(posixpath.splitext(path)),
    "win_basename": ntpath.basename,
    "win_dirname": ntpath.dirname,
    "win_splitdrive": lambda path: list(ntpath.splitdrive(path)),
}
