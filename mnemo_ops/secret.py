"""Secret: a value that prints as ``[secret]``, and the mask that keeps known values out of everything we print."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from mnemo_ops.agent.record import dataclass

MASK = "[secret]"
LINE = 16  # characters; shorter lines of a long secret may be ordinary text
SHORTEST = 6  # characters; masking shorter values would hide ordinary words and protect nothing


@dataclass(frozen=True, repr=False)
class Secret:
    """A value nobody prints by accident; :meth:`reveal` is the one way to read it."""

    _value: str

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return MASK

    __str__ = __repr__


class Mask:
    """Replaces every known secret in a text, longest first."""

    def __init__(self) -> None:
        self._values: tuple[str, ...] = ()

    def learn(self, values: Iterable[str]) -> None:
        """From now on none of these appears in what :meth:`hide` returns, quoted or line by line neither."""
        known = {form for value in values if len(value) >= SHORTEST for form in _forms(value)}
        self._values = tuple(sorted({*self._values, *known}, key=len, reverse=True))

    def hide(self, text: str) -> str:
        for value in self._values:
            text = text.replace(value, MASK)
        return text

    def hide_all(self, data: Any) -> Any:
        """Lists and mappings with every text hidden, as JSON can hold them; numbers stay, so that JSON stays JSON."""
        if data is None or isinstance(data, (bool, int, float)):
            return data
        if isinstance(data, Mapping):
            return {self.hide(str(key)): self.hide_all(value) for key, value in data.items()}
        if isinstance(data, (list, tuple)):
            return [self.hide_all(value) for value in data]
        return self.hide(str(data))


def _forms(value: str) -> set[str]:
    """How a value can look in what we print: itself, in JSON, as Python writes it, and its lines in a diff."""
    quoted = {json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1], repr(value)[1:-1]}
    return {value, *quoted, *(line for line in value.splitlines() if len(line) >= LINE)}
