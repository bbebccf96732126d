"""Vaults in both directions: what one side's command encrypts, the other side's opens."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from sides import OURS, PEERS

SECRET = "a: planted-for-both\n"


def vault(*words: str, home: Path) -> str:
    return subprocess.run(words, cwd=home, capture_output=True, text=True, check=True, timeout=60).stdout


@pytest.mark.sample
def test_both_open_what_the_other_encrypts(tmp_path: Path) -> None:
    password, theirs, ours = tmp_path / "password", tmp_path / "theirs.yml", tmp_path / "ours.yml"
    password.write_text("thrown away\n")
    given = ("--vault-password-file", "password")
    for path in (theirs, ours):
        path.write_text(SECRET)
    vault(str(PEERS / "ansible-vault"), "encrypt", *given, theirs.name, home=tmp_path)
    vault(str(OURS), "secrets.encrypt", *given, ours.name, home=tmp_path)
    assert all(path.read_text().startswith("$ANSIBLE_VAULT;1.") for path in (theirs, ours))
    assert vault(str(PEERS / "ansible-vault"), "view", *given, ours.name, home=tmp_path).strip() == SECRET.strip()
    assert vault(str(OURS), "secrets.view", *given, theirs.name, home=tmp_path).strip() == SECRET.strip()
