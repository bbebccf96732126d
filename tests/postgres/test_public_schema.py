"""Until 14 everybody may create in the schema public, and no dump of that says so: it is what initdb made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from databases import Databases
from engine import PROGRAMS, engine, returned, scratch

from mnemo_ops.agent.base.record import replace
from mnemo_ops.agent.stack.cluster.proof import differences

MAY = "SELECT json_build_array(has_schema_privilege('nobody_special', 'public', 'CREATE'),"
MAY += " (SELECT pg_get_userbyid(nspowner) FROM pg_namespace WHERE nspname = 'public'));"


USES = "SELECT to_json(has_schema_privilege('nobody_special', 'public', 'USAGE'));"
# what a dump of 14 does not say: the schema was dropped and made again, or given away
CASES = {
    "of today": (None, {}, False, True, "pg_database_owner"),
    "of 14": (14, {"keeper": "", "wide": True, "used": True}, True, True, ""),
    "of 14, set of an earlier version": (14, None, True, True, ""),
    "of 14, made again": (14, {"keeper": "", "wide": False, "used": False}, False, False, ""),
    "of 14, given away": (14, {"keeper": "owner_special", "wide": False, "used": True}, False, True, "owner_special"),
}


@pytest.mark.parametrize(("major", "said", "creates", "uses", "owner"), CASES.values(), ids=CASES)
def test_who_may_do_what_in_public_is_as_it_was(
    *,
    major: int | None,
    said: dict[str, Any] | None,
    creates: bool,
    uses: bool,
    owner: str,
    databases: Databases,
    tmp_path: Path,
) -> None:
    tmp_path.chmod(0o755)
    server, boss = databases.server, databases.server.user
    server.sql("CREATE ROLE nobody_special; CREATE ROLE owner_special; CREATE DATABASE case_one;")
    with engine() as made:
        one = scratch(server, databases.place, made.place(PROGRAMS, "copy"), tmp_path)
        if major:
            proof = {**one.secret["proof"], "": {**one.secret["proof"][""], "major": str(major)}}
            had = {**one.facts["databases"]["case_one"], **(said or {})}
            if said is None:
                had = {key: value for key, value in had.items() if key not in ("keeper", "wide", "used")}
            facts = {**one.facts, "major": major, "databases": {**one.facts["databases"], "case_one": had}}
            one = replace(one, facts=facts, secret={**one.secret, "proof": proof})
        one = replace(one, machine=made.machine)
        assert returned(one.fill())["differences"] == []
        with made.started(one.place, boss, "postgres") as copy:
            assert copy.query(MAY, "case_one") == [creates, owner or boss]
            assert copy.query(USES, "case_one") is uses


@pytest.mark.parametrize(("was", "now", "told"), [(14, 15, 0), (14, 17, 0), (15, 17, 1), (13, 14, 1)])
def test_other_rights_in_public_are_excused_on_the_way_across_15_alone(was: int, now: int, told: int) -> None:
    rights = {"ACL SCHEMA public": "boss 1"}
    before = {"": {"major": str(was)}, "app": dict[str, str]()}
    after = {"": {"major": str(now)}, "app": rights}
    assert len(differences(before, after, lambda name: rights)) == told
