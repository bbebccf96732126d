"""Encrypt, view and edit secrets in the format of ansible-vault."""

from __future__ import annotations

import getpass
import os
import sys
from pathlib import Path
from typing import Optional

from mnemo_ops.cli.options import VAULT, Run, command
from mnemo_ops.errors import UsageError, VaultError

ONLY = ("json", "verbose", *VAULT)
LABEL = {"encrypt_vault_id": "vault id to encrypt with, if there are several"}


def _path(path: str) -> Path:
    if not path:
        raise UsageError("name a file")
    return Path(path)


@command("secrets.encrypt", help={"path": "a file", **LABEL}, only=ONLY)
def encrypt(run: Run, path: str, encrypt_vault_id: str = "") -> None:
    """Encrypt a file in place."""
    from mnemo_ops.vault import cipher as vault
    from mnemo_ops.vault import files as vault_files

    vault_files.encrypt(_path(path), vault.keyring(), encrypt_vault_id)
    run.report.extra["changed"] = True
    run.report.say(f"{path}: encrypted")


@command(
    "secrets.encrypt-string",
    help={"name": "name of the variable; without it only the value is printed", **LABEL},
    only=ONLY,
)
def encrypt_string(run: Run, name: str = "", encrypt_vault_id: str = "") -> None:
    """Encrypt a value from stdin or a prompt, and print it as YAML."""
    from mnemo_ops.vault.cipher import keyring

    value = getpass.getpass("Value: ") if sys.stdin.isatty() else sys.stdin.read()
    if not value:
        raise UsageError("stdin is empty; it should hold the value to encrypt")
    lines = keyring().encrypt(value.encode(), encrypt_vault_id).splitlines()
    run.report.extra["value"] = "\n".join(lines)
    run.report.show("\n".join([f"{name}: !vault |" if name else "!vault |", *(f"  {line}" for line in lines)]))


@command("secrets.decrypt", help={"path": "an encrypted file"}, only=ONLY)
def decrypt(run: Run, path: str) -> None:
    """Decrypt a file in place."""
    from mnemo_ops.vault import cipher as vault
    from mnemo_ops.vault import files as vault_files

    vault_files.decrypt(_path(path), vault.keyring())
    run.report.extra["changed"] = True
    run.report.say(f"{path}: decrypted; only its owner can read it")


@command("secrets.view", help={"path": "an encrypted file, or one with !vault values"}, only=ONLY)
def view(run: Run, path: str) -> None:
    """Print an encrypted file, or the encrypted values of a file."""
    from mnemo_ops.vault import cipher as vault
    from mnemo_ops.vault import files as vault_files

    text = vault_files.view(_path(path), vault.keyring())
    run.report.extra["content"] = text
    run.report.show(text.removesuffix("\n"), exact=True)


@command("secrets.edit", help={"path": "an encrypted file; created if it does not exist"}, only=ONLY)
def edit(run: Run, path: str) -> None:
    """Edit an encrypted file with $EDITOR; the clear text is never written to a disk."""
    from mnemo_ops.vault import cipher as vault
    from mnemo_ops.vault import files as vault_files

    editor = os.environ.get("EDITOR") or os.environ.get("VISUAL") or "vi"
    changed = vault_files.edit(_path(path), vault.keyring(), editor)
    run.report.extra["changed"] = changed
    run.report.say(f"{path}: {'encrypted again' if changed else 'not changed'}")


@command(
    "secrets.rekey",
    help={
        "path": "an encrypted file, or one with !vault values",
        "new_vault_password_file": "file that holds the new password, or a program that prints it",
        "new_vault_id": "label@source of the new password",
    },
    only=ONLY,
)
def rekey(run: Run, path: str, new_vault_password_file: str = "", new_vault_id: str = "") -> None:
    """Encrypt a file again, with another password."""
    from mnemo_ops.vault import cipher as vault
    from mnemo_ops.vault import files as vault_files
    from mnemo_ops.vault import passwords as vault_sources

    files, ids = ([one] if one else [] for one in (new_vault_password_file, new_vault_id))
    new = tuple(vault_sources.sources(files, ids, environment={}))
    if len(new) != 1:
        raise UsageError(
            "--new-vault-password-file or --new-vault-id is missing",
            hint="--new-vault-password-file PATH, or --new-vault-id label@source",
        )
    count = vault_files.rekey(_path(path), vault.keyring(), vault.Keyring(new, run.report.mask.learn))
    run.report.extra["changed"] = True
    run.report.say(f"{path}: {count} encrypted with the new password")


@command(
    "secrets.check",
    help={"path": "a file or directory (default: the inventory's directory)"},
    only=("inventory", *ONLY),
)
def check(run: Run, path: str = "") -> None:
    """Check that every encrypted value can be decrypted; list secrets that are not encrypted."""
    from mnemo_ops.vault import cipher as vault
    from mnemo_ops.vault import files as vault_files

    files = vault_files.files_below(Path(path) if path else _home(run.path()))
    found = [one for file in files for one in vault_files.check(file, vault.keyring())]
    clear = [one for file in files for one in vault_files.in_clear(file)]
    run.report.extra["encrypted"] = [vars(one) for one in found]
    run.report.extra["clear"] = [{"where": where, "name": name} for where, name in clear]
    for one in found:
        if one.problem:
            run.report.say(f"  closed   {one.where} ({one.label}): {one.problem}")
        elif run.report.style.verbose:
            run.report.say(f"  opens    {one.where} ({one.label})")
    for where, name in clear:
        run.report.say(f"  clear    {where} {name}")
    closed: Optional[vault_files.Found] = next((one for one in found if one.problem), None)
    run.report.say(f"{len(found)} encrypted, {sum(bool(one.problem) for one in found)} closed, {len(clear)} in clear")
    if closed is not None:
        raise VaultError(closed.problem, where=closed.where, hint="pass its password with --vault-id label@source")


def _home(inventory: Path) -> Path:
    return inventory if inventory.is_dir() else inventory.absolute().parent
