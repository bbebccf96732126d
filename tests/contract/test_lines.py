"""What a user wrote into his name, a comment or the name of a directory is never a line of its own."""

from __future__ import annotations

from pathlib import Path

import pytest
from examples_accounts import ADA, BEN
from running import run, task
from world import World

from mnemo_ops.agent.actions.transfer import RevokeKey
from mnemo_ops.agent.files import mounts
from mnemo_ops.agent.resources.setup import Setup

ENDS = [
    "\v",
    "\f",
    "\x1c",
    "\x1d",
    "\x1e",
    "\x85",
    "\u2028",
    "\u2029",
]  # to str.splitlines alone
each_end = pytest.mark.parametrize("end", ENDS, ids=ascii)


@pytest.fixture
def world(tmp_path: Path) -> World:
    (tmp_path / "host").mkdir()
    return World(tmp_path / "host")


def lines(world: World, path: str) -> list[str]:
    return (world.root / path).read_bytes().decode().split("\n")


@each_end
def test_a_user_cannot_mount_what_reads_as_another_mount(world: World, end: str) -> None:
    forged = f"/home/bob/x\u3000-\u3000a\u3000b{end}" + "36 35 8:1 / /data rw - ext4 /dev/sdb1 rw".replace(
        " ", "\u3000"
    )
    world.write(
        "proc/self/mountinfo",
        f"30 1 8:1 / / rw - ext4 /dev/sda1 rw\n77 30 0:9 / {forged} rw - fuse.sshfs bob@far:/ rw\n",
    )
    assert set(mounts.mounted(world.machine())) == {"/", forged}


@each_end
def test_a_users_full_name_is_no_other_user(world: World, end: str) -> None:
    world.write("etc/passwd", world.read("etc/passwd") + f"bob:x:1234:1234:,,,1{end}root:/home/bob:/bin/bash\n")
    accounts = world.machine().accounts("passwd")
    assert accounts["root"][2] == "0" and accounts["bob"][5] == "/home/bob"
    assert run(task("file", path="/srv/x", state="touch", owner="root"), world.machine()).status == "changed"


def test_a_row_that_is_none_is_passed_over(world: World) -> None:
    world.write("etc/passwd", world.read("etc/passwd") + "+\nhalf:x:1\n")
    assert set(world.machine().accounts("passwd")) == {"root", "old"}
    Setup().observe(world.machine())


@each_end
def test_a_comment_of_a_key_is_no_key_once_the_file_is_written_again(world: World, end: str) -> None:
    world.write("home/old/.ssh/authorized_keys", f"{BEN} ben{end}{ADA}\n")
    args = {"user": "old", "key": ADA.replace("AAAAC3NzaC1lZDI1NTE5AAAA", "AAAAC3NzaC1lZDI1NTE5AAAB")}
    run(task("authorized_key", **args), world.machine())
    assert ADA not in lines(world, "home/old/.ssh/authorized_keys")


@each_end
def test_revoking_a_key_leaves_the_others_as_they_are(world: World, end: str) -> None:
    run_id = "20261130T040000Z-abcd"
    before = f"{BEN} ben{end}{ADA}\n"
    world.write("home/old/.ssh/authorized_keys", before + f"{ADA} mnemo-{run_id}\n", 0o600)
    list(RevokeKey(user="old", run_id=run_id).run(world.machine()))
    assert world.read("home/old/.ssh/authorized_keys") == before


@each_end
def test_a_job_is_one_line_whoever_writes_the_table_next(world: World, end: str) -> None:
    evil = "* * * * * root id"
    job = {"job": f"echo hi{end}{evil}", "user": "old", "cron_file": "x"}
    run(task("cron", name="first", **job), world.machine())
    run(task("cron", name="second", job="true", user="old", cron_file="x"), world.machine())
    assert evil not in lines(world, "etc/cron.d/x")


def test_a_source_of_a_mount_is_one_entry(world: World) -> None:
    source = "/dev/sdb1 /etc ext4 defaults\n/dev/sdb1"
    args = {"path": "/data", "src": source, "fstype": "ext4", "state": "present"}
    assert run(task("mount", **args), world.machine()).status == "changed"
    (entry,) = [mounts.fields(line) for line in world.read("etc/fstab").splitlines()]
    assert (entry["src"], entry["path"]) == (source, "/data")
    assert run(task("mount", **args), world.machine()).status == "ok"
