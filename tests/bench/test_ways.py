"""Ways to a host, over real OpenSSH servers: through another, by ``~/.ssh/config``, by IPv6; and trust on the way."""

from __future__ import annotations

import getpass
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from leaks import held, leaked
from loopback import Sshd, free_port, make_key
from pace import PATIENCE, eventually, within

from mnemo_ops.agent.resources.copy import Copy
from mnemo_ops.core.model import Batch, Host, Task
from mnemo_ops.core.secret import Secret
from mnemo_ops.errors import AuthenticationFailed, HostKeyUnknown, Unreachable, UsageError
from mnemo_ops.transport import ssh_route
from mnemo_ops.transport.raw_shell import raw, wait_until_up
from mnemo_ops.transport.session import connect

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """A second server, with keys of its own."""
    with Sshd(tmp_path_factory.mktemp("gate")) as running:
        yield running


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home directory of one's own, so that nobody's ``~/.ssh`` takes part."""
    (tmp_path / "home" / ".ssh").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    ssh_route._asked.cache_clear()
    yield tmp_path / "home"
    ssh_route._asked.cache_clear()


def works(host: Host, folder: Path) -> bool:
    """A session converges a file there."""
    task = Task("one", "one", Copy(str(folder / "one"), content="text"), "here:1")
    with connect(host, become=False) as session:
        return [event.status for event in session.converge(Batch((task,)))][-1] in ("ok", "changed")


def config(home: Path, text: str) -> None:
    (home / ".ssh" / "config").write_text(text)


def known(home: Path, *servers: Sshd) -> None:
    (home / ".ssh" / "known_hosts").write_text("".join(server.known_hosts.read_text() for server in servers))


def through(gate: Sshd) -> str:
    """An entry of ~/.ssh/config."""
    return (
        f"Host gate\n  HostName 127.0.0.1\n  Port {gate.port}\n  User {getpass.getuser()}\n"
        f"  IdentityFile {gate.folder / 'user_key'}\n"
    )


def came_from(log: str, count: int) -> bool:
    return log.count("Accepted publickey") > count


def test_everything_from_the_users_ssh_configuration(server: Sshd, home: Path, tmp_path: Path) -> None:
    config(
        home,
        f"Host web\n  HostName 127.0.0.1\n  Port {server.port}\n  User {getpass.getuser()}\n"
        f"  IdentityFile {server.folder / 'user_key'}\n  UserKnownHostsFile {server.known_hosts}\n",
    )
    assert works(Host("web", "web"), tmp_path)


def test_what_the_configuration_includes_and_matches_counts(server: Sshd, home: Path, tmp_path: Path) -> None:
    (home / ".ssh" / "more").write_text(f"Host web\n  HostName 127.0.0.1\n  UserKnownHostsFile {server.known_hosts}\n")
    config(
        home,
        f"Include {home}/.ssh/more\nMatch originalhost web exec true\n  Port {server.port}\n"
        f"  User {getpass.getuser()}\n  IdentityFile %d/key\n",
    )
    (home / "key").symlink_to(server.folder / "user_key")
    assert works(Host("web", "web"), tmp_path)


def test_a_configuration_that_is_wrong_is_named(server: Sshd, home: Path) -> None:
    config(home, "Host *\n  Porte 22\n")
    with pytest.raises(UsageError, match="Bad configuration option: porte"):
        connect(server.host(), become=False)


def test_the_inventory_wins_over_the_ssh_configuration(server: Sshd, home: Path, tmp_path: Path) -> None:
    config(home, "Host *\n  Port 1\n  User nobody\n  IdentityFile /nowhere\n  UserKnownHostsFile /nowhere\n")
    assert works(server.host(), tmp_path)


@pytest.mark.parametrize("where", ["configuration", "inventory"])
def test_through_another_host(where: str, server: Sshd, gate: Sshd, home: Path, tmp_path: Path) -> None:
    """Each hop has its own key, user and host key; the far end sees the connection come."""
    known(home, server, gate)
    jump = f"Host 127.0.0.1\n  ProxyJump gate\n{through(gate)}"
    config(home, jump if where == "configuration" else through(gate))
    before = gate.log().count("Accepted publickey")
    ssh = {} if where == "configuration" else {"proxyjump": "gate"}
    assert works(server.host(known_hosts=None, ssh=ssh), tmp_path)
    assert came_from(gate.log(), before)


def test_through_a_command(server: Sshd, home: Path, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.py"
    pipe.write_text(
        "import os, socket, sys, threading\n"
        "s = socket.create_connection((sys.argv[1], int(sys.argv[2])))\n"
        "def out():\n"
        "    while d := s.recv(65536): os.write(1, d)\n"
        "    os._exit(0)\n"
        "threading.Thread(target=out, daemon=True).start()\n"
        "while d := os.read(0, 65536): s.sendall(d)\n"
    )
    assert works(server.host(ssh={"proxycommand": f"{sys.executable} {pipe} %h %p"}), tmp_path)


def test_a_closed_gate_is_named(server: Sshd, home: Path) -> None:
    ssh = {"proxyjump": f"someone@127.0.0.1:{free_port()}"}
    with pytest.raises(Unreachable, match=r"127\.0\.0\.1 \(the way to loopback\) .* cannot be reached"):
        connect(server.host(ssh=ssh), become=False)


def test_nothing_of_a_way_stays_open(server: Sshd, gate: Sshd, home: Path, tmp_path: Path) -> None:
    known(home, server, gate)
    config(home, through(gate))
    before = held()
    assert works(server.host(known_hosts=None, ssh={"proxyjump": "gate"}), tmp_path)
    with pytest.raises(Unreachable):
        connect(server.host(1, known_hosts=None, ssh={"proxyjump": "gate"}), become=False)
    assert not leaked(before)


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6")
@pytest.mark.parametrize("address", ["::1"])
def test_an_ipv6_literal(address: str, server: Sshd, home: Path, tmp_path: Path) -> None:
    if f"Server listening on {address}" not in server.log():
        pytest.skip("this machine has no ::1")
    host = Host("six", address, server.port, getpass.getuser(), str(server.folder / "user_key"))
    known(home, server)
    assert works(host, tmp_path)


def test_a_locked_key_is_named_and_a_passphrase_opens_it(server: Sshd, home: Path, tmp_path: Path) -> None:
    key = tmp_path / "locked"
    key.write_bytes((server.folder / "user_key").read_bytes())
    key.chmod(0o600)
    subprocess.run(["ssh-keygen", "-q", "-p", "-N", "open sesame", "-f", str(key)], check=True, capture_output=True)
    with pytest.raises(AuthenticationFailed, match="locked with a passphrase") as caught:
        connect(server.host(key_file=str(key)), become=False)
    assert caught.value.hint.startswith(f"ssh-add {key}")
    assert works(server.host(key_file=str(key), passphrase=Secret("open sesame")), tmp_path)


def test_an_agent_opens_a_locked_key(server: Sshd, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sock = str(tmp_path / "agent")
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", sock], stdout=subprocess.DEVNULL)
    try:
        monkeypatch.setenv("SSH_AUTH_SOCK", sock)
        eventually(Path(sock).exists)
        subprocess.run(["ssh-add", "-q", str(server.folder / "user_key")], check=True)
        assert works(server.host(key_file=None), tmp_path)
        make_key(tmp_path / "other")
        assert works(server.host(key_file=str(tmp_path / "other")), tmp_path)
        with pytest.raises(AuthenticationFailed):
            connect(server.host(key_file=str(tmp_path / "other"), ssh={"identitiesonly": "yes"}), become=False)
    finally:
        agent.terminate()
        agent.wait()


# -- before there is an agent ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("local", [False, True])
def test_a_raw_line(local: bool, server: Sshd) -> None:
    host = Host("here", "here", local=True) if local else server.host(python="no-such-python")
    said = raw(host, False, "echo out; echo err >&2; cat; exit 3")
    assert (said.rc, said.out, said.err) == (3, "out\n", "err\n")


def test_a_raw_line_that_says_much_on_both_ends(server: Sshd) -> None:
    said = raw(server.host(), False, "yes | head -c 3000000 >&2; yes | head -c 3000000")
    assert (said.rc, len(said.out), len(said.err)) == (0, 3000000, 3000000)


def test_waiting_for_a_host_that_comes_up(tmp_path: Path) -> None:
    server = Sshd(tmp_path)
    with pytest.raises(Unreachable, match="did not come up within 1 s"):
        wait_until_up(server.host(), 1, connect_timeout=1)
    timer = threading.Timer(2.0, server.__enter__)
    timer.start()
    try:
        assert wait_until_up(server.host(), PATIENCE, connect_timeout=5) > 1
    finally:
        timer.join()
        server.__exit__()


def test_waiting_does_not_mend_a_host_key(server: Sshd, tmp_path: Path) -> None:
    with within(10), pytest.raises(HostKeyUnknown):
        wait_until_up(server.host(known_hosts=str(tmp_path / "nothing")), 600)


def test_opening_is_tried_again_only_where_asked(tmp_path: Path) -> None:
    server = Sshd(tmp_path)
    with pytest.raises(Unreachable):
        connect(server.host(), become=False)
    timer = threading.Timer(1.0, server.__enter__)
    timer.start()
    try:
        connect(server.host(retries=5), become=False).close()
    finally:
        timer.join()
        server.__exit__()


# -- trust -------------------------------------------------------------------------------------------------------------


def trust(inventory: Path, *more: str, home: Path) -> tuple[int, dict[str, Any]]:
    argv = [sys.executable, "-c", "from mnemo_ops.cli.program import main; main()", "hosts.trust", "--json"]
    env = {**os.environ, "HOME": str(home)}
    done = subprocess.run([*argv, "-i", str(inventory), *more], capture_output=True, text=True, env=env, cwd=ROOT)
    return done.returncode, json.loads(done.stdout)


def test_many_hosts_are_trusted_at_once_and_hops_one_after_the_other(
    server: Sshd, gate: Sshd, home: Path, tmp_path: Path
) -> None:
    config(home, through(gate))
    known_hosts = tmp_path / "known"
    common = {
        "ansible_port": server.port,
        "ansible_user": getpass.getuser(),
        "ansible_ssh_private_key_file": str(server.folder / "user_key"),
        "mnemo_known_hosts_file": str(known_hosts),
    }
    near = {"ansible_host": "127.0.0.1", **common}
    far = {**near, "ansible_ssh_common_args": "-o ProxyJump=gate"}
    inventory = tmp_path / "inventory.yml"
    inventory.write_text(yaml.safe_dump({"all": {"hosts": {"far": far, "near": near}}}))

    code, said = trust(inventory, home=home)
    gates = "gate (the way to far)"
    assert code == 0 and set(said["keys"]) == {gates, "near"} and not known_hosts.exists()
    prints = [said["keys"][name]["fingerprint"] for name in (gates, "near")]

    code, said = trust(inventory, "--limit", "near", "--accept-host-key", prints[0], home=home)
    assert code == 3 and prints[1] in said["error"]["message"] and not known_hosts.exists()
    code, said = trust(inventory, "--accept-host-key", ",".join(prints), home=home)
    assert code == 0 and len(known_hosts.read_text().splitlines()) == 2
    assert said["keys"]["far"]["fingerprint"] == prints[1]
    assert trust(inventory, "--accept-host-key", ",".join(prints), home=home)[0] == 0
    assert len(known_hosts.read_text().splitlines()) == 2

    make_key(tmp_path / "other")
    other = (tmp_path / "other.pub").read_text().split()[1]
    known_hosts.write_text(f"[127.0.0.1]:{server.port} ssh-ed25519 {other}\n")
    code, said = trust(inventory, "--limit", "near", home=home)
    assert code == 4 and said["error"]["class"] == "HostKeyChanged"
