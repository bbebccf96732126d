"""What belongs to whoever deploys, wherever it lies: keys, state of other tools, inventories. No host needs it."""

from __future__ import annotations

import re
from pathlib import Path

_NAMES = re.compile(
    r"\.?vault[-_.]?pass(?:word|wd)?(?:[-_.]?file)?(?:\.txt)?|ansible\.cfg|.+\.tfstate(?:\..*)?|\.terraform"
)
_KEY = re.compile(
    r"^(?:-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY-----|AGE-SECRET-KEY-1|PuTTY-User-Key-File-)", re.MULTILINE
)
_FIRST = ("-----BEGIN ", "AGE-SECRET-KEY-1", "PuTTY-User-Key-File-")
_MOST = 1 << 16  # bytes: no key is larger
_HOSTS = re.compile(
    r"^\s*all\s*:\s*(?:\{\s*|\n\s+)(?:hosts|children|vars)\s*:|\bansible_(?:host|user|port|connection)\s*[:=]",
    re.MULTILINE,
)


def is_ours(name: str) -> bool:
    """Whether a file or directory of this name is a tool's of the controller."""
    return bool(_NAMES.fullmatch(name))


def is_key(path: Path) -> bool:
    """Whether a file is a private key: it begins as one, and is not a program that holds the word."""
    text = _text(path)
    lines = (line.strip() for line in text.splitlines())
    first = next((line for line in lines if line and not line.startswith("#")), "")
    return first.startswith(_FIRST) and bool(_KEY.search(text))


def is_inventory(path: Path) -> bool:
    return path.suffix in ("", ".yml", ".yaml", ".ini", ".json") and bool(_HOSTS.search(_text(path)))


def _text(path: Path) -> str:
    """Empty where it is too large, or cannot be read: whoever ships it says so."""
    try:
        return path.read_text(errors="replace") if path.stat().st_size <= _MOST else ""
    except OSError:
        return ""
