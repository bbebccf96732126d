"""What sources of packages promise beyond the contract."""

from __future__ import annotations

from pathlib import Path

import pytest
from examples_sources import FILE, FINGERPRINT, LINE, PARAGRAPH, VENDOR, keyring, sources
from running import run, task
from world import World

from mnemo_ops.agent.engine.resource import build
from mnemo_ops.agent.system import openpgp
from mnemo_ops.errors import StepFailed


@pytest.fixture
def world(tmp_path: Path) -> World:
    (tmp_path / "host").mkdir()
    return World(tmp_path / "host")


def test_a_source_apt_cannot_load_is_taken_back(world: World) -> None:
    sources(x="# " + LINE)(world)
    world.break_programs(["apt-get"])
    assert run(task("apt_repository", repo=LINE), world.machine()).status == "failed"
    assert world.read("etc/apt/sources.list.d/x.list") == f"# {LINE}\n"
    other = LINE.replace("stable", "testing")
    assert run(task("apt_repository", repo=other), world.machine()).status == "failed"
    assert not (world.root / FILE).exists()


def test_what_was_added_is_registered(world: World) -> None:
    sources()(world)
    event = run(task("apt_repository", repo=LINE, register=True), world.machine())
    assert event.after is not None and event.after["sources_added"] == ["/" + FILE]
    assert world.read(FILE) == LINE + "\n"


def test_lists_without_a_source_are_removed_and_comments_are_kept(world: World) -> None:
    sources(x=LINE, y=f"# mine\n{LINE}")(world)
    assert run(task("apt_repository", repo=LINE, state="absent"), world.machine()).status == "changed"
    assert not (world.root / "etc/apt/sources.list.d/x.list").exists()
    assert world.read("etc/apt/sources.list.d/y.list") == "# mine\n"


@pytest.mark.parametrize("repo", ["ppa:owner/name", "http://packages.invalid stable main", "deb http://x"])
def test_a_line_that_is_none_is_refused_before_anything_runs(repo: str) -> None:
    with pytest.raises(ValueError, match=r"repo|ppa"):
        build("apt_repository", {"repo": repo})


def test_a_paragraph_is_written_as_ansible_writes_it(world: World) -> None:
    args = {**PARAGRAPH, "signed_by": VENDOR, "components": ["main", "contrib"], "by_hash": False, "date_max_future": 9}
    assert run(task("deb822_repository", **args), world.machine()).status == "changed"
    head, _, key = world.read("etc/apt/sources.list.d/the-vendor.sources").partition("Signed-By:\n")
    assert head == "By-Hash: no\nComponents: main contrib\nDate-Max-Future: 9\nX-Repolib-Name: The vendor\n"
    assert key.startswith("    -----BEGIN PGP PUBLIC KEY BLOCK-----\n    .\n    mDM")
    assert key.endswith("BLOCK-----\nSuites: stable\nTypes: deb\nURIs: http://packages.invalid/debian\n")


def test_a_key_that_is_served_anew_replaces_the_old_one(world: World) -> None:
    world.write("srv/key.asc", VENDOR)
    wanted = task("deb822_repository", **PARAGRAPH, signed_by=(world.root / "srv/key.asc").as_uri())
    assert [run(wanted, world.machine()).status for _ in range(2)] == ["changed", "ok"]
    world.write("srv/key.asc", VENDOR + VENDOR)
    assert run(wanted, world.machine()).status == "changed"
    assert world.read("etc/apt/keyrings/the-vendor.asc") == VENDOR + VENDOR


def test_armour_comes_off_and_goes_on_again() -> None:
    (key,) = openpgp.keys(VENDOR.encode())
    assert key.fingerprints == (FINGERPRINT,)
    assert openpgp.armored(key.data).decode().split() == VENDOR.split()
    assert [key.fits(name) for name in ("fd63083c", "0x08659F8FFD63083C", "12345678")] == [True, True, False]


@pytest.mark.parametrize("data", [b"<html>not here</html>", VENDOR.encode().replace(b"mDME", b"m%%E"), b"\x98\xff\x04"])
def test_what_is_no_key_is_said_to_be_none(data: bytes) -> None:
    with pytest.raises(StepFailed):
        openpgp.keys(data)


def test_other_keys_of_a_keyring_stay(world: World) -> None:
    keyring("etc/apt/keyrings/x.gpg")(world)
    other = b"\x98\x02\x04\x01"
    before = (world.root / "etc/apt/keyrings/x.gpg").read_bytes()
    (world.root / "etc/apt/keyrings/x.gpg").write_bytes(before + other)
    args = {"keyring": "/etc/apt/keyrings/x.gpg", "id": FINGERPRINT}
    assert run(task("apt_key", **args), world.machine()).status == "ok"
    assert run(task("apt_key", **args, state="absent"), world.machine()).status == "changed"
    assert (world.root / "etc/apt/keyrings/x.gpg").read_bytes() == other
    assert run(task("apt_key", **args, data=VENDOR), world.machine()).status == "changed"
    assert (world.root / "etc/apt/keyrings/x.gpg").read_bytes() == other + before


def test_another_key_than_the_one_meant_is_not_trusted(world: World) -> None:
    event = run(task("apt_key", id="12345678", data=VENDOR), world.machine())
    assert event.status == "failed" and "12345678" in event.why
    assert not (world.root / "etc/apt/trusted.gpg.d").exists()
