"""Passwords that the services of a stack have: a restore must not lock them out with those of another day."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import re
from typing import Dict, Iterable, List, Mapping, Set
from urllib.parse import unquote, urlsplit

from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.stack.cluster.server import Server
from mnemo_ops.agent.stack.containers import Container

_HASHES = "SELECT coalesce(json_object_agg(rolname, rolpassword), '{}') FROM pg_authid WHERE rolpassword IS NOT NULL;"
_NAMES = re.compile("PASS|PWD|SECRET|URL|URI|DSN|CONN|DATABASE", re.IGNORECASE)
_WITHIN = re.compile(r"(?i)\b(?:password|pwd)\s*=\s*(?:'([^']*)'|([^;'\s]+))")  # in a connection string
_SCRAM = re.compile(r"SCRAM-SHA-256\$(\d{1,7}):([A-Za-z0-9+/=]+)\$([A-Za-z0-9+/=]+):[A-Za-z0-9+/=]+")


def hashes(server: Server) -> Dict[str, str]:
    """Role -> what the server keeps of its password. :raises CommandFailed: Postgres' own words (6)."""
    return dict(server.query(_HASHES))


def known(machine: Machine, containers: Iterable[Container]) -> Set[str]:
    """What may be a password in the environment of containers: whole values, those within addresses, and files."""
    found: Set[str] = set()
    named = [(each, name, value) for each in containers for name, value in each.env.items() if _NAMES.search(name)]
    for container, name, value in named:
        if name.endswith("_FILE") and container.running:
            said = machine.ask(["docker", "exec", container.name, "cat", "--", value], check=False)
            found.add(said.out.strip())
        found.add(value)
        found.update(word for words in _WITHIN.findall(value) for word in words)
        with contextlib.suppress(ValueError):  # no address
            found.add(unquote(urlsplit(value).password or ""))
    return found - {""}


def locked_out(today: Mapping[str, str], restored: Mapping[str, str], words: Iterable[str]) -> List[str]:
    """Roles whom a word of the environment opens today, and would not any more."""
    changed = [role for role, kept in today.items() if role in restored and restored[role] != kept]
    return [
        role
        for role in changed
        if any(opens(word, role, today[role]) and not opens(word, role, restored[role]) for word in words)
    ]


def opens(password: str, role: str, kept: str) -> bool:
    """Whether it is the password of which Postgres keeps this (RFC 5803; libpq's md5)."""
    if kept.startswith("md5"):
        return kept[3:] == hashlib.md5((password + role).encode(), usedforsecurity=False).hexdigest()
    found = _SCRAM.fullmatch(kept)
    if found is None:
        return False
    try:
        rounds, salt, stored = int(found[1]), base64.b64decode(found[2]), base64.b64decode(found[3])
    except ValueError:
        return False
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, rounds)
    key = hmac.new(salted, b"Client Key", "sha256").digest()
    return hmac.compare_digest(stored, hashlib.sha256(key).digest())
