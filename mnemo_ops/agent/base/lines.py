"""Lines as the system sees them: a newline ends one, and nothing else does."""

from __future__ import annotations

from typing import List


def each_line(text: str) -> List[str]:
    """The lines of a file of the system or of what a program printed.

    Not ``str.splitlines``, to which ten more characters are an end, as U+2028: what a user writes into his name, a
    comment or the name of a directory would be a line of its own to us, and once we write the file, to everybody.
    """
    found = text.split("\n")
    return found if found[-1] else found[:-1]
