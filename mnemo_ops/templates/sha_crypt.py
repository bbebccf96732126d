"""SHA-crypt, the ``$5$`` and ``$6$`` of /etc/shadow.

Source: Ulrich Drepper, "Unix crypt using SHA-256 and SHA-512" (version 0.6); its steps are numbered there 1 to 22.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

ALPHABET = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
DEFAULT_ROUNDS = 5000  # left out of the result
_PREFIX = {"sha256": "$5$", "sha512": "$6$"}
Hash = Callable[[bytes], Any]


def sha_crypt(password: str, salt: str, kind: str = "sha512", rounds: int = DEFAULT_ROUNDS) -> str:
    """The hash of a password as /etc/shadow holds it.

    :param salt: 1 to 16 characters of ``./0-9A-Za-z``. :param kind: sha256 or sha512. :param rounds: 1000 to 999999999.
    :raises ValueError: the salt or the number of rounds is outside of that.
    """
    if not 1 <= len(salt) <= 16 or set(salt) - set(ALPHABET):
        raise ValueError("a salt has 1 to 16 characters of ./0-9A-Za-z")
    if not 1000 <= rounds <= 999_999_999:
        raise ValueError(f"rounds should be 1000 to 999999999, not {rounds}")
    digest = _digest(password.encode(), salt.encode(), getattr(hashlib, kind), rounds)
    stated = "" if rounds == DEFAULT_ROUNDS else f"rounds={rounds}$"
    return f"{_PREFIX[kind]}{stated}{salt}${_encoded(digest)}"


def _digest(key: bytes, salt: bytes, hash: Hash, rounds: int) -> bytes:
    b = hash(key + salt + key).digest()
    a = hash(key + salt + _stretched(b, len(key)))
    bits = len(key)
    while bits:
        a.update(b if bits & 1 else key)
        bits >>= 1
    c: bytes = a.digest()
    p = _stretched(hash(key * len(key)).digest(), len(key))
    s = _stretched(hash(salt * (16 + c[0])).digest(), len(salt))
    # what surrounds the digest repeats every 42 rounds: by 2, by 3, by 7
    parts = []
    for number in range(42):
        middle = (s if number % 3 else b"") + (p if number % 7 else b"")
        parts.append((p + middle, b"") if number % 2 else (b"", middle + p))
    for number in range(rounds):
        before, after = parts[number % 42]
        c = hash(before + c + after).digest()
    return c


def _stretched(digest: bytes, length: int) -> bytes:
    return (digest * (length // len(digest) + 1))[:length]


def _encoded(digest: bytes) -> str:
    """Base 64 of crypt: three bytes from the three thirds of the digest at a time, the order turning each time."""
    size = len(digest)
    third = size // 3
    turn = 1 if size == 64 else 2  # sha512 turns left, sha256 right
    text = ""
    for number in range(third):
        order = [number + third * ((number * turn + part) % 3) for part in range(3)]
        text += _letters(digest[order[0]] << 16 | digest[order[1]] << 8 | digest[order[2]], 4)
    if size == 64:
        return text + _letters(digest[63], 2)
    return text + _letters(digest[31] << 8 | digest[30], 3)


def _letters(value: int, count: int) -> str:
    return "".join(ALPHABET[value >> 6 * place & 63] for place in range(count))
