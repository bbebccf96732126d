"""What speaks against a disk as the place of a volume: named with its remedy, and nothing is touched."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import mnemosyne
import pytest
from example import engine, unit, volume
from examples_storage import ROOT, disk
from world import World

from mnemo_ops.agent.base.finding import Finding
from mnemo_ops.agent.stack.volume_checks.volumes import findings
from mnemo_ops.stack import definition

PATH = "/mnt/mnemo/mnemosyne/postgres_data"
INSIDE = PATH[1:]  # below a world's root
HERE = f"30 22 8:16 / {PATH} rw - ext4 /dev/sdb rw\n"
OURS = "lost+found\n.mnemo-volume\ndata\n//\nmnemosyne/postgres_data\n"
EXT4 = "ext4 7f3c 4194304"
ENTRY = f"UUID=7f3c {PATH} ext4 defaults,nofail 0 0\n"


@pytest.fixture
def world(tmp_path: Path) -> World:
    (tmp_path / "host").mkdir()
    return World(tmp_path / "host")


def holding(world: World, listing: str = "lost+found\n//\n") -> None:
    """What a look into the file system on the disk shows."""
    world.script("unshare", f"print({listing!r}, end='')")


def found(world: World, device: str = "/dev/sdb") -> list[Finding]:
    """The findings of one look; it changed nothing."""
    spec = {"postgres_data": {"type": "block", "device": device, "wait": 1}}
    chosen = mnemosyne.settings(volumes=spec)
    rows: list[dict[str, Any]] = [row for row in definition.volumes(chosen) if row["key"] in spec]
    before = world.tree()
    seen = findings(world.machine(read_only=True), "mnemosyne", rows, [])
    assert world.tree() == before
    return seen


def at(world: World, lines: str, sentinel: str = "") -> None:
    """The disk, mounted like this, with this sentinel at our mount point."""
    if not (world.root / "dev").exists():
        disk(EXT4)(world)
    world.write("proc/self/mountinfo", ROOT + lines)
    if sentinel:
        world.write(f"{INSIDE}/.mnemo-volume", sentinel)


def stopped_docker(world: World) -> None:
    """Installed, not running; who asks it fails the test."""
    world.install_docker()
    world.script("docker", "sys.exit('asked')")
    unit("docker.service", active="inactive")(world)


def disk_that_was_here(world: World) -> None:
    disk(EXT4)(world)
    (world.root / "dev/sdb").unlink()
    world.write("etc/fstab", ENTRY)


@pytest.mark.parametrize("said", ["", EXT4])
def test_a_disk_that_is_blank_or_has_an_empty_file_system_is_well(world: World, said: str) -> None:
    disk(said)(world)
    holding(world)
    assert found(world) == []


def test_a_disk_of_ours_is_well_mounted_or_not(world: World) -> None:
    disk(EXT4)(world)
    world.write("etc/fstab", ENTRY)
    holding(world, OURS)
    assert found(world) == []
    at(world, HERE, "mnemosyne/postgres_data\n")
    (world.root / INSIDE / "data").mkdir()
    assert found(world) == []


def _hidden(world: World) -> None:
    disk(EXT4)(world)
    world.write(f"{INSIDE}/data/PG_VERSION", "17")


def _occupied(world: World) -> None:
    disk(EXT4)(world)
    holding(world, "lost+found\nphotos\n//\n")


def _of_another(world: World) -> None:
    disk(EXT4)(world)
    holding(world, OURS.replace("mnemosyne/", "another/"))


def _another_disk(world: World) -> None:
    disk("ext4 0a0a 4194304")(world)
    world.write("etc/fstab", ENTRY)


def _blank_instead(world: World) -> None:
    disk()(world)
    world.write("etc/fstab", ENTRY)


CASES: list[tuple[str, Callable[[World], object], str, str]] = [
    ("never-attached", lambda world: None, "/dev/sdb is not attached", "attach that disk"),
    ("partitioned", disk("gpt 7f3c 1"), "holds a gpt partition table, which would be lost", "lsblk -f /dev/sdb"),
    ("other-file-system", disk("xfs 7f3c 1"), "holds xfs, which would be lost", "lsblk -f /dev/sdb"),
    ("other-files", _occupied, "is not blank: it holds photos", "name another disk"),
    ("another-volume", _of_another, "holds the volume another/postgres_data", "name another disk"),
    (
        "another-volume-here",
        lambda world: at(world, HERE, "mnemosyne/redis_data\n"),
        "holds the volume mnemosyne/redis_data",
        "name another disk",
    ),
    ("elsewhere", lambda world: at(world, HERE.replace(PATH, "/data")), "is mounted on /data already", "umount /data"),
    ("hiding", _hidden, "holds data, which a mount would hide", f"mv {PATH} {PATH}.before"),
    ("another-disk", _another_disk, "is not the disk that", "name that disk"),
    ("blank-instead", _blank_instead, "is not the disk that", "name that disk"),
    (
        "another-disk-here",
        lambda world: at(world, HERE.replace("/dev/sdb", "/dev/sdc")),
        "which is /dev/sdc",
        "name that disk",
    ),
]


@pytest.mark.parametrize(("prepare", "said", "remedy"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_what_is_not_ours_stays_as_it_is(
    world: World, prepare: Callable[[World], object], said: str, remedy: str
) -> None:
    prepare(world)
    (one,) = found(world)
    assert one.where == "postgres_data"
    assert said in one.evidence and remedy in one.remedy, one


def test_a_disk_that_is_gone_says_why_docker_does_not_run_and_nobody_asks_docker(world: World) -> None:
    disk_that_was_here(world)
    stopped_docker(world)
    (one,) = found(world)
    assert f"/dev/sdb is not attached, so {PATH} cannot be mounted, and Docker does not run" in one.evidence
    assert "empty directory" in one.evidence and "invoke volumes" in one.remedy


def test_a_volume_that_is_another_one_is_seen_before_the_disk_is_touched(world: World) -> None:
    engine(volumes=volume("mnemosyne_postgres_data"))(world)
    disk()(world)
    (one,) = found(world)
    assert (
        "the volume mnemosyne_postgres_data is a local volume, asked for bind" in one.evidence and PATH in one.evidence
    )
    assert "invoke volumes --volume postgres_data --to block" in one.remedy
