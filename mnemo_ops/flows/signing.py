"""Who made a set: this machine signs its manifest with a key that no host and no store has, and looks before a restore.

A store may be written by others. Sums only tell that a set is whole; they could be changed together with it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Optional

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from mnemo_ops.agent.actions.backup import SignSet
from mnemo_ops.core.model import Host
from mnemo_ops.errors import Refused, VerificationFailed
from mnemo_ops.flows import keys
from mnemo_ops.flows.engine import Flow


def _path(flow: Flow) -> Path:
    return flow.home / "keys" / "manifests.ed25519"


def _key(flow: Flow) -> Optional[Ed25519PrivateKey]:
    """The key of this machine; ``None``: it has signed nothing yet. :raises Refused: its file is damaged (3)."""
    path = _path(flow)
    if not path.exists():
        return None
    try:
        return Ed25519PrivateKey.from_private_bytes(base64.b64decode(path.read_text().split()[-1], validate=True))
    except (ValueError, IndexError):
        raise Refused(
            f"{path} contains no key",
            hint="restore your copy, or move the file away: mnemo_ops then signs with a new key",
        ) from None


def _text(id: str, sha256: str) -> bytes:
    return f"mnemo_ops: the manifest of the set {id} is {sha256}\n".encode()


def _name(key: Ed25519PrivateKey) -> str:
    """By which a signature says whose it is."""
    public = key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return hashlib.sha256(public).hexdigest()[:16]


def sign(flow: Flow, host: Host, store: str, id: str, sha256: str) -> None:
    """Put the signature beside the manifest. :param sha256: of the manifest."""
    if not _path(flow).exists():
        seed = base64.b64encode(Ed25519PrivateKey.generate().private_bytes_raw()).decode()
        keys.keep(_path(flow), f"# signs the manifests of backups; made on this machine\n{seed}\n")
    key = _key(flow)
    assert key is not None
    signature = base64.b64encode(key.sign(_text(id, sha256))).decode()
    flow.act(host, SignSet(store, id, f"{_name(key)} {signature}"))


def verify(flow: Flow, id: str, found: Mapping[str, Any]) -> None:
    """Whether this machine made a set; where it cannot be told, that is said in one line.

    :param found: ``signature`` and ``manifest_sha256``, as the host has them.
    :raises VerificationFailed: the set is not the one that was signed (7).
    """
    key = _key(flow)
    name, _, signature = str(found["signature"]).strip().partition(" ")
    if not name:
        flow.report.say(f"  note: the backup {id} is not signed: anyone who can write to its store may have made it")
        return
    if key is None or name != _name(key):
        flow.report.say(
            f"  note: the backup {id} was signed by another machine, and its key is missing here ({_path(flow)})"
        )
        return
    try:
        key.public_key().verify(base64.b64decode(signature, validate=True), _text(id, found["manifest_sha256"]))
    except (InvalidSignature, binascii.Error, ValueError):
        raise VerificationFailed(
            f"the backup {id} differs from what this machine signed: its manifest or its name was changed",
            hint="choose another backup: invoke backup.list; then check who can write to that store",
        ) from None
