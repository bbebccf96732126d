"""To whom secrets are encrypted: what is no public key never reaches a command line, on either end."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import mnemosyne
import pytest

from mnemo_ops.agent.actions.backup import MakeSet
from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.stack import recipients
from mnemo_ops.errors import InventoryError, Refused

# age's own documentation
AGE = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"
YUBIKEY = "age1yubikey1qwt50d05nh5vutpdzmlg5wn80xq5negm4uj9ghv0snvdd3yysf5yw3rhl3t"


def ssh(kind: str, *parts: bytes) -> str:
    fields = [len(one).to_bytes(4, "big") + one for one in (kind.encode(), *parts)]
    return f"{kind} {base64.b64encode(b''.join(fields)).decode()}"


ED25519 = ssh("ssh-ed25519", bytes(32))
RSA = ssh("ssh-rsa", b"\1\0\1", b"\0" + b"\xff" * 256)


def test_each_becomes_one_argument_without_its_comment() -> None:
    given = (AGE + "\n", f"{ED25519} me at home; $(id)", RSA)
    assert recipients.parsed(given) == (AGE, ED25519, RSA)


WRONG = {
    "shell": f"{AGE} -r $(id>/root/PWNED)",
    "glued": AGE + "$(id)",
    "mistyped": AGE[:-1] + "q",
    "upper": AGE.upper(),
    "short": AGE[:-1],
    "plugin": YUBIKEY,
    "secret": "AGE-SECRET-KEY-1QQQ",
    "option": "-i/etc/shadow",
    "file": "/etc/passwd",
    "nothing": "",
    "two lines": f"{ED25519}\n{AGE}",
    "null": AGE + "\0",
    "no key": "ssh-ed25519",
    "not base64": "ssh-ed25519 $(id)",
    "short key": ssh("ssh-ed25519", bytes(31)),
    "another kind": ED25519.replace("ssh-ed25519", "ssh-rsa"),
    "1024 bits": ssh("ssh-rsa", b"\1\0\1", b"\0" + b"\xff" * 128),
    "ecdsa": ssh("ecdsa-sha2-nistp256", b"nistp256", bytes(65)),
    "cut": "ssh-rsa " + RSA.split()[1][:40],
}


@pytest.mark.parametrize("text", WRONG.values(), ids=WRONG)
def test_what_is_none_is_refused_on_both_ends(text: str, tmp_path: Path) -> None:
    stack: dict[str, Any] = {"recipients": [AGE, text]}
    with pytest.raises(InventoryError, match=r"stack\.recipients") as caught:
        mnemosyne.settings(**stack)
    assert "age-keygen" in caught.value.hint
    for name in ("tar", "zstd", "age", "docker"):
        (tmp_path / "usr/bin").mkdir(parents=True, exist_ok=True)
        (tmp_path / "usr/bin" / name).symlink_to("/bin/true")
    machine = Machine(str(tmp_path), search_path=str(tmp_path / "usr/bin"), read_only=True)
    action = MakeSet(mnemosyne.wired(), "20261129T220719Z-0001", (AGE, text))
    with pytest.raises(Refused, match="the recipient"):
        action.ready(machine)


def test_a_plugin_is_named() -> None:
    assert "age-plugin-yubikey" in recipients.problem(YUBIKEY)
