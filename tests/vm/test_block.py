"""A volume on a disk of its own, on a machine with udev: away at boot, back again, and never written past."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from outcomes import Host, Lab, Said, changed, eventually

from mnemo_ops.lab import vm

pytestmark = pytest.mark.soak  # three boots

SERIAL = "pgdata"
DISK = f"/dev/disk/by-id/virtio-{SERIAL}"
MOUNT = "/mnt/mnemo/mnemosyne/postgres_data"
SECONDS = 900  # for a command under emulation
RUNS = "docker run --detach --name pg --restart always --volume mnemosyne_postgres_data:/data busybox"
# what a database does that finds its directory empty: it begins anew
BEGINS = "test -e /data/bytes || head -c 1000000 /dev/urandom > /data/bytes; sync; sleep 100000"


@pytest.fixture(scope="module")
def inventory(machines: Lab) -> Iterator[Path]:
    """The stack's database on a disk of its own; nothing of it is left afterwards."""

    def change(everything: dict[str, Any]) -> None:
        disk = {"type": "block", "device": DISK, "wait": 5}
        everything["hosts"]["app"]["stack"] = {"volumes": {"postgres_data": disk}}

    vm.attach_disk(machines.root, "app", SERIAL, 256 << 20)
    app = Host(machines.root, "app")
    yield machines.inventory_with("block", change)
    vm.attach_disk(machines.root, "app", SERIAL)
    app.sh("systemctl start docker; docker rm --force pg; docker volume rm mnemosyne_postgres_data", SECONDS)
    app.sh("rm -r /etc/systemd/system/docker.service.d; sed -i /mnemo/d /etc/fstab; systemctl daemon-reload")
    app.sh(f"umount {MOUNT}; chattr -i {MOUNT}; rm -r /mnt/mnemo")
    vm.detach_disk(machines.root, "app", SERIAL)


def volumes(machines: Lab, inventory: Path, code: int = 0) -> Said:
    words = ("--limit", "app", "--inventory", str(inventory), "--volume", "postgres_data", "--json")
    said = machines.run("volumes", *words, timeout=SECONDS)
    assert said.code == code, said
    return said


def running(host: Host) -> bool:
    return host.sh("docker inspect --format '{{.State.Running}}' pg", SECONDS, check=False) == "true"


def test_it_survives_a_reboot_and_is_made_only_once(machines: Lab, app: Host, inventory: Path) -> None:
    assert changed(volumes(machines, inventory))["app"] > 0
    assert changed(volumes(machines, inventory))["app"] == 0
    app.sh(f"{RUNS} sh -c '{BEGINS}'", SECONDS)
    eventually("it has written", lambda: app.sh(f"ls {MOUNT}/data; sync") == "bytes", 60)
    before = app.sh(f"sha256sum {MOUNT}/data/bytes")
    vm.reboot(machines.root, "app")
    eventually("the container runs again", lambda: running(app), 300)
    assert app.sh(f"sha256sum {MOUNT}/data/bytes") == before
    assert app.sh(f"findmnt --noheadings --output SOURCE {MOUNT}") == app.sh(f"realpath {DISK}")
    assert changed(volumes(machines, inventory))["app"] == 0


def test_without_its_disk_the_stack_does_not_begin_anew_and_it_says_why(
    machines: Lab, app: Host, inventory: Path
) -> None:
    before = app.sh(f"sha256sum {MOUNT}/data/bytes")
    vm.stop(machines.root, "app")
    vm.detach_disk(machines.root, "app", SERIAL)
    vm.power_on(machines.root, "app")
    eventually("the boot has ended", lambda: app.sh("systemctl list-jobs --no-legend", check=False) == "", 300)
    assert app.sh("systemctl is-active docker.service", check=False) in ("inactive", "failed")
    assert app.sh(f"ls -A {MOUNT}") == ""
    assert app.sh(f"touch {MOUNT}/x 2>&1; mkdir {MOUNT}/data 2>&1", check=False).count("not permitted") == 2
    said = volumes(machines, inventory, 3)
    assert f"the disk {DISK} is not attached" in said.error["message"]
    assert "Docker does not run without it" in said.error["message"]
    assert "attach that disk" in said.error["hint"] and "mnemo-ops volumes" in said.error["hint"]
    assert app.sh("systemctl is-active docker.service", check=False) in ("inactive", "failed"), "nobody started it"

    vm.attach_disk(machines.root, "app", SERIAL)
    volumes(machines, inventory)
    eventually("the container runs again", lambda: running(app), 300)
    assert app.sh(f"sha256sum {MOUNT}/data/bytes") == before
    assert changed(volumes(machines, inventory))["app"] == 0
