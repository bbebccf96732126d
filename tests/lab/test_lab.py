"""The lab itself, on real containers: what `up`, `down` and the power switch promise."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from ipaddress import IPv4Network
from pathlib import Path

import pytest
import yaml

from mnemo_ops.errors import Refused, UsageError
from mnemo_ops.lab import server
from mnemo_ops.lab.directory import LabDirectory
from mnemo_ops.lab.engine import docker, kept
from mnemo_ops.lab.network import free_addresses, free_subnet

NAMES = ["old", "new"]


def silent(line: str) -> None:
    pass


def ssh(root: Path, name: str, *words: str) -> str:
    argv = [*server.ssh_command(root, name), *words]
    return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True).stdout.strip()


def left_behind(root: Path) -> list[str]:
    """Containers and networks that carry the lab's label."""
    label = f"label={LabDirectory(root).label}"
    listed = [
        docker("ps", "--all", "--quiet", "--filter", label),
        docker("network", "ls", "--quiet", "--filter", label),
    ]
    return " ".join(listed).split()


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    root = tmp_path_factory.mktemp("checkout")
    with kept():  # the other labs of this module need the engine too
        try:
            server.up(root, NAMES, silent)
            yield root
        finally:
            server.down(root, silent)


def identity(root: Path) -> list[str]:
    """Per server: container id and when it started."""
    names = [server.container(root, one.name) for one in server.status(root)]
    return docker("inspect", "--format", "{{.Id}} {{.State.StartedAt}}", *names).splitlines()


@pytest.mark.lab
def test_servers_run_systemd_and_let_the_lab_in(lab: Path) -> None:
    assert {one.name: one.state for one in server.status(lab)} == {"old": "running", "new": "running"}
    for name in NAMES:
        assert ssh(lab, name, "hostname") == name
        assert ssh(lab, name, "sudo", "id", "-u") == "0"
        assert ssh(lab, name, "systemctl", "is-system-running") == "running"
    machines = {ssh(lab, name, "cat", "/etc/machine-id", "/etc/ssh/ssh_host_ed25519_key.pub") for name in NAMES}
    assert len(machines) == len(NAMES)


@pytest.mark.lab
def test_inventory_names_what_ssh_needs(lab: Path) -> None:
    everything = yaml.safe_load((lab / ".lab" / "inventory.yml").read_text())["all"]
    assert set(everything["children"]["servers"]["hosts"]) == set(NAMES)
    for name, variables in everything["hosts"].items():
        known, key = variables["mnemo_known_hosts_file"], variables["ansible_ssh_private_key_file"]
        options = ["-F", "none", "-o", "StrictHostKeyChecking=yes", "-o", f"UserKnownHostsFile={known}", "-i", key]
        target = f"{variables['ansible_user']}@{variables['ansible_host']}"
        argv = ["ssh", *options, "-p", str(variables["ansible_port"]), target, "hostname"]
        assert subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True).stdout.strip() == name


@pytest.mark.lab
def test_second_up_changes_nothing(lab: Path) -> None:
    files = {path: path.stat().st_mtime_ns for path in LabDirectory(lab).generated()}
    before = identity(lab)
    server.up(lab, NAMES, silent)
    assert identity(lab) == before
    assert {path: path.stat().st_mtime_ns for path in files} == files


@pytest.mark.lab
def test_reboot_keeps_files_host_key_and_address(lab: Path) -> None:
    address = {one.name: one.address for one in server.status(lab)}["old"]
    ssh(lab, "old", "echo kept > note; sudo touch /run/gone")
    before = identity(lab)
    server.reboot(lab, "old")
    assert ssh(lab, "old", "test ! -e /run/gone && cat note") == "kept"  # strict host key checking let it pass
    assert identity(lab) != before
    assert {one.name: one.address for one in server.status(lab)}["old"] == address


@pytest.mark.lab
def test_power_cut_and_pulled_cable(lab: Path) -> None:
    address = {one.name: one.address for one in server.status(lab)}["new"]
    server.disconnect(lab, "new")
    with pytest.raises(OSError), socket.create_connection((address, 22), timeout=2):
        pass
    server.power_cut(lab, "new")
    assert {one.name: one.state for one in server.status(lab)} == {"old": "running", "new": "stopped"}
    server.up(lab, ["new"], silent)  # starts it and puts the cable back
    assert ssh(lab, "new", "hostname") == "new"
    assert {one.name: one.address for one in server.status(lab)}["new"] == address


@pytest.mark.lab
def test_two_labs_live_side_by_side_and_down_leaves_nothing(lab: Path, tmp_path: Path) -> None:
    server.up(tmp_path, ["old"], silent)
    assert server.status(tmp_path)[0].address not in {one.address for one in server.status(lab)}
    assert left_behind(tmp_path)
    server.down(tmp_path, silent)
    assert left_behind(tmp_path) == []
    assert list(tmp_path.iterdir()) == []
    assert {one.state for one in server.status(lab)} == {"running"}


@pytest.mark.lab
def test_down_finishes_half_a_lab_and_works_twice(lab: Path, tmp_path: Path) -> None:
    server.up(tmp_path, ["one"], silent)
    docker("rm", "--force", server.container(tmp_path, "one"))
    assert [(one.name, one.state) for one in server.status(tmp_path)] == [("one", "absent")]
    (tmp_path / ".lab" / "group_vars").mkdir()
    server.down(tmp_path, silent)
    server.down(tmp_path, silent)
    assert left_behind(tmp_path) == []
    assert [path.name for path in (tmp_path / ".lab").iterdir()] == ["group_vars"]  # not ours to remove


def test_names_that_are_no_host_names_are_refused(tmp_path: Path) -> None:
    for names in (["Old"], ["a/b"], ["group_vars"], ["-x"], ["old", "old"]):
        with pytest.raises(UsageError):
            server.up(tmp_path, names, silent)
    with pytest.raises(UsageError):
        server.up(tmp_path, ["old"], silent, image="debian11")
    assert list(tmp_path.iterdir()) == []


def test_subnets_and_addresses_in_use_are_passed_over() -> None:
    taken = [IPv4Network("10.213.0.0/23"), IPv4Network("172.20.0.0/16"), IPv4Network("10.213.2.128/25")]
    subnet = free_subnet(taken)
    assert subnet == IPv4Network("10.213.3.0/24")
    assert next(free_addresses(subnet, {"10.213.3.10", "10.213.3.11"})) == "10.213.3.12"
    with pytest.raises(Refused):
        free_subnet([IPv4Network("10.0.0.0/8")])
