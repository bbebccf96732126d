"""Lines of OpenSSH's key files: authorized_keys and known_hosts (sshd(8)). Pure."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from typing import List, NamedTuple, Optional

from mnemo_ops.agent.base.lines import each_line

_TYPES = r"(?:ssh-\S+|ecdsa-sha2-\S+|sk-\S+)"
# options may hold spaces, inside of quotes only
_LINE = re.compile(rf'\s*(?:((?:[^\s"]|"(?:\\.|[^"\\])*")+)\s+)?({_TYPES})\s+([A-Za-z0-9+/=]+)(?:\s+(.*?))?\s*')


class Key(NamedTuple):
    """A public key. ``before``: options of authorized_keys, or names of known_hosts."""

    before: str
    type: str
    blob: str
    comment: str

    def line(self) -> str:
        return " ".join(part for part in self if part)


def parse(line: str) -> Optional[Key]:
    """The key of a line; ``None``: a comment, empty, or no key."""
    found = None if line.lstrip().startswith("#") else _LINE.fullmatch(line)
    return None if found is None else Key(found[1] or "", found[2], found[3], found[4] or "")


def parse_all(text: str) -> List[Key]:
    """The keys of a text; comments and empty lines are left out. :raises ValueError: a line is neither."""
    keys = []
    for line in each_line(text):
        key = parse(line)
        if key is not None:
            keys.append(key)
        elif line.strip() and not line.lstrip().startswith("#"):
            raise ValueError(f"this is not a public key: {line.strip()[:60]!r}")
    return keys


def names(key: Key, host: str) -> bool:
    """Whether a line of known_hosts is about a host: by name, or by the hash of it (``|1|salt|hash``)."""
    before = key.before.split()[-1] if key.before else ""  # a marker (@cert-authority) may stand before the names
    if before.startswith("|1|"):
        salt, _, digest = before[3:].partition("|")
        return hashed(host, base64.b64decode(salt)) == before and bool(digest)
    return host in before.lower().split(",")


def hashed(host: str, salt: bytes) -> str:
    digest = hmac.new(salt, host.encode(), hashlib.sha1).digest()
    return f"|1|{base64.b64encode(salt).decode()}|{base64.b64encode(digest).decode()}"
