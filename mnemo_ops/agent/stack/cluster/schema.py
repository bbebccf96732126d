"""The text of ``pg_dump --schema-only``, taken apart into its entries: a name and a digest of each, no text is kept."""

from __future__ import annotations

import hashlib
import re
from typing import Dict, Iterable, List

_HEADER = re.compile(rb"-- Name: (.*); Type: (.*); Schema: (.*); Owner: (.*?)(?:; Tablespace: .*)?")
_METHOD = re.compile(rb"SET default_table_access_method = .*;")
_SPACE = re.compile(rb"SET default_tablespace = .*;")
_END = b"-- PostgreSQL database dump complete"


def digest(salt: str, text: bytes) -> str:
    """Of what may be secret: nobody can try passwords without the salt."""
    return hashlib.sha256(salt.encode() + text).hexdigest()[:16]


def entries(lines: Iterable[bytes], salt: str) -> Dict[str, str]:
    """Entries of a dump by type, schema and name: the owner, and a digest of what makes it.

    :param lines: with their ends, as a file gives them.
    """
    found: Dict[str, str] = {}
    key, owner, method, before = "", "", b"", b""
    body: List[bytes] = []

    def close() -> None:
        while body and body[-1] in (b"", b"--"):
            body.pop()
        if key.startswith("DEFAULT ACL"):
            body.sort()  # the server sorts by the roles' numbers, which are others after a restore
        if key:
            made = digest(salt, b"\n".join([found.get(key, "").encode(), *body]))  # several may have one name
            found[key] = f"{owner} {made}".strip()

    for line in lines:
        line = line[:-1] if line.endswith(b"\n") else line
        header = _HEADER.fullmatch(line) if before == b"--" else None
        if header or (before == b"--" and line == _END):
            close()
            key, body = "", []
            if header:
                name, kind, schema, owner = (part.decode("utf-8", "replace") for part in header.groups())
                key = f"{kind} {name if schema in ('-', '') else f'{schema}.{name}'}"
                if kind == "DEFAULT ACL":
                    key += f" of {owner}"
                # the setting stands before the first table it is for, wherever that is
                body = [method] if kind in ("TABLE", "MATERIALIZED VIEW") else []
        elif _METHOD.fullmatch(line):
            method = line
        elif not _SPACE.fullmatch(line):
            body.append(line)
        before = line
    return found
