"""The header of an encrypted file, made again for another key: who opens it then never has the operator's.

The format is age's (C2SP, age: X25519 recipient stanza, header MAC). What is encrypted stays as it is; only the file
key is unwrapped here and wrapped again.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from typing import Optional

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from mnemo_ops.agent.stack.recipients import LETTERS, checksum

VERSION = "age-encryption.org/v1"
_STANZA = re.compile(r"-> X25519 ([A-Za-z0-9+/]{43})\n([A-Za-z0-9+/]{43})\n")
_END = re.compile(r"\n--- ([A-Za-z0-9+/]{43})\n?$")
_NONCE = bytes(12)


def private_key(text: str) -> Optional[X25519PrivateKey]:
    """The key of a line ``AGE-SECRET-KEY-1...``; ``None``: it is none, or mistyped."""
    name, _, rest = text.strip().lower().rpartition("1")
    numbers = [LETTERS.find(letter) for letter in rest]
    if name != "age-secret-key-" or len(numbers) != 58 or -1 in numbers or checksum(name, numbers) != 1:
        return None
    bits = "".join(f"{number:05b}" for number in numbers[:-6])
    return X25519PrivateKey.from_private_bytes(bytes(int(bits[at : at + 8], 2) for at in range(0, 256, 8)))


def rewrapped(header: str, keys: list[X25519PrivateKey], to: X25519PublicKey) -> Optional[str]:
    """The header for the owner of ``to`` alone. :param keys: of whom it is now, one of them.

    :returns: ``None``: none of the keys opens it, or somebody changed it.
    """
    end = _END.search(header)
    if end is None or not header.startswith(VERSION + "\n"):
        return None
    for share, body in _STANZA.findall(header):
        for key in keys:
            file_key = _unwrapped(key, _decoded(share), _decoded(body))
            if file_key is not None and hmac.compare_digest(_mac(file_key, header[: end.start(1) - 1]), end[1]):
                return _wrapped(file_key, to)
    return None


def _unwrapped(key: X25519PrivateKey, share: bytes, body: bytes) -> Optional[bytes]:
    own = key.public_key().public_bytes_raw()
    try:
        shared = key.exchange(X25519PublicKey.from_public_bytes(share))
        return ChaCha20Poly1305(_derived(shared, share + own, VERSION + "/X25519")).decrypt(_NONCE, body, None)
    except (InvalidTag, ValueError):  # of another key, or no point of the curve
        return None


def _wrapped(file_key: bytes, to: X25519PublicKey) -> str:
    once, other = X25519PrivateKey.generate(), to.public_bytes_raw()
    share = once.public_key().public_bytes_raw()
    wrapping = _derived(once.exchange(to), share + other, VERSION + "/X25519")
    body = ChaCha20Poly1305(wrapping).encrypt(_NONCE, file_key, None)
    text = f"{VERSION}\n-> X25519 {_encoded(share)}\n{_encoded(body)}\n---"
    return f"{text} {_mac(file_key, text)}\n"


def _mac(file_key: bytes, text: str) -> str:
    return _encoded(hmac.new(_derived(file_key, b"", "header"), text.encode(), hashlib.sha256).digest())


def _derived(secret: bytes, salt: bytes, info: str) -> bytes:
    return HKDF(SHA256(), 32, salt, info.encode()).derive(secret)


def _encoded(data: bytes) -> str:
    return base64.b64encode(data).decode().rstrip("=")


def _decoded(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4))
