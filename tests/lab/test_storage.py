"""Volumes stored as a container can show it: written by the stack, a reboot, the same bytes; refusals touch nothing."""

from __future__ import annotations

import posixpath
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from outcomes import Host, Lab, Said, changed, eventually, read_back

from mnemo_ops.lab import server
from mnemo_ops.lab.load import ACKNOWLEDGED, Load

pytestmark = [pytest.mark.lab, pytest.mark.scenario, pytest.mark.timeout(1200)]

DISK = "/dev/disk/by-id/virtio-graph"
GRAPH = "/mnt/mnemo/mnemosyne/lightrag_data"
OPTIONS = "defaults,nofail,x-systemd.device-timeout=1s"
STORED: dict[str, dict[str, Any]] = {
    "lightrag_data": {"type": "block", "device": DISK, "wait": 1},
    "uploads": {"type": "bind", "path": "/data/uploads"},
    "grafana_data": {"type": "external", "name": "grafana-of-everybody"},
}
# the stores write at any time: of those that run, that each volume is still the one it was
FILES = f"find /data {GRAPH}/data -type f -exec sha256sum {{}} + | sort"
THERE = f"docker volume ls -q | xargs -r docker volume inspect; {FILES}"

# a disk, and what udev and the units of fstab do with it at boot: there is neither in a container
PLUG = f"""
cat > /usr/local/sbin/plug <<'END'
#!/bin/sh -e
mkdir -p /dev/disk/by-id
ln -sf $(losetup --find --show /root/disk) {DISK}
mount -a -t ext4
grep -q '^/dev/loop' /proc/mounts && losetup --detach {DISK}  # gone with its mount
END
cat > /etc/systemd/system/plug.service <<'END'
[Unit]
DefaultDependencies=no
Before=sysinit.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/local/sbin/plug
[Install]
WantedBy=sysinit.target
END
truncate --size 256M /root/disk
chmod +x /usr/local/sbin/plug
systemctl enable plug.service
/usr/local/sbin/plug || true
"""
# loop devices are the whole machine's, and Docker cannot remove what is immutable
UNPLUG = f"""
docker ps -q | xargs -r docker stop --time 5 >/dev/null
systemctl stop docker.socket docker.service
umount --all-targets $(realpath {DISK})
losetup --detach {DISK}
chattr -i {GRAPH}
true  # a mount that another namespace still has ends with the server, and the loop device with that
"""


def well(said: Said, code: int = 0) -> Said:
    assert said.code == code, str(said)
    return said


def stored(lab: Lab, name: str, project: str = "mnemosyne", **volumes: Any) -> str:
    """An inventory whose stack keeps its volumes like this."""
    import yaml

    stack = yaml.safe_load((lab.inventory.parent / "group_vars" / "all.yml").read_text())["stack"]
    stack = {**stack, "project": project, "volumes": volumes}
    path = lab.inventory_with(name, lambda data: [host.update(stack=stack) for host in data["hosts"].values()])
    return str(path)


@contextmanager
def plugged(host: Host) -> Iterator[None]:
    host.sh(PLUG)
    try:
        yield
    finally:
        host.sh(UNPLUG)


@pytest.fixture(scope="module")
def ready(lab: Lab) -> Iterator[Host]:
    with plugged(lab.old):
        well(lab.run("bootstrap", "--limit", "old"))
        yield lab.old


@pytest.fixture(scope="module")
def inventory(lab: Lab) -> str:
    return stored(lab, "stored", **STORED)


def volumes(lab: Lab, inventory: str, *words: str) -> Said:
    return lab.run("volumes", "--limit", "old", "-i", inventory, "--json", *words)


def refused(lab: Lab, inventory: str, *words: str) -> None:
    """It says these words, and no volume and no file is another one afterwards."""
    before = lab.old.sh(THERE, check=False)
    for command in ("volumes", "deploy"):
        said = well(lab.run(command, "--limit", "old", "-i", inventory, "--json"), 3)
        assert said.error["hint"], str(said)
        for word in words:
            assert word in said.told, str(said)
    assert lab.old.sh(THERE, check=False) == before


def test_an_external_volume_that_nobody_made_is_refused(lab: Lab, ready: Host, inventory: str) -> None:
    refused(lab, inventory, "grafana_data", "grafana-of-everybody does not exist", "make it")
    assert ready.volumes() == []


@pytest.mark.parametrize(
    ("before", "said", "remedy"),
    [
        ("", "is not blank: it holds photos", f"lsblk -f {DISK}"),
        (f"mount -o ro {DISK} /srv", "is mounted on /srv already", "umount /srv"),
        (f"mkdir -p {GRAPH}; echo mine > {GRAPH}/notes", "holds notes, which a mount would hide", f"mv {GRAPH}"),
    ],
    ids=["not-blank", "elsewhere", "hiding"],
)
def test_a_disk_with_something_of_others_is_not_touched(
    lab: Lab, ready: Host, before: str, said: str, remedy: str
) -> None:
    ready.sh(f"wipefs -aq {DISK}; mkfs.ext4 -q {DISK}; mount {DISK} /mnt; echo mine > /mnt/photos; umount /mnt")
    ready.sh(before)
    seen = "sync; sha256sum /root/disk /etc/fstab; cat /proc/mounts"
    there = ready.sh(seen)
    refused(lab, stored(lab, "disk", lightrag_data=STORED["lightrag_data"]), "lightrag_data", said, remedy)
    assert ready.sh(seen) == there
    ready.sh(f"umount -q /srv; rm -rf {GRAPH}; wipefs -aq {DISK}")


def test_a_disk_that_is_not_there_is_named(lab: Lab, ready: Host) -> None:
    gone = {**STORED["lightrag_data"], "device": "/dev/disk/by-id/virtio-gone"}
    refused(lab, stored(lab, "gone", lightrag_data=gone), "virtio-gone is not attached", "attach that disk")


def test_a_volume_on_nfs_has_the_servers_address_and_the_safe_options(lab: Lab, ready: Host) -> None:
    path = stored(lab, "nfs", api_logs={"type": "nfs", "server": "new"})
    assert changed(well(volumes(lab, path, "--volume", "api_logs")))["old"] > 0
    assert changed(well(volumes(lab, path, "--volume", "api_logs")))["old"] == 0
    options = '{{index .Options "type"}} {{index .Options "device"}} {{index .Options "o"}}'
    shown = ready.sh(f"docker volume inspect --format '{options}' mnemosyne_api_logs")
    usual = "nfsvers=4.2,hard,timeo=600,retrans=2,noresvport"
    assert shown == f"nfs :/srv/nfs/api_logs addr={lab.new.address},{usual}"
    ready.sh("docker volume rm mnemosyne_api_logs")


def test_each_volume_is_made_as_declared_and_only_once(lab: Lab, ready: Host, inventory: str) -> None:
    ready.sh("docker volume create grafana-of-everybody")
    foretold = well(volumes(lab, inventory, "--check"))
    assert ready.volumes() == ["grafana-of-everybody"]
    done = well(volumes(lab, inventory))
    assert changed(done)["old"] > changed(foretold)["old"] > 0, "what is of a new file system's UUID cannot be foretold"
    assert foretold.document["hosts"]["old"]["unknown"] > 0
    assert changed(well(volumes(lab, inventory)))["old"] == 0
    assert "mnemosyne_grafana_data" not in ready.volumes()
    words = '{{.Driver}} {{index .Options "o"}} {{index .Options "device"}} {{index .Labels "mnemo.role"}}'
    shown = ready.lines(f"docker volume inspect --format '{words}' mnemosyne_uploads mnemosyne_lightrag_data")
    assert shown == ["local bind /data/uploads uploads", f"local bind {GRAPH}/data lightrag_data"]
    fstab = ready.sh(f"grep {GRAPH} /etc/fstab").split()
    assert fstab == [f"UUID={ready.sh(f'blkid -o value -s UUID {DISK}')}", GRAPH, "ext4", OPTIONS, "0", "2"]
    assert ready.sh("cat /etc/systemd/system/docker.service.d/50-mnemo-*") == f"[Unit]\nRequiresMountsFor={GRAPH}"
    assert GRAPH in ready.sh("systemctl show -p RequiresMountsFor docker.service")
    bare = f"mount --bind {posixpath.dirname(GRAPH)} /mnt; touch /mnt/lightrag_data/x"
    assert ready.sh(f"unshare --mount sh -c '{bare}' || echo refused") == "refused", "below the bare mount point"


def test_what_the_stack_writes_lies_there_also_after_a_reboot(lab: Lab, ready: Host, inventory: str) -> None:
    well(lab.run("deploy", "--limit", "old", "-i", inventory))
    assert changed(well(lab.run("deploy", "--limit", "old", "-i", inventory, "--json")))["old"] == 0
    load = Load(f"https://{ready.address}", lab.root / "load", documents=60).start()
    load.wait()
    assert load.acknowledged == 60
    assert ready.sh("find /data/uploads -type f | wc -l") == "60"
    assert ready.sh(f"ls {GRAPH}/data") and ready.sh("ls /srv/mnemosyne/uploads 2>/dev/null || true") == ""
    before = ready.sh(f"losetup --detach {DISK}; {FILES}")
    server.reboot(lab.root, "old")
    eventually("the stack serves again", ready.serves, 120)
    assert ready.sh(FILES) == before and GRAPH in before
    assert changed(well(volumes(lab, inventory)))["old"] == 0
    whole(lab, ready)


def whole(lab: Lab, host: Host, acknowledged: Path | None = None) -> None:
    seen = read_back(host, acknowledged or lab.root / "load" / ACKNOWLEDGED)
    assert (seen.acknowledged, seen.found, len(seen.missing), list(seen.wrong)) == (60, 60, 0, [])


def test_a_set_holds_what_lies_elsewhere_and_brings_it_back(lab: Lab, ready: Host, inventory: str) -> None:
    well(lab.run("backup", "--limit", "old", "-i", inventory))
    ready.sh("find /data/uploads -type f -delete")
    well(lab.run("restore", "--id", "latest", "--limit", "old", "--yes", "-i", inventory))
    whole(lab, ready)
    well(lab.run("restore", "--undo", "--limit", "old", "--yes", "-i", inventory))
    assert ready.sh("find /data/uploads -type f | wc -l") == "0"
    well(lab.run("restore", "--id", "latest", "--limit", "old", "--yes", "-i", inventory))
    whole(lab, ready)


def test_another_place_for_a_volume_that_is_there_is_refused(lab: Lab, ready: Host) -> None:
    moved = {**STORED, "lightrag_data": {"type": "bind", "path": "/elsewhere"}}
    path = stored(lab, "moved", **moved)
    before = lab.old.sh(FILES)
    said = well(volumes(lab, path, "--volume", "lightrag_data"), 3)
    assert f"{GRAPH}/data" in said.error["message"] and "/elsewhere" in said.error["message"], str(said)
    assert said.error["hint"]
    assert lab.old.sh(FILES) == before


def test_a_renamed_project_is_refused_where_it_would_begin_empty(lab: Lab, ready: Host) -> None:
    refused(lab, stored(lab, "renamed", project="mnemosyne2"), "mnemosyne_redis_data", "stack.project: mnemosyne")


def test_a_migration_puts_it_where_the_new_servers_inventory_says(lab: Lab, ready: Host, inventory: str) -> None:
    well(lab.run("bootstrap", "--limit", "new"))
    lab.new.sh("docker volume create grafana-of-everybody")
    words = ("migrate", "--from", "old", "--to", "new", "--yes", "-i", inventory, "--json")
    missing = well(lab.run(*words), 3)
    assert f"new: lightrag_data: the disk {DISK} is not attached" in missing.told, str(missing)
    assert ready.serves()
    with plugged(lab.new):
        lab.new.sh("mkdir -p /data/uploads && touch /data/uploads/of-somebody")
        full = well(lab.run(*words), 3).told
        assert "new: uploads: /data/uploads, where uploads is to go, holds of-somebody" in full and ready.serves()
        lab.new.sh("rm /data/uploads/of-somebody")
        running = lab.start(*words)
        assert lab.new.appears("/data/.mnemo-after-*"), running.printed()  # it unpacks beside the directory
        running.process.send_signal(signal.SIGINT)
        well(lab.ended(running), 130)
        well(lab.run(*words))
        assert lab.new.sh(f"find /data {GRAPH} -name '.mnemo-*-*'") == ""
        whole(lab, lab.new)
        assert lab.new.sh(f"findmnt --noheadings --output FSTYPE {GRAPH}") == "ext4"
        assert lab.new.sh(f"find {GRAPH}/data -type f | wc -l") == ready.sh(f"find {GRAPH}/data -type f | wc -l") != "0"
        assert changed(well(lab.run("volumes", "--limit", "new", "-i", inventory, "--json")))["new"] == 0
