"""Labs for tests: real servers, the reference stack, and nothing left of either."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pluggy
import pytest
from outcomes import Lab

from mnemo_ops.lab import reference, server
from mnemo_ops.lab.app import POSTGRES
from mnemo_ops.lab.directory import LabDirectory
from mnemo_ops.lab.engine import docker, kept


@pytest.fixture(scope="session")
def engine() -> Iterator[None]:
    """The Docker engine of this machine is not stopped between two labs."""
    with kept():
        yield


def plant(root: Path) -> list[str]:
    """Give the stack an env file whose secrets can be told from everything else; their values."""
    env = root / ".lab" / "secrets" / "env.production"
    text = env.read_text()
    pairs = [line.partition("=")[::2] for line in text.splitlines() if "=" in line and not line.startswith("#")]
    secrets = {key: f"planted{number:02}{value}" for number, (key, value) in enumerate(pairs) if len(value) > 40}
    assert len(secrets) >= 5
    env.write_text("".join(f"{key}={secrets.get(key, value)}\n" for key, value in pairs))
    return list(secrets.values())


def left_behind(root: Path) -> list[str]:
    label = f"label={LabDirectory(root).label}"
    listed = [docker("ps", "-aq", "--filter", label), docker("network", "ls", "-q", "--filter", label)]
    return " ".join(listed).split() + [str(path) for path in (root / ".lab").glob("*/docker")]


@contextmanager
def servers(root: Path, postgres: int = POSTGRES) -> Iterator[Lab]:
    """Bare servers ``old`` and ``new`` and an inventory for the stack; gone afterwards."""
    try:
        server.up(root, ["old", "new"], print)
        reference.prepare(root, print, postgres)
        yield Lab(root)
    finally:
        reference.remove(root)
        server.down(root, print)
        assert left_behind(root) == []


@pytest.fixture(scope="module")
def lab(engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """One lab for all tests of a module."""
    with servers(tmp_path_factory.mktemp("checkout")) as made:
        yield made


@pytest.fixture(scope="module")
def planted(lab: Lab) -> list[str]:
    """Values of the env file that must not show anywhere."""
    return plant(lab.root)


_FAILED: set[tuple[str, str]] = set()


def _story(item: pytest.Item) -> tuple[str, str]:
    """A file's tests are one, and another one in another lab."""
    return (str(item.path), str(getattr(getattr(item, "callspec", None), "params", {}).get("lab", "")))


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "scenario: the tests of this module are steps of one story, in file order")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pluggy.Result[pytest.TestReport], None]:
    outcome = yield
    if outcome.get_result().failed and item.get_closest_marker("scenario"):
        _FAILED.add(_story(item))


def pytest_runtest_setup(item: pytest.Item) -> None:
    if _story(item) in _FAILED:
        pytest.fail("an earlier step of this story failed", pytrace=False)
