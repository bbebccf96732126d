"""A Postgres server of this machine's own package for all tests; databases for each."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from databases import OWNER, Databases
from engine import engine

from mnemo_ops.agent.stack.sql import identifier


@pytest.fixture(scope="session")
def main() -> Iterator[Databases]:
    """One cluster for all tests."""
    with engine() as made:
        place = made.fresh("main", OWNER)
        with made.started(place, OWNER, "postgres") as server:
            yield Databases(made, place, server)


@pytest.fixture
def databases(main: Databases) -> Iterator[Databases]:
    """It; the databases and the roles that the test makes are gone afterwards."""
    yield main
    here = "SELECT json_build_array((SELECT json_agg(datname) FROM pg_database WHERE datname ~ '^case'),"
    gone, roles = main.server.query(f"{here} (SELECT json_agg(rolname) FROM pg_roles WHERE oid >= 16384));")
    for name in gone or ():
        main.server.sql("DROP SUBSCRIPTION IF EXISTS s;", name)
        main.server.sql(f"DROP DATABASE {identifier(name)} WITH (FORCE);")
    for name in roles or ():
        main.server.sql(f"DROP OWNED BY {identifier(name)}; DROP ROLE {identifier(name)};")
