from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from loopback import Sshd


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    folder: Path = tmp_path_factory.mktemp("sshd")
    with Sshd(folder) as running:
        yield running
