"""Lines as the system sees them: a newline ends one, and nothing else does."""

from __future__ import annotations

from typing import Any, List


def each_line(text: str) -> List[str]:
    """The lines of a file of the system or of what a program printed.

    Not ``str.splitlines``, to which ten more characters are an end, as U+2028: what a user writes into his name, a
    comment or the name of a directory would be a line of its own to us, and once we write the file, to everybody.
    """
    found = text.split("\n")
    return found if found[-1] else found[:-1]


def refuse_lines(**given: Any) -> None:
    """What becomes a part of a line. :raises ValueError: one of them would be several lines."""
    for name, value in given.items():
        for one in value if isinstance(value, (list, tuple)) else (value,):
            if isinstance(one, str) and "\n" in one:
                raise ValueError(f"{name} must be one line")


def refuse_keys(**given: Any) -> None:
    """Mappings that are told as ``key=value``. :raises ValueError: a key would be read as another, or as none."""
    for name, mapping in given.items():
        for key in map(str, mapping or ()):
            if not key or key != key.strip() or key.startswith("#") or {"=", "\n"} & {*key}:
                raise ValueError(f"{name}: {key!r} would be another key, or none")


def refuse_options(**given: Any) -> None:
    """What programs are told as it is, alone or in a list. :raises ValueError: they would take one for an option."""
    for name, value in given.items():
        for word in value if isinstance(value, (list, tuple)) else (value,):
            if isinstance(word, str) and word.startswith("-"):
                raise ValueError(f"{name} does not begin with '-'")
