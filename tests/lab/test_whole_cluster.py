"""The main job with a cluster and a tree that have one of everything: equal by other programs, or named as lost.

Postgres 15, which the application's own file asks for, is in `make test`; the others are in `make soak`.
"""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import servers
from outcomes import Host, Lab, Said

from mnemo_ops.lab.app import home
from mnemo_ops.lab.load import ACKNOWLEDGED, Load, check

pytestmark = [pytest.mark.lab, pytest.mark.scenario, pytest.mark.timeout(1200)]

EVERYTHING = Path(__file__).parents[1] / "postgres" / "everything"
SHOP = 'Shop "1" Größe'
PARTS = (
    ("cluster", "mnemosyne"),
    ("shop", SHOP),
    ("second", "second"),
    ("template1", "template1"),
    ("parameters", "mnemosyne"),
)
# in other words once it was read again (docs/postgres.md), or of the moment
RETOLD = re.compile(r"docs_state_check|ANY \(+ARRAY\[|CREATE POLICY own ON|^\\(un)?restrict|^--")
# each of them is in no dump: what makes it, what ends it, its name
LOST = {
    "slot": ("SELECT pg_create_physical_replication_slot('standby')", "SELECT pg_drop_replication_slot('standby')"),
    "shut": ("CREATE DATABASE shut; ALTER DATABASE shut ALLOW_CONNECTIONS false", "DROP DATABASE shut"),
}
TABLESPACE = "SET allow_in_place_tablespaces = on; CREATE TABLESPACE fast LOCATION ''"


MAJORS = [15, pytest.param(17, marks=pytest.mark.soak), pytest.param(18, marks=pytest.mark.soak)]


@pytest.fixture(scope="module", params=MAJORS)
def lab(request: pytest.FixtureRequest, engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with servers(tmp_path_factory.mktemp("checkout"), postgres=request.param) as made:
        yield made


PATIENCE = 900  # seconds for a command: the machine may have other work


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


def psql(host: Host, sql: str, database: str = "mnemosyne") -> None:
    argv = f"docker exec -i mnemosyne-postgres psql -XqU mnemosyne -v ON_ERROR_STOP=1 -d {shlex.quote(database)}"
    host.sh(f"{argv} <<'END_OF_SQL'\n{sql}\nEND_OF_SQL")


def whole(host: Host) -> list[str]:
    """What Postgres' own program says of all that is in the cluster, and its configuration."""
    said = host.sh("docker exec mnemosyne-postgres pg_dumpall -U mnemosyne --clean")
    lines = sorted(line for line in said.splitlines() if not RETOLD.search(line))
    data = host.rows("SHOW data_directory")
    files = f"docker exec mnemosyne-postgres sh -c \"cd {data} && stat -c '%n %a %u %g' . *.conf && cat *.conf\""
    return [*lines, host.sh(files), host.rows("SHOW data_checksums")]


CONTRACT = Path(__file__).parents[1] / "contract"
TREE = "/var/lib/docker/volumes/mnemosyne_lightrag_data/_data/one of everything"


def on(host: Host, program: str) -> str:
    """What a program of the contract's tests says of the tree."""
    text = (CONTRACT / program).read_text()
    return host.sh(f"LC_ALL=C.UTF-8 PYTHONIOENCODING=:surrogateescape python3 - '{TREE}' <<'THE_END'\n{text}\nTHE_END")


def tree(host: Host) -> list[str]:
    """As find, stat, sha256sum, lsattr, getcap, getfacl -R and getfattr -d -m- see it."""
    lines = on(host, "photograph.py").splitlines()
    assert {line.partition(":")[0] for line in lines} > {"sha256sum", "lsattr", "getcap", "getfacl", "getfattr"}
    assert len(lines) > 500
    return lines


def differ(one: list[str], other: list[str]) -> list[str]:
    return [line[:200] for line in difflib.unified_diff(one, other, lineterm="", n=0)]


@pytest.fixture(scope="module")
def shared(lab: Lab) -> dict[str, Any]:
    return {}


def test_deploy(lab: Lab, shared: dict[str, Any], request: pytest.FixtureRequest) -> None:
    well(lab.run("bootstrap", timeout=PATIENCE))
    well(lab.run("deploy", "--limit", "old", timeout=PATIENCE))
    major = request.node.callspec.params["lab"]
    assert lab.old.rows("SHOW server_version_num").startswith(str(major))
    assert lab.old.rows("SHOW data_directory") == home(major)[0]
    shared["early"] = write(lab, 60, "early")
    for name, database in PARTS:
        psql(lab.old, (EVERYTHING / f"{name}.sql").read_text(), database)
    for host in (lab.old, lab.new):
        host.sh("apt-get -qq update && apt-get -qqy install acl attr libcap2-bin >/dev/null", timeout=PATIENCE)
    lab.old.sh(f"mkdir '{TREE}'")
    on(lab.old, "tree_of_everything.py")


def test_what_no_set_holds_is_named_before_anything_is_stopped(lab: Lab) -> None:
    for sql, _ in LOST.values():
        for each in sql.split("; "):
            psql(lab.old, each + ";")
    before = [lab.old.digest(), lab.new.digest()]
    for command in (["backup", "--limit", "old"], ["migrate", "--from", "old", "--to", "new", "--yes"]):
        refused = well(lab.run(*command, "--json", timeout=PATIENCE), 3).error
        assert "standby" in refused["message"] and "shut" in refused["message"] and "--accept-loss" in str(refused)
        assert [lab.old.digest(), lab.new.digest()] == before
    for _, undo in LOST.values():
        psql(lab.old, undo + ";")
    psql(lab.old, TABLESPACE + ";")
    try:
        refused = well(lab.run("backup", "--limit", "old", "--accept-loss", "--json", timeout=PATIENCE), 3).error
        assert "fast" in refused["message"]
    finally:
        psql(lab.old, "DROP TABLESPACE fast;")


def test_a_backup_and_its_restore_are_the_whole_cluster(lab: Lab, shared: dict[str, Any]) -> None:
    shared["made"], shared["tree"] = whole(lab.old), tree(lab.old)
    made = well(lab.run("backup", "--limit", "old", "--json", timeout=PATIENCE)).document
    assert made["accepted_losses"] == [] and len(made["left_out"]) == 1 and "a socket" in made["left_out"][0]
    shared["late"] = write(lab, 15, "late")
    psql(lab.old, "DROP DATABASE second; ALTER ROLE app PASSWORD 'other'; DROP ROLE copier; REVOKE readers FROM app;")
    psql(lab.old, "DROP TABLE app.docs CASCADE; SELECT lo_unlink(oid) FROM pg_largeobject_metadata;", SHOP)
    changes = (
        "setfattr -x user.a a/user.a; setfacl -b a/shared; setcap -r a/capable; rm -r b; touch -d @1 odd; mknod x p"
    )
    lab.old.sh(f"cd '{TREE}' && {changes.replace('; ', ' && ')}")
    shared["changed"], shared["other tree"] = whole(lab.old), tree(lab.old)
    assert differ(shared["made"], shared["changed"])
    well(lab.run("restore", "--id", "latest", "--host", "old", "--yes", "--json", timeout=PATIENCE))
    assert differ(shared["made"], whole(lab.old)) == [] and differ(shared["tree"], tree(lab.old)) == []
    assert (found(lab.old, shared["early"]), found(lab.old, shared["late"])) == ((60, 0), (0, 15))
    assert lab.old.serves()


def test_an_undo_brings_back_what_the_restore_took_away(lab: Lab, shared: dict[str, Any]) -> None:
    well(lab.run("restore", "--undo", "--host", "old", "--yes", timeout=PATIENCE))
    assert differ(shared["changed"], whole(lab.old)) == [] and differ(shared["other tree"], tree(lab.old)) == []
    assert (found(lab.old, shared["early"]), found(lab.old, shared["late"])) == ((60, 0), (15, 0))
    well(lab.run("restore", "--undo", "--host", "old", "--yes", timeout=PATIENCE))
    assert differ(shared["made"], whole(lab.old)) == []
    assert lab.old.serves()


def test_a_migration_takes_all_of_it(lab: Lab, shared: dict[str, Any]) -> None:
    done = well(lab.run("migrate", "--from", "old", "--to", "new", "--yes", "--json", timeout=PATIENCE)).document
    assert done["accepted_losses"] == []
    assert lab.new.serves(), lab.new.containers()
    assert differ(shared["made"], whole(lab.new)) == [] and differ(shared["tree"], tree(lab.new)) == []
    assert (found(lab.new, shared["early"]), found(lab.new, shared["late"])) == ((60, 0), (0, 15))
    assert lab.old.running() == set()
    for host in (lab.old, lab.new):
        assert host.sh("docker ps -aq --filter name=mnemo-scratch") == ""
