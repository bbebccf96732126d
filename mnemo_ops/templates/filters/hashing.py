"""Filters that hash: digests, and passwords as /etc/shadow holds them."""

from __future__ import annotations

import functools
import hashlib
import secrets
from typing import Any, Callable, Optional

from mnemo_ops.templates import sha_crypt

ROUNDS = {"sha512": 656_000, "sha256": 535_000, "bcrypt": 12}  # ansible-core's, with passlib
_NAMES = {"sha512_crypt": "sha512", "sha256_crypt": "sha256", "blowfish": "bcrypt"}


def digest(value: Any, hashtype: str = "sha1") -> str:
    if hashtype not in hashlib.algorithms_available:
        raise ValueError(f"hash: there is no hash '{hashtype}'")
    return hashlib.new(hashtype, str(value).encode()).hexdigest()


def password_hash(
    password: Any,
    hashtype: str = "sha512",
    salt: Any = None,
    salt_size: Optional[int] = None,
    rounds: Optional[int] = None,
    ident: Optional[str] = None,
) -> str:
    """A password hash for the shadow file. Without ``salt`` it differs each time.

    :param hashtype: sha512, sha256 or bcrypt (blowfish).
    """
    kind = _NAMES.get(hashtype, hashtype)
    if kind not in ROUNDS:
        raise ValueError(f"password_hash: '{hashtype}' is not supported; use sha512, sha256 or bcrypt")
    length = 22 if kind == "bcrypt" else salt_size or 16
    text = str(salt) if salt else "".join(secrets.choice(sha_crypt.ALPHABET) for _ in range(length))
    return _hashed(str(password), kind, text, rounds or ROUNDS[kind], ident)


@functools.lru_cache(maxsize=1024)  # slow by purpose, and asked again for every host
def _hashed(password: str, kind: str, salt: str, rounds: int, ident: Optional[str]) -> str:
    if kind != "bcrypt":
        return sha_crypt.sha_crypt(password, salt, kind, rounds)
    import bcrypt

    if len(salt) != 22 or not 4 <= rounds <= 31:
        raise ValueError("password_hash: bcrypt takes a salt of 22 characters and 4 to 31 rounds")
    setting = f"${ident or '2b'}${rounds:02}${salt}"
    return bcrypt.hashpw(password.encode(), setting.encode()).decode()


FILTERS: dict[str, Callable[..., Any]] = {
    "checksum": digest,
    "hash": digest,
    "md5": lambda value: digest(value, "md5"),
    "password_hash": password_hash,
    "sha1": digest,
}
