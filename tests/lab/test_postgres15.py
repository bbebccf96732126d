"""The main job with Postgres 15, and with what applications do to a database: kept and compared, or named as lost."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import servers
from outcomes import STORE, Host, Lab, Said

from mnemo_ops.lab.load import ACKNOWLEDGED, Load, check

pytestmark = [pytest.mark.lab, pytest.mark.scenario, pytest.mark.timeout(400)]

# a column named like an alias, names that depend on the search path, views that hold nothing or what was true once
CONTENT = """CREATE TABLE odd(t text, v int); INSERT INTO odd VALUES ('a', 1);
CREATE SCHEMA app; CREATE TABLE app.docs(id int); CREATE TABLE refs(r regclass); INSERT INTO refs VALUES ('app.docs');
CREATE MATERIALIZED VIEW empty AS SELECT 1 AS a WITH NO DATA;
CREATE MATERIALIZED VIEW stale AS SELECT count(*) FROM odd; INSERT INTO odd VALUES ('b', 2);
SELECT lo_from_bytea(4711, 'large');"""
SEEN = """SELECT (SELECT sum(v) FROM odd), (SELECT r FROM refs), (SELECT count(*) FROM pg_matviews WHERE ispopulated),
convert_from(lo_get(4711), 'UTF8')"""
AS_MADE = "3|app.docs|1|large"

NOT_IN_A_SET = """CREATE ROLE app LOGIN; CREATE TABLE owned(id int); ALTER TABLE owned OWNER TO app;
GRANT SELECT ON odd TO app; ALTER DATABASE mnemosyne SET search_path = public, app;
ALTER ROLE app SET search_path = app; COMMENT ON DATABASE mnemosyne IS 'ours';"""
NAMES = ("second", "grafana_ro", "owned", "odd", "search_path", "its comment")
GONE = """ALTER DATABASE mnemosyne RESET ALL; COMMENT ON DATABASE mnemosyne IS NULL; DROP OWNED BY app;
ALTER ROLE app RESET ALL; DROP ROLE grafana_ro;"""
POLICY = "ALTER TABLE odd ENABLE ROW LEVEL SECURITY; CREATE POLICY own ON odd TO app USING (true)"


@pytest.fixture(scope="module")
def lab(engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with servers(tmp_path_factory.mktemp("checkout"), postgres=15) as made:
        yield made


def well(said: Said, code: int = 0) -> Said:
    assert said.code == code, str(said)
    return said


def write(lab: Lab, documents: int, name: str) -> Path:
    load = Load(f"https://{lab.old.address}", lab.root / name, documents=documents).start()
    load.wait()
    assert load.acknowledged == documents
    return lab.root / name / ACKNOWLEDGED


def found(host: Host, acknowledged: Path) -> tuple[int, int]:
    """How many documents are whole, and are missing."""
    seen = check(f"https://{host.address}", acknowledged)
    assert not seen.wrong, seen.wrong[:3]
    return seen.found, len(seen.missing)


@pytest.fixture(scope="module")
def shared() -> dict[str, Path]:
    return {}


def test_deploy(lab: Lab, shared: dict[str, Path]) -> None:
    well(lab.run("bootstrap"))
    well(lab.run("deploy", "--limit", "old"))
    assert lab.old.rows("SHOW server_version_num").startswith("15")
    shared["early"] = write(lab, 60, "early")
    lab.old.rows(CONTENT)


def test_a_backup_of_the_stack_as_it_is_needs_no_consent(lab: Lab) -> None:
    made = well(lab.run("backup", "--limit", "old", "--json")).document
    assert made["accepted_losses"] == []
    assert lab.old.serves()


def test_what_no_set_holds_is_named_before_anything_is_stopped(lab: Lab) -> None:
    lab.old.rows(NOT_IN_A_SET)
    for sql in ("CREATE DATABASE second", "CREATE ROLE grafana_ro"):
        lab.old.rows(sql)
    before = [lab.old.digest(), lab.new.digest()]
    for command in (["backup", "--limit", "old"], ["migrate", "--from", "old", "--to", "new", "--yes"]):
        refused = well(lab.run(*command, "--json"), 3).error
        assert [name for name in NAMES if name not in refused["message"]] == []
        assert "--accept-loss" in str(refused)
        assert [lab.old.digest(), lab.new.digest()] == before


def test_a_set_and_its_restore_say_what_was_accepted(lab: Lab, shared: dict[str, Path]) -> None:
    made = well(lab.run("backup", "--limit", "old", "--accept-loss", "--json")).document
    listed = "\n".join(made["accepted_losses"])
    assert [name for name in NAMES if name not in listed] == []
    manifest = json.loads(lab.old.sh(f"cat {STORE}/{made['id']}/manifest.json"))
    assert manifest["accepted_losses"] == made["accepted_losses"]

    shared["late"] = write(lab, 15, "late")
    lab.old.rows("UPDATE public.odd SET v = 9; REFRESH MATERIALIZED VIEW public.empty; SELECT lo_unlink(4711)")
    restore = ("restore", "--id", "latest", "--host", "old", "--yes", "--json")
    assert "owned" in well(lab.run(*restore), 3).error["message"]
    assert found(lab.old, shared["late"]) == (15, 0)
    restored = well(lab.run(*restore, "--accept-loss")).document
    assert restored["accepted_losses"]
    assert (found(lab.old, shared["early"]), found(lab.old, shared["late"])) == ((60, 0), (0, 15))
    assert lab.old.rows(SEEN) == AS_MADE
    assert lab.old.serves()


def test_an_undo_brings_back_what_the_restore_took_away(lab: Lab, shared: dict[str, Path]) -> None:
    well(lab.run("restore", "--undo", "--host", "old", "--yes"))
    assert (found(lab.old, shared["early"]), found(lab.old, shared["late"])) == ((60, 0), (15, 0))
    assert lab.old.rows("SELECT tableowner FROM pg_tables WHERE tablename = 'owned'") == "app"
    assert lab.old.rows("SHOW search_path") == "public, app"
    assert lab.old.serves()


def test_migrate_with_a_policy_for_a_role(lab: Lab, shared: dict[str, Path]) -> None:
    lab.old.rows("DROP DATABASE second")
    lab.old.rows(GONE)
    lab.old.rows(
        "DROP MATERIALIZED VIEW empty; DROP MATERIALIZED VIEW stale; DROP TABLE refs, odd; DROP SCHEMA app CASCADE"
    )
    lab.old.rows(f"{CONTENT} {POLICY}")
    done = well(lab.run("migrate", "--from", "old", "--to", "new", "--accept-loss", "--yes", "--json")).document
    assert len(done["accepted_losses"]) == 1 and "app" in done["accepted_losses"][0], "the role, nothing else"
    assert lab.new.serves(), lab.new.containers()
    assert (found(lab.new, shared["early"]), found(lab.new, shared["late"])) == ((60, 0), (15, 0))
    assert lab.new.rows(SEEN) == AS_MADE
    policy = "SELECT polname, rolname, rolcanlogin FROM pg_policy, pg_roles WHERE pg_roles.oid = ANY (polroles)"
    assert lab.new.rows(policy) == "own|app|f"
    assert lab.old.running() == set()
