"""What an inventory calls a host or a user is never an option, two words or code to OpenSSH or a ProxyCommand."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mnemo_ops.core.model import Host
from mnemo_ops.errors import UsageError
from mnemo_ops.transport import ssh_route

BAD = ["-oProxyCommand=id", "a -oX=y", "a;id", "a`id`", "a$(id)", "a|id", "a&id", "a>b", "a'b", 'a"b', "a\nb", "a\0b"]


@pytest.fixture(autouse=True)
def pasting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A configuration that pastes both."""
    (tmp_path / ".ssh").mkdir()
    text = f"Match exec \"echo '%h' '%r' >> {tmp_path}/asked\"\nHost *\n ProxyCommand nc -l %r %h %p\n"
    (tmp_path / ".ssh/config").write_text(text)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.mark.parametrize("name", BAD)
def test_no_such_name_reaches_openssh(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    real = ssh_route._asked
    monkeypatch.setattr(ssh_route, "_asked", lambda *words: asked.extend(words) or real(*words))
    for host in (
        Host("h", name),
        Host("h", "a", ssh={"proxyjump": name}),
        Host("h", "a", ssh={"proxyjump": f"{name}@b"}),
    ):
        with pytest.raises(UsageError, match=re.escape(repr(name))):
            ssh_route.route(host)
    assert name not in asked


@pytest.mark.parametrize("name", BAD)
def test_no_such_user_is_a_word_of_a_proxy_command(name: str) -> None:
    with pytest.raises(UsageError, match=re.escape(repr(name))):
        ssh_route.route(Host("h", "a", user=name))


@pytest.mark.parametrize("address", ["10.0.0.1", "fe80::1%eth0", "a_b-c.example.org", "büro.example.org"])
@pytest.mark.parametrize("user", ["root", "ada@example.org", "EXAMPLE\\ada", "host$", "a.b-c_d+e"])
def test_what_systems_call_hosts_and_users(address: str, user: str) -> None:
    way = ssh_route.route(Host("h", address, user=user))
    assert way.proxy == f"nc -l {user} {address} 22"


def test_a_user_whom_the_machine_does_not_know_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """A container that runs under any number: OpenSSH refuses it, too."""

    def unknown(number: int) -> None:
        raise KeyError(number)

    monkeypatch.setattr("pwd.getpwuid", unknown)
    with pytest.raises(UsageError, match=r"\d"):
        ssh_route.route(Host("web", "192.0.2.1"))


MATCHES = """Match originalhost gate user ada
  Port 2202
Match user ada
  Port 2201
  ProxyJump ada@gate
Match user root
  Port 2203
"""


@pytest.mark.parametrize(
    ("host", "port", "through"),
    [
        (Host("h", "a", user="ada"), 2201, [2202]),
        (Host("h", "a", ssh={"user": "ada"}), 2201, [2202]),
        (Host("h", "a", user="root"), 2203, []),
        (Host("h", "a", user="root", ssh={"user": "ada"}), 2203, []),
        (Host("h", "a", user="eve"), 22, []),
        (Host("h", "a", user="eve", ssh={"proxyjump": "ada@gate"}), 22, [2202]),
        (Host("h", "a", user="ada", port=2222), 2222, [2202]),
    ],
)
def test_what_matches_the_user_counts(host: Host, port: int, through: list[int], tmp_path: Path) -> None:
    """OpenSSH itself is asked; it is told the user on its command line, as `ssh -l` would be."""
    (tmp_path / ".ssh/config").write_text(MATCHES)
    way = ssh_route.route(host)
    assert (way.port, [jump.port for jump in way.jumps]) == (port, through)
