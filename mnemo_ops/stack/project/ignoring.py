"""``.dockerignore`` and ``.mnemoignore``: patterns from where the file lies, ``**`` for any depth, ``!`` to except."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from mnemo_ops.agent.base.record import dataclass
from mnemo_ops.errors import InventoryError


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
    """Of a file that may not be there. :raises InventoryError: a pattern cannot be meant, with its line (2)."""
    if not path.is_file():
        return Ignored()
    lines = [line.strip() for line in path.read_text(errors="replace").lstrip("\ufeff").splitlines()]
    rules = []
    for number, line in enumerate(lines, 1):
        text = line.removeprefix("!").strip()
        if text and not line.startswith("#"):
            try:
                rules.append((_pattern(text), not line.startswith("!")))
            except re.error:
                said, hint = (
                    f"{line}: a range in brackets holds nothing",
                    "write the smaller character first, like [a-z]",
                )
                raise InventoryError(said, where=f"{path}:{number}", hint=hint) from None
    return Ignored(rules)


def _pattern(text: str) -> re.Pattern[str]:
    text = re.sub(r"^(?:\./|/)+", "", text).rstrip("/")
    if text in (".", ""):
        return re.compile("")
    found = ""
    for part in re.findall(r"\*\*/|\*\*|\*|\?|\[\^?(?:\\.|[^\]\\])+\]|\\.|.", text):
        wild = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}.get(part)
        found += wild or (_class(part) if part[0] == "[" and len(part) > 1 else re.escape(part[-1]))
    return re.compile(f"{found}(?:/|$)")


def _class(text: str) -> str:
    """A set of characters: of those signs that mean something in one, only ``^`` and ``-`` do."""
    none_of, inner = re.fullmatch(r"\[(\^?)(.+)\]", text).groups()  # type: ignore[union-attr]
    found = re.sub(r"\\(.)|([^\\-])|-", lambda one: re.escape(one[1] or one[2]) if one[1] or one[2] else "-", inner)
    return f"(?!/)[{none_of}{found}]"
