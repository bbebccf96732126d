"""A volume of type efs over an ordinary NFS server: mounted by the host; a server that is silent is named."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from outcomes import Host, Lab, Said, changed, eventually

from mnemo_ops.lab import vm

MOUNT = "/mnt/mnemo/mnemosyne/redis_data"
DATA = f"{MOUNT}/mnemosyne/redis_data/data"
pytestmark = pytest.mark.soak  # a boot, and a server of its own

SECONDS = 900  # for a command under emulation
PROMPT = 60  # seconds within which a silent server is named, under emulation
RUNS = "docker run --detach --name store --restart always --volume mnemosyne_redis_data:/data busybox"
BEGINS = "test -e /data/bytes || head -c 1000000 /dev/urandom > /data/bytes; sync; sleep 100000"


@pytest.fixture(scope="module")
def inventory(machines: Lab) -> Iterator[Path]:
    """A server whose root may be written; nothing of it is left afterwards."""

    def change(everything: dict[str, Any]) -> None:
        row = {"type": "efs", "file_system": "storage"}
        everything["hosts"]["app"]["stack"] = {"volumes": {"redis_data": row}}

    storage, app = Host(machines.root, "storage"), Host(machines.root, "app")
    storage.sh(
        "sed -i s/yes/no/ /etc/initramfs-tools/update-initramfs.conf; apt-get install -qy nfs-kernel-server", SECONDS
    )
    options = "rw,sync,no_subtree_check,insecure"
    storage.sh("mkdir -p /srv/efs /etc/exports.d")
    storage.sh(f"echo '/srv/efs 192.168.77.2({options},no_root_squash,fsid=0)' > /etc/exports.d/efs.exports")
    storage.sh("systemctl start nfs-server; exportfs -ra", SECONDS)
    yield machines.inventory_with("efs", change)
    app.sh(
        "systemctl start docker; docker rm --force store; docker volume rm mnemosyne_redis_data", SECONDS, check=False
    )
    app.sh("rm -r /etc/systemd/system/docker.service.d; sed -i /mnemo/d /etc/fstab; systemctl daemon-reload")
    app.sh(f"umount {MOUNT}; chattr -i {MOUNT}; rm -r /mnt/mnemo")
    storage.sh(
        "rm /etc/exports.d/efs.exports; exportfs -ra; systemctl disable --now nfs-server; rm -r /srv/efs", SECONDS
    )


def volumes(machines: Lab, inventory: Path, code: int = 0) -> Said:
    words = ("--limit", "app", "--inventory", str(inventory), "--volume", "redis_data", "--json")
    said = machines.run("volumes", *words, timeout=SECONDS)
    assert said.code == code, said
    return said


def test_it_survives_a_reboot_and_is_made_only_once(machines: Lab, app: Host, storage: Host, inventory: Path) -> None:
    assert changed(volumes(machines, inventory))["app"] > 0
    assert changed(volumes(machines, inventory))["app"] == 0
    options = set(app.sh(f"findmnt --noheadings --output OPTIONS {MOUNT}").split(","))
    assert {"vers=4.1", "hard", "noresvport", "timeo=600", "retrans=2"} <= options
    app.sh(f"{RUNS} sh -c '{BEGINS}'", SECONDS)
    eventually("it has written", lambda: app.sh(f"ls {DATA}; sync") == "bytes", 60)
    before = storage.sh("sha256sum < /srv/efs/mnemosyne/redis_data/data/bytes")
    vm.reboot(machines.root, "app")
    running = "docker inspect --format '{{.State.Running}}' store"
    eventually("the container runs again", lambda: app.sh(running, SECONDS, check=False) == "true", 300)
    assert app.sh(f"sha256sum < {DATA}/bytes") == before
    assert app.sh("docker exec store sha256sum /data/bytes", SECONDS).split()[0] == before.split()[0]
    assert changed(volumes(machines, inventory))["app"] == 0


def test_a_silent_server_is_named_and_nothing_hangs(machines: Lab, storage: Host, inventory: Path) -> None:
    storage.sh("iptables -I INPUT -p tcp --dport 2049 -j DROP")
    try:
        said = volumes(machines, inventory, 3)
    finally:
        storage.sh("iptables -D INPUT -p tcp --dport 2049 -j DROP")
    assert "192.168.77.1 does not answer on port 2049" in said.error["message"] and "2049" in said.error["hint"], said
    assert said.seconds < PROMPT
    assert changed(volumes(machines, inventory))["app"] == 0
