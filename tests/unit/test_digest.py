"""Digests: the same whoever computes them."""

from __future__ import annotations

import hashlib
import subprocess
import sys

import pytest

from mnemo_ops.agent.machine import hashing


@pytest.mark.parametrize("algorithm", ["sha256", "sha1", "md5", "sha512"])
@pytest.mark.parametrize("size", [0, 1, hashing.SMALL, hashing.SMALL + 1])
def test_they_are_those_of_hashlib(algorithm: str, size: int) -> None:
    data = b"x" * size
    assert hashing.of(data, algorithm) == hashlib.new(algorithm, data).hexdigest()


def test_openssl_is_loaded_for_what_is_large_only() -> None:
    loaded = "print('_hashlib' in sys.modules)"
    small, large = "digest.of(b'', 'sha1'), digest.of(b'')", "digest.of(bytes(2 << 20))"
    code = "\n".join(
        ["import sys", "from mnemo_ops.agent.machine import hashing as digest", small, loaded, large, loaded]
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.split() == ["False", "True"]
