"""How volumes are stored: every type, what it becomes, and every refusal with its remedy."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest

from mnemo_ops.errors import InventoryError
from mnemo_ops.mnemosyne import layout
from mnemo_ops.mnemosyne.nfs_schema import CLIENT_OPTIONS
from mnemo_ops.model import Host


def chosen(**volumes: Any) -> layout.Settings:
    return layout.settings(Host("old", "192.0.2.1", vars={"stack": {"volumes": volumes}}))


def row(key: str, **spec: Any) -> dict[str, Any]:
    return next(each for each in layout.volumes(chosen(**{key: spec})) if each["key"] == key)


def test_what_is_left_out_is_local_pinned_and_labelled() -> None:
    rows = layout.volumes(layout.Settings())
    assert [each["key"] for each in rows] == list(layout.VOLUMES)
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
        found = next(each for each in layout.volumes(settings, hosts) if each["key"] == "api_logs")
        assert found["driver_options"]["o"].startswith(f"addr={address},")


def test_a_path_of_the_stack_becomes_a_volume_that_must_survive() -> None:
    settings = chosen(uploads={"type": "bind", "path": "/data/uploads"})
    dataset = next(each for each in layout.datasets(settings) if each.name == "uploads")
    assert (dataset.volume, dataset.path) == ("uploads", "uploads")
    assert layout.volumes(settings)[-1]["directory"] == "/data/uploads"
    assert "uploads" in layout.stack_of(settings).excluded(), "what was there before is no part of the config"


def test_an_external_volume_keeps_its_own_name() -> None:
    stack = layout.stack_of(chosen(api_logs={"type": "external", "name": "logs-of-everybody"}))
    assert stack.volume("api_logs") == "logs-of-everybody"
    assert stack.volume("redis_data") == "mnemosyne_redis_data"


BIND = {"type": "bind", "path": "/data/x"}
SHARED = {"lightrag_data": BIND, "grafana_data": BIND}
DISK = {"type": "block", "device": "/dev/disk/by-id/virtio-a"}
NFS = {"type": "nfs", "server": "storage", "path": "/srv/nfs/x"}


@pytest.mark.parametrize(
    ("volumes", "said", "remedy"),
    [
        ({"postgres_data": {"driver": "rexray/ebs"}}, "unmaintained", "{type: block, aws: vol-...}"),
        ({"postgres_data": {"type": "rexray/ebs"}}, "unmaintained", "{type: block, aws: vol-...}"),
        ({"api_logs": {"driver": "gcplogs"}}, "logging driver", "{type: block, gcp: NAME}"),
        ({"api_logs": {"driver": "local", "driver_opts": {}}}, "but a type", ""),
        ({"postgres_data": {**NFS, "options": "soft", "i_accept_the_risk": True}}, "soft loses writes", "leave it out"),
        ({"redis_data": {**NFS, "options": "nolock"}}, "nolock loses writes", "leave it out"),
        ({"postgres_data": NFS}, "Postgres on NFS", "i_accept_the_risk: true"),
        ({"postgres": BIND}, "no such volume", "postgres_data"),
        ({"uploads": "nfs"}, "not a mapping", ""),
        ({"uploads": {"type": "nsf"}}, "no type 'nsf'", "nfs"),
        ({"uploads": {"type": "nfs", "server": "a", "pfad": "/x"}}, "no 'pfad'", "path"),
        ({"uploads": {"type": "nfs", "path": "/x"}}, "needs server", ""),
        ({"uploads": {"type": "nfs", "server": "a", "path": 5}}, "path is 5, not a text", ""),
        ({"uploads": {"type": "bind", "path": "data"}}, "not an absolute path", ""),
        ({"uploads": {"type": "bind", "path": "/"}}, "not an absolute path", ""),
        ({"uploads": {"type": "external", "name": "a b"}}, "not the name of a Docker volume", ""),
        ({"uploads": {"type": "block"}}, "exactly one of device", ""),
        ({"uploads": {"type": "block", "gcp": "x", "aws": "vol-0a"}}, "exactly one of device", ""),
        ({"uploads": {"type": "block", "device": "sdb"}}, "not a path below /dev", "ls -l /dev/disk/by-id"),
        ({"uploads": {"type": "block", "device": "/dev/../etc"}}, "not a path below /dev", ""),
        ({"uploads": {"type": "block", "gcp": "a b"}}, "not a path below /dev", ""),
        ({"uploads": {"type": "block", "aws": "0abc"}}, "not the id of an EBS volume", "vol-0abc"),
        ({"uploads": {**DISK, "fstype": "ntfs"}}, "neither ext4 nor xfs", ""),
        ({"uploads": {**DISK, "wait": 0}}, "at least a second", ""),
        ({"lightrag_data": DISK, "grafana_data": DISK}, "is the place of lightrag_data already", "of its own"),
        (SHARED, "is the place of lightrag_data already", "of its own"),
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
    assert found["mount"] == {"path": mount, "fstype": "ext4", "opts": options}
    assert found["driver_options"] == {"type": "none", "o": "bind", "device": f"{mount}/data"}


def test_who_accepts_the_risk_may_have_it() -> None:
    assert row("postgres_data", **NFS, i_accept_the_risk=True)["type"] == "nfs"


@pytest.mark.parametrize(
    ("volumes", "well"),
    [
        ({"uploads": BIND, "lightrag_data": NFS, "api_logs": {}}, True),
        ({"uploads": DISK}, True),
        ({"uploads": {"type": "bind"}}, False),
        ({"uploads": {"type": "bind", "path": "/x", "server": "a"}}, False),
        ({"uploads": {"type": "rexray/ebs"}}, False),
    ],
)
def test_editors_know_every_type(volumes: dict[str, Any], well: bool) -> None:
    schema = {**layout.schema(), "definitions": jsonschema_forms()}
    assert jsonschema.Draft7Validator(schema).is_valid({"volumes": volumes}) is well


def jsonschema_forms() -> dict[str, Any]:
    from mnemo_ops.json_forms import FORMS

    return FORMS
