"""Where a path of a compose file lies: below the source, on the host itself, or beside both."""

from __future__ import annotations

import os.path
import posixpath
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Optional

from mnemo_ops.agent.base.record import dataclass
from mnemo_ops.core.paths import shown
from mnemo_ops.documents.yaml_lines import Placed
from mnemo_ops.errors import InventoryError, reason
from mnemo_ops.stack.project.interpolation import interpolated


@contextmanager
def readable(source: Path) -> Iterator[None]:
    """:raises InventoryError: something on this machine cannot be read, or has no possible name (2)."""
    try:
        yield
    except OSError as problem:
        where = shown(Path(os.fsdecode(problem.filename or source)))
        raise InventoryError(f"{where} cannot be read: {reason(problem)}") from None


def plain(path: Path) -> Path:
    """Absolute, without ``..``, links as they are: the one form that paths of this machine are compared in."""
    return Path(os.path.normpath(path.absolute()))


@dataclass(frozen=True)
class Named:
    """A file or directory that the project names.

    :param path: absolute, on this machine; below the source, or beside it where a path leads out (``../x``).
    :param what: mount, volume, env_file, label_file, include, extends, build context, Dockerfile, config, secret,
        security profile. :param where: ``file:line`` that names it. :param text: as it is written there, resolved.
    :param needed: Compose does nothing without it. :param target: where it is mounted.
    :param writable: containers may write into it. :param made: Docker makes an empty directory where it is missing.
    """

    path: Path
    what: str
    where: str
    text: str
    needed: bool = True
    target: str = ""
    writable: bool = False
    made: bool = False


@dataclass(frozen=True)
class Frame:
    """What a compose file is read with.

    :param base: directory of this machine that its relative paths start from. :param variables: for ``${NAME}``.
    :param source: the project's directory on this machine, absolute. :param directory: where it will be on the host.
    """

    base: Path
    variables: Mapping[str, str]
    source: Path
    directory: str

    def text(self, value: Any) -> Placed:
        """A text with its variables replaced. :raises InventoryError: one is not set, with its line (2)."""
        where = getattr(value, "where", "")
        try:
            return Placed(interpolated(str(value), self.variables), where)
        except ValueError as problem:
            what, _, remedy = str(problem).partition("; ")
            raise InventoryError(what, where=where, hint=remedy) from None

    def flag(self, value: Any, default: bool) -> bool:
        return default if value is None else str(self.text(value)).lower() in ("true", "yes", "on", "y", "1")

    def named(self, what: str, value: Any, **more: Any) -> Optional[Named]:
        """``None``: it is the host's own, like ``/etc/localtime``.

        :raises InventoryError: it is a path of this machine, which a host does not have (2).
        """
        text = self.text(value)
        if not text.startswith(("/", "~")):
            path: Optional[Path] = Path(os.path.normpath(self.base / text))
        else:
            path = self._absolute(text)
        return None if path is None else Named(path, what, text.where, str(text), **more)

    def _absolute(self, text: Placed) -> Optional[Path]:
        path = posixpath.normpath(text)
        if path == self.directory or path.startswith(f"{self.directory}/"):
            return self.source / posixpath.relpath(path, self.directory)
        here = Path(os.path.normpath(Path.home() / text[2:] if text.startswith("~/") else text))
        if here == self.source or self.source in here.parents:
            raise InventoryError(
                f"{text} is a path of this machine; on the host, the project lies in {self.directory}",
                where=text.where,
                hint=f"write it as ./{here.relative_to(self.source).as_posix()}",
            )
        return None
