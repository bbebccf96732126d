"""What Python packages promise beyond the contract."""

from __future__ import annotations

from pathlib import Path

import pytest
from examples_python import python
from running import run, task
from world import World

from mnemo_ops.agent.engine.resource import build
from mnemo_ops.agent.system import python_versions


@pytest.fixture
def world(tmp_path: Path) -> World:
    (tmp_path / "host").mkdir()
    return World(tmp_path / "host")


@pytest.mark.parametrize(
    ("text", "fits", "misfits"),
    [
        ("x", "0.1 9", ""),
        ("X.y_z==1.0", "1 1.0.0 1.0+local", "1.0.1 1.0rc1 1.0.post1"),
        ("x==1.4.*", "1.4 1.4.9 1.4.dev3", "1.5 1.40"),
        ("x!=1.4", "1.4.1 1.3", "1.4.0"),
        ("x~=2.2", "2.2 2.10", "3.0 2.1"),
        ("x~=2.2.1", "2.2.1 2.2.5", "2.3 2.2.0"),
        ("x[extra] >=1.0, <2", "1.0 1.99", "2.0 1.0a1 1.0.dev1"),
        ("x>1.9", "1.10 2!0", "1.9 1.9rc2"),
        ("x<=2.0rc1", "2.0b9 1 2.0a1 2.0.dev1", "2.0 2.0rc2"),
    ],
)
def test_versions_are_compared_as_pip_compares_them(text: str, fits: str, misfits: str) -> None:
    found = python_versions.parsed(text)
    assert found is not None
    assert [version for version in fits.split() if not found.fits(version)] == []
    assert [version for version in misfits.split() if found.fits(version)] == []
    assert not found.fits(None)


@pytest.mark.parametrize("text", ["git+https://x/y.git", "./here", "x; python_version > '3'", "x @ file:///y", "-e ."])
def test_what_only_pip_understands_is_left_to_it(text: str) -> None:
    assert python_versions.parsed(text) is None


def test_packages_that_are_there_need_no_index(world: World) -> None:
    python({"flask": "3.1", "idna": "3.10"}, all="flask>=3\nIdna\n")(world)
    world.model("python", {})
    assert run(task("pip", requirements="/srv/all.txt"), world.machine()).status == "ok"
    event = run(task("pip", name="nonesuch"), world.machine())
    assert event.status == "failed" and "nonesuch" in event.why


def test_an_environment_is_apart_from_the_system(world: World) -> None:
    python({"flask": "3.0"})(world)
    assert run(task("pip", name="redis", virtualenv="/venv"), world.machine()).status == "changed"
    assert world.state("pips") == {"/usr": {"flask": "3.0"}, "/venv": {"redis": "5.2"}}


@pytest.mark.parametrize(
    "args",
    [
        {},
        {"name": "x", "requirements": "/y"},
        {"name": "x,y", "version": "1"},
        {"name": "x", "virtualenv": "/v", "executable": "pip3"},
    ],
    ids=str,
)
def test_what_cannot_be_meant_is_said_before_anything_runs(args: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        build("pip", args)
