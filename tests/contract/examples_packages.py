"""Packages."""

from __future__ import annotations

from example import APT, Example, package

EXAMPLES: tuple[Example, ...] = (
    Example("installs", "apt", {"name": ["zstd", "curl"]}, package(), tools=APT),
    Example("one-of-two", "apt", {"name": "zstd,curl", "install_recommends": False}, package("zstd=1.5.7"), tools=APT),
    Example("with-index", "apt", {"name": "zstd", "update_cache": True}, tools=APT),
    Example("index-only", "apt", {"update_cache": True, "cache_valid_time": 3600}, tools=APT),
    Example("version", "apt", {"name": "zstd=1.5.6"}, package(), tools=APT),
    Example("version-pattern", "apt", {"name": "zstd=1.5.7*"}, package("zstd=1.5.6"), tools=APT),
    Example("latest", "apt", {"name": ["zstd"], "state": "latest"}, package("zstd=1.5.6"), tools=APT),
    Example("absent", "apt", {"name": "zstd", "state": "absent"}, package("zstd=1.5.6"), tools=APT),
    Example("purge", "apt", {"name": "zstd", "state": "absent", "purge": True}, package("zstd=1.5.6"), tools=APT),
)
