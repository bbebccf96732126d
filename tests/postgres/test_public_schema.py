"""Until 14 everybody may create in the schema public, and no dump of that says so: it is what initdb made."""

from __future__ import annotations

from pathlib import Path

import pytest
from databases import Databases
from engine import PROGRAMS, engine, returned, scratch

from mnemo_ops.agent.base.record import replace

MAY = "SELECT json_build_array(has_schema_privilege('nobody_special', 'public', 'CREATE'),"
MAY += " (SELECT pg_get_userbyid(nspowner) FROM pg_namespace WHERE nspname = 'public'));"


@pytest.mark.parametrize("major", [14, None], ids=["of 14", "of today"])
def test_who_may_create_in_public_is_as_it_was(major: int | None, databases: Databases, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    server, boss = databases.server, databases.server.user
    server.sql("CREATE ROLE nobody_special; CREATE DATABASE case_one;")
    with engine() as made:
        one = scratch(server, databases.place, made.place(PROGRAMS, "copy"), tmp_path)
        if major:
            proof = {**one.secret["proof"], "": {**one.secret["proof"][""], "major": str(major)}}
            one = replace(one, facts={**one.facts, "major": major}, secret={**one.secret, "proof": proof})
        one = replace(one, machine=made.machine)
        assert returned(one.fill())["differences"] == []
        with made.started(one.place, boss, "postgres") as copy:
            assert copy.query(MAY, "case_one") == ([True, boss] if major else [False, "pg_database_owner"])
            assert copy.query(MAY, "template1")[0] is bool(major)
