"""Sources of packages and the keys they are signed by."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable
from typing import Any

from example import APT, Example
from world import World

# made for these tests; nobody has its private half
VENDOR = """\
-----BEGIN PGP PUBLIC KEY BLOCK-----

mDMEawPguhYJKwYBBAHaRw8BAQdA2R+Ra2bRu1qD/lb2eGU4JKnqFJw0KCGypwBZ
ntofhV60FlZlbmRvciA8dkBleGFtcGxlLmNvbT6IkAQTFggAOBYhBPNjCnazm6h7
RDpEDghln4/9Ywg8BQJrA+C6AhsDBQsJCAcCBhUKCQgLAgQWAgMBAh4BAheAAAoJ
EAhln4/9Ywg8JMwA/jDDnfmQ1i80y6zw38RNQeAAh08FEg6RyitX6vLKM//TAP4j
zR1MEYDfwcoZHhI/brEJaAX5ioQ3AmtEtnzU0qSFBw==
=wjcC
-----END PGP PUBLIC KEY BLOCK-----
"""
FINGERPRINT = "F3630A76B39BA87B443A440E08659F8FFD63083C"
LINE = "deb [arch=amd64] http://packages.invalid/debian stable main"
FILE = "etc/apt/sources.list.d/packages_invalid_debian.list"
PARAGRAPH: dict[str, Any] = {"name": "The vendor", "uris": ["http://packages.invalid/debian"], "suites": ["stable"]}


def sources(**lines: str) -> Callable[[World], None]:
    """Lists with these lines, and an index that is newer."""

    def prepare(world: World) -> None:
        for name, line in lines.items():
            path = f"etc/apt/sources.list.d/{name}.list"
            world.write(path, line + "\n")
            os.utime(world.root / path, (1, 1))
        world.write("var/lib/apt/lists/index", "index\n")

    return prepare


def keyring(path: str) -> Callable[[World], None]:
    def prepare(world: World) -> None:
        world.write(path, "")
        lines = VENDOR.split("\n\n")[1].split("\n=")[0]
        (world.root / path).write_bytes(base64.b64decode(lines))

    return prepare


def vendor(world: World) -> dict[str, Any]:
    """Somewhere the key can be loaded from."""
    world.write("srv/key.asc", VENDOR)
    return {"signed_by": (world.root / "srv/key.asc").as_uri()}


def served_key(world: World) -> dict[str, Any]:
    return {"url": vendor(world)["signed_by"]}


def old_source(world: World) -> None:
    world.write("etc/apt/sources.list.d/the-vendor.sources", "Types: deb\n")
    world.write("etc/apt/keyrings/the-vendor.gpg", "key")


EXAMPLES: tuple[Example, ...] = (
    Example("new", "apt_repository", {"repo": LINE, "mode": "0600"}, sources(), tools=APT),
    Example("quiet", "apt_repository", {"repo": LINE, "filename": "own", "update_cache": False}, sources()),
    Example("out-of-use", "apt_repository", {"repo": LINE}, sources(x="# " + LINE), tools=APT),
    Example("beside-others", "apt_repository", {"repo": LINE, "filename": "x"}, sources(x="# mine"), tools=APT),
    Example("absent", "apt_repository", {"repo": LINE, "state": "absent"}, sources(x=LINE, y=f"{LINE}\n#"), tools=APT),
    Example("new", "deb822_repository", {**PARAGRAPH, "components": ["main"], "enabled": False}),
    Example("with-key", "deb822_repository", PARAGRAPH, vendor),
    Example("key-inside", "deb822_repository", {**PARAGRAPH, "signed_by": VENDOR}, old_source),
    Example("key-there", "deb822_repository", {**PARAGRAPH, "signed_by": "/etc/apt/keyrings/x.gpg", "mode": "0600"}),
    Example("absent", "deb822_repository", {"name": "The vendor", "state": "absent"}, old_source),
    Example("text", "apt_key", {"data": VENDOR}),
    Example("served", "apt_key", {"id": FINGERPRINT[-8:], "keyring": "/etc/apt/keyrings/vendor.gpg"}, served_key),
    Example("no-keyring-yet", "apt_key", {"data": VENDOR, "keyring": "/srv/x.gpg"}, lambda w: w.write("srv/x.gpg", "")),
    Example("armoured", "apt_key", {"data": VENDOR, "keyring": "/etc/apt/trusted.gpg.d/vendor.asc"}),
    Example("absent", "apt_key", {"id": "0x" + FINGERPRINT[-16:], "state": "absent"}, keyring("etc/apt/trusted.gpg")),
)
