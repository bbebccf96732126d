"""Which words of an environment open a role of Postgres, by what the server keeps."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from mnemo_ops.agent.machine import Machine
from mnemo_ops.agent.stack.cluster.passwords import known, locked_out, opens


def scram(password: str, salt: bytes = b"saltsaltsaltsalt") -> str:
    """By the words of RFC 5803."""
    import base64
    import hashlib
    import hmac

    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, 4096)
    keys = [hmac.new(salted, word, "sha256").digest() for word in (b"Client Key", b"Server Key")]
    both = ":".join(base64.b64encode(key).decode() for key in (hashlib.sha256(keys[0]).digest(), keys[1]))
    return f"SCRAM-SHA-256$4096:{base64.b64encode(salt).decode()}${both}"


def test_a_password_opens_what_is_kept_of_it() -> None:
    import hashlib

    md5 = "md5" + hashlib.md5(b"pencilapp").hexdigest()
    for kept in (scram("pencil"), md5):
        assert opens("pencil", "app", kept)
        assert not opens("pen", "app", kept) and not opens("", "app", kept)
    assert not opens("pencil", "other", md5) and opens("pencil", "other", scram("pencil"))


@pytest.mark.parametrize(
    "kept",
    [
        "",
        "x",
        "SCRAM-SHA-256$4096:!$",
        "SCRAM-SHA-256$4096:YQ=$YQ==:YQ==",
        "SCRAM-SHA-256$4096:YQ==$YQ==:YQ==",
        "md5",
        "md5é",
    ],
)
def test_what_is_no_hash_opens_for_nobody(kept: str) -> None:
    assert not opens("pencil", "app", kept)


def container(**env: str) -> Any:
    return SimpleNamespace(env=env, name="c", running=True)


class Files(Machine):
    """What a container has in a file."""

    def ask(self, argv: Sequence[str], **more: Any) -> Any:
        assert list(argv[:5]) == ["docker", "exec", "c", "cat", "--"]
        return SimpleNamespace(out={"/run/secrets/db": "from a file\n"}[argv[5]])


def test_words_are_those_of_passwords_of_files_and_within_addresses() -> None:
    api = container(DATABASE_URL="postgresql://app:p%40ss@db:5432/app", HOME="/root", REDIS_URL="redis://r:[")
    of_files = container(PG_PASSWORD_FILE="/run/secrets/db", DSN="host=db password='in a string' user=x")
    plain = container(POSTGRES_PASSWORD="secret", EMPTY_PASSWORD="", DB_URI="password=plain")
    found = known(Files(), [api, of_files, plain])
    assert {"p@ss", "secret", "from a file", "in a string", "plain"} <= found
    assert "" not in found and "/root" not in found


def test_only_who_would_be_locked_out_keeps_today_s() -> None:
    today = {
        "app": scram("new"),
        "same": scram("same"),
        "unknown": scram("x"),
        "gone": scram("new"),
        "salt": scram("new"),
    }
    other = {"app": scram("old"), "same": scram("same"), "unknown": scram("y"), "come": scram("new")}
    restored = {**other, "salt": scram("new", b"another salt....")}
    assert locked_out(today, restored, {"new", "same"}) == ["app"]
