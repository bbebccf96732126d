"""How volumes are stored: every type, what it becomes, and every refusal with its remedy."""

from __future__ import annotations

from typing import Any

import jsonschema
import mnemosyne
import pytest
import yaml

from mnemo_ops.core.model import Host
from mnemo_ops.errors import InventoryError
from mnemo_ops.execution.playbook_run import shipped
from mnemo_ops.stack import definition
from mnemo_ops.stack import settings as stack_settings
from mnemo_ops.stack.nfs_options import CLIENT_OPTIONS
from mnemo_ops.stack.settings import Settings
from mnemo_ops.templates.render import Scope, render


def chosen(**volumes: Any) -> Settings:
    return mnemosyne.settings(volumes=volumes)


def row(key: str, **spec: Any) -> dict[str, Any]:
    return next(each for each in definition.volumes(chosen(**{key: spec})) if each["key"] == key)


def test_what_is_left_out_is_local_pinned_and_labelled() -> None:
    rows = definition.volumes(mnemosyne.settings())
    assert [each["key"] for each in rows] == list(mnemosyne.settings().volumes)
    assert {each["type"] for each in rows} == {"local"}
    assert rows[0]["name"] == "mnemosyne_postgres_data"
    assert rows[0]["labels"] == {"mnemo.stack": "mnemosyne", "mnemo.role": "postgres_data"}
    assert rows[0]["driver_options"] == {}, "a volume with options is another one"


def test_nfs_has_the_safe_options_and_what_is_given_wins() -> None:
    found = row("lightrag_data", type="nfs", server="storage", path="/srv/nfs/x", options="vers=4.1,ro,soft")
    assert found["driver_options"]["o"] == "addr=storage,vers=4.1,soft,timeo=600,retrans=2,noresvport,ro"
    usual = row("lightrag_data", type="nfs", server="a")
    assert usual["driver_options"] == {"type": "nfs", "o": f"addr=a,{CLIENT_OPTIONS}", "device": f":{usual['path']}"}
    assert usual["path"] == "/srv/nfs/lightrag_data" and not usual["written"], "its owner is set on the server"


def test_a_server_of_the_inventory_is_named_as_other_hosts_reach_it() -> None:
    settings = chosen(api_logs={"type": "nfs", "server": "storage"})
    forwarded = Host("storage", "127.0.0.1", port=2222, vars={"mnemo_peer_address": "10.0.0.5"})
    for hosts, address in (({}, "storage"), ({"storage": forwarded}, "10.0.0.5")):
        found = next(each for each in definition.volumes(settings, hosts) if each["key"] == "api_logs")
        assert found["driver_options"]["o"].startswith(f"addr={address},")


def test_a_path_of_the_stack_becomes_a_volume_that_must_survive() -> None:
    settings = chosen(uploads={"type": "bind", "path": "/data/documents"})
    dataset = next(each for each in definition.datasets(settings) if each.name == "uploads")
    assert (dataset.volume, dataset.path) == ("uploads", "uploads")
    assert definition.volumes(settings)[-1]["directory"] == "/data/documents"
    assert "uploads" in definition.stack_of(settings).excluded(), "what was there before is no part of the config"


def test_an_external_volume_keeps_its_own_name() -> None:
    stack = definition.stack_of(chosen(api_logs={"type": "external", "name": "logs-of-everybody"}))
    assert stack.volume("api_logs") == "logs-of-everybody"
    assert stack.volume("redis_data") == "mnemosyne_redis_data"


BIND = {"type": "bind", "path": "/data/x"}
SHARED = {"lightrag_data": BIND, "grafana_data": BIND}
DISK = {"type": "block", "device": "/dev/disk/by-id/virtio-a"}
NFS = {"type": "nfs", "server": "storage", "path": "/srv/nfs/x"}
EFS = {"type": "efs", "file_system": "fs-0abc.efs.eu-west-1.amazonaws.com"}
EFS_A = {**EFS, "directory": "/a"}
GLUSTER = {"type": "glusterfs", "servers": ["a", "192.0.2.8"], "volume": "gv0"}


@pytest.mark.parametrize(
    ("volumes", "said", "remedy"),
    [
        ({"postgres_data": {"driver": "rexray/ebs"}}, "rexray/ebs", "{type: block, aws: vol-...}"),
        ({"postgres_data": {"type": "rexray/ebs"}}, "rexray/ebs", "{type: block, aws: vol-...}"),
        ({"api_logs": {"driver": "gcplogs"}}, "gcplogs", "{type: block, gcp: NAME}"),
        ({"api_logs": {"driver": "local", "driver_opts": {}}}, "driver", ""),
        ({"postgres_data": {**NFS, "options": "soft", "i_accept_the_risk": True}}, "soft ", "leave it out"),
        ({"redis_data": {**NFS, "options": "nolock"}}, "nolock ", "leave it out"),
        ({"postgres_data": NFS}, "NFS", "i_accept_the_risk: true"),
        ({"postgres": BIND}, "", "postgres_data"),
        ({"uploads": "nfs"}, "'nfs'", ""),
        ({"uploads": {"type": "nsf"}}, "'nsf'", "nfs"),
        ({"uploads": {"type": "nfs", "server": "a", "pfad": "/x"}}, "'pfad'", "path"),
        ({"uploads": {"type": "nfs", "path": "/x"}}, "server", ""),
        ({"uploads": {"type": "nfs", "server": "a", "path": 5}}, "path is 5", ""),
        ({"uploads": {"type": "bind", "path": "data"}}, "'data'", "like /data/documents"),
        ({"uploads": {"type": "bind", "path": "/"}}, "'/'", ""),
        ({"uploads": {"type": "bind", "path": "/srv/"}}, "/srv/mnemosyne", "of its own"),
        ({"uploads": {"type": "bind", "path": "/srv/mnemosyne"}}, "/srv/mnemosyne", "of its own"),
        ({"lightrag_data": {"type": "bind", "path": "/srv/mnemosyne/uploads"}}, "/srv/mnemosyne", "of its own"),
        ({"uploads": {"type": "bind", "path": "/var/backups"}}, "/var/backups", "of its own"),
        ({"uploads": {"type": "bind", "path": "/etc/ssh"}}, "/etc", "like /data/documents"),
        ({"uploads": {"type": "bind", "path": "//./proc"}}, "/proc", ""),
        ({"uploads": {"type": "bind", "path": "/var/lib/docker/volumes/x"}}, "/var/lib/docker", ""),
        ({"uploads": {"type": "bind", "path": "/mnt/mnemo/mnemosyne/x/data"}}, "/mnt/mnemo", ""),
        ({"uploads": {"type": "bind", "path": "/var/lib"}}, "/var/lib", ""),
        ({"uploads": {"type": "bind", "path": "/opt"}}, "/opt", ""),
        ({"uploads": {"type": "bind", "path": "/home/ops/"}}, "/home/ops", ""),
        ({"uploads": {"type": "external", "name": "a b"}}, "'a b'", ""),
        ({"uploads": {"type": "block"}}, "device", ""),
        ({"uploads": {"type": "block", "gcp": "x", "aws": "vol-0a"}}, "device", ""),
        ({"uploads": {"type": "block", "device": "sdb"}}, "'sdb'", "ls -l /dev/disk/by-id"),
        ({"uploads": {"type": "block", "device": "/dev/../etc"}}, "'/dev/../etc'", ""),
        ({"uploads": {"type": "block", "gcp": "a b"}}, "a b", ""),
        ({"uploads": {"type": "block", "aws": "0abc"}}, "'0abc'", "vol-0abc"),
        ({"uploads": {**DISK, "fstype": "ntfs"}}, "ntfs", ""),
        ({"uploads": {**DISK, "wait": 0}}, "wait", ""),
        ({"lightrag_data": DISK, "grafana_data": DISK}, "lightrag_data", "of its own"),
        ({"postgres_data": EFS}, "EFS", "i_accept_the_risk: true"),
        ({"redis_data": {**EFS, "options": "soft"}}, "soft ", "leave it out"),
        ({"uploads": {"type": "efs"}}, "file_system", ""),
        ({"uploads": {"type": "efs", "file_system": "fs-0abc"}}, "file_system", "fs-0abc.efs.REGION.amazonaws.com"),
        (
            {"uploads": {"type": "efs", "file_system": "192.0.2.7", "tls": True}},
            "TLS",
            "fs-0abc",
        ),
        ({"uploads": {**EFS, "access_point": "/x"}}, "access_point: '/x'", "fsap-0abc"),
        ({"uploads": {**EFS, "directory": "/"}}, "'/'", ""),
        ({"lightrag_data": {**EFS, "directory": "/a"}, "uploads": {**EFS, "directory": "/a/"}}, "lightrag_data", ""),
        ({"postgres_data": GLUSTER}, "Gluster", "i_accept_the_risk: true"),
        ({"uploads": {"type": "glusterfs", "volume": "gv0"}}, "servers", ""),
        ({"uploads": {**GLUSTER, "servers": []}}, "servers", ""),
        ({"uploads": {**GLUSTER, "servers": "a"}}, "servers is 'a'", ""),
        ({"uploads": {**GLUSTER, "volume": "gv0/sub"}}, "'gv0/sub'", "directory"),
        (
            {"uploads": BIND, "redis_data": {"type": "bind", "path": "/data//x/redis"}},
            "/data/x, the place of uploads",
            "of its own",
        ),
        (
            {"uploads": BIND, "redis_data": {"type": "bind", "path": "/data"}},
            "/data/x",
            "of its own",
        ),
        ({"api_logs": EFS_A, "uploads": {**EFS_A, "directory": "/a/b"}}, "fs-0abc", "of its own"),
        (SHARED, "lightrag_data", "of its own"),
        ({"lightrag_data": {"type": "external", "name": "mnemosyne_redis_data"}}, "redis_data", "own"),
        (
            {"api_logs": {"type": "nfs", "server": "storage"}, "uploads": {**NFS, "path": "/srv/nfs/api_logs"}},
            "api_logs",
            "of its own",
        ),
        ({"api_logs": EFS, "uploads": {**EFS, "directory": "/mnemosyne/api_logs"}}, "api_logs", "own"),
        ({"api_logs": GLUSTER, "uploads": {**GLUSTER, "directory": "/mnemosyne/api_logs"}}, "api_logs", "own"),
        ({"uploads": {"type": ["bind"]}}, "['bind']", "bind"),
        ({"uploads": {"type": "bind", 1: 2}}, "'1'", "path"),
        ({"uploads": {**GLUSTER, "servers": [1]}}, "servers", ""),
        ({"uploads": {**GLUSTER, "servers": ["a,b"]}}, "'a,b'", ""),
        ({"uploads": {**NFS, "server": "a,ro"}}, "'a,ro'", ""),
        ({"uploads": {**NFS, "server": ""}}, "''", ""),
        ({"uploads": {**NFS, "options": "addr=192.0.2.1"}}, "addr", ""),
        ({"redis_data": {**NFS, "options": " soft"}}, "' soft'", "no blanks"),
        ({"uploads": {**DISK, "options": "a b"}}, "'a b'", ""),
        ({"uploads": {"type": "bind", "path": "/data/a\nb"}}, "/data/a", ""),
    ],
)
def test_what_loses_data_or_cannot_be_is_refused_before_anything_is_opened(
    volumes: dict[str, Any], said: str, remedy: str
) -> None:
    with pytest.raises(InventoryError) as caught:
        chosen(**volumes)
    assert f"stack.volumes.{list(volumes)[-1]}: " in str(caught.value)
    assert said in str(caught.value)
    assert remedy in caught.value.hint + str(caught.value)


@pytest.mark.parametrize(
    ("spec", "path"),
    [
        ({"device": "/dev/disk/by-id/virtio-a"}, "/dev/disk/by-id/virtio-a"),
        ({"aws": "vol-0abc12"}, "/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_vol0abc12"),
        ({"gcp": "pg-data"}, "/dev/disk/by-id/google-pg-data"),
        ({"digitalocean": "pg-data"}, "/dev/disk/by-id/scsi-0DO_Volume_pg-data"),
    ],
)
def test_a_disk_of_a_cloud_is_found_by_its_name_there(spec: dict[str, Any], path: str) -> None:
    assert row("postgres_data", type="block", **spec)["device"] == path


def test_a_disk_is_mounted_for_its_volume_alone_and_the_host_boots_without_it() -> None:
    found = row("postgres_data", **DISK, options="noatime", wait=5)
    mount = "/mnt/mnemo/mnemosyne/postgres_data"
    options = "noatime,nofail,x-systemd.device-timeout=5s"
    assert found["mount"] == {"path": mount, "fstype": "ext4", "opts": options, "passno": "2"}
    assert found["driver_options"] == {"type": "none", "o": "bind", "device": f"{mount}/data"}


@pytest.mark.parametrize("path", ["/data", "/opt/x", "/home/ops/data", "/var/lib/x", "/srv/mnemosyne2", "/mnt/disk/a"])
def test_a_directory_of_its_own_is_well(path: str) -> None:
    assert row("lightrag_data", type="bind", path=path)["directory"] == path
    assert row("uploads", type="bind", path="/srv/mnemosyne/uploads")["directory"] == "/srv/mnemosyne/uploads"
    assert chosen(uploads=BIND, redis_data={**BIND, "path": "/data/xy"}), "beside each other"


RECOMMENDED = "nfsvers=4.1,rsize=1048576,wsize=1048576,hard,timeo=600,retrans=2,noresvport"  # by AWS
UPLOADS = "/mnt/mnemo/mnemosyne/uploads"


def test_each_volume_on_efs_has_a_directory_of_its_own() -> None:
    found = row("uploads", **EFS)
    assert found["mount"]["src"] == f"{EFS['file_system']}:/" and found["mount"]["fstype"] == "nfs4"
    assert found["mount"]["opts"] == f"{RECOMMENDED},_netdev,nofail"
    assert found["directory"] == f"{UPLOADS}/mnemosyne/uploads/data" == found["driver_options"]["device"]
    assert row("uploads", **EFS, directory="/mine/")["directory"] == f"{UPLOADS}/mine/data"
    assert row("uploads", **EFS, options="timeo=300")["mount"]["opts"].count("timeo") == 1


def test_tls_and_access_points_are_mounted_by_amazons_helper() -> None:
    secret = row("uploads", **EFS, tls=True)
    assert secret["mount"]["fstype"] == "efs" and secret["mount"]["opts"] == "tls,noresvport,_netdev,nofail"
    assert secret["written"], "its directory belongs to the user of the application"
    point = row("uploads", **EFS, access_point="fsap-0abc")
    assert point["mount"]["opts"] == "tls,accesspoint=fsap-0abc,noresvport,_netdev,nofail"
    assert not point["written"], "everything below an access point belongs to its user already"


def test_a_gluster_volume_is_mounted_from_any_of_its_servers() -> None:
    rows = definition.volumes(
        chosen(uploads=GLUSTER), {"a": Host("a", "203.0.113.1", vars={"mnemo_peer_address": "10.0.0.1"})}
    )
    found = next(each for each in rows if each["key"] == "uploads")
    assert found["mount"]["src"] == "10.0.0.1:/gv0" and found["addresses"] == ["10.0.0.1", "192.0.2.8"]
    options = "_netdev,nofail,x-systemd.after=glusterd.service,backup-volfile-servers=192.0.2.8"
    assert found["mount"] == {"path": UPLOADS, "src": "10.0.0.1:/gv0", "fstype": "glusterfs", "opts": options}
    assert found["directory"] == f"{UPLOADS}/mnemosyne/uploads/data"


@pytest.mark.parametrize("spec", [NFS, EFS, GLUSTER])
def test_who_accepts_the_risk_may_have_it(spec: dict[str, Any]) -> None:
    assert row("postgres_data", **spec, i_accept_the_risk=True)["type"] == spec["type"]


@pytest.mark.parametrize(
    ("volumes", "well"),
    [
        ({"uploads": BIND, "lightrag_data": NFS, "api_logs": {}}, True),
        ({"uploads": DISK}, True),
        ({"uploads": GLUSTER, "lightrag_data": EFS}, True),
        ({"uploads": {**GLUSTER, "peers": ["a"]}}, False),
        ({"uploads": {"type": "bind"}}, False),
        ({"uploads": {"type": "bind", "path": "/x", "server": "a"}}, False),
        ({"uploads": {"type": "rexray/ebs"}}, False),
    ],
)
def test_editors_know_every_type(volumes: dict[str, Any], well: bool) -> None:
    schema = {**stack_settings.schema(), "definitions": jsonschema_forms()}
    assert jsonschema.Draft7Validator(schema).is_valid({"volumes": volumes}) is well


def jsonschema_forms() -> dict[str, Any]:
    from mnemo_ops.reference.json_forms import FORMS

    return FORMS


@pytest.mark.parametrize(("spec", "owner"), [({"type": "local"}, "999"), ({**NFS, "path": "/srv/nfs/graph"}, None)])
def test_where_the_server_says_who_owns_a_volume_no_host_does(spec: dict[str, Any], owner: str | None) -> None:
    """A chown over NFS fails where root is nobody."""
    (row,) = (each for each in definition.volumes(chosen(lightrag_data=spec)) if each["key"] == "lightrag_data")
    (task,) = yaml.safe_load(shipped("volumes/local.yml").read_text())
    left_out = object()
    known = {"volume": row, "stack_owners": {"lightrag_data": {"uid": 999, "gid": 998}}, "omit": left_out}
    found = render(task["docker_volume"]["owner"], Scope().plus(known), "local.yml")
    assert found == (owner or left_out)
