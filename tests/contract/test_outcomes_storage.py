"""What the kinds of storage promise beyond the contract: above all, what they do not do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from examples_storage import DATA, FSTAB, ROOT, at_data, disk, mounted
from running import run, task
from world import World

from mnemo_ops.agent.engine.resource import build


@pytest.fixture
def world(tmp_path: Path) -> World:
    (tmp_path / "host").mkdir()
    return World(tmp_path / "host")


# -- mount -------------------------------------------------------------------------------------------------------------


def test_an_entry_that_cannot_be_mounted_is_taken_back(world: World) -> None:
    mounted()(world)
    event = run(task("mount", **{**DATA, "src": "/dev/missing", "state": "mounted"}), world.machine())
    assert event.status == "failed" and "/dev/missing" in event.why
    assert world.read("etc/fstab") == FSTAB


def test_other_lines_of_fstab_stay_and_spaces_are_escaped(world: World) -> None:
    mounted()(world)
    wanted = {"path": "/a b", "src": "LABEL=x", "fstype": "ext4", "state": "present"}
    assert run(task("mount", **wanted), world.machine()).status == "changed"
    assert world.read("etc/fstab") == FSTAB + "LABEL=x /a\\040b ext4 defaults 0 0\n"
    assert run(task("mount", **wanted), world.machine()).status == "ok"


def test_a_directory_with_something_in_it_stays(world: World) -> None:
    mounted(at_data())(world)
    world.write("data/file", "x")
    assert run(task("mount", path="/data", state="absent"), world.machine()).status == "changed"
    assert world.read("data/file") == "x" and "/data" not in world.read("etc/fstab")
    assert world.read("proc/self/mountinfo") == ROOT


def test_a_directory_that_was_no_mount_point_is_not_touched(world: World) -> None:
    mounted(fstab="")(world)
    assert run(task("mount", path="/data", state="absent"), world.machine()).status == "ok"
    assert (world.root / "data").is_dir()


def test_what_is_mounted_from_elsewhere_is_not_covered(world: World) -> None:
    mounted(at_data("/dev/sdz"))(world)
    event = run(task("mount", **{**DATA, "state": "ephemeral"}), world.machine())
    assert event.error is not None and event.error["class"] == "Refused" and "umount" in event.error["hint"]


def test_a_guarded_mount_point_takes_no_writes_while_nothing_is_mounted_there(world: World) -> None:
    disk("ext4 7f3c 4194304")(world)
    wanted = {"path": "/srv/pg", "src": "UUID=7f3c", "fstype": "ext4", "guard": True}
    assert run(task("mount", **wanted, state="mounted"), world.machine()).status == "changed"
    assert world.state("immutable") == ["/srv/pg"]
    assert " /srv/pg " in world.read("proc/self/mountinfo") and " /dev/sdb " in world.read("proc/self/mountinfo")
    assert run(task("mount", **wanted, state="absent"), world.machine()).status == "changed"
    assert world.state("immutable") == [] and not (world.root / "srv/pg").exists()


def test_what_a_guarded_mount_would_hide_is_not_hidden(world: World) -> None:
    disk("ext4 7f3c 4194304")(world)
    world.write("srv/pg/data/PG_VERSION", "17")
    before = world.tree()
    wanted = {"path": "/srv/pg", "src": "UUID=7f3c", "fstype": "ext4", "guard": True, "state": "mounted"}
    event = run(task("mount", **wanted), world.machine())
    assert event.error is not None and event.error["class"] == "Refused" and "holds data" in event.why
    assert "mv /srv/pg /srv/pg.before" in event.error["hint"]
    assert world.tree() == before


def test_options_with_a_password_are_not_shown(world: World) -> None:
    mounted()(world)
    args = {**DATA, "opts": "password=a-secret", "opts_no_log": True, "state": "present"}
    event = run(task("mount", register=True, **args), world.machine())
    assert event.status == "changed" and "a-secret" not in str(event.to_json())
    assert "a-secret" in world.read("etc/fstab")


@pytest.mark.parametrize(
    "args",
    [
        {"path": "/x", "state": "mounted", "src": "/dev/x"},
        {"path": "/x", "state": "present"},
        {"path": "/x", "state": "unmounted", "guard": True},
        {"path": "none", "state": "mounted", "src": "/swap", "fstype": "swap"},
    ],
    ids=str,
)
def test_a_mount_that_cannot_be_meant_is_said_before_anything_runs(args: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        build("mount", args)


# -- filesystem --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("said", ["xfs 7f3c 1", "gpt 7f3c 1", "LVM2_member 7f3c 1", "ext4 7f3c 1"])
@pytest.mark.parametrize("force", [True, False])
def test_nothing_on_a_device_is_ever_lost(world: World, said: str, force: bool) -> None:
    disk(said)(world)
    args = {"dev": "/dev/sdb", "fstype": "ext4", "force": force}
    before = world.tree()
    event = run(task("filesystem", **args), world.machine())
    if said.startswith("ext4"):
        assert event.status == "ok"
    else:
        assert event.error is not None and event.error["class"] == "Refused", event
        assert said.split()[0] in event.why and "lsblk -f /dev/sdb" in event.error["hint"]
    event = run(task("filesystem", dev="/dev/sdb", state="absent"), world.machine())
    assert event.error is not None and event.error["class"] == "Refused"
    assert world.tree() == before


def test_another_uuid_is_refused(world: World) -> None:
    disk("ext4 0f3c7a52-0000-4000-8000-000000000001 1")(world)
    for last, status in (("1", "ok"), ("2", "failed")):
        args = {"dev": "/dev/sdb", "fstype": "ext4", "uuid": "0F3C7A52-0000-4000-8000-00000000000" + last}
        assert run(task("filesystem", **args), world.machine()).status == status


def test_a_device_that_is_still_to_come_is_unknown_and_one_that_is_gone_is_absent(world: World) -> None:
    mounted()(world)
    event = run(task("filesystem", dev="/dev/sdb", fstype="ext4"), world.machine())
    assert event.error is not None and event.error["class"] == "NotYet"
    assert run(task("filesystem", dev="/dev/sdb", state="absent"), world.machine()).status == "ok"


def test_without_blkid_nothing_is_made(world: World) -> None:
    disk("xfs 7f3c 1")(world)
    world.remove_programs(["blkid"])
    before = world.tree()
    assert run(task("filesystem", dev="/dev/sdb", fstype="ext4"), world.machine()).status == "failed"
    assert world.tree() == before
