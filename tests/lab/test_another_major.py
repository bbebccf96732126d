"""A cluster with one of everything goes from Postgres 15 to 17: on the same host by a restore, and to another one.

Each host's image is a variable of the inventory (docs/stack.md). Both sides are told by the ``pg_dumpall`` of 17.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from conftest import servers
from outcomes import Host, Lab, Said, changed
from test_whole_cluster import EVERYTHING, PARTS, PATIENCE, RETOLD, SHOP, differ, found, psql, well, write

from mnemo_ops.lab.app import RECIPES
from mnemo_ops.lab.engine import ensure_engine
from mnemo_ops.lab.image import archive, ensure_images

pytestmark = [pytest.mark.lab, pytest.mark.soak, pytest.mark.scenario, pytest.mark.timeout(1800)]

# in the configuration of old, and nothing that 17 knows
GONE = {
    "postgresql.conf": {"db_user_namespace": "off", "vacuum_defer_cleanup_age": "7", "promote_trigger_file": "''"},
    "postgresql.auto.conf": {"old_snapshot_threshold": "'1h'"},
}
# 17 has options and a grantor for each membership, and its own words for views (docs/postgres.md)
OF_MAJOR = re.compile(
    RETOLD.pattern + r"|^GRANT .* TO |SELECT (counting\.)?n$|(docs\.| SELECT )id,|(docs\.|   )title$|SUBSCRIPTION"
)
EMPTY = (
    "docker compose -p mnemosyne down; docker volume ls -q | xargs -r docker volume rm; rm -rf /srv/mnemosyne"
    " /var/backups/mnemosyne"
)


@pytest.fixture(scope="module")
def images(engine: None) -> dict[int, str]:
    ensure_engine(print)
    return {major: ensure_images(RECIPES[major], print)["postgres"] for major in (15, 17)}


@pytest.fixture(scope="module")
def lab(engine: None, tmp_path_factory: pytest.TempPathFactory, images: dict[int, str]) -> Iterator[Lab]:
    with servers(tmp_path_factory.mktemp("checkout"), postgres=15) as made:
        path = made.root / ".lab/group_vars/all.yml"
        variables = yaml.safe_load(path.read_text())
        every = sorted({*variables["stack"]["images"].values(), *images.values()})
        variables["stack"]["images"]["postgres"] = "{{ postgres_image }}"
        variables["stack"]["images_archive"] = str(archive(every, print))
        path.write_text(yaml.safe_dump(variables))
        yield made


@pytest.fixture(scope="module")
def shared() -> dict[str, Any]:
    return {}


def run(lab: Lab, images: dict[int, str], old: int, new: int, *words: str) -> Said:
    """A command, with an image of these majors for each host."""

    def says(data: dict[str, Any]) -> None:
        for name, major in (("old", old), ("new", new)):
            data["hosts"][name]["postgres_image"] = images[major]

    inventory = lab.inventory_with(f"from{old}to{new}", says)
    return lab.run(*words, timeout=PATIENCE, MNEMO_INVENTORY=str(inventory))


def told(host: Host, image: str) -> list[str]:
    """What the program of the newer major says of a cluster."""
    words = "--network container:mnemosyne-postgres --entrypoint pg_dumpall"
    said = host.sh(f"docker run --rm {words} {image} -h 127.0.0.1 -U mnemosyne --clean")
    lines = sorted(line for line in said.splitlines() if not OF_MAJOR.search(line))
    assert len(lines) > 1000
    return [*lines, host.rows("SHOW data_checksums")]


def configure(host: Host) -> None:
    data = "/var/lib/docker/volumes/mnemosyne_postgres_data/_data"
    for file, settings in GONE.items():
        for name, value in settings.items():
            host.sh(f'echo "{name} = {value}" >> {data}/{file}')
    assert host.rows("SELECT count(*) FROM pg_file_settings WHERE error IS NOT NULL AND applied IS NULL") == "0"


def unknown(document: dict[str, Any]) -> set[tuple[str, str]]:
    rows = (re.fullmatch(r"(\w+) \((\S+), line \d+\)", each) for each in document["unknown_settings"])
    return {(row[2], row[1]) for row in rows if row}


LEFT = {(file, name) for file, settings in GONE.items() for name in settings}


def test_an_older_target_is_refused_and_both_sides_stay_as_they_are(lab: Lab, images: dict[int, str]) -> None:
    well(run(lab, images, 17, 15, "bootstrap"))
    well(run(lab, images, 17, 15, "deploy", "--limit", "old"))
    before = [lab.old.digest(), lab.new.digest()]
    for more in ([], ["--check"]):
        refused = well(run(lab, images, 17, 15, "migrate", "--from", "old", "--to", "new", "--yes", "--json", *more), 3)
        assert "Postgres 15" in refused.error["message"] and "17" in refused.error["message"]
        assert [lab.old.digest(), lab.new.digest()] == before
    assert lab.old.serves()
    lab.old.sh(EMPTY)


def test_deploy(lab: Lab, shared: dict[str, Any], images: dict[int, str]) -> None:
    well(run(lab, images, 15, 17, "deploy", "--limit", "old"))
    assert lab.old.rows("SHOW server_version_num").startswith("15")
    shared["early"] = write(lab, 60, "early")
    for name, database in PARTS:
        psql(lab.old, (EVERYTHING / f"{name}.sql").read_text(), database)
    configure(lab.old)
    shared["made"] = told(lab.old, images[17])


def test_a_backup_is_restored_into_the_newer_image(lab: Lab, shared: dict[str, Any], images: dict[int, str]) -> None:
    well(run(lab, images, 15, 17, "backup", "--limit", "old"))
    psql(lab.old, "DROP DATABASE second; DROP ROLE copier;")
    psql(lab.old, "DROP TABLE app.docs CASCADE;", SHOP)
    shared["changed"] = told(lab.old, images[17])
    well(run(lab, images, 17, 17, "deploy", "--limit", "old"), 6)  # it does not start with what is there
    done = well(run(lab, images, 17, 17, "restore", "--id", "latest", "--host", "old", "--yes", "--json")).document
    assert unknown(done) == LEFT
    assert lab.old.rows("SHOW server_version_num").startswith("17")
    assert differ(shared["made"], told(lab.old, images[17])) == []
    well(run(lab, images, 17, 17, "deploy", "--limit", "old"))
    assert lab.old.serves(), lab.old.containers()
    assert found(lab.old, shared["early"]) == (60, 0)


def test_the_undo_waits_for_the_image_of_what_it_brings_back(
    lab: Lab, shared: dict[str, Any], images: dict[int, str]
) -> None:
    before = lab.old.digest()
    well(run(lab, images, 17, 17, "restore", "--undo", "--host", "old", "--yes"), 3)
    assert lab.old.digest() == before and lab.old.serves()
    well(run(lab, images, 15, 17, "deploy", "--limit", "old"), 6)
    well(run(lab, images, 15, 17, "restore", "--undo", "--host", "old", "--yes"))
    assert lab.old.rows("SHOW server_version_num").startswith("15")
    assert differ(shared["changed"], told(lab.old, images[17])) == []
    well(run(lab, images, 15, 17, "restore", "--id", "latest", "--host", "old", "--yes"))
    well(run(lab, images, 15, 17, "deploy", "--limit", "old"))
    assert lab.old.serves(), lab.old.containers()


def test_a_migration_ends_in_the_newer_one(lab: Lab, shared: dict[str, Any], images: dict[int, str]) -> None:
    assert differ(shared["made"], told(lab.old, images[17])) == []
    done = well(run(lab, images, 15, 17, "migrate", "--from", "old", "--to", "new", "--yes", "--json")).document
    assert unknown(done) == LEFT and done["accepted_losses"] == []
    assert lab.new.rows("SHOW server_version_num").startswith("17")
    assert lab.new.serves(), lab.new.containers()
    assert differ(shared["made"], told(lab.new, images[17])) == []
    assert found(lab.new, shared["early"]) == (60, 0) and lab.old.running() == set()
    again = well(run(lab, images, 15, 17, "deploy", "--limit", "new", "--json"))
    assert changed(again)["new"] == 0
