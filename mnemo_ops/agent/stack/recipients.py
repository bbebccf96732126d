"""To whom age(1) encrypts: public keys of age itself and of SSH; what is none never reaches a command line."""

from __future__ import annotations

from typing import Sequence, Tuple

from mnemo_ops.agent.base import validators
from mnemo_ops.errors import Refused

LETTERS = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"  # bech32 (BIP 173)
_STEPS = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
REMEDY = "age-keygen prints one (age1...); the line of an ssh-ed25519 or ssh-rsa public key will do, too"


def parsed(given: Sequence[str]) -> Tuple[str, ...]:
    """Each as one argument for ``age -r``, without its comment. :raises Refused: one is no recipient (3)."""
    found = []
    for text in given:
        wrong = problem(text)
        if wrong:
            raise Refused(f"the recipient {text[:60]!r} {wrong}", hint=REMEDY)
        found.append(" ".join(text.split()[:2]))
    return tuple(found)


def problem(text: str) -> str:
    """What is wrong with a recipient; empty: nothing."""
    text = text.strip()
    words = text.split()
    if not words or not text.isprintable():
        return "is not one line of text"
    if words[0] in ("ssh-ed25519", "ssh-rsa"):
        return _of_ssh(words[0], words[1] if len(words) > 1 else "")
    if len(words) > 1 or not text.startswith("age1"):
        return "is no public key of age"
    if "1" in text[4:]:  # age1NAME1...
        return f"needs the plugin age-plugin-{text[4:].partition('1')[0]}, which is not supported"
    return "" if _is_key(text) else "is mistyped: its checksum does not fit"


def _is_key(text: str) -> bool:
    numbers = [LETTERS.find(letter) for letter in text[4:]]
    return len(numbers) == 58 and -1 not in numbers and checksum("age", numbers) == 1


def checksum(name: str, numbers: Sequence[int]) -> int:
    """Of a text of bech32 with this name before its ``1``: 1 where the last six numbers fit the others."""
    check = 1
    for value in [*(ord(letter) >> 5 for letter in name), 0, *(ord(letter) & 31 for letter in name), *numbers]:
        top = check >> 25
        check = (check & 0x1FFFFFF) << 5 ^ value
        for bit, step in enumerate(_STEPS):
            check ^= step if top >> bit & 1 else 0
    return check


def _of_ssh(kind: str, key: str) -> str:
    fields = validators.fields(key)
    if fields is None or fields[:1] != [kind.encode()]:
        return "is mistyped: it does not hold a key"
    if kind == "ssh-ed25519":
        return "" if [len(one) for one in fields[1:]] == [32] else "is mistyped: it does not hold a key"
    if len(fields) != 3:
        return "is mistyped: it does not hold a key"
    return "" if int.from_bytes(fields[2], "big").bit_length() >= 2048 else "has fewer than 2048 bits"
