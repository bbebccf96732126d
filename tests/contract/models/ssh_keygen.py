"""A model of ssh-keygen: a key pair in two files, never over an old one."""

# ruff: noqa: PTH110, PTH123
from __future__ import annotations

import os

from state import fail, options

TYPES = {"rsa": "ssh-rsa", "ed25519": "ssh-ed25519", "ecdsa": "ecdsa-sha2-nistp256"}


def main(root: str, argv: list[str]) -> None:
    found, _ = options(argv[1:], {"-t", "-b", "-C", "-N", "-f"})
    kind, path = found["-t"][0], found["-f"][0]
    path = path if path.startswith(root + "/") else root + path
    if kind not in TYPES:
        fail(f"unknown key type {kind}", 255)
    if os.path.exists(path):
        fail(f"{path} already exists.", 1)
    for name, text, mode in (
        (path, "PRIVATE\n", 0o600),
        (path + ".pub", f"{TYPES[kind]} AAAA {found['-C'][0]}\n", 0o644),
    ):
        with open(os.open(name, os.O_WRONLY | os.O_CREAT, mode), "w") as file:
            file.write(text)
