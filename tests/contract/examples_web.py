"""What comes from the web."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import partial
from typing import Any

from example import Example, files
from web import FILES, site
from world import World

SUM = hashlib.sha256(FILES["/tool"]).hexdigest()


Fetched = partial(Example, web=True)


def served(path: str, *more: Callable[[World], Any], **args: str) -> Callable[[World], dict[str, Any]]:
    def prepare(world: World) -> dict[str, Any]:
        for one in more:
            one(world)
        return {"url": site() + path, **{name: value.replace("SITE", site()) for name, value in args.items()}}

    return prepare


EXAMPLES: tuple[Example, ...] = (
    Fetched("missing", "get_url", {"dest": "/srv/tool", "mode": "0755", "owner": 1234}, served("/tool")),
    Fetched(
        "another", "get_url", {"dest": "/srv/tool", "checksum": f"sha256:{SUM}"}, served("/tool", files(tool="old"))
    ),
    Fetched(
        "listed", "get_url", {"dest": "/srv/tool"}, served("/tool", files(tool="old"), checksum="sha256:SITE/sums")
    ),
    Fetched("forced", "get_url", {"dest": "/srv/x", "force": True, "backup": True}, served("/text", files(x="old"))),
    Fetched("into-directory", "get_url", {"dest": "/srv", "mode": "u=rw,go="}, served("/tool?x=1")),
    Fetched("mode-only", "get_url", {"dest": "/srv/x", "mode": "0640"}, served("/none", files(x="old"))),
    Fetched("asked", "uri", {"return_content": True}, served("/text"), deed=True),
    Fetched("kept", "uri", {"dest": "/srv/x", "mode": "0600"}, served("/text"), deed=True),
    Fetched("creates", "uri", {"dest": "/srv/x", "creates": "/srv/x"}, served("/text")),
)
