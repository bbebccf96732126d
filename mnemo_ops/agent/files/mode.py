"""Permission bits as Ansible writes them: octal text, a YAML number, or symbolic (``u=rwX,g-w,o=``). Pure."""

from __future__ import annotations

import re
from typing import Optional, Union

Mode = Optional[Union[int, str]]

_OCTAL = re.compile(r"0?o?[0-7]{1,4}")
_CLAUSE = re.compile(r"([ugoa]*)((?:[=+-](?:[ugo]|[rwxXst]*))+)")
_STEP = re.compile(r"([=+-])([ugo]|[rwxXst]*)")
_SHIFT = {"u": 6, "g": 3, "o": 0}
_EXTRA = {"u": 0o4000, "g": 0o2000, "o": 0o1000}  # setuid, setgid, sticky


def declared(mode: Union[int, str]) -> str:
    """How a mode is written in a state: ``0644``; a symbolic one stays as it is, for it depends on what it meets.

    :raises ValueError: it is neither.
    """
    if isinstance(mode, bool) or (isinstance(mode, int) and not 0 <= mode <= 0o7777):
        raise ValueError(f"mode {mode!r} is not between 0 and 07777; write it in quotes, like '0644'")
    if isinstance(mode, int):
        return f"{mode:04o}"
    if _OCTAL.fullmatch(mode):
        return f"{int(mode, 8):04o}"
    if mode and all(_CLAUSE.fullmatch(clause) for clause in mode.split(",")):
        return mode
    raise ValueError(f"mode {mode!r} is neither octal like '0644' nor symbolic like 'u=rw,g=r,o='")


def resolve(mode: Union[int, str], current: int, is_directory: bool) -> int:
    """The permission bits a mode means for something that has the bits ``current``."""
    text = declared(mode)
    if text.isdigit():
        return int(text, 8)
    for clause in text.split(","):
        found = _CLAUSE.fullmatch(clause)
        assert found is not None  # declared() has looked
        who = "ugo" if not found[1] or "a" in found[1] else found[1]
        for sign, letters in _STEP.findall(found[2]):
            current = _step(current, sign, letters, who, is_directory)
    return current


def _step(current: int, sign: str, letters: str, who: str, is_directory: bool) -> int:
    bits = touched = 0
    for one in who:
        bits |= _bits(current, letters, one, is_directory)
        touched |= 0o7 << _SHIFT[one] | _EXTRA[one]
    if sign == "+":
        return current | bits
    return current & ~bits if sign == "-" else current & ~touched | bits


def _bits(current: int, letters: str, one: str, is_directory: bool) -> int:
    if letters in _SHIFT and letters:  # u=g: what another has
        return (current >> _SHIFT[letters] & 0o7) << _SHIFT[one]
    low = sum({"r": 4, "w": 2, "x": 1}.get(letter, 0) for letter in set(letters))
    if "X" in letters and (is_directory or current & 0o111):
        low |= 1
    bits = low << _SHIFT[one]
    if "s" in letters and one in "ug":
        bits |= _EXTRA[one]
    if "t" in letters and one == "o":
        bits |= _EXTRA["o"]
    return bits
