"""The web server of the examples that fetch something: on the loopback, for the tests that need it."""

from __future__ import annotations

from collections.abc import Iterator

import in_process
import pytest
from web import opened


@pytest.fixture(scope="session", autouse=True)
def called() -> Iterator[None]:
    with in_process.called():
        yield


@pytest.fixture(scope="session")
def open_site() -> Iterator[None]:
    with opened():
        yield


@pytest.fixture
def no_leaks(web: None, no_leaks: None) -> None:
    """Counted after the server is there: it outlives the test."""


@pytest.fixture
def web(request: pytest.FixtureRequest) -> None:
    example = request.node.callspec.params.get("example") if hasattr(request.node, "callspec") else None
    if getattr(example, "web", False) or getattr(request.module, "WEB", False):
        request.getfixturevalue("loopback")
        request.getfixturevalue("open_site")
