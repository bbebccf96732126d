"""Digests without OpenSSL of what is small: loading it takes longer than hashing all configuration files of a host."""

from __future__ import annotations

import contextlib
import sys
from importlib import import_module
from typing import Any

SMALL = 1 << 20  # bytes; OpenSSL hashes six times as fast, and has caught up after about this much
_OF_PYTHON = {"sha256": ("_sha2", "_sha256"), "sha1": ("_sha1",)}  # as of Python 3.12 and before


def new(algorithm: str, size: int) -> Any:
    """A hash object as :mod:`hashlib` has them.

    :param algorithm: a name of :mod:`hashlib`. :param size: bytes it will be given, as far as that is known.
    """
    for name in _OF_PYTHON.get(algorithm, ()) if size <= SMALL and "_hashlib" not in sys.modules else ():
        with contextlib.suppress(ImportError):
            return getattr(import_module(name), algorithm)()
    import hashlib

    return hashlib.new(algorithm)


def of(data: bytes, algorithm: str = "sha256") -> str:
    """In hex."""
    made = new(algorithm, len(data))
    made.update(data)
    return str(made.hexdigest())
