"""Where vault passwords come from: files, executables, prompts, the environment."""

from __future__ import annotations

import functools
import getpass
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from mnemo_ops.errors import VaultError, reason
from mnemo_ops.vault.cipher import DEFAULT, Source

_FILES = ("MNEMO_VAULT_PASSWORD_FILE", "ANSIBLE_VAULT_PASSWORD_FILE")
_PASSWORD, _IDS = "MNEMO_VAULT_PASSWORD", "ANSIBLE_VAULT_IDENTITY_LIST"


def sources(
    files: Iterable[str] = (),
    ids: Iterable[str] = (),
    ask: bool = False,
    environment: Mapping[str, str] = os.environ,
) -> Iterator[Source]:
    """What the options name, then what the environment names; nothing is read yet.

    :param files: paths: a file with the password, an executable that prints it, or ``-`` for stdin.
    :param ids: ``label@source``, ``source`` a path as above or ``prompt``. :param ask: prompt for one more.
    """
    for text in (*ids, *(one.strip() for one in environment.get(_IDS, "").split(",") if one.strip())):
        label, sign, place = text.rpartition("@")
        yield _source(label if sign and label else DEFAULT, place)
    if ask:
        yield _source(DEFAULT, "prompt")
    for path in files:
        yield _source(DEFAULT, path)
    for name in _FILES:
        if environment.get(name):
            yield _source(DEFAULT, environment[name])
    if environment.get(_PASSWORD):
        yield Source(DEFAULT, f"${_PASSWORD}", environment[_PASSWORD].encode)


def _source(label: str, place: str) -> Source:
    if place in ("prompt", "prompt_ask_vault_pass"):
        return Source(
            label, "the prompt", functools.partial(_asked, label), functools.partial(_asked, f"{label}, once more")
        )
    if place == "-":
        return Source(label, "stdin", lambda: _checked(sys.stdin.buffer.read(), "stdin"))
    return Source(label, place, functools.partial(_read, Path(place).expanduser(), label))


def _asked(label: str) -> bytes:
    if not sys.stdin.isatty():
        raise VaultError("nobody can type a vault password: stdin is not a terminal", hint="pass --vault-password-file")
    return _checked(getpass.getpass(f"Vault password ({label}): ").encode(), "the prompt")


def _read(path: Path, label: str) -> bytes:
    said = f"the vault password file {path}"
    try:
        if path.is_file() and os.access(path, os.X_OK):
            return _checked(_run(path, label), said)
        return _checked(path.read_bytes(), said)
    except OSError as problem:
        raise VaultError(f"{said} cannot be read: {reason(problem)}") from None


def _run(path: Path, label: str) -> bytes:
    """What an executable prints; one named ``*-client`` is told the label, as Ansible does."""
    client = path.stem.endswith("-client")
    done = subprocess.run(
        [str(path.absolute()), *(["--vault-id", label] if client else [])], stdout=subprocess.PIPE, check=False
    )
    if done.returncode:
        raise VaultError(f"the vault password program {path} ended with exit code {done.returncode}")
    return done.stdout


def _checked(found: bytes, said: str) -> bytes:
    password = found.strip()
    if not password:
        raise VaultError(f"{said} gives an empty password")
    return password
