"""A client of the lab's second project: what it was told is kept, and asked for again."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen


def ask(url: str, body: str | None = None) -> tuple[int, dict[str, Any]]:
    """Status and document of a GET, or of a POST of `body`."""
    request = Request(url, None if body is None else body.encode(), {"Content-Type": "text/plain"})
    try:
        with urlopen(request, timeout=30) as answer:
            return answer.status, json.load(answer)
    except HTTPError as error:
        with error:
            return error.code, json.load(error)


def write(url: str, bodies: Iterable[str]) -> dict[str, str]:
    """Notes that were acknowledged: id -> body."""
    kept = {}
    for body in bodies:
        status, document = ask(f"{url}/notes", body)
        assert status == 201, document
        kept[document["id"]] = body
    return kept


def lost(url: str, kept: dict[str, str]) -> list[str]:
    """Each acknowledged note that a store does not have as it was, with what the stores have."""
    seen = {name: (ask(f"{url}/notes/{name}"), body) for name, body in kept.items()}
    return [f"{name}: {found}" for name, ((_, found), body) in seen.items() if set(found.values()) != {body}]
