"""Who lends what to whom, as the inventory declares it; and a trial as every client makes it, on a directory here."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mnemosyne
import pytest

from mnemo_ops.agent.actions import nfs_proof_mount
from mnemo_ops.agent.actions.nfs_proof_mount import MOUNTED, USED, ProveMounts
from mnemo_ops.agent.actions.nfs_proof_server import CheckExports, ClearProof, ReadProof
from mnemo_ops.agent.base.progress import Deed
from mnemo_ops.agent.machine import Machine, trial
from mnemo_ops.errors import InventoryError, Refused, UsageError
from mnemo_ops.inventory.load import Inventory, load
from mnemo_ops.stack import nfs_plan
from mnemo_ops.stack.nfs_options import mount_options

GRAPH: dict[str, Any] = {"graph": {"owner": 999}}
NFS: dict[str, Any] = {"server": "storage", "clients": ["app1", "app2"], "exports": GRAPH}


def inventory(tmp_path: Path, variables: Mapping[str, Any], **hosts: Mapping[str, Any]) -> Inventory:
    named = {
        "storage": {"ansible_host": "10.0.0.5"},
        "app1": {"ansible_host": "10.0.0.11"},
        "app2": {"ansible_host": "127.0.0.1", "ansible_port": 2222, "mnemo_peer_address": "10.0.0.12"},
        **hosts,
    }
    group = {"apps": {"hosts": {"app1": None, "app2": None, "storage": None}}}
    path = tmp_path / "inventory.yml"
    path.write_text(json.dumps({"all": {"hosts": named, "children": group, "vars": variables}}))
    return load(path)


def test_what_is_declared(tmp_path: Path) -> None:
    found = nfs_plan.plan(inventory(tmp_path, {"nfs": NFS}))
    assert (found.server.name, found.address) == ("storage", "10.0.0.5")
    assert [host.name for host in found.clients] == ["app1", "app2"]
    assert found.allowed == ("10.0.0.11", "10.0.0.12") and not found.warnings()
    words = found.words()
    assert words["nfs_clients"] == "app1,app2" and words["nfs_made"] == ["/srv/nfs/graph"]
    (row,) = words["nfs_exports"]
    assert (row["path"], row["owner"], row["group"], row["state"]) == ("/srv/nfs/graph", 999, 999, "present")


def test_options_instead_of_the_inventory(tmp_path: Path) -> None:
    lent = {**NFS, "exports": {**GRAPH, "uploads": {"owner": 1000, "path": "/data/uploads"}}}
    found = nfs_plan.plan(inventory(tmp_path, {"nfs": lent}), "app1", ["storage", "10.1.0.0/16"], "uploads")
    assert found.server.name == "app1" and [host.name for host in found.clients] == ["storage"]
    assert found.allowed == ("10.0.0.5", "10.1.0.0/16")
    assert list(found.exports) == ["uploads"] and found.words()["nfs_made"] == []


def test_a_group_of_clients_leaves_the_server_out(tmp_path: Path) -> None:
    found = nfs_plan.plan(inventory(tmp_path, {"nfs": {**NFS, "clients": ["apps"]}}))
    assert [host.name for host in found.clients] == ["app1", "app2"]


def test_networks_alone_have_no_hosts_to_set_up(tmp_path: Path) -> None:
    chosen = inventory(tmp_path, {"nfs": {**NFS, "clients": ["10.0.0.0/24"]}})
    found = nfs_plan.plan(chosen)
    assert found.clients == () and chosen.select(found.words()["nfs_clients"]) == []


def stored(**row: str) -> dict[str, Any]:
    """A stack with a volume on the NFS server."""
    volumes = {"lightrag_data": {"type": "nfs", "server": "storage", **row}, "api_logs": {"type": "local"}}
    return {"source": mnemosyne.SOURCE, "volumes": volumes}


def test_volumes_of_the_stack_are_exports_by_themselves(tmp_path: Path) -> None:
    lent = {"server": "storage", "exports": {"lightrag_data": {"owner": 999}}}
    found = nfs_plan.plan(inventory(tmp_path, {"nfs": lent, "stack": stored(path="/data/graph")}))
    assert {name: one.path for name, one in found.exports.items()} == {"lightrag_data": "/data/graph"}
    assert [host.name for host in found.clients] == ["app1", "app2"]
    found = nfs_plan.plan(inventory(tmp_path, {"nfs": {**lent, "clients": ["app1"]}, "stack": stored()}))
    assert found.exports["lightrag_data"].path == "/srv/nfs/lightrag_data" and [
        host.name for host in found.clients
    ] == ["app1"]


@pytest.mark.parametrize(
    ("exports", "said", "hint"),
    [
        (
            {},
            "the volume lightrag_data",
            "nfs: {exports: {lightrag_data: {owner: NUMBER}}}",
        ),
        (
            {"lightrag_data": {"owner": 1, "path": "/x"}},
            "stack.volumes.lightrag_data.path is /data",
            "",
        ),
    ],
)
def test_a_volume_nobody_knows_enough_of(tmp_path: Path, exports: dict[str, Any], said: str, hint: str) -> None:
    with pytest.raises(InventoryError) as caught:
        nfs_plan.plan(inventory(tmp_path, {"nfs": {**NFS, "exports": exports}, "stack": stored(path="/data/graph")}))
    assert said in str(caught.value) and hint in caught.value.hint


@pytest.mark.parametrize(
    ("variables", "given", "said", "hint"),
    [
        ({}, {}, "nfs.server", "docs/storage.md"),
        ({"nfs": {**NFS, "server": "storag"}}, {}, "'storag'", "storage"),
        ({"nfs": {**NFS, "exports": {}}}, {}, "nfs.exports", "docs/storage.md"),
        ({"nfs": {**NFS, "clients": []}}, {}, "nfs.clients", ""),
        ({"nfs": {**NFS, "clients": ["app3"]}}, {}, "'app3'", "10.0.0.0/24"),
        ({"nfs": {**NFS, "clients": ["*"]}}, {}, "nfs.clients", "allow_world"),
        ({"nfs": {**NFS, "clients": ["storage"]}}, {}, "storage", "type bind"),
        ({"nfs": NFS}, {"clients": ["10.0.0.256"]}, "'10.0.0.256'", ""),
        (
            {"nfs": {**NFS, "exports": {**GRAPH, "b": {"owner": 1, "path": "/srv/nfs/graph"}}}},
            {},
            "graph and b",
            "",
        ),
    ],
)
def test_what_cannot_be_meant(
    tmp_path: Path, variables: dict[str, Any], given: dict[str, Any], said: str, hint: str
) -> None:
    with pytest.raises(InventoryError) as caught:
        nfs_plan.plan(inventory(tmp_path, variables), **given)
    assert said in str(caught.value) and hint in caught.value.hint


def test_an_export_nobody_declared(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"storage .*'grahp'") as caught:
        nfs_plan.plan(inventory(tmp_path, {"nfs": NFS}), volume="grahp")
    assert "graph" in caught.value.hint


def test_a_client_without_an_address(tmp_path: Path) -> None:
    for address in ("127.0.0.1", "nowhere.invalid"):
        hosts = inventory(tmp_path, {"nfs": NFS}, app1={"ansible_host": address})
        with pytest.raises(InventoryError) as caught:
            nfs_plan.plan(hosts)
        assert "mnemo_peer_address" in caught.value.hint


def test_clear_text_in_public_networks_is_warned_of(tmp_path: Path) -> None:
    hosts = inventory(tmp_path, {"nfs": {**NFS, "clients": ["app1", "8.8.8.0/24", "*"], "allow_world": True}})
    (said,) = nfs_plan.plan(hosts).warnings()
    assert "8.8.8.0/24, *" in said and "10.0.0.11" not in said and "clear text" in said


# -- a trial -------------------------------------------------------------------------------------------------------


def tried(**asked: Any) -> dict[str, Any]:
    source = Path(trial.__file__).read_bytes()
    argv = [sys.executable, "-IS", "-", json.dumps(asked)]
    done = subprocess.run(argv, input=source, capture_output=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_trial_leaves_what_it_synced(tmp_path: Path) -> None:
    found = tried(directory=str(tmp_path / "new"), rounds=7)
    written = (tmp_path / "new" / "written").read_bytes()
    assert found["bytes"] == len(written) == 7 * 4096
    assert found["sha256"] == hashlib.sha256(written).hexdigest()
    assert 0 <= found["fsync_ms"]["median"] <= found["fsync_ms"]["p99"]
    assert os.listdir(tmp_path / "new") == ["written"]  # noqa: PTH208


def test_a_trial_names_the_step_that_failed(tmp_path: Path) -> None:
    assert tried(directory=str(tmp_path / "a/b"), rounds=1)["errno"] == errno.ENOENT
    assert tried(look=[str(tmp_path / "gone")])["step"] == f"look at {tmp_path}/gone"
    assert tried(look=[str(tmp_path)]) == {}


def explained(step: str, number: int) -> Mapping[str, Any]:
    row = {"name": "graph", "path": "/srv/nfs/graph", "uid": 999, "gid": 998, "options": mount_options("10.0.0.5")}
    prove = ProveMounts("1", "10.0.0.5", [row])
    return prove._explained({"step": step, "errno": number, "error": os.strerror(number)}, row)


@pytest.mark.parametrize(
    ("step", "number", "said", "hint"),
    [
        ("mount", errno.EACCES, "does not let this host mount", "exportfs -v"),
        ("mount", errno.ENOENT, "exports nothing there", "exportfs -v"),
        ("mount", errno.EPROTONOSUPPORT, "version of NFS asked for with addr=10.0.0.5,nfsvers=4.2", "versions"),
        ("mount", errno.ETIMEDOUT, "does not answer", "2049"),
        ("mount", errno.ESTALE, "stale file handle", "docker compose down"),
        ("mount", errno.ENODEV, "knows no NFS", "modprobe nfs"),
        ("look at /mnt/x", errno.ESTALE, "stale file handle", "docker compose down"),
        ("make a directory", errno.EACCES, "999:998 may not write there", "nfs.exports.graph.owner"),
        ("write and fsync", errno.EROFS, "read-only", "findmnt --target /srv/nfs/graph"),
        ("write and fsync", errno.ENOSPC, "no space", "df /srv/nfs/graph"),
        ("lock", errno.ENOLCK, "no locks", "nfs-server"),
        ("rename", errno.EXDEV, "rename: Invalid cross-device link", ""),
    ],
)
def test_every_failure_says_what_it_means_and_what_to_do(step: str, number: int, said: str, hint: str) -> None:
    found = explained(step, number)
    assert found["error"].startswith("10.0.0.5:/srv/nfs/graph: ") and said in found["error"]
    assert hint in found["hint"] and bool(found["hint"]) is (number in {**MOUNTED, **USED})


def answer(deed: Deed) -> Any:
    with pytest.raises(StopIteration) as end:
        while True:
            next(deed)
    return end.value.value


def test_a_closed_port_is_told_before_anything_is_mounted(
    tmp_path: Path, loopback: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: refused
        monkeypatch.setattr(nfs_proof_mount, "PORT", taken.getsockname()[1])
        rows = [{"name": "graph", "path": "/x", "uid": 1, "gid": 1, "options": mount_options("127.0.0.1")}]
        machine = Machine(search_path=str(tmp_path), state_dir=str(tmp_path))
        found = ProveMounts("1", "127.0.0.1", rows).ready(machine)
    assert "Connection refused" in found["proofs"]["graph"]["error"] and "firewall" in found["proofs"]["graph"]["hint"]


# -- the server ----------------------------------------------------------------------------------------------------


def test_directories_that_cannot_be_exported(tmp_path: Path) -> None:
    machine = Machine(str(tmp_path), read_only=True)
    (tmp_path / "file").touch()
    assert CheckExports(["/srv/nfs/new"], ["/srv/nfs/new"]).ready(machine) == {}
    with pytest.raises(Refused, match="/data/x") as caught:
        CheckExports(["/data/x"], []).ready(machine)
    assert "mkdir /data/x" in caught.value.hint
    with pytest.raises(Refused, match="/file"):
        CheckExports(["/file"], []).ready(machine)


def test_a_read_only_file_system_is_refused() -> None:
    """/sys/kernel is none that takes files, and where it is mounted read-only it must be named."""
    machine = Machine(read_only=True)
    found = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines() if " ro," in line]
    directories = [path for path in found if Path(path).is_dir()]
    if not directories:
        pytest.skip("nothing is mounted read-only here")
    with pytest.raises(Refused, match=directories[0]) as caught:
        CheckExports([directories[0]], []).ready(machine)
    assert f"findmnt --target {directories[0]}" in caught.value.hint


def test_what_the_server_sees(tmp_path: Path) -> None:
    machine = Machine(str(tmp_path))
    for name in ("good", "trap"):
        (tmp_path / f"srv/{name}/.mnemo-proof-1").mkdir(parents=True)
    (tmp_path / "srv/good/.mnemo-proof-1/written").write_bytes(b"x")
    (tmp_path / "srv/trap/.mnemo-proof-1/written").symlink_to("/etc/shadow")  # what a client may put there
    paths = ["/srv/good", "/srv/trap", "/srv/none"]
    found = answer(ReadProof("1", paths).run(machine))
    assert list(found) == ["/srv/good"]
    assert found["/srv/good"]["sha256"] == hashlib.sha256(b"x").hexdigest()
    list(ClearProof("1", paths).run(machine))
    assert sorted(path.name for path in (tmp_path / "srv").rglob("*")) == ["good", "trap"]
