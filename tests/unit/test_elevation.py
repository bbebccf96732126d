"""Which of sudo's refusals it was: told by a small sudo that asks, counts and answers as the real one does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Optional

import pytest

from mnemo_ops.agent.base.record import dataclass
from mnemo_ops.core.model import Host
from mnemo_ops.core.secret import Secret
from mnemo_ops.transport.sudo import as_root, refusal


@dataclass
class Sudo:
    """``password`` of the user; ``allowed``: he is in sudoers; ``free``: NOPASSWD."""

    password: str = "right"
    allowed: bool = True
    free: bool = False
    installed: bool = True

    def __call__(self, argv: Sequence[str], data: bytes) -> tuple[int, str]:
        assert argv[0] == "sudo" and b"right" not in " ".join(argv).encode()
        if not self.installed:
            return 127, ""
        if "-V" in argv or (self.free and self.allowed):
            return 0, ""
        if "-n" in argv:
            return 1, "sudo: a password is required"
        prompt = argv[argv.index("-p") + 1]
        said = ""
        for line in [*data.decode().splitlines(), None][:3]:
            said += prompt
            if line == self.password:
                return (0, said) if self.allowed else (1, said + "ann is not in the sudoers file.")
        return 1, said + "sudo: no password was provided"


@pytest.mark.parametrize(
    ("password", "sudo", "why"),
    [
        (None, Sudo(free=True), ""),
        ("right", Sudo(), ""),
        ("right", Sudo(free=True), ""),
        (None, Sudo(), "without a password"),
        ("guess", Sudo(), "the sudo password of ann on h is wrong"),
        ("right", Sudo(allowed=False), "may not use sudo"),
        ("right", Sudo(installed=False), "has no sudo"),
    ],
)
def test_refusals_are_told_apart(password: Optional[str], sudo: Sudo, why: str) -> None:
    host = Host("h", "h", become_password=Secret(password) if password else None)
    found = refusal(host, "ann", sudo)
    assert (found is None) == (not why)
    assert found is None or (why in found.message and found.hint and "guess" not in str(found) + found.hint)


def test_a_password_is_never_in_the_argument_vector() -> None:
    argv, first = as_root(["python3"], Host("h", "h", become_password=Secret("hunter2")), "ann")
    assert "hunter2" not in " ".join(argv) and first == b"hunter2\n"


def test_root_has_no_need_of_sudo() -> None:
    assert as_root(["python3"], Host("h", "h"), "root") == (["python3"], b"")
    assert refusal(Host("h", "h"), "root", Sudo(installed=False)) is None
