"""OpenPGP public keys (RFC 4880, RFC 9580): armour, and which keys a keyring holds. Pure; no signature is checked."""

from __future__ import annotations

import base64
import hashlib
import re
from typing import Iterator, List, Tuple

from mnemo_ops.agent.base.record import dataclass
from mnemo_ops.errors import StepFailed

_BLOCK = re.compile(rb"-----BEGIN PGP PUBLIC KEY BLOCK-----\r?\n(.*?)-----END PGP PUBLIC KEY BLOCK-----", re.DOTALL)
PUBLIC_KEY, PUBLIC_SUBKEY = 6, 14  # packet tags


@dataclass(frozen=True)
class Key:
    """A key with all its packets. ``fingerprints``: its own and then those of its subkeys, upper-case hex."""

    fingerprints: Tuple[str, ...]
    data: bytes

    def fits(self, name: str) -> bool:
        """Whether ``name`` is a fingerprint of it, or the end of one (a short or long id), ``0x`` or not."""
        wanted = name.replace(" ", "").upper()
        wanted = wanted[2:] if wanted.startswith("0X") else wanted
        return any(each.endswith(wanted) for each in self.fingerprints)


def dearmored(data: bytes) -> bytes:
    """The packets, whether they came as text or not. :raises StepFailed: broken armour (6)."""
    blocks = _BLOCK.findall(data)
    if not blocks:
        return data
    found = b""
    for block in blocks:
        lines = block.replace(b"\r", b"").split(b"\n")
        body = lines[next((at for at, line in enumerate(lines) if not line.strip()), 0) + 1 :]  # after the headers
        try:
            text = b"".join(line.strip() for line in body if not line.startswith(b"="))  # but its checksum
            found += base64.b64decode(text, validate=True)
        except ValueError as error:
            raise StepFailed(f"this is not a public key: {error}") from None
    return found


def armored(data: bytes) -> bytes:
    text = base64.b64encode(data)
    lines = [text[at : at + 64] for at in range(0, len(text), 64)]
    checksum = b"=" + base64.b64encode(_crc24(data).to_bytes(3, "big"))  # gpg cannot do without
    begin, end = b"-----BEGIN PGP PUBLIC KEY BLOCK-----", b"-----END PGP PUBLIC KEY BLOCK-----"
    return b"\n".join([begin, b"", *lines, checksum, end, b""])


def _crc24(data: bytes) -> int:
    crc = 0xB704CE
    for octet in data:
        crc ^= octet << 16
        for _ in range(8):
            crc <<= 1
            crc ^= 0x1864CFB if crc & 0x1000000 else 0
    return crc


def keys(data: bytes) -> List[Key]:
    """The keys of a keyring, armoured or not. :raises StepFailed: it holds something else (6)."""
    found: List[Tuple[List[str], bytes]] = []
    for tag, body, packet in _packets(dearmored(data)):
        if tag == PUBLIC_KEY:
            found.append(([], b""))
        if not found:
            raise StepFailed("this is not a public key: it begins with something else")
        names, whole = found[-1]
        found[-1] = (names, whole + packet)
        if tag in (PUBLIC_KEY, PUBLIC_SUBKEY):
            names.append(_fingerprint(body))
    return [Key(tuple(names), whole) for names, whole in found]


def _fingerprint(body: bytes) -> str:
    if body[:1] == b"\x04":
        return hashlib.sha1(b"\x99" + len(body).to_bytes(2, "big") + body).hexdigest().upper()
    return hashlib.sha256(b"\x9b" + len(body).to_bytes(4, "big") + body).hexdigest().upper()


def _packets(data: bytes) -> Iterator[Tuple[int, bytes, bytes]]:
    """Tag, body and the whole packet of each."""
    at = 0
    while at < len(data):
        first = data[at]
        if not first & 0x80:
            raise StepFailed("this is not a public key: neither armoured text nor packets")
        if first & 0x40:
            tag, size, head = first & 0x3F, *_new_length(data[at + 1 : at + 6])
        else:
            width = 1 << (first & 3)  # 8 octets would mean "until the end": nobody writes keys so
            tag, size, head = first >> 2 & 0xF, int.from_bytes(data[at + 1 : at + 1 + width], "big"), 1 + width
        end = at + head + size
        if end > len(data):
            raise StepFailed("this is not a public key: it ends too early")
        yield tag, data[at + head : end], data[at:end]
        at = end


def _new_length(octets: bytes) -> Tuple[int, int]:
    """Length of the body and of the head."""
    if octets[:1] < b"\xc0":
        return octets[0] if octets else 1 << 32, 2
    if octets[:1] < b"\xe0":
        return ((octets[0] - 192) << 8) + octets[1] + 192, 3
    return int.from_bytes(octets[1:5], "big"), 6
