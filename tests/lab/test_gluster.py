"""Uploads on a cluster of two servers: the same after a reboot, without one of the servers, and in a set."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from outcomes import Host, Lab, Said, changed, eventually, read_back

from mnemo_ops.execution.playbook_run import shipped
from mnemo_ops.lab import server
from mnemo_ops.lab.load import ACKNOWLEDGED, Load

pytestmark = [pytest.mark.lab, pytest.mark.scenario, pytest.mark.soak, pytest.mark.timeout(1200)]

MOUNT = "/mnt/mnemo/mnemosyne/uploads"
DATA = f"{MOUNT}/mnemosyne/uploads/data"
HASHES = f"find {DATA} -type f -exec sha256sum {{}} + | sort"


def well(said: Said, code: int = 0) -> Said:
    assert said.code == code, str(said)
    return said


def clustered(lab: Lab, name: str, **uploads: Any) -> str:
    """Both servers are a cluster, of which the first decides; that one's stack keeps its uploads there."""
    stack = yaml.safe_load((lab.inventory.parent / "group_vars" / "all.yml").read_text())["stack"]
    volume = {"type": "glusterfs", "servers": ["old", "new"], "volume": "gv0", **uploads}
    data = yaml.safe_load(lab.inventory.read_text())
    data["all"]["hosts"]["old"]["stack"] = {**stack, "volumes": {"uploads": volume}}
    data["all"]["children"]["gluster"] = {"hosts": {"old": {}, "new": {}}}
    data["all"]["vars"] = {"gluster_force": True}
    path = lab.inventory.with_name(f"{name}.yml")
    path.write_text(yaml.safe_dump(data, sort_keys=False))
    return str(path)


@pytest.fixture(scope="module")
def inventory(lab: Lab) -> str:
    return clustered(lab, "clustered")


def volumes(lab: Lab, inventory: str, code: int = 0, *words: str) -> Said:
    return well(lab.run("volumes", "--limit", "old", "-i", inventory, "--json", *words), code)


def cluster(lab: Lab, inventory: str, code: int = 0) -> Said:
    return well(lab.run("play", str(shipped("gluster.yml")), "-i", inventory, "--json"), code)


def whole(lab: Lab) -> None:
    seen = read_back(lab.old, lab.root / "load" / ACKNOWLEDGED)
    assert (seen.found, list(seen.missing), list(seen.wrong)) == (seen.acknowledged, [], [])


def write(lab: Lab, documents: int) -> None:
    load = Load(f"https://{lab.old.address}", lab.root / "load", documents=documents).start()
    load.wait()
    assert load.acknowledged == documents


def test_servers_that_nobody_runs_are_named_within_seconds(lab: Lab, inventory: str) -> None:
    well(lab.run("bootstrap", "--limit", "old"))
    said = volumes(lab, inventory, 3)
    assert "port 24007" in said.error["message"] and "systemctl start glusterd" in said.error["hint"], str(said)
    assert said.seconds < 30 and lab.old.volumes() == []
    assert lab.old.sh(f"ls -d {MOUNT} 2>/dev/null || true") == ""


def test_two_servers_become_a_cluster_once(lab: Lab, inventory: str) -> None:
    assert changed(cluster(lab, inventory))["old"] > 0
    assert changed(cluster(lab, inventory)) == {"old": 0, "new": 0}


def test_the_volume_is_made_once(lab: Lab, inventory: str) -> None:
    assert changed(volumes(lab, inventory))["old"] > 0
    assert changed(volumes(lab, inventory))["old"] == 0
    assert lab.old.sh(f"findmnt -no FSTYPE {MOUNT}") == "fuse.glusterfs"
    assert lab.old.sh(f"cat {MOUNT}/mnemosyne/uploads/.mnemo-volume") == "mnemosyne/uploads"


def test_what_the_stack_writes_is_the_same_after_a_reboot(lab: Lab, inventory: str) -> None:
    well(lab.run("deploy", "--limit", "old", "-i", inventory))
    write(lab, 60)
    before = lab.old.lines(HASHES)
    assert len(before) == 60
    server.reboot(lab.root, "old")
    eventually("the stack serves again", lab.old.serves, 180)
    assert lab.old.lines(HASHES) == before
    whole(lab)
    assert changed(volumes(lab, inventory))["old"] == 0


def test_a_set_holds_the_uploads_and_brings_them_back(lab: Lab, inventory: str) -> None:
    well(lab.run("backup", "--limit", "old", "-i", inventory))
    lab.old.sh(f"find {DATA} -type f -delete")
    well(lab.run("restore", "--id", "latest", "--limit", "old", "--yes", "-i", inventory))
    whole(lab)


def test_without_one_server_it_is_written_and_read_and_said(lab: Lab, inventory: str) -> None:
    server.power_cut(lab.root, "new")
    write(lab, 20)
    said = volumes(lab, inventory)
    assert changed(said)["old"] == 0 and said.seconds < 60
    assert [lab.new.address in warning for warning in said.document["warnings"]] == [True], str(said)
    failed = cluster(lab, inventory, 4)
    assert failed.seconds < 60
    server.power_on(lab.root, "new")
    there = "find /srv/gluster/gv0/mnemosyne/uploads/data -type f | wc -l"
    # the copy that was away gets what it has missed
    eventually("both copies are whole", lambda: lab.new.sh(there) == lab.old.sh(there), 180)
    whole(lab)


def test_without_the_mount_docker_does_not_start_and_nothing_is_written_in_its_place(lab: Lab, inventory: str) -> None:
    old: Host = lab.old
    before = old.lines(HASHES)
    server.power_cut(lab.root, "new")
    old.sh(f"systemctl stop docker.socket docker.service; umount {MOUNT}; systemctl stop glusterd")
    assert old.sh(f"mkdir -p {DATA} 2>&1 || true").endswith("Operation not permitted")
    said = volumes(lab, inventory, 3)
    assert "port 24007" in said.error["message"] and said.seconds < 60, str(said)
    assert "failed" in old.sh("systemctl start docker 2>&1 || echo failed", timeout=200)
    assert old.sh(f"ls -A {MOUNT}") == ""
    server.power_on(lab.root, "new")
    old.sh("systemctl start glusterd")
    volumes(lab, inventory)
    eventually("the stack serves again", old.serves, 180)
    assert old.lines(HASHES) == before


def test_another_volume_in_the_place_of_the_data_is_refused(lab: Lab, inventory: str) -> None:
    before = lab.old.lines(HASHES)
    said = volumes(lab, clustered(lab, "another", volume="gv1"), 3)
    assert "gv0" in said.error["message"] and "gv1" in said.error["message"] and said.error["hint"], str(said)
    assert lab.old.lines(HASHES) == before
