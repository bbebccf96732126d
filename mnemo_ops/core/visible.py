"""Visible: what somebody else said, as it may be shown: what moves the cursor or turns the reading is written out."""

from __future__ import annotations

import re
import textwrap

# Unicode's Cc, Cf, Zl and Zp but for tab and newline
_ODD = re.compile(
    "[\0-\x08\x0b-\x1f\x7f-\x9f\xad\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u180e\u200b-\u200f\u2028-\u202e"
    "\u2060-\u206f\ufeff\ufff9-\ufffb\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0001\U000e0020-\U000e007f]"
)


def visible(text: str) -> str:
    """The text with ``ESC`` as ``\\x1b``, the end of a line elsewhere as ``\\u2028``; tabs and newlines stay."""
    return _ODD.sub(_written, text)


def in_a_line(text: str) -> str:
    """As :func:`visible`, newlines written, too."""
    return visible(text).replace("\n", "\\n")


def indented(text: str) -> str:
    """Further lines stand apart, so that nobody else's text begins a line of ours."""
    return text.rstrip("\n").replace("\n", "\n      ")


def folded(text: str, columns: int) -> str:
    """Lines broken at blanks, where a terminal would break words."""
    fill = textwrap.TextWrapper(
        max(columns, 20), subsequent_indent="      ", break_long_words=False, break_on_hyphens=False
    ).fill
    return "\n".join(fill(line) for line in text.split("\n"))


def _written(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode()
