"""Volumes stored as a container can show it: written by the stack, a reboot, the same bytes; refusals touch nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from outcomes import Host, Lab, Said, changed, eventually

from mnemo_ops.lab import server
from mnemo_ops.lab.load import ACKNOWLEDGED, Load, check

pytestmark = [pytest.mark.lab, pytest.mark.scenario, pytest.mark.timeout(400)]

STORED = {
    "lightrag_data": {"type": "bind", "path": "/data/lightrag"},
    "uploads": {"type": "bind", "path": "/data/uploads"},
    "grafana_data": {"type": "external", "name": "grafana-of-everybody"},
}
# the stores write at any time: of those that run, that each volume is still the one it was
THERE = "docker volume ls -q | xargs -r docker volume inspect; find /data -type f -exec sha256sum {} + | sort"


def well(said: Said, code: int = 0) -> Said:
    assert said.code == code, str(said)
    return said


def stored(lab: Lab, name: str, project: str = "mnemosyne", **volumes: Any) -> str:
    """An inventory whose stack keeps its volumes like this."""
    import yaml

    stack = yaml.safe_load((lab.inventory.parent / "group_vars" / "all.yml").read_text())["stack"]
    stack = {**stack, "project": project, "volumes": volumes}
    path = lab.inventory_with(name, lambda data: data["hosts"]["old"].update(stack=stack))
    return str(path)


@pytest.fixture(scope="module")
def ready(lab: Lab) -> Host:
    well(lab.run("bootstrap", "--limit", "old"))
    return lab.old


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
            assert word in f"{said.error['message']} {said.error['hint']}", str(said)
    assert lab.old.sh(THERE, check=False) == before


def test_an_external_volume_that_nobody_made_is_refused(lab: Lab, ready: Host, inventory: str) -> None:
    refused(lab, inventory, "grafana_data", "grafana-of-everybody does not exist", "make it")
    assert ready.volumes() == []


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
    assert changed(done)["old"] == changed(foretold)["old"] > 0
    assert changed(well(volumes(lab, inventory)))["old"] == 0
    assert "mnemosyne_grafana_data" not in ready.volumes()
    words = '{{.Driver}} {{index .Options "o"}} {{index .Options "device"}} {{index .Labels "mnemo.role"}}'
    shown = ready.lines(f"docker volume inspect --format '{words}' mnemosyne_uploads mnemosyne_lightrag_data")
    assert shown == ["local bind /data/uploads uploads", "local bind /data/lightrag lightrag_data"]


def test_what_the_stack_writes_lies_there_also_after_a_reboot(lab: Lab, ready: Host, inventory: str) -> None:
    well(lab.run("deploy", "--limit", "old", "-i", inventory))
    assert changed(well(lab.run("deploy", "--limit", "old", "-i", inventory, "--json")))["old"] == 0
    load = Load(f"https://{ready.address}", lab.root / "load", documents=60).start()
    load.wait()
    assert load.acknowledged == 60
    assert ready.sh("find /data/uploads -type f | wc -l") == "60"
    assert ready.sh("ls /data/lightrag") and ready.sh("ls /srv/mnemosyne/uploads 2>/dev/null || true") == ""
    before = ready.sh("find /data -type f -exec sha256sum {} + | sort")
    server.reboot(lab.root, "old")
    eventually("the stack serves again", ready.serves, 120)
    assert ready.sh("find /data -type f -exec sha256sum {} + | sort") == before
    whole(lab, ready)


def whole(lab: Lab, host: Host, acknowledged: Path | None = None) -> None:
    seen = check(f"https://{host.address}", acknowledged or lab.root / "load" / ACKNOWLEDGED)
    assert (seen.acknowledged, seen.found, len(seen.missing), list(seen.wrong)) == (60, 60, 0, [])


def test_a_set_holds_what_lies_elsewhere_and_brings_it_back(lab: Lab, ready: Host, inventory: str) -> None:
    well(lab.run("backup", "--limit", "old", "-i", inventory))
    ready.sh("find /data/uploads -type f -delete")
    well(lab.run("restore", "--id", "latest", "--host", "old", "--yes", "-i", inventory))
    whole(lab, ready)
    well(lab.run("restore", "--undo", "--host", "old", "--yes", "-i", inventory))
    assert ready.sh("find /data/uploads -type f | wc -l") == "0"
    well(lab.run("restore", "--id", "latest", "--host", "old", "--yes", "-i", inventory))
    whole(lab, ready)


def test_another_place_for_a_volume_that_is_there_is_refused(lab: Lab, ready: Host) -> None:
    moved = {**STORED, "lightrag_data": {"type": "bind", "path": "/elsewhere"}}
    path = stored(lab, "moved", **moved)
    before = lab.old.sh("find /data -type f -exec sha256sum {} + | sort")
    said = well(volumes(lab, path, "--volume", "lightrag_data"), 3)
    assert "/data/lightrag" in said.error["message"] and "/elsewhere" in said.error["message"], str(said)
    assert said.error["hint"]
    assert lab.old.sh("find /data -type f -exec sha256sum {} + | sort") == before


def test_a_renamed_project_is_refused_where_it_would_begin_empty(lab: Lab, ready: Host) -> None:
    refused(lab, stored(lab, "renamed", project="mnemosyne2"), "mnemosyne_redis_data", "stack.project: mnemosyne")
