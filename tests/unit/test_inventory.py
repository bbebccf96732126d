"""Inventories: what Ansible means by them, and errors that say where."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mnemo_ops.core.secret import Secret
from mnemo_ops.errors import InventoryError, UsageError
from mnemo_ops.inventory import load as inventory

HOSTS = """\
all:
  vars:
    site: lab
    level: all
  hosts:
    old:
      ansible_host: 10.0.0.1
      ansible_port: 2222
      ansible_user: "{{ admin }}"
      ansible_password: hunter22
      ansible_ssh_private_key_file: keys/old
  children:
    servers:
      vars: {admin: root, level: servers, mnemo_known_hosts_file: known_hosts}
      hosts:
        old:
        new: {level: new}
    clients:
      hosts:
        web[01:02]: {ansible_connection: local}
      children:
        edge:
          hosts: edge1
"""


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(tmp_path)

    def write(name: str, text: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    return write


def names(found: inventory.Inventory, pattern: str, limit: str = "") -> list[str]:
    return [host.name for host in found.select(pattern, limit)]


def test_a_host_knows_how_to_reach_it(write: Any, tmp_path: Path) -> None:
    old = inventory.load(write("hosts.yml", HOSTS)).hosts["old"]
    assert (old.address, old.port, old.user, old.local) == ("10.0.0.1", 2222, "root", False)
    assert old.key_file == str(tmp_path / "keys/old")
    assert old.known_hosts == str(tmp_path / "known_hosts")
    assert old.password is not None
    assert old.password.reveal() == "hunter22" and "hunter22" not in repr(old.password)


def test_ranges_and_local_connections(write: Any) -> None:
    found = inventory.load(write("hosts.yml", HOSTS))
    assert found.groups["clients"] == ["web01", "web02", "edge1"]
    assert found.hosts["web02"].local and not found.hosts["edge1"].local


def test_variables_win_in_ansibles_order(write: Any) -> None:
    path = write("hosts.yml", HOSTS)
    write("group_vars/all.yml", "level: group_vars/all\nfrom_all: 1\n")
    write("group_vars/servers/main.yaml", "level: group_vars/servers\n")
    write("host_vars/new.yml", "name: from host_vars\n")
    found = inventory.load(path)
    assert found.hosts["edge1"].vars["level"] == "group_vars/all"
    assert found.hosts["old"].vars["level"] == "group_vars/servers"
    assert found.hosts["new"].vars["level"] == "new"
    assert found.hosts["new"].vars["name"] == "from host_vars"


def test_magic_variables(write: Any) -> None:
    old = inventory.load(write("hosts.yml", HOSTS)).hosts["old"]
    assert old.vars["inventory_hostname"] == "old"
    assert old.vars["group_names"] == ["servers"]
    assert old.vars["groups"]["servers"] == ["old", "new"]


def test_group_vars_beside_the_playbook(write: Any, tmp_path: Path) -> None:
    path = write("inventories/hosts.yml", HOSTS)
    write("playbooks/group_vars/all.yml", "beside: playbook\n")
    assert inventory.load(path, tmp_path / "playbooks").hosts["old"].vars["beside"] == "playbook"


@pytest.mark.parametrize(
    ("pattern", "limit", "expected"),
    [
        ("all", "", ["old", "web01", "web02", "edge1", "new"]),
        ("servers:clients:!edge", "", ["old", "web01", "web02", "new"]),
        ("old,new", "", ["old", "new"]),
        ("all:&clients", "", ["web01", "web02", "edge1"]),
        ("web*", "", ["web01", "web02"]),
        ("all", "servers", ["old", "new"]),
        ("servers", "new", ["new"]),
        ("clients", "old", []),
        ("!servers", "", ["web01", "web02", "edge1"]),
    ],
)
def test_patterns(write: Any, pattern: str, limit: str, expected: list[str]) -> None:
    assert sorted(names(inventory.load(write("hosts.yml", HOSTS)), pattern, limit)) == sorted(expected)


def test_localhost_needs_no_entry(write: Any) -> None:
    (host,) = inventory.load(write("hosts.yml", HOSTS)).select("localhost")
    assert host.local and host.vars["inventory_hostname"] == "localhost"


def test_ini(write: Any) -> None:
    text = """\
alone ansible_host=10.0.0.9
[servers]
old ansible_port=2222 note='two words'   # the old one
new
[servers:vars]
flag=True
text=a = b
[everything:children]
servers
"""
    found = inventory.load(write("hosts.ini", text))
    assert names(found, "everything") == ["old", "new"]
    assert names(found, "ungrouped") == ["alone"]
    old = found.hosts["old"]
    assert (old.port, old.vars["note"], old.vars["flag"], old.vars["text"]) == (2222, "two words", True, "a = b")


def test_a_directory_is_all_its_files(write: Any, tmp_path: Path) -> None:
    write("inv/a.yml", "all: {hosts: {one: }}\n")
    write("inv/b.ini", "[pair]\none\ntwo\n")
    write("inv/group_vars/pair.yml", "x: 1\n")
    found = inventory.load(tmp_path / "inv")
    assert names(found, "pair") == ["one", "two"]
    assert found.hosts["two"].vars["x"] == 1


@pytest.mark.parametrize(
    ("text", "where", "message", "hint"),
    [
        ("all:\n  hosts:\n    a: [\n", "hosts.yml:4:1", "YAML", ""),
        ("all:\n  hots:\n    a:\n", "hosts.yml:2", "'hots'", "did you mean 'hosts'?"),
        ("all:\n  hosts:\n    a:\n    a:\n", "hosts.yml:4:5", "'a'", ""),
        ("all:\n  hosts: [a]\n", "hosts.yml:2", "'hosts'", ""),
        ("all:\n  hosts:\n    a: {ansible_port: ssh}\n", "hosts.yml:3", "'ssh'", ""),
        (
            "all:\n  hosts:\n    a:\n      ansible_hots: b\n",
            "hosts.yml:4",
            "'ansible_hots'",
            "did you mean 'ansible_host'?",
        ),
        ("all:\n  hosts:\n    a: {ansible_ssh_common_args: -D 80}\n", "hosts.yml:3", "'-D'", ""),
        ("all:\n  hosts:\n    a: {ansible_ssh_args: -o Tunnel=yes}\n", "hosts.yml:3", "'tunnel'", ""),
        (
            "all:\n  hosts:\n    a: {ansible_ssh_args: -o StrictHostKeyChecking=no}\n",
            "hosts.yml:3",
            "stricthostkeychecking",
            "",
        ),
        (
            "all:\n  hosts:\n    a: {ansible_host_key_checking: false}\n",
            "hosts.yml:3",
            "not supported",
            "`invoke hosts.trust` accepts a host's key",
        ),
        ("all:\n  hosts:\n    a: {ansible_become_method: su}\n", "hosts.yml:3", "not supported", ""),
        ("all:\n  hosts:\n    a: {ansible_become: perhaps}\n", "hosts.yml:3", "'perhaps'", ""),
        ("all:\n  hosts:\n    a: {ansible_ssh_retries: -1}\n", "hosts.yml:3", "from 0 to 100", ""),
        (
            "all:\n  hosts:\n    a: {ansible_connection: docker}\n",
            "hosts.yml:3",
            "not supported yet",
            "use ssh or local",
        ),
        (
            "all:\n  hosts:\n    a: {ansible_host: '{{ addres }}', address: b}\n",
            "hosts.yml:3",
            "'addres'",
            "did you mean 'address'?",
        ),
        ("all:\n  children:\n    x: {children: {y: {children: {x: }}}}\n", "hosts.yml", "'x'", ""),
        ("- a\n", "hosts.yml:1", "mapping", "begin with all:"),
    ],
)
def test_errors_say_where(write: Any, text: str, where: str, message: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        inventory.load(write("hosts.yml", text))
    assert (caught.value.where, caught.value.hint, caught.value.exit_code) == (where, hint, 2)
    assert message in caught.value.message


def test_an_unknown_host_is_named_with_the_nearest_one(write: Any) -> None:
    with pytest.raises(InventoryError) as caught:
        inventory.load(write("hosts.yml", HOSTS)).select("servrs", where="playbooks/x.yml:1")
    assert caught.value.where == "playbooks/x.yml:1" and "'servrs'" in caught.value.message
    assert caught.value.hint == "did you mean 'servers'?"


def test_groups_everybody_has_are_not_guessed(write: Any) -> None:
    with pytest.raises(InventoryError) as caught:
        inventory.load(write("hosts", "one\ntwo\n")).select("ungruoped")
    assert caught.value.hint == "valid names: one, two"


def test_a_missing_inventory(tmp_path: Path) -> None:
    with pytest.raises(InventoryError, match="nowhere"):
        inventory.load(tmp_path / "nowhere.yml")


def test_a_password_that_was_asked_for_is_for_hosts_that_name_none(write: Any) -> None:
    found = inventory.load(write("hosts.yml", "all:\n  hosts:\n    a:\n    b: {ansible_become_password: own}\n"))
    assert [host.become_password for host in found.select("all")] == [None, Secret("own")]
    found.become_password = Secret("asked")
    passwords = [host.become_password for host in found.select("all:localhost")]
    assert [one.reveal() for one in passwords if one] == ["asked", "own", "asked"]


def test_the_command_line_says_how_hosts_are_reached(write: Any) -> None:
    path = write("hosts.yml", "all:\n  hosts:\n    a: {ansible_user: own}\n    b: {ansible_become: no}\n")
    extra = {"ansible_ssh_user": "told", "ansible_port": "2222", "ansible_become": "true", "other": "x"}
    for host in inventory.load(path, extra=extra).hosts.values():
        assert (host.user, host.port, host.become) == ("told", 2222, True)
    with pytest.raises(InventoryError) as error:
        inventory.load(path, extra={"ansible_port": "ssh"})
    assert error.value.where == "--vars"
