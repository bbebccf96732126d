"""The virtual machines themselves: boot, cable, disks, reboot, power cut."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path

import pytest
import yaml
from outcomes import Host, Lab, eventually

from mnemo_ops.errors import Refused, UsageError
from mnemo_ops.lab import server, vm
from mnemo_ops.lab.directory import LabDirectory
from mnemo_ops.lab.qemu import Machine, is_gone
from mnemo_ops.lab.vm_boot import create
from mnemo_ops.lab.vm_boot import machines as machines_of
from mnemo_ops.lab.vm_warm import ensure_warm

BOOT = "cat /proc/sys/kernel/random/boot_id"


def test_both_run_their_own_kernel_systemd_and_docker(machines: Lab, storage: Host, app: Host) -> None:
    assert {one.name: one.state for one in vm.status(machines.root)} == {"storage": "running", "app": "running"}
    for host in (storage, app):
        assert host.sh("hostname") == host.name
        assert host.sh("systemctl is-system-running") == "running"
        assert host.sh("docker run --rm busybox cat /proc/version").startswith("Linux")
    own = "cat /etc/machine-id /etc/ssh/ssh_host_ed25519_key.pub; uname -r"
    assert storage.sh(own) != app.sh(own)
    assert "deb13" in app.sh("uname -r")
    assert storage.sh(BOOT) != app.sh(BOOT)


def test_inventory_reaches_them(machines: Lab) -> None:
    everything = yaml.safe_load(machines.inventory.read_text())["all"]
    assert {row["mnemo_peer_address"] for row in everything["hosts"].values()} == {"192.168.77.1", "192.168.77.2"}
    assert set(everything["children"]["servers"]["hosts"]) == {"storage", "app"}
    said = machines.run("play", str(_playbook(machines)), "--json")
    assert said.code == 0, said
    assert set(said.document["hosts"]) == {"storage", "app"}


def _playbook(machines: Lab) -> Path:
    path = machines.root / "link.yml"
    path.write_text(
        "- hosts: servers\n  tasks:\n"
        '    - wait_for: {host: "{{ hostvars[item].mnemo_peer_address }}", port: 22, timeout: 20}\n'
        "      loop: [storage, app]\n"
    )
    return path


def test_cable_carries_and_can_be_pulled(machines: Lab, storage: Host, app: Host) -> None:
    address = {one.name: one.link for one in vm.status(machines.root)}["storage"]
    script = f"timeout 3 bash -c 'exec 3<>/dev/tcp/{address}/22; head -c 4 <&3' || true"
    assert app.sh(script) == "SSH-"
    vm.disconnect(machines.root, "storage")
    try:
        assert app.sh(script) == ""
    finally:
        vm.connect(machines.root, "storage")
    eventually("the cable carries again", lambda: app.sh(script) == "SSH-", 60)


def test_disk_comes_and_goes_and_keeps_its_content(machines: Lab, app: Host) -> None:
    path = vm.attach_disk(machines.root, "app", "first", size=64 << 20)
    try:
        eventually(f"{path} is there", lambda: app.sh(f"test -b {path} && echo yes || true") == "yes", 30)
        assert app.sh(f"blockdev --getsize64 {path}") == str(64 << 20)
        app.sh(f"echo kept | dd of={path} conv=fsync")
        vm.detach_disk(machines.root, "app", "first")
        eventually(f"{path} is gone", lambda: app.sh(f"test -e {path} || echo gone") == "gone", 30)
        vm.attach_disk(machines.root, "app", "first")
        eventually(f"{path} is there", lambda: app.sh(f"test -b {path} && echo yes || true") == "yes", 30)
        assert app.sh(f"head -c 4 {path}") == "kept"
    finally:
        vm.detach_disk(machines.root, "app", "first")


@pytest.mark.soak
def test_reboot_and_power_cut_keep_what_was_flushed(machines: Lab, app: Host) -> None:
    before = app.sh(f"echo kept > /root/rebooted; touch /run/gone; {BOOT}")
    vm.reboot(machines.root, "app")
    assert app.sh(f"test ! -e /run/gone && cat /root/rebooted && {BOOT}").splitlines()[0] == "kept"
    assert app.sh(BOOT) != before
    app.sh("dd if=/dev/urandom of=/root/flushed bs=4096 count=64 conv=fsync; sync -d /root")
    digest = app.sh("sha256sum /root/flushed")
    path = vm.attach_disk(machines.root, "app", "later", size=1 << 20)
    vm.power_cut(machines.root, "app")
    assert {one.name: one.state for one in vm.status(machines.root)}["app"] == "stopped"
    with pytest.raises(OSError), socket.create_connection(("127.0.0.1", int(app.ssh[-2])), timeout=5):
        pass
    vm.power_on(machines.root, "app")
    assert app.sh("sha256sum /root/flushed") == digest
    assert app.sh(f"test -b {path} && echo yes") == "yes"  # disks stay in while the machine is off
    vm.detach_disk(machines.root, "app", "later")
    app.sh("rm /root/flushed /root/rebooted")


def test_second_up_changes_nothing(machines: Lab, storage: Host, app: Host) -> None:
    files = {path: path.stat().st_mtime_ns for path in LabDirectory(machines.root).generated()}
    before = [storage.sh(BOOT), app.sh(BOOT)]
    vm.up(machines.root, ["storage", "app"], print)
    assert [storage.sh(BOOT), app.sh(BOOT)] == before
    assert {path: path.stat().st_mtime_ns for path in files} == files


def test_what_cannot_be_is_refused(machines: Lab) -> None:
    with pytest.raises(UsageError, match="two ends"):
        vm.up(machines.root, ["third"], print)
    with pytest.raises(Refused, match="other tier"):
        server.up(machines.root, ["old"], print)
    with pytest.raises(UsageError):
        vm.attach_disk(machines.root, "app", "a,b")
    with pytest.raises(UsageError):
        vm.ssh_command(machines.root, "third")


def test_where_qemu_cannot_be_had_it_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))  # neither qemu nor apt-get
    with pytest.raises(Refused, match="qemu-system-x86") as refused:
        vm.up(tmp_path, ["one"], print)
    assert "apt-get install" in refused.value.hint
    assert list(tmp_path.iterdir()) == []


def test_down_ends_a_machine_of_half_a_lab_and_works_twice(tmp_path: Path) -> None:
    image, how = ensure_warm(print)
    lab = LabDirectory(tmp_path)
    create(lab, "one", image)
    (machine,) = machines_of(lab)
    machine.start(image, how)
    pid = machine.pid()
    assert pid is not None and not is_gone(pid)
    (machine.directory / "vm.json").unlink()
    vm.down(tmp_path, print)
    vm.down(tmp_path, print)
    assert is_gone(pid)
    assert list(tmp_path.iterdir()) == []


def test_pid_file_that_names_another_process_is_not_believed(tmp_path: Path) -> None:
    machine = Machine(tmp_path, "one", 1, 20000)
    with subprocess.Popen(["sleep", "60"], cwd=tmp_path) as other:
        (tmp_path / "qemu.pid").write_text(str(other.pid))
        assert machine.pid() is None
        machine.kill()
        assert other.poll() is None
        other.kill()
