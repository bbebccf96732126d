"""Guards for every test: unit, contract and wire tests reach no other machine and leave nothing running or open."""

from __future__ import annotations

import itertools
import re
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import paramiko
import pytest
import sampling
from hypothesis import HealthCheck, settings
from leaks import held, leaked

TESTS = Path(__file__).parent

# Whoever started the tests in the background had Ctrl-C ignored, which the commands they send it to would inherit.
signal.signal(signal.SIGINT, signal.default_int_handler)
# how long an example takes says how busy the machine is, and nothing else
settings.register_profile("here", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("here")
_NUMBERS = itertools.count()
CLOSED = ("unit", "contract", "wire")  # folders without a network


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--thorough", action="store_true", help="all of what `make check` tries a sample of")


@pytest.hookimpl(tryfirst=True)  # before Hypothesis looks for a seed
def pytest_configure(config: pytest.Config) -> None:
    sampling.thorough = bool(config.getoption("--thorough"))
    if config.option.hypothesis_seed is None:  # the machine that runs the tests next tries the same examples
        config.option.hypothesis_seed = str(sampling.SEED)


def pytest_report_header() -> str:
    return "sample: everything" if sampling.thorough else f"sample: MNEMO_SEED={sampling.SEED}"


def is_closed(path: Path) -> bool:
    return path.relative_to(TESTS).parts[0] in CLOSED


def _refuse_to_connect(self: socket.socket, address: object) -> None:
    raise AssertionError(f"a test without a network tried to connect to {address!r}")


def _refuse_ssh(self: paramiko.Transport, *_: object, **__: object) -> None:
    raise AssertionError("a test without a network tried to speak SSH")


@pytest.fixture(autouse=True)
def no_network(request: pytest.FixtureRequest) -> Iterator[None]:
    """Whoever needs loopback asks for the fixture ``loopback``; nobody gets more."""
    if not is_closed(request.path):
        yield
        return
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: tuple[str, int]) -> None:
        local = "loopback" in request.fixturenames and str(address[0]) in ("127.0.0.1", "::1", "localhost")
        if self.family != socket.AF_UNIX and not local:
            _refuse_to_connect(self, address)
        connect(self, address)

    with pytest.MonkeyPatch.context() as patch:  # not the test's own, which it may undo
        patch.setattr(paramiko.Transport, "start_client", _refuse_ssh)
        patch.setattr(socket.socket, "connect", guarded)
        yield


@pytest.fixture
def tmp_path(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As pytest's own, which reads the names of all tests before for each of ten thousand."""
    path = tmp_path_factory.getbasetemp() / f"{re.sub(r'[^0-9A-Za-z_]', '_', request.node.name)[:30]}{next(_NUMBERS)}"
    path.mkdir(mode=0o700)
    return path


@pytest.fixture
def loopback() -> None:
    """Asking for this allows a test connections to this machine."""


@pytest.fixture(autouse=True)
def no_leaks(request: pytest.FixtureRequest) -> Iterator[None]:
    """Threads, descriptors and child processes a test leaves behind fail it."""
    if not is_closed(request.path):
        yield
        return
    before = held()
    yield
    assert not (more := leaked(before)), "leaked: " + "; ".join(sorted(more))
