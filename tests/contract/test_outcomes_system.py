"""What the kinds of the system's own settings promise beyond the contract."""

from __future__ import annotations

from pathlib import Path

import pytest
from examples_system import CONF, CRONTAB, KERNEL, LOCALES, MODULES, NAMED, written
from running import run, task
from world import World

from mnemo_ops.agent.engine.resource import build


@pytest.fixture
def world(tmp_path: Path) -> World:
    (tmp_path / "host").mkdir()
    return World(tmp_path / "host")


# -- the kernel --------------------------------------------------------------------------------------------------------


def test_a_parameter_is_written_where_it_was_and_once(world: World) -> None:
    written(CONF)(world)
    assert run(task("sysctl", name="vm.swappiness", value="10"), world.machine()).status == "changed"
    assert world.read("etc/sysctl.conf") == "# mine\nvm.swappiness=10\nkernel.x=1\n"
    assert world.read("proc/sys/vm/swappiness") == "10\n"


def test_a_value_that_somebody_changed_since_is_put_right(world: World) -> None:
    written({**KERNEL, "etc/sysctl.conf": "vm.swappiness=10\n"})(world)
    wanted = task("sysctl", name="vm/swappiness".replace("/", "."), value=10)
    assert run(wanted, world.machine()).status == "changed"
    assert world.read("proc/sys/vm/swappiness") == "10\n"
    assert run(task("sysctl", name="vm.swappiness", value=10, reload=False), world.machine()).status == "ok"


def test_a_kernel_that_does_not_take_a_value_is_an_error_whatever_the_exit_code(world: World) -> None:
    written({"proc/sys/kernel/readonly": "0\n"})(world)
    event = run(task("sysctl", name="kernel.readonly", value=1), world.machine())
    assert event.status == "failed" and "Read-only" in event.why


def test_a_module_of_the_kernel_itself_is_there(world: World) -> None:
    written(MODULES)(world)
    assert run(task("modprobe", name="tcp_cubic"), world.machine()).status == "ok"
    event = run(task("modprobe", name="nonesuch"), world.machine())
    assert event.status == "failed" and "not found" in event.why


def test_old_parameters_of_a_module_are_kept_as_comments(world: World) -> None:
    written(MODULES)(world)
    args = {"name": "nbd", "params": "nbds_max=4", "persistent": "present"}
    assert run(task("modprobe", **args), world.machine()).status == "changed"
    assert world.read("etc/modprobe.d/old.conf") == "options loop max_loop=8\n#options nbd nbds_max=1\n"
    assert world.read("etc/modprobe.d/nbd.conf") == "options nbd nbds_max=4\n"
    assert world.read("etc/modules-load.d/nbd.conf") == "nbd\n"


# -- names and time ----------------------------------------------------------------------------------------------------


def test_a_name_that_only_counts_until_the_next_boot_is_not_enough(world: World) -> None:
    written({**NAMED, "proc/sys/kernel/hostname": "web1\n"})(world)
    assert run(task("hostname", name="web1"), world.machine()).status == "changed"
    assert world.read("etc/hostname") == "web1\n"


def test_a_zone_that_does_not_exist_is_unknown_or_wrong_but_never_set(world: World) -> None:
    event = run(task("timezone", name="Mars/Olympus"), world.machine())
    assert event.error is not None and event.error["class"] == "NotYet" and "Mars/Olympus" in event.why


# -- jobs --------------------------------------------------------------------------------------------------------------


def test_everything_else_in_a_crontab_stays(world: World) -> None:
    written(CRONTAB)(world)
    assert run(task("cron", name="new", job="/new", special_time="daily"), world.machine()).status == "changed"
    assert world.read("var/spool/cron/crontabs/root") == CRONTAB["var/spool/cron/crontabs/root"] + (
        "#Ansible: new\n@daily /new\n"
    )
    assert run(task("cron", name="MAILTO", env=True, state="absent"), world.machine()).status == "changed"
    assert world.read("var/spool/cron/crontabs/root").startswith("0 1 * * * /own\n")


def test_a_job_is_registered_with_its_backup(world: World) -> None:
    written(CRONTAB)(world)
    event = run(task("cron", name="old", job="/new", backup=True, register=True), world.machine())
    assert event.after is not None and event.after["jobs"] == ["old"] and event.after["envs"] == ["MAILTO"]
    assert world.read(event.after["backup_file"].lstrip("/")) == CRONTAB["var/spool/cron/crontabs/root"]


def test_a_value_with_quotes_is_one_value(world: World) -> None:
    written(CRONTAB)(world)
    assert run(task("cron", name="A", env=True, job='say "x"'), world.machine()).status == "changed"
    assert world.read("var/spool/cron/crontabs/root").startswith("A='say \"x\"'\n")
    assert run(task("cron", name="A", env=True, job='say "x"'), world.machine()).status == "ok"


def test_a_file_for_cron_names_the_user_and_goes_with_its_last_job(world: World) -> None:
    args = {"name": "x", "cron_file": "app"}
    assert run(task("cron", **args, user="old", job="/x"), world.machine()).status == "changed"
    assert world.read("etc/cron.d/app") == "#Ansible: x\n* * * * * old /x\n"
    assert run(task("cron", **args, state="absent"), world.machine()).status == "changed"
    assert not (world.root / "etc/cron.d/app").exists()


@pytest.mark.parametrize(
    "args",
    [
        {"name": "x"},
        {"name": "x", "job": "/x", "cron_file": "app"},
        {"name": "x", "job": "/x", "special_time": "daily", "hour": "1"},
        {"name": "x", "job": "a\nb"},
        {"name": "x", "job": "/x", "insertafter": "y"},
    ],
    ids=str,
)
def test_a_job_that_cannot_be_meant_is_said_before_anything_runs(args: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        build("cron", args)


def test_a_locale_nobody_knows_is_named_and_others_stay(world: World) -> None:
    written(LOCALES)(world)
    event = run(task("locale_gen", name="xx_YY.UTF-8"), world.machine())
    assert event.error is not None and event.error["class"] == "NotYet" and "xx_YY.UTF-8" in event.why
    assert run(task("locale_gen", name=["de_AT.UTF-8", "C.UTF-8"]), world.machine()).status == "changed"
    assert world.read("etc/locale.gen") == "# which ones\nde_AT.UTF-8 UTF-8\nen_US.UTF-8 UTF-8\n"
    assert world.read("usr/lib/locale/list") == "de_AT.utf8\nen_US.utf8\n"
