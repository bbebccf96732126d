"""Secret: a value that prints as ``[secret]``, and the mask that keeps known values out of everything we print."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterable

MASK = "[secret]"
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
        """From now on none of these appears in what :meth:`hide` returns."""
        known = {*self._values, *(value for value in values if len(value) >= SHORTEST)}
        self._values = tuple(sorted(known, key=len, reverse=True))

    def hide(self, text: str) -> str:
        for value in self._values:
            text = text.replace(value, MASK)
        return text
