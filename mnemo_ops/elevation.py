"""Becoming root: sudo's argument vector, and which of its refusals it was."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Optional

from mnemo_ops.errors import SudoRefused
from mnemo_ops.model import Host

_PROMPT = "[mnemo asks]"

Ask = Callable[[Sequence[str], bytes], "tuple[int, str]"]  # run a program with this stdin: exit code, stderr


def as_root(argv: Sequence[str], host: Host, user: str) -> tuple[list[str], bytes]:
    """The argument vector that runs ``argv`` as root, and what must come first on its stdin: sudo's password.

    :param user: who asks. Root has no need of sudo; whoever reads stdin skips a password sudo did not ask for.
    """
    if user == "root":
        return list(argv), b""
    if host.become_password is None:
        return ["sudo", "-n", "-H", "--", *argv], b""
    return ["sudo", "-S", "-p", "", "-H", "--", *argv], host.become_password.reveal().encode() + b"\n"


def refusal(host: Host, user: str, ask: Ask) -> Optional[SudoRefused]:
    """Why ``user`` cannot become root on a host; ``None``: he can. Told by sudo's exit codes and by how often it asks.

    :param ask: runs a program as the login user.
    """
    if user == "root":
        return None
    if ask(["sudo", "-V"], b"")[0] != 0:
        return SudoRefused(f"{host.name} has no sudo", hint="install it, or let ansible_user be root")
    if host.become_password is None:
        if ask(["sudo", "-n", "true"], b"")[0] == 0:
            return None
        return SudoRefused(
            f"{user} on {host.name} may not use sudo without a password",
            hint="--ask-become-pass asks for it; or set ansible_become_password, or give the user NOPASSWD in sudoers",
        )
    code, said = ask(["sudo", "-k", "-S", "-p", _PROMPT, "true"], host.become_password.reveal().encode() + b"\n")
    if code == 0:
        return None
    if said.count(_PROMPT) > 1:  # it asked again: the password was wrong; a right one is asked for once
        return SudoRefused(f"the sudo password of {user} on {host.name} is wrong", hint="check ansible_become_password")
    return SudoRefused(
        f"{user} on {host.name} may not use sudo with the password we have", hint="is the user in sudoers?"
    )
