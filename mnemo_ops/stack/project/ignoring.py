"""``.dockerignore`` and ``.mnemoignore``: patterns from where the file lies, ``**`` for any depth, ``!`` to except."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from mnemo_ops.agent.base.record import dataclass


@dataclass(frozen=True)
class Ignored:
    """The lines of such a file. :param rules: pattern, and whether it leaves out; the last that matches counts."""

    rules: Sequence[tuple[re.Pattern[str], bool]] = ()

    def __call__(self, path: str) -> bool:
        """:param path: relative to the directory of the file; what lies below a directory that matches, matches."""
        return self.last(path) is True

    def last(self, path: str) -> bool | None:
        """What the last pattern says that matches; ``None``: none does."""
        return next((leaves_out for pattern, leaves_out in reversed(self.rules) if pattern.match(path)), None)

    @property
    def excepts(self) -> bool:
        return any(not leaves_out for _, leaves_out in self.rules)


def read(path: Path) -> Ignored:
    """Of a file that may not be there."""
    if not path.is_file():
        return Ignored()
    lines = [line.strip() for line in path.read_text(errors="replace").lstrip("\ufeff").splitlines()]
    rules = [(line.removeprefix("!").strip(), not line.startswith("!")) for line in lines if line and line[0] != "#"]
    return Ignored([(_pattern(text), leaves_out) for text, leaves_out in rules if text])


def _pattern(text: str) -> re.Pattern[str]:
    text = re.sub(r"^(?:\./|/)+", "", text).rstrip("/")
    if text in (".", ""):
        return re.compile("")
    found = ""
    for part in re.findall(r"\*\*/|\*\*|\*|\?|\[[^\]]+\]|\\.|.", text):
        wild = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}.get(part)
        found += wild or (part if part[0] in "[\\" and len(part) > 1 else re.escape(part))
    return re.compile(f"{found}(?:/|$)")
