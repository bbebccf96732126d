"""What templates are given besides plain data, and what becomes of what they give back."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, NoReturn, Optional

from jinja2 import StrictUndefined, Undefined
from jinja2.exceptions import UndefinedError
from jinja2.utils import missing

from mnemo_ops.core.secret_text import SecretText, derived, hidden, parts_of
from mnemo_ops.errors import VaultError, named


class NoValue(Exception):
    """Why a variable has no value. Put as a value into a scope, it is raised when a template needs the value.

    :param known: what is known of the value all the same.
    """

    def __init__(self, why: str, known: Mapping[str, Any] = MappingProxyType({})) -> None:
        super().__init__(why)
        self.known = known


class Unready(NoValue):
    """Nobody can know the value yet."""


class Unread:
    """What a template gets in place of a value there is none of: Jinja reads values it may never use.

    :param problem: raised when it is used: that of a variable with :class:`NoValue`, or that of a lookup that failed.
    """

    def __init__(self, problem: Exception) -> None:
        self._problem = problem
        self._known = problem.known if isinstance(problem, NoValue) else {}

    def _raise(self, *_: object) -> NoReturn:
        raise self._problem

    __str__ = __iter__ = __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = __len__ = __bool__ = _raise
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __mod__ = __contains__ = __call__ = _raise
    __int__ = __float__ = __index__ = __neg__ = __pos__ = __abs__ = __round__ = __reversed__ = __hash__ = _raise

    def __getitem__(self, name: str) -> Any:
        return self._known[name] if name in self._known else self._raise()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self[name]


class _Omit:
    """What ``default(omit)`` leaves: an argument that is not given."""

    def __repr__(self) -> str:
        return "omit"


OMIT = _Omit()


def without_omitted(value: Any) -> Any:
    """The value without what ``default(omit)`` left out."""
    if isinstance(value, dict):
        return {key: without_omitted(item) for key, item in value.items() if item is not OMIT}
    return [without_omitted(item) for item in value if item is not OMIT] if isinstance(value, list) else value


class Missing(UndefinedError):
    """An undefined name, with the names that are defined in its place."""

    def __init__(self, message: str, name: Any, owner: Any) -> None:
        super().__init__(hidden(message, parts_of(name)))
        self.name = str(hidden(name))
        fact = hasattr(type(owner), "ABSENT") and self.name.startswith("ansible_")  # not gathered: no other is meant
        self.known = [str(key) for key in owner] if isinstance(owner, Mapping) and not fact else []
        self.variable = owner is missing


class Absent(StrictUndefined):
    """Any use is an error, except that ``a.b.c | default(x)`` may go through what is missing, as in Ansible."""

    def __init__(self, hint: Optional[str] = None, obj: Any = missing, name: Any = None, exc: Any = None) -> None:
        super().__init__(hint, obj, name, functools.partial(Missing, name=name, owner=obj))  # type: ignore[arg-type]

    @property
    def _undefined_message(self) -> str:
        """Jinja's, without the name of a class of ours: that has its own words for what it does not hold."""
        words = getattr(type(self._undefined_obj), "ABSENT", "")
        return words.format(self._undefined_name) if words and not self._undefined_hint else super()._undefined_message

    @classmethod
    def because(cls, name: str, problem: Missing) -> Absent:
        """A variable whose own value reads an undefined one."""
        found = cls(name=name)
        found._undefined_exception = lambda _: problem  # type: ignore[assignment]
        return found

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __getitem__(self, name: Any) -> Any:
        return self

    def __fspath__(self) -> str:  # filters of paths ask for this
        return str(self)


def undef(hint: Optional[str] = None) -> Absent:
    """The function ``undef()``: a value somebody else has to give."""
    return Absent(hint=hint or "the caller must set this variable", name="undef")


def joined(parts: Iterable[Any]) -> Any:
    """What the parts of a template are together: one alone keeps its type, ``none`` is nothing, as in Ansible."""
    found = [part for part in parts if part is not None]
    if len(found) == 1:
        return found[0]
    return derived("".join(map(_text, found)), found) if found else None


def _text(part: Any) -> str:
    """A part of a longer text: what Python would show as a tuple or a generator is a list, as in Ansible."""
    return str(part if isinstance(part, (str, range, Undefined)) else settled(part))


def settled(value: Any) -> Any:
    """Plain data: nothing undefined inside, generators as lists."""
    if isinstance(value, (Undefined, Unread)):
        str(value)  # raises
        raise UndefinedError("an inline if that does not hold and has no else gives no value")
    if isinstance(value, dict):
        return {key: settled(item) for key, item in value.items()}
    if isinstance(value, str):
        return value if isinstance(value, SecretText) else str(value)  # Markup
    if isinstance(value, (bytes, _Omit)) or not hasattr(value, "__iter__"):
        return value
    return [settled(item) for item in value] if not isinstance(value, Mapping) else value


def copied(value: Any, lenient: bool = False) -> Any:
    """Plain data with every variable rendered now: ``vars`` and ``hostvars`` render one when it is read.

    :param lenient: what fails in a template is the text of its error. :raises VaultError: no password opens one (2).
    """
    if isinstance(value, Unread):
        str(value)  # raises
    if isinstance(value, Undefined) and lenient:
        return f"not defined: {value._undefined_name}"
    if isinstance(value, Mapping):
        return {key: _member(value, key, lenient) for key in list(value)}
    return [copied(one, lenient) for one in value] if isinstance(value, (list, tuple)) else value


def _member(owner: Mapping[Any, Any], key: Any, lenient: bool) -> Any:
    try:
        return copied(owner[key], lenient)
    except (NoValue, VaultError):
        raise
    except Exception as problem:  # an expression may raise anything
        if not lenient:
            raise
        read: Callable[[], frozenset[str]] = getattr(owner, "secrets", frozenset)
        return f"not rendered: {hidden(getattr(problem, 'message', '') or named(problem), read())}"
