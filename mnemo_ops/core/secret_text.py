"""SecretText: a text that is secret because of where it came from, whatever it looks like."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any

from mnemo_ops.agent.base import secrecy
from mnemo_ops.agent.base.secrecy import MASK, secrets
from mnemo_ops.core.secret import of_encrypted

ALONE = 4  # characters; a shorter secret may stand in any word by accident
_WORDS = secrecy.ordinary(())

forms = functools.lru_cache(maxsize=256)(secrecy.forms)  # each piece of a secret asks for them


class SecretText(str):
    """A text that is secret, or has secrets in it. It stays one in templates, filters, facts and results.

    :attr parts: what of it is secret.
    """

    parts: tuple[str, ...]

    def __new__(cls, text: str, parts: Iterable[str] = ()) -> SecretText:
        made = super().__new__(cls, text)
        made.parts = tuple(part for part in dict.fromkeys(parts or (made.reveal().strip(),)) if part)
        return made

    def reveal(self) -> str:
        """As a plain text."""
        return str(self)

    @property
    def whole(self) -> bool:
        """Whether nothing of it may be shown."""
        return self.parts == (self.reveal().strip(),)

    def __radd__(self, other: str) -> Any:
        return derived(other + self.reveal(), other, self) if isinstance(other, str) else NotImplemented

    def __rmod__(self, other: str) -> Any:
        return derived(other % self.reveal(), other, self) if isinstance(other, str) else NotImplemented


def _keeping(name: str) -> Callable[..., Any]:
    plain = getattr(str, name)

    @functools.wraps(plain)
    def kept(self: SecretText, *given: Any, **options: Any) -> Any:
        return derived(plain(self, *given, **options), self, *given)

    return kept


_KEPT = (
    "__add__", "__getitem__", "__mod__", "__mul__", "__rmul__", "capitalize", "casefold", "center", "expandtabs",
    "format", "format_map", "join", "ljust", "lower", "lstrip", "partition", "removeprefix", "removesuffix", "replace",
    "rjust", "rpartition", "rsplit", "rstrip", "split", "splitlines", "strip", "swapcase", "title", "translate",
    "upper", "zfill",
)  # fmt: skip
for _name in _KEPT:
    setattr(SecretText, _name, _keeping(_name))


def derived(made: Any, source: Any, *others: Any) -> Any:
    """A text (or a list of texts) that was made of these: it holds their secrets, or is one itself."""
    if isinstance(made, SecretText) or not isinstance(made, (str, list, tuple)):
        return made
    parts = parts_of((source, *others))
    return _derived(made, source, others, parts) if parts else made


def _derived(made: Any, source: Any, others: Collection[Any], parts: Collection[str]) -> Any:
    if isinstance(made, list):
        return [_derived(one, source, others, parts) for one in made]
    if type(made) is tuple:
        return tuple(_derived(one, source, others, parts) for one in made)
    if isinstance(made, SecretText) or not isinstance(made, str):
        return made
    inside = [part for part in parts if any(form in made for form in (part, *forms(part)))]
    of_it = isinstance(source, SecretText) and source.whole and made not in others and bool(made.strip())
    return SecretText(made, inside) if inside else SecretText(made) if of_it else made


def parts_of(data: Any) -> frozenset[str]:
    """Everything secret in texts, lists and mappings."""
    return frozenset(_parts(data))


def _parts(data: Any) -> Iterator[str]:
    if isinstance(data, str):
        yield from data.parts if isinstance(data, SecretText) else ()
    elif isinstance(data, dict):
        for key, value in data.items():
            yield from _parts(key)
            yield from _parts(value)
    elif isinstance(data, (list, tuple)):
        for value in data:
            yield from _parts(value)


def hidden(data: Any, parts: Collection[str] = ()) -> Any:
    """Texts, lists and mappings as they may be shown.

    :param parts: what is secret in a text of another type, too: as a word, where it is very short.
    """
    if isinstance(data, SecretText):
        data = _pattern(frozenset(data.parts), anywhere=True).sub(MASK, data.reveal()) if data.parts else data.reveal()
    if isinstance(data, str):
        return _pattern(frozenset(parts)).sub(_masked, data) if parts else data
    if isinstance(data, Mapping):
        return {hidden(key, parts): hidden(value, parts) for key, value in data.items()}
    return [hidden(value, parts) for value in data] if isinstance(data, (list, tuple)) else data


@functools.lru_cache(maxsize=64)
def _pattern(parts: frozenset[str], anywhere: bool = False) -> re.Pattern[str]:
    spelled = {form for part in parts for form in (part, *forms(part))}
    texts = [
        re.escape(form) if anywhere or len(form) >= ALONE else rf"(?<!\w){re.escape(form)}(?!\w)"
        for form in sorted(spelled, key=len, reverse=True)
    ]
    # a longer word that messages are full of: `localhost` where `local` is a secret
    words = () if anywhere else {word for word in _WORDS for form in spelled if form in word} - spelled
    spared = "|".join(map(re.escape, sorted(words, key=len, reverse=True)))
    return re.compile("|".join([rf"(?<!\w)(?P<spared>{spared})(?!\w)", *texts] if spared else texts))


def _masked(found: re.Match[str]) -> str:
    return found[0] if found.lastgroup else MASK


def _stands(part: str, text: str) -> bool:
    return part in text and any(not found.lastgroup for found in _pattern(frozenset([part])).finditer(text))


def typed(data: Any, parts: Collection[str]) -> Any:
    """What a host said of a task that was given these secrets: the texts they stand in are secret ones."""
    if not parts:
        return data
    if isinstance(data, str):
        inside = [part for part in parts if _stands(part, data)]
        return SecretText(data, inside) if inside else data
    if isinstance(data, Mapping):
        return {key: typed(value, parts) for key, value in data.items()}
    return [typed(value, parts) for value in data] if isinstance(data, list) else data


def revealed(data: Any) -> Any:
    """With plain texts, as a host gets them."""
    if isinstance(data, SecretText):
        return data.reveal()
    if isinstance(data, dict):
        return {revealed(key): revealed(value) for key, value in data.items()}
    return [revealed(value) for value in data] if isinstance(data, list) else data


def seal(data: Any) -> list[str]:
    """Give the type to what is secret in the document of an encrypted file, in its place; returns those texts."""
    found = of_encrypted(_texts("", data))
    _seal(data, set(found))
    return found


def _seal(data: Any, secret: Collection[str]) -> None:
    for key, value in list(
        data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    ):
        if isinstance(value, str) and value in secret and value.strip():
            data[key] = SecretText(value)
        _seal(value, secret)


def _texts(name: str, data: Any) -> Iterator[tuple[str, str]]:
    """Every text inside a document, and what it is called there: below ``passwords`` each is a password."""
    if isinstance(data, dict):
        known = secrets((str(key), "value") for key in data)  # where it names its secrets itself, others are none
        whole = not known and secrets([(name, "value")])
        yield from (row for key, value in data.items() for row in _texts(name if whole else str(key), value))
    elif isinstance(data, list):
        yield from (row for value in data for row in _texts(name, value))
    elif isinstance(data, str):
        yield name, data
