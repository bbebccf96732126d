"""The ``nfs`` variable of the inventory: what it takes, and what would let nobody in, everybody in, or lose data."""

from __future__ import annotations

from typing import Any

import pytest

from mnemo_ops.core.model import Host
from mnemo_ops.errors import InventoryError
from mnemo_ops.stack import addresses, nfs_options, nfs_schema
from mnemo_ops.stack.nfs_schema import Export, Nfs


def host(**nfs: Any) -> Host:
    return Host("storage", "192.0.2.1", vars={"inventory_dir": "/somewhere", "uid": 999, "nfs": nfs})


def test_without_it_nothing_is_lent() -> None:
    assert nfs_schema.settings(Host("storage", "192.0.2.1")) == Nfs()


def test_a_whole_one() -> None:
    chosen = nfs_schema.settings(
        host(
            server="storage",
            clients=["app1", "10.0.0.0/24"],
            exports={
                "graph": {"owner": "{{ uid }}"},
                "old": {"owner": 1, "group": 0, "path": "/d/", "state": "absent"},
            },
        )
    )
    assert chosen.server == "storage" and chosen.clients == ("app1", "10.0.0.0/24") and not chosen.allow_world
    assert chosen.exports == {"graph": Export(999), "old": Export(1, 0, "/d", state="absent")}


@pytest.mark.parametrize(
    ("nfs", "said", "hint"),
    [
        ({"servers": "a"}, "nfs.servers", "server"),
        ({"clients": "app1"}, "'app1'", ""),
        ({"allow_world": "yes please"}, "nfs.allow_world", ""),
        ({"exports": ["graph"]}, "nfs.exports", ""),
        ({"exports": {"graph": {}}}, "nfs.exports.graph.owner", "id IMAGE -u"),
        ({"exports": {"graph": {"owner": 1, "opts": "rw"}}}, "nfs.exports.graph.opts", "options"),
        ({"exports": {"graph": {"owner": "www-data"}}}, "owner is 'www-data'", "id -u"),
        ({"exports": {"graph": {"owner": True}}}, "nfs.exports.graph.owner", ""),
        ({"exports": {"graph": {"owner": 1, "group": "staff"}}}, "group is 'staff'", ""),
        ({"exports": {"../etc": {"owner": 1}}}, "../etc", ""),
        ({"exports": {"graph": {"owner": 1, "path": "srv"}}}, "'srv'", ""),
        ({"exports": {"graph": {"owner": 1, "path": "/a b"}}}, "'/a b'", ""),
        ({"exports": {"graph": {"owner": 1, "path": "/srv/nfs/../../etc"}}}, "'/srv/nfs/../../etc'", ""),
        ({"exports": {"graph": {"owner": 1, "path": "/etc/ssh"}}}, " /etc,", "/srv/nfs/x"),
        ({"exports": {"graph": {"owner": 1, "path": "/"}}}, " /srv/nfs,", "of its own"),
        ({"exports": {"graph": {"owner": 1, "path": "/srv/nfs/"}}}, "is above all exports", "of its own"),
        ({"exports": {"graph": {"owner": 2**40}}}, str(2**40), ""),
        ({"exports": {"graph": {"owner": 1, "mode": "rwx"}}}, "mode is 'rwx'", "0750"),
        ({"exports": {"graph": {"owner": 1, "state": "gone"}}}, "state is 'gone'", "absent"),
        ({"exports": {"graph": {"owner": 1, "options": "rw,async,insecure"}}}, "async", "rw,sync"),
        ({"exports": {"graph": {"owner": 1, "options": "rw,sync"}}}, "noresvport", "insecure"),
        ({"exports": {"graph": {"owner": 0}}}, "root_squash", "no_root_squash"),
    ],
)
def test_a_mistake_is_named(nfs: dict[str, Any], said: str, hint: str) -> None:
    with pytest.raises(InventoryError) as caught:
        nfs_schema.settings(host(**nfs))
    assert said in str(caught.value) and str(caught.value).startswith("storage: nfs")
    assert hint in caught.value.hint


def test_root_may_own_what_it_is_not_squashed_on() -> None:
    squashed = "rw,sync,no_subtree_check,insecure,all_squash"
    assert nfs_schema.export("a", {"owner": 0, "options": squashed}, "x").options == squashed


@pytest.mark.parametrize("text", ["10.0.0.7", "10.0.0.0/24", "2001:db8::7", "2001:db8::/64"])
def test_clients_are_addresses_and_networks(text: str) -> None:
    assert nfs_schema.network(text, "nfs.clients", False) == text


@pytest.mark.parametrize(
    ("text", "said", "hint"),
    [
        ("*", "*", "allow_world"),
        ("*.example.org", "*.example.org", "whoever answers"),
        ("app3", "app3", "10.0.0.0/24"),
        ("10.0.0.300", "10.0.0.300", ""),
        ("10.0.0.7/24", "10.0.0.7/24", ""),
    ],
)
def test_what_is_none_is_refused(text: str, said: str, hint: str) -> None:
    with pytest.raises(InventoryError) as caught:
        nfs_schema.network(text, "nfs.clients", False)
    assert said in str(caught.value) and hint in caught.value.hint


def test_the_world_only_on_demand() -> None:
    assert nfs_schema.network("*", "nfs.clients", True) == "*"


def test_where_others_reach_a_host() -> None:
    forwarded = Host("app1", "127.0.0.1", port=2222, vars={"mnemo_peer_address": "10.0.0.11"})
    assert addresses.peer_addresses(forwarded) == ["10.0.0.11"]
    with pytest.raises(InventoryError) as caught:
        addresses.peer_addresses(Host("app1", "127.0.0.1", port=2222))
    assert "app1" in str(caught.value) and "mnemo_peer_address" in caught.value.hint


def test_a_name_that_does_not_resolve() -> None:
    with pytest.raises(InventoryError, match=r"'nowhere\.invalid'"):
        addresses.peer_addresses(Host("app1", "nowhere.invalid"))


def test_the_options_of_every_client_are_in_one_place() -> None:
    assert nfs_options.mount_options("10.0.0.5") == "addr=10.0.0.5,nfsvers=4.2,hard,timeo=600,retrans=2,noresvport"
