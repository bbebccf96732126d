"""A header of age that is made again for another key: age opens with it what it belongs to, by that key alone."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from mnemo_ops.flows import age_header
from mnemo_ops.flows.keys import Identity

PAYLOAD = b"secret " * 20_000


def encrypted(*recipients: str) -> bytes:
    words = [word for each in recipients for word in ("-r", each)]
    return subprocess.run(["age", "-e", *words], input=PAYLOAD, capture_output=True, check=True).stdout


def split(data: bytes) -> tuple[str, bytes]:
    at = data.index(b"\n", data.index(b"\n--- ") + 1) + 1
    return data[:at].decode(), data[at:]


def opened(tmp_path: Path, identity: Identity, data: bytes) -> bytes:
    key = tmp_path / "key"
    key.write_text(identity.secret)
    return subprocess.run(["age", "-d", "-i", str(key)], input=data, capture_output=True, check=False).stdout


def keys(*identities: Identity) -> list[age_header.X25519PrivateKey]:
    found = [age_header.private_key(each.secret) for each in identities]
    return [each for each in found if each is not None]


def test_another_key_opens_it_and_the_first_no_longer_can(tmp_path: Path) -> None:
    operator, other, once = Identity.new(), Identity.new(), Identity.new()
    header, payload = split(encrypted(other.recipient, operator.recipient))
    (to,) = keys(once)
    made = age_header.rewrapped(header, keys(Identity.new(), operator), to.public_key())
    assert made is not None and opened(tmp_path, once, made.encode() + payload) == PAYLOAD
    assert opened(tmp_path, operator, made.encode() + payload) == b""
    assert opened(tmp_path, other, header.encode() + payload) == PAYLOAD


def test_what_no_key_opens_or_somebody_changed_is_not_made_again() -> None:
    operator, stranger = Identity.new(), Identity.new()
    header, _ = split(encrypted(operator.recipient))
    (to,) = keys(stranger)
    assert age_header.rewrapped(header, keys(stranger), to.public_key()) is None
    mac = header.index("\n--- ") + 5
    swapped = "A" if header[mac] != "A" else "B"
    broken = [header[:mac] + swapped + header[mac + 1 :], header.replace("v1", "v2"), "", header[: mac - 3]]
    broken.append(header.replace("-> X25519", "-> X25519 x\nx\n-> X25519"))
    for text in broken:
        assert age_header.rewrapped(text, keys(operator), to.public_key()) is None


@pytest.mark.parametrize("text", ["", "AGE-SECRET-KEY-1", "age1abc", "-----BEGIN OPENSSH PRIVATE KEY-----"])
def test_what_is_no_key_of_age_is_none(text: str) -> None:
    assert age_header.private_key(text) is None
    good = Identity.new().secret
    assert age_header.private_key(good[:-1] + ("Q" if good[-1] != "Q" else "P")) is None
