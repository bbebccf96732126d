"""Secret: a value that prints as ``[secret]``, and the mask that keeps known values out of everything we print."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Optional

from mnemo_ops.agent.record import dataclass
from mnemo_ops.agent.secrecy import MASK, SHORTEST, forms


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
        self._known: dict[str, set[str]] = {}  # value -> its forms
        self._spared: set[str] = set()
        self._sorted: Optional[tuple[str, ...]] = None  # forms, until more is learned

    def learn(self, values: Iterable[str]) -> None:
        """From now on none of these appears in what :meth:`hide` returns, quoted or line by line neither."""
        for value in values:
            if len(value) >= SHORTEST and value not in self._known:
                self._known[value], self._sorted = forms(value), None

    def spare(self, names: Iterable[str]) -> None:
        """Names messages are full of: a secret that is one of them would make all of them unreadable."""
        self._spared, self._sorted = self._spared | set(names), None

    def hide(self, text: str) -> str:
        found = self._sorted
        if found is None:
            known = {form for value, each in self._known.items() if value not in self._spared for form in each}
            found = self._sorted = tuple(sorted(known, key=len, reverse=True))
        for form in found:
            text = text.replace(form, MASK)
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
