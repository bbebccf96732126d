"""Becoming root: sudo's argument vector, and which of its refusals it was."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Optional

from mnemo_ops.core.model import Host
from mnemo_ops.errors import SudoRefused

_PROMPT = "[mnemo asks]"
_NOTHING = ("sh", "-c", ":")  # what sudo is tried with; it reads no stdin

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


def as_root_unheard(argv: Sequence[str], host: Host, user: str, ask: Ask) -> tuple[list[str], bytes]:
    """As :func:`as_root`, for a program that would take what is on its stdin for its own: it finds nothing there.

    The password is sent only where sudo asks for it, which ``-k`` makes the same each time.

    :param ask: runs a program as the login user. :raises SudoRefused: he cannot become root (4).
    """
    refused, asks = _tried(host, user, ask)
    if refused is not None:
        raise refused
    if user == "root":
        return list(argv), b""
    words = ["sudo", "-k", "-S", "-p", ""] if asks else ["sudo", "-n"]
    first = host.become_password.reveal().encode() + b"\n" if asks and host.become_password is not None else b""
    return [*words, "-H", "--", "sh", "-c", 'exec "$0" "$@" </dev/null', *argv], first


def refusal(host: Host, user: str, ask: Ask) -> Optional[SudoRefused]:
    """Why ``user`` cannot become root on a host; ``None``: he can. Told by sudo's exit codes and by how often it asks.

    :param ask: runs a program as the login user.
    """
    return _tried(host, user, ask)[0]


def _tried(host: Host, user: str, ask: Ask) -> tuple[Optional[SudoRefused], bool]:
    """What :func:`refusal` says, and whether sudo asks for a password."""
    if user == "root":
        return None, False
    if ask(["sudo", "-V"], b"")[0] != 0:
        return SudoRefused(f"{host.name} has no sudo", hint="install sudo, or set ansible_user to root"), False
    if host.become_password is None:
        if ask(["sudo", "-n", *_NOTHING], b"")[0] == 0:
            return None, False
        why = f"{user} on {host.name} may not use sudo without a password"
        hint = "--ask-become-pass asks for it; or set ansible_become_password, or give the user NOPASSWD in sudoers"
        return SudoRefused(why, hint=hint), False
    code, said = ask(["sudo", "-k", "-S", "-p", _PROMPT, *_NOTHING], host.become_password.reveal().encode() + b"\n")
    asked = said.count(_PROMPT)
    if code == 0:  # PAM may ask with words of its own
        return None, asked > 0 or ask(["sudo", "-k", "-n", *_NOTHING], b"")[0] != 0
    if asked > 1:  # it asked again: the password was wrong; a right one is asked for once
        why, hint = f"the sudo password of {user} on {host.name} is wrong", "check ansible_become_password"
    else:
        why, hint = (
            f"{user} on {host.name} may not use sudo with the password given",
            "check that sudoers names the user",
        )
    return SudoRefused(why, hint=hint), asked > 0
