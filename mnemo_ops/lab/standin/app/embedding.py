"""A vector for a text without a model: the same text always has the same 64 numbers."""

from __future__ import annotations

import hashlib
import struct

DIMENSIONS = 64


def embed(seed: str) -> list[float]:
    """64 float32 numbers in [-1, 1) that depend on nothing but `seed`."""
    blocks = b"".join(hashlib.sha256(f"{seed}/{block}".encode()).digest() for block in range(DIMENSIONS // 8))
    # 24 bits each, so that float32 holds them exactly: files and database compare equal
    return [((number >> 8) - (1 << 23)) / (1 << 23) for number in struct.unpack(f">{DIMENSIONS}I", blocks)]


def literal(vector: list[float]) -> str:
    """`vector` as pgvector reads it."""
    return "[" + ",".join(map(repr, vector)) + "]"
