"""Secret: a value that prints as ``[secret]``, and the mask that keeps known values out of everything we print."""

from __future__ import annotations

import base64
import json
import re
import threading
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, Optional

from mnemo_ops.agent.base.record import dataclass
from mnemo_ops.agent.base.secrecy import LINE, MASK, SHORTEST, WORD, can_hide, forms, inside, is_word, named, ordinary

MOST = 1000  # values of one result that are remembered; more would make every line slow
DEEPEST = 50  # lists and mappings within each other
SHORT = 500  # characters in which a URL with a password is looked for: the time grows with their square
LONGEST = 1 << 14  # characters of a value; of a longer one its lines are remembered
# of a result: where, when and whose it is says nothing about what it holds
_ABOUT = frozenset(
    ("delta", "dest", "end", "group", "mode", "owner", "path", "secontext", "size", "src", "start", "state")
)
_ORDINARY = re.compile(r"[\d\s.,:/+-]*|/?([a-z0-9._@-]+/)*[a-z._-]*")  # numbers, times, paths
_TOKEN = re.compile(rf"[\w+/=.~-]{{{WORD + 1},}}")


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
    """Replaces every known secret in a text, longest first. From any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[str, set[str]] = {}  # value -> its forms
        self._spared: set[str] = set()
        self._sorted: Optional[tuple[str, ...]] = None  # forms, until more is learned

    def learn(self, values: Iterable[str]) -> None:
        """From now on none of these appears in what :meth:`hide` returns, quoted or line by line neither.

        Ordinary words and names that are spared do appear: hiding one hides nothing, and no message can be read.
        """
        for value in values:
            if len(value) >= SHORTEST and value not in self._known:
                found = forms(value) | encoded(value)
                with self._lock:
                    self._known[value], self._sorted = found, None

    def spare(self, names: Iterable[str]) -> None:
        """Names messages are full of: a secret that is one of them would make all of them unreadable."""
        with self._lock:
            self._spared, self._sorted = self._spared | set(names), None

    def hide(self, text: str) -> str:
        with self._lock:
            if self._sorted is None:
                words = ordinary(self._spared)
                shown = {value for value in self._known if value in self._spared or not can_hide(value, words)}
                known = {form for value, each in self._known.items() if value not in shown for form in each}
                self._sorted = tuple(sorted(known, key=len, reverse=True))
            found = self._sorted
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


def encoded(value: str) -> set[str]:
    """How it looks in base64, alone or after something else (``user:value``), also in lines, and in hexadecimal."""
    data = value.encode("utf-8", "surrogatepass")
    found = {data.hex(), data.hex().upper()}
    for before in range(3):
        text = base64.b64encode(bytes(before) + data).decode()
        first, last = -(-8 * before // 6), 8 * (before + len(data)) // 6
        own = text[first:last]  # what no neighbour has a part in
        found |= {
            own,
            text[first:].rstrip("="),
            *(own[at : at + width] for width in (64, 76) for at in range(0, len(own), width) if not before),
        }
    found |= {text.translate({ord("+"): "-", ord("/"): "_"}) for text in found}
    return {form for form in found if len(form) >= (LINE if len(value) > LINE else SHORTEST)}


def of_encrypted(variables: Iterable[tuple[str, str]]) -> list[str]:
    """Every value of what was encrypted as a whole, but the names in it (``postgres_db: shop``).

    :param variables: name and value, in order.
    """
    rows = list(variables)
    names = {value for value in named(rows) if is_word(value)}
    return [value for _, value in rows if value not in names]


def of_result(data: Any) -> Iterator[str]:
    """What of a result that is to be shown nowhere can be told from ordinary words, wherever it may come up later."""
    return islice(_of_result(data), MOST)


def _of_result(data: Any, depth: int = 0) -> Iterator[str]:
    if depth > DEEPEST:
        return
    if isinstance(data, Mapping):
        data = [value for name, value in data.items() if name not in _ABOUT]
    if isinstance(data, (list, tuple)):
        for value in data:
            yield from _of_result(value, depth + 1)
    elif isinstance(data, str):
        yield from _of_result(_parsed(data), depth + 1)
        for text in dict.fromkeys((data, *data.splitlines())):
            if len(text) <= LONGEST and not _is_ordinary(text.strip()):
                yield text.strip()
                parts = inside(text) if len(text) <= SHORT else ()
                yield from (one for one in (*parts, *_TOKEN.findall(text)) if not _is_ordinary(one))


def _parsed(text: str) -> Any:
    """What a program said, where it speaks JSON."""
    if not text.lstrip().startswith(("{", "[")):
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _is_ordinary(text: str) -> bool:
    return len(text) < SHORTEST or is_word(text) or _ORDINARY.fullmatch(text) is not None
