"""What the kinds of packages promise beyond the contract."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from example import package
from running import run, task
from world import World

from mnemo_ops.agent.engine.resource import build


@pytest.fixture
def world(tmp_path: Path) -> World:
    (tmp_path / "host").mkdir()
    return World(tmp_path / "host")


# -- apt ---------------------------------------------------------------------------------------------------------------


def test_an_index_that_was_never_loaded_is_loaded_even_when_the_package_is_there(world: World) -> None:
    world.write("var/lib/dpkg/status", "Package: zstd\nStatus: install ok installed\nVersion: 1.5.7\n")
    event = run(task("apt", name="zstd", update_cache=True, register=True), world.machine())
    assert event.status == "changed" and event.after is not None
    assert event.after["cache_updated"] is True and event.after["cache_update_time"] > 0
    event = run(task("apt", name="zstd", update_cache=True, register=True), world.machine())
    assert event.status == "ok" and event.after is not None and event.after["cache_updated"] is False


def test_services_stay_down_while_the_policy_says_so_and_the_admins_policy_comes_back(world: World) -> None:
    package()(world)
    world.write("usr/sbin/policy-rc.d", "#!/bin/sh\nexit 0\n", 0o755)
    assert run(task("apt", name="nginx", policy_rc_d=101), world.machine()).status == "changed"
    assert world.state("units")["nginx.service"]["active"] == "inactive"
    assert world.read("usr/sbin/policy-rc.d").endswith("exit 0\n")
    world.write("var/lib/dpkg/status", "")
    world.break_programs(["apt-get"])
    assert run(task("apt", name="nginx", policy_rc_d=101), world.machine()).status == "failed"
    assert world.read("usr/sbin/policy-rc.d").endswith("exit 0\n")


def test_what_is_not_installed_is_not_only_upgraded(world: World) -> None:
    package("zstd=1.5.7")(world)
    assert run(task("apt", name=["curl", "zstd"], state="latest", only_upgrade=True), world.machine()).status == "ok"


def test_a_downgrade_is_asked_for(world: World) -> None:
    package("zstd=1.5.7")(world)
    event = run(task("apt", name="zstd=1.5.6"), world.machine())
    assert event.status == "failed" and "--allow-downgrades" in event.why


def test_a_pattern_that_fits_nothing_is_named(world: World) -> None:
    package()(world)
    event = run(task("apt", name="nonesuch*"), world.machine())
    assert event.status == "failed" and "nonesuch*" in event.why
    assert run(task("apt", name="nonesuch*", state="absent"), world.machine()).status == "ok"


def test_a_package_file_of_a_url_is_loaded_once(world: World, tmp_path: Path) -> None:
    package()(world)
    (tmp_path / "own.deb").write_text(json.dumps({"Package": "own", "Version": "1"}))
    url = (tmp_path / "own.deb").as_uri()
    wanted = task("apt", deb=url)
    assert run(wanted, world.machine()).status == "changed"
    (tmp_path / "own.deb").unlink()
    assert run(wanted, world.machine()).status == "ok"
    event = run(task("apt", deb=url + ".none"), world.machine())
    assert event.error is not None and event.error["class"] == "Broken" and "own.deb.none" in event.why
    assert not list((world.root / "var/lib/mnemo_ops").glob("*.deb"))


@pytest.mark.parametrize("args", [{}, {"name": "x", "upgrade": "yes"}, {"deb": "/x.deb", "state": "absent"}], ids=str)
def test_what_cannot_be_meant_is_said_before_anything_runs(args: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        build("apt", args)


# -- answers, selections, facts ----------------------------------------------------------------------------------------


def test_a_password_for_debconf_shows_nowhere_but_in_its_database(world: World) -> None:
    wanted = task("debconf", register=True, name="m", question="m/pw", vtype="password", value="a-secret")
    event = run(wanted, world.machine())
    assert event.status == "changed" and "a-secret" not in json.dumps(event.to_json())
    assert "a-secret" in world.read("var/cache/debconf/passwords.dat")
    for more in ({}, {"question": "m/pw", "vtype": "string", "value": "x"}):
        check = run(task("debconf", register=True, name="m", **more), world.machine(read_only=True), check=True)
        assert "a-secret" not in json.dumps(check.to_json())


def test_what_a_package_was_answered_is_registered(world: World) -> None:
    world.machine().run(["debconf-set-selections"], data=b"m m/on boolean true\no o/x string y\n")
    event = run(task("debconf", name="m", register=True), world.machine())
    assert event.status == "ok" and event.after == {"current": {"m/on": "true"}}


def test_a_selection_of_a_package_that_is_still_to_come_is_unknown(world: World) -> None:
    event = run(task("dpkg_selections", name="later", selection="hold"), world.machine())
    assert event.error is not None and event.error["class"] == "NotYet"


def test_installed_packages_are_facts(world: World) -> None:
    package("zstd=1.5.7")(world)
    world.model("rpms", {"curl": "8.14"})
    event = run(task("package_facts", strategy="all", register=True), world.machine())
    assert event.after is not None
    packages = event.after["ansible_facts"]["packages"]
    (zstd,), (curl,) = packages["zstd"], packages["curl"]
    assert (zstd["version"], zstd["arch"], zstd["source"]) == ("1.5.7", "amd64", "apt")
    assert (curl["version"], curl["release"], curl["epoch"], curl["source"]) == ("8.14", "1.el9", None, "rpm")


def test_groups_of_dnf_are_refused_before_anything_runs() -> None:
    with pytest.raises(ValueError, match="groups"):
        build("dnf", {"name": ["@development-tools"]})
