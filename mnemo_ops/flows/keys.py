"""The age keys that open what sets hold of secrets: made on this machine, their secret halves never a host's.

The one of the operator is a file beside the inventory; the one of a migration is in memory, and new is told it while it
unpacks. Hosts are told public keys.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Mapping
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from mnemo_ops.agent.base.record import dataclass, field
from mnemo_ops.agent.stack import recipients as age
from mnemo_ops.core.model import Host
from mnemo_ops.core.paths import shown
from mnemo_ops.errors import Refused
from mnemo_ops.flows.age_header import private_key, rewrapped
from mnemo_ops.flows.engine import Flow

PUBLIC = "# public key: "  # as age-keygen writes it
HERE = "# made on this machine, "  # before it: by age-keygen on a host, where root could read it


@dataclass(frozen=True)
class Identity:
    """A key pair of age: ``secret`` opens what is encrypted to ``recipient``."""

    secret: str = field(repr=False)
    recipient: str

    @classmethod
    def new(cls) -> Identity:
        """Of X25519, in the texts of age's own format (C2SP, age)."""
        return cls.of(X25519PrivateKey.generate())

    @classmethod
    def of(cls, key: X25519PrivateKey) -> Identity:
        public = key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        return cls(bech32("age-secret-key-", key.private_bytes_raw()).upper(), bech32("age", public))


def bech32(name: str, data: bytes) -> str:
    """Bytes as a text with a checksum (BIP 173): a recipient of age is ``age1...``."""
    bits = "".join(f"{byte:08b}" for byte in data)
    numbers = [int(bits[at : at + 5].ljust(5, "0"), 2) for at in range(0, len(bits), 5)]
    check = age.checksum(name, [*numbers, *[0] * 6]) ^ 1
    numbers += [check >> 5 * (5 - at) & 31 for at in range(6)]
    return f"{name}1" + "".join(age.LETTERS[number] for number in numbers)


def _file(flow: Flow, project: str) -> Path:
    return flow.home / "keys" / f"{project}.age"


def recipients(flow: Flow, host: Host) -> tuple[str, ...]:
    """Public keys sets are encrypted to: those of the inventory, else one made now and kept beside the inventory.

    :raises Refused: the file does not name its public key (3).
    """
    chosen = flow.settings(host)
    if chosen.recipients:
        return chosen.recipients
    path = _file(flow, chosen.project)
    if not path.exists() and _made(path):
        flow.report.say(f"  a new key: {shown(path)}")
        flow.report.say("  KEEP A COPY elsewhere: without it nobody can read the secrets in a backup")
    text = path.read_text()
    public = tuple(line[len(PUBLIC) :].strip() for line in text.splitlines() if line.startswith(PUBLIC))
    if not public:
        raise Refused(
            f"{path} names no public key", hint=f"age-keygen -y {path} prints it: add it as '{PUBLIC}age1...'"
        )
    if text.startswith(PUBLIC):  # the form of an earlier version
        _tell_origin(flow, path)
    return age.parsed(public)


def _made(path: Path) -> bool:
    """As :func:`keep`, with a new key."""
    made, now = Identity.new(), time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return keep(path, f"{HERE}{now}\n{PUBLIC}{made.recipient}\n{made.secret}\n")


def keep(path: Path, text: str) -> bool:
    """Make a file that only its owner reads; false: somebody made it meanwhile, and theirs is what counts."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.urandom(4).hex()}.partial")  # one of a killed run may lie there
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(temporary, path)
            return True
        return False
    finally:
        temporary.unlink()


def _tell_origin(flow: Flow, path: Path) -> None:
    """Said once: the key is as good as before, but not only the operator may have it."""
    told = path.with_suffix(".told")
    with contextlib.suppress(FileExistsError):
        os.close(os.open(told, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        flow.report.say(
            f"  note: an earlier version made the key {path} on a host: root of that host may have a copy\n"
            f"  -> for a new key: mv {path} {path}.old; keep the old one, it decrypts older backups"
        )


def handed(flow: Flow, host: Host, headers: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """A key for one restore, and the headers of its secret files made again for it: a host never has the operator's.

    :param headers: file -> header. :raises Refused: the key is not here, or is another than was encrypted to (3).
    """
    text, path = identity(flow, host), shown(_file(flow, flow.settings(host).project))
    own = [key for line in text.splitlines() if (key := private_key(line)) is not None]
    if not own:
        flow.report.say(f"  note: {path} is not a native age key: {host.name} holds it in memory during the restore")
        return text, {}
    once = Identity.new()
    to = private_key(once.secret)
    assert to is not None, "it was just made"
    made = {name: rewrapped(header, own, to.public_key()) for name, header in headers.items()}
    if wrong := [name for name, header in made.items() if header is None]:
        raise Refused(
            f"{path} does not decrypt {', '.join(wrong)}: the backup was made for another key",
            hint=f"add the key of that time to {path}, on a line of its own",
        )
    return once.secret, {name: header for name, header in made.items() if header is not None}


def identity(flow: Flow, host: Host) -> str:
    """The secret half for this host's stack. :raises Refused: it is not here (3)."""
    path = _file(flow, flow.settings(host).project)
    if not path.exists():
        raise Refused(f"{path} is missing: it decrypts the secrets in the backup", hint=f"restore your copy to {path}")
    return path.read_text()
