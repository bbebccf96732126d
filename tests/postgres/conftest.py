"""A Postgres server of this machine's own package for all tests; databases for each."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from clusters import Make, Server

from mnemo_ops.agent.stack.postgres import Postgres
from mnemo_ops.agent.stack.sql import identifier


@pytest.fixture(scope="session")
def cluster() -> Iterator[Server]:
    """One for all tests; its directory has a short name, as a socket must."""
    home = Path(tempfile.mkdtemp(prefix="mnemo-pg-", dir="/tmp"))
    made = Server(home)
    try:
        made.start()
        try:
            yield made
        finally:
            made.stop()
    finally:
        shutil.rmtree(home)


@pytest.fixture
def make(cluster: Server) -> Iterator[Make]:
    """Databases of the test's own, made with these options of CREATE DATABASE; gone afterwards."""
    names: list[str] = []
    main = cluster.database("postgres")

    def create(sql: str = "", options: str = "") -> Postgres:
        names.append(f"case{len(names)}")
        main.sql(f"CREATE DATABASE {identifier(names[-1])} TEMPLATE template0 {options};")
        made = cluster.database(names[-1])
        if sql:
            made.sql(sql)
        return made

    yield create
    for name in names:
        main.sql(f"DROP DATABASE IF EXISTS {identifier(name)} WITH (FORCE);")
