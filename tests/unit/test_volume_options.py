"""Volumes that a set asks for: what mnemo_ops makes itself is made, anything else is refused by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import mnemosyne
import pytest
from test_migrate import Fleet, migration, side
from test_said import MANIFEST, RUN, host

from mnemo_ops.agent.actions.load import LoadSet
from mnemo_ops.agent.stack import volume_options
from mnemo_ops.errors import Refused
from mnemo_ops.flows.migrate import preflight
from mnemo_ops.stack import definition
from mnemo_ops.stack.volumes.network import Efs, Glusterfs, Nfs
from mnemo_ops.stack.volumes.types import Bind, Block, Local

BIND = {"type": "none", "o": "bind", "device": "/data/graph"}
NFS = {"type": "nfs", "o": "addr=192.0.2.9,nfsvers=4.2,hard", "device": ":/srv/nfs/graph"}

OURS = [
    Local(),
    Bind("/data/graph"),
    Bind("/mnt/disk/graph"),
    Block(aws="vol-0abc"),
    Nfs("192.0.2.9"),
    Nfs("files.example.org", "/exports/x", "rsize=65536,ro"),
    Efs("fs-0abc.efs.eu-west-1.amazonaws.com", tls=True),
    Glusterfs(("192.0.2.9", "192.0.2.10"), "gv0"),
]


@pytest.mark.parametrize("storage", OURS, ids=lambda one: f"{one.type}")
def test_what_the_inventory_may_say_a_set_may_ask_for(storage: Any) -> None:
    assert volume_options.problem("local", storage.row("mnemosyne", "graph")["driver_options"]) == ""


def test_a_tmpfs_is_harmless() -> None:
    assert volume_options.problem("local", {"type": "tmpfs", "device": "tmpfs", "o": "size=64m,uid=33,nodev"}) == ""


WRONG = {
    "driver": ("vieux/sshfs:latest", {}),
    "rbind": ("local", {**BIND, "o": "rbind"}),
    "no bind": ("local", {**BIND, "o": ""}),
    "shared": ("local", {**BIND, "o": "bind,rshared"}),
    "no device": ("local", {"type": "none", "o": "bind"}),
    "all": ("local", {**BIND, "device": "/"}),
    "etc": ("local", {**BIND, "device": "/etc/cron.d"}),
    "root": ("local", {**BIND, "device": "/root/.ssh"}),
    "hidden": ("local", {**BIND, "device": "/home/ann/.ssh"}),
    "home": ("local", {**BIND, "device": "/home"}),
    "up": ("local", {**BIND, "device": "/data/../etc"}),
    "twice": ("local", {**BIND, "device": "//etc"}),
    "relative": ("local", {**BIND, "device": "data"}),
    "socket": ("local", {**BIND, "device": "/run/docker.sock"}),
    "disk": ("local", {"type": "ext4", "device": "/dev/sda1"}),
    "overlay": ("local", {"type": "overlay", "device": "overlay", "o": "lowerdir=/etc,upperdir=/x,workdir=/y"}),
    "proc": ("local", {"type": "proc", "device": "proc"}),
    "nfs suid": ("local", {**NFS, "o": NFS["o"] + ",suid"}),
    "nfs addr": ("local", {**NFS, "o": "addr=-x"}),
    "nfs device": ("local", {**NFS, "device": "/etc"}),
    "cifs": ("local", {"type": "cifs", "device": "//x/y", "o": "credentials=/root/c"}),
    "tmpfs": ("local", {"type": "tmpfs", "device": "/etc", "o": "bind"}),
    "more": ("local", {**BIND, "mountpoint": "/etc"}),
    "words": ("local", {**NFS, "o": NFS["o"] + ",x y"}),
}


@pytest.mark.parametrize(("driver", "options"), WRONG.values(), ids=WRONG)
def test_anything_else_is_refused_before_anything_is_made(driver: str, options: dict[str, str], tmp_path: Path) -> None:
    machine = host(tmp_path)
    (tmp_path / "bin/docker").write_text(f"#!/bin/sh\necho $* >>{tmp_path}/asked\necho mnemosyne_there\n")
    (tmp_path / "bin/docker").chmod(0o755)
    stack = definition.stack_of(mnemosyne.settings())
    (tmp_path / f"{stack.store}/{RUN}".lstrip("/")).mkdir(parents=True)
    row = {"driver": driver, "options": options, "labels": {}}
    said = definition.wire(stack)
    only = [each for each in said["datasets"] if each["kind"] == "config"]  # what the manifest holds
    load = LoadSet({**said, "datasets": only}, RUN, True, RUN)

    def write(key: str) -> None:
        text = json.dumps({**MANIFEST, "volumes": {key: row}})
        machine.write(f"{stack.store}/{RUN}/manifest.json", text.encode())

    write("graph")
    before = sorted(str(path) for path in tmp_path.rglob("*"))
    with pytest.raises(Refused, match="graph") as caught:
        list(load.run(machine))
    assert "mnemosyne_graph" in caught.value.hint
    assert sorted(str(path) for path in tmp_path.rglob("*")) == sorted([*before, f"{tmp_path}/asked"])
    assert "create" not in (tmp_path / "asked").read_text()
    write("there")  # made by hand: it is used as it is
    load.ready(machine)


def test_what_new_would_not_make_is_said_while_old_serves(tmp_path: Path) -> None:
    context = migration(tmp_path, Fleet()).context
    old = side("old", odd_volumes={"mnemosyne_x": "has the driver 'rexray'"})
    assert "mnemosyne_x has the driver 'rexray'" in preflight.unmade(context, old, side("new"))[0].evidence
    assert preflight.unmade(context, old, side("new", all_volumes=["mnemosyne_x"])) == []
    context.rows = [{"name": "mnemosyne_x"}]  # of new's inventory
    assert preflight.unmade(context, old, side("new")) == []


def test_a_volume_that_is_not_ours_to_make_is_missed_before_the_stop(tmp_path: Path) -> None:
    """``external`` in the compose file: the restore on new failed after everything had been stopped."""
    context = migration(tmp_path, Fleet()).context
    context.stack["datasets"] = [{"volume": "photos", "name": "photos"}, {"volume": "own", "name": "own"}]
    context.stack["names"] = {"photos": "of-everybody"}
    (found,) = preflight.unmade(context, side("old"), side("new"))
    assert "of-everybody does not exist" in found.evidence and "docker volume create of-everybody" in found.remedy
    assert preflight.unmade(context, side("old"), side("new", all_volumes=["of-everybody"])) == []
