"""Logins and sudo by password, against a real server's PAM and sudo."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mnemo_ops.agent.base.record import replace
from mnemo_ops.core.model import Host
from mnemo_ops.core.secret import Secret
from mnemo_ops.errors import AuthenticationFailed, SudoRefused
from mnemo_ops.lab import server
from mnemo_ops.lab.directory import LabDirectory
from mnemo_ops.lab.engine import docker
from mnemo_ops.transport.raw_shell import raw
from mnemo_ops.transport.session import connect

USERS = """
for user in ann bob; do useradd -m -s /bin/bash $user; echo $user:$user-secret | chpasswd; done
echo 'ann ALL=(ALL) ALL' > /etc/sudoers.d/ann
useradd -m -s /bin/bash eve; echo eve:eve-secret | chpasswd; echo 'eve ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/eve
"""


@pytest.fixture(scope="module")
def ann(engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """A user with a password and sudo that asks for it; bob beside her is not in sudoers."""
    root: Path = tmp_path_factory.mktemp("checkout")
    try:
        found = server.up(root, ["guarded"], print)[0]
        docker("exec", server.container(root, "guarded"), "sh", "-ec", USERS)
        known_hosts = str(LabDirectory(root).known_hosts)
        yield Host("guarded", found.address, user="ann", password=Secret("ann-secret"), known_hosts=known_hosts)
    finally:
        server.down(root, print)


def who(host: Host, become: bool) -> str:
    with connect(host, become=become) as session:
        return str(session.facts["user_id"])


def test_a_login_by_password(ann: Host) -> None:
    assert who(ann, False) == "ann"
    with pytest.raises(AuthenticationFailed, match="ann"):
        connect(replace(ann, password=Secret("guess")), become=False)


def test_sudo_by_password(ann: Host) -> None:
    assert who(replace(ann, become_password=Secret("ann-secret")), True) == "root"
    said = raw(replace(ann, become_password=Secret("ann-secret")), True, "id -un; cat /proc/*/cmdline | tr '\\0' ' '")
    assert said.out.startswith("root\n") and "ann-secret" not in said.out


def test_a_command_finds_no_password_on_its_stdin(ann: Host) -> None:
    eve = replace(ann, user="eve", password=Secret("eve-secret"), become_password=Secret("eve-secret"))
    for host in (replace(ann, become_password=Secret("ann-secret")), eve):
        assert raw(host, True, "cat > /tmp/found; id -un").out == "root\n"
        assert raw(host, True, "wc -c < /tmp/found; rm /tmp/found").out == "0\n"


def test_refusals_of_sudo_are_told_apart(ann: Host) -> None:
    bob = replace(ann, user="bob", password=Secret("bob-secret"), become_password=Secret("bob-secret"))
    hints = []
    for user in (ann, replace(ann, become_password=Secret("guess")), bob):
        with pytest.raises(SudoRefused, match=f"{user.user} on guarded") as caught:
            connect(user, become=True)
        hints.append(caught.value.hint)
    assert len(set(hints)) == 3, hints
