"""The main job, in the order in which somebody does it: two bare servers, one stack, moved without a loss."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from outcomes import DIRECTORY, EVERYTHING, STATE, STORE, Host, Lab, Said, changed, changed_tasks, eventually
from pace import slowness

from mnemo_ops.lab import server
from mnemo_ops.lab.load import ACKNOWLEDGED, Load, check

pytestmark = [pytest.mark.lab, pytest.mark.scenario, pytest.mark.timeout(1200)]

DOCUMENT = {"command", "outcome", "exit_code", "started_at", "seconds", "hosts"}
MIGRATION = {
    *("run", "method", "phases", "write_outage_seconds", "user_outage_seconds"),
    *("bytes_copied", "bytes_in_outage", "verified", "old", "new"),
}


def well(said: Said, code: int = 0) -> Said:
    assert said.code == code, str(said)
    return said


def write(lab: Lab, documents: int, name: str) -> Path:
    """Write documents through old's nginx; the log of those that were acknowledged."""
    load = Load(f"https://{lab.old.address}", lab.root / name, documents=documents).start()
    load.wait()
    assert load.acknowledged == documents, f"{load.unacknowledged} were not acknowledged"
    return lab.root / name / ACKNOWLEDGED


def found(host: Host, acknowledged: Path) -> tuple[int, int, int]:
    """How many were acknowledged, are whole, are missing."""
    seen = check(f"https://{host.address}", acknowledged)
    assert not seen.wrong, seen.wrong[:3]
    assert seen.missing or not seen.unsearchable, seen.unsearchable
    return seen.acknowledged, seen.found, len(seen.missing)


@pytest.fixture(scope="module")
def shared() -> dict[str, Path]:
    """Logs of acknowledged documents, from one step to the next."""
    return {}


def test_a_check_of_two_bare_hosts_writes_nothing_and_names_what_bootstrap_then_changes(
    lab: Lab, planted: list[str]
) -> None:
    before = [lab.old.digest(), lab.new.digest()]
    for command in ("deploy", "volumes"):
        assert "not installed on this host: docker" in well(lab.run(command, "--check", "--limit", "old"), 3).err
    foreseen = well(lab.run("bootstrap", "--check", "--json"))
    assert [lab.old.digest(), lab.new.digest()] == before
    assert lab.old.sh(f"ls -d {STATE} || true") == "", "a check leaves not even a directory"

    done = well(lab.run("bootstrap", "--json"))
    assert changed_tasks(done) == changed_tasks(foreseen)
    assert min(changed(done).values()) >= 4
    for host in (lab.old, lab.new):
        assert host.sh("docker compose version --short")
        assert host.sh("systemctl is-enabled docker") == "enabled"


def test_a_second_bootstrap_changes_nothing_and_takes_a_moment(lab: Lab) -> None:
    times = []
    for _ in range(3):  # the best of three: other work on this machine must not fail it
        again = well(lab.run("bootstrap", "--json"))
        assert changed(again) == {"old": 0, "new": 0}
        times.append(again.seconds)
        if times[-1] < 2.0:
            break
    print(f"second bootstrap: {', '.join(f'{each:.2f}' for each in times)} s")
    assert min(times) < 2.0 or min(times) < 2.0 * slowness()


def test_volumes_then_deploy_each_twice(lab: Lab) -> None:
    assert changed(well(lab.run("volumes", "--limit", "old", "--json")))["old"] > 0
    assert len(lab.old.volumes()) == 9
    assert changed(well(lab.run("volumes", "--limit", "old", "--json"))) == {"old": 0}

    assert changed(well(lab.run("deploy", "--limit", "old", "--json")))["old"] > 0
    assert lab.old.serves(), lab.old.containers()
    started = lab.old.lines("docker inspect --format '{{.State.StartedAt}}' $(docker ps -q)")
    assert changed(well(lab.run("deploy", "--limit", "old", "--json"))) == {"old": 0}
    assert lab.old.lines("docker inspect --format '{{.State.StartedAt}}' $(docker ps -q)") == started
    assert lab.old.sh(f"stat -c '%a %U' {DIRECTORY}/.env.production") == "600 root"


def test_backup_leaves_a_set_and_a_serving_stack(lab: Lab, shared: dict[str, Path]) -> None:
    shared["early"] = write(lab, 320, "early")
    made = well(lab.run("backup", "--limit", "old", "--json")).document
    assert made.keys() >= DOCUMENT | {"id", "parts", "consistency"}
    assert made["consistency"] == "quiesced"
    for part in made["parts"]:
        path = f"{STORE}/{made['id']}/{part['name']}"
        assert lab.old.sh(f"stat -c %s {path}; sha256sum < {path}").split()[:2] == [str(part["bytes"]), part["sha256"]]
    rows = well(lab.run("backup.list", "--limit", "old", "--json")).document["sets"]["old"]
    assert [(row["id"], row["state"]) for row in rows] == [(made["id"], "complete")]
    assert lab.old.serves()
    assert lab.old.leftovers() == []


def test_restore_goes_back_to_the_set_and_undo_goes_forward_again(lab: Lab, shared: dict[str, Path]) -> None:
    shared["late"] = write(lab, 25, "late")
    brought = well(lab.run("restore", "--id", "latest", "--limit", "old", "--yes", "--json")).document
    assert 0 < brought["write_outage_seconds"] < brought["seconds"] and brought["strays"] == []
    assert [phase["name"] for phase in brought["phases"]] == ["stop", "swap", "start"]
    assert found(lab.old, shared["early"]) == (320, 320, 0)
    assert found(lab.old, shared["late"]) == (25, 0, 25)
    assert lab.old.rows() == "320"
    assert lab.old.serves()

    back = well(lab.run("restore", "--undo", "--limit", "old", "--yes", "--json")).document
    assert 0 < back["write_outage_seconds"] < back["seconds"] and back["strays"] == []
    last = well(lab.run("lock.status", "--limit", "old", "--json")).document["locks"]["old"]["last"]
    assert (last["command"], bool(last["owner"])) == ("restore --undo", True) and last["ended"] > last["began"]
    assert found(lab.old, shared["early"]) == (320, 320, 0)
    assert found(lab.old, shared["late"]) == (25, 25, 0)
    assert lab.old.serves()
    kept = lab.old.leftovers()
    assert kept and all("/.mnemo-after-" in line for line in kept), "what the restore brought is kept aside"

    well(lab.run("restore", "--undo", "--limit", "old", "--yes", "--json"))
    assert found(lab.old, shared["late"]) == (25, 0, 25)
    well(lab.run("restore", "--undo", "--limit", "old", "--yes", "--json"))
    assert found(lab.old, shared["late"]) == (25, 25, 0)

    well(lab.run("backup.prune", "--aside", "--limit", "old", "--yes"))
    assert lab.old.leftovers() == []
    assert well(lab.run("restore", "--undo", "--limit", "old", "--yes", "--json"), 3).error["class"] == "Refused"


def test_the_same_set_may_be_restored_again_and_again(lab: Lab, shared: dict[str, Path]) -> None:
    """Only the last restore can be undone, and it goes back to what was there just before it."""
    well(lab.run("restore", "--id", "latest", "--limit", "old", "--yes"))
    shared["between"] = write(lab, 15, "between")
    well(lab.run("restore", "--id", "latest", "--limit", "old", "--yes"))
    assert lab.old.rows() == "320"
    well(lab.run("restore", "--undo", "--limit", "old", "--yes"))
    assert found(lab.old, shared["between"]) == (15, 15, 0)
    assert found(lab.old, shared["early"]) == (320, 320, 0)
    assert lab.old.serves()
    kept = lab.old.lines("ls -d /var/lib/docker/volumes/mnemosyne_postgres_data/.mnemo-*")
    assert len(kept) == 1, "one side is kept, of the last restore alone"
    well(lab.run("backup.prune", "--aside", "--limit", "old", "--yes"))
    assert lab.old.leftovers() == []


@pytest.fixture(scope="module")
def migration(lab: Lab, planted: list[str]) -> Iterator[tuple[Said, set[str], Load]]:
    """The migration with a writer at work until the fence; every command line that was to be seen on both hosts."""
    load = Load(f"https://{lab.old.address}", lab.root / "during", writers=3).start()
    try:
        eventually("the writer writes", lambda: load.acknowledged > 20, 30)
        with lab.old.sampled() as on_old, lab.new.sampled() as on_new:
            said = lab.run("migrate", "--from", "old", "--to", "new", "--yes", "--json")
        yield said, on_old | on_new, load
    finally:
        load.stop()


def test_migrate_moves_every_acknowledged_document(
    lab: Lab, migration: tuple[Said, set[str], Load], shared: dict[str, Path]
) -> None:
    said, _, load = migration
    well(said)
    load.stop()
    shared["during"] = lab.root / "during" / ACKNOWLEDGED
    assert load.acknowledged > 20
    assert load.unacknowledged > 0, "the writer met the fence"
    assert lab.new.serves(), lab.new.containers()
    for name in ("early", "between", "during"):
        many, whole, _ = found(lab.new, shared[name])
        assert whole == many > 0
    assert lab.new.restart_policies() == {f"/mnemosyne-{name}": "always" for name in EVERYTHING}


def test_the_document_has_the_names_of_the_contract(migration: tuple[Said, set[str], Load]) -> None:
    document = migration[0].document
    assert document.keys() >= DOCUMENT | MIGRATION
    assert (document["command"], document["outcome"], document["exit_code"]) == ("migrate", "changed", 0)
    assert set(document["hosts"]) == {"old", "new"}
    assert all(
        tally.keys() == {"ok", "changed", "failed", "skipped", "unknown"} for tally in document["hosts"].values()
    )
    names = [phase["name"] for phase in document["phases"]]
    assert names[0] == "preflight" and names[-1] == "finish" and "quiesce" in names and "verify" in names
    assert 0 < document["write_outage_seconds"] < document["seconds"]
    assert document["bytes_copied"] >= document["bytes_in_outage"] > 0
    assert int(document["verified"]["postgres"]["rows"]["mnemosyne"]["rows of public.documents"].split()[0]) > 320
    assert document["old"]["host"] == "old" and document["new"]["host"] == "new"


def test_old_stays_stopped_also_after_a_reboot(lab: Lab, migration: tuple[Said, set[str], Load]) -> None:
    assert lab.old.running() == set()
    server.reboot(lab.root, "old")
    eventually(
        "Docker runs again on old", lambda: lab.old.sh("systemctl is-active docker", check=False) == "active", 60
    )
    # the lease timer would look 20 s after the boot, when there was one
    assert lab.old.sh("systemctl list-timers --all --no-legend 'mnemo*'") == ""
    assert lab.old.running() == set()
    assert not lab.old.answers()


def test_nothing_of_the_run_stays_but_its_journals_and_its_set(
    lab: Lab, migration: tuple[Said, set[str], Load]
) -> None:
    run = migration[0].document["run"]
    for host in (lab.old, lab.new):
        assert host.is_clean()
        assert not [line for line in host.authorized_keys() if "mnemo-2" in line]
        phases = [json.loads(line)["phase"] for line in host.lines(f"cat {STATE}/runs/{run}.jsonl")]
        assert {"provision", "quiesce", "copy", "restore", "verify", "promote", "finish"} <= set(phases)
        assert run in host.sets(), "the set is a backup"
    journal = lab.inventory.parent / ".mnemo" / "runs" / f"{run}.jsonl"
    assert [json.loads(line)["status"] for line in journal.read_text().splitlines()][-1] == "done"
    locks = well(lab.run("lock.status", "--json")).document["locks"]
    for told in (seen["last"] for seen in locks.values()):
        assert (told["run"], told["command"], told["how"]) == (run, "migrate", "finished")
    (row,) = [row for row in well(lab.run("runs", "--json")).document["runs"] if row["run"] == run]
    assert (row["state"], row["next"], sorted(row["places"])) == ("ended ok", "", ["controller", "new", "old"])
    assert lab.new.databases() == ["mnemosyne", "postgres"]


def test_again_changes_nothing_and_swapped_is_refused(lab: Lab, migration: tuple[Said, set[str], Load]) -> None:
    before = [lab.old.digest(), lab.new.digest()]
    again = well(lab.run("migrate", "--from", "old", "--to", "new", "--yes", "--json")).document
    assert again["outcome"] == "ok"
    assert again["run"] == migration[0].document["run"]
    assert again["old"]["host"] == "old" and again["new"]["host"] == "new"
    assert all(tally["changed"] == 0 for tally in again["hosts"].values())
    assert [lab.old.digest(), lab.new.digest()] == before

    swapped = well(lab.run("migrate", "--from", "new", "--to", "old", "--yes", "--json"), 3)
    assert swapped.document["outcome"] == "refused"
    assert "other direction" in swapped.error["message"]
    assert swapped.error["hint"]
    assert [lab.old.digest(), lab.new.digest()] == before
    deployed = well(lab.run("deploy", "--limit", "old", "--json"), 3)
    assert "from this host to new" in deployed.error["message"] and "--limit new" in deployed.error["hint"]
    assert [lab.old.digest(), lab.new.digest()] == before


def test_no_secret_shows_anywhere(lab: Lab, migration: tuple[Said, set[str], Load], planted: list[str]) -> None:
    def shown(where: str, text: str) -> list[str]:
        return [f"{where}: {value}" for value in planted if value in text]

    said = [file for file in (lab.root / "said").iterdir() if shown(file.name, file.read_text())]
    assert said == [], "printed"
    kept = [file for file in (lab.inventory.parent / ".mnemo").rglob("*") if file.is_file()]
    assert kept and not [file for file in kept if shown(file.name, file.read_text())], "journals and keys here"
    lines = migration[1]
    assert any("pg_dump" in line for line in lines) and any(" -T -a -x " in line for line in lines), (
        "the sample saw the run"
    )
    assert not [line for line in lines if shown("ps", line)], "command lines"
    values = "\n".join(planted)
    for host in (lab.old, lab.new):
        patterns = f"cat > /dev/shm/planted <<'END'\n{values}\nEND\n"
        # the env file itself is where they belong: the search can find them
        assert host.sh(f"{patterns}grep -c -F -f /dev/shm/planted {DIRECTORY}/.env.production") == str(len(planted))
        places = f"{STATE} {STORE} /var/log /etc /root /home /tmp /var/tmp"
        # a look again: while runc starts a container's health check, its environment lies in /tmp for milliseconds
        found = host.sh(
            f"{patterns}found=$(grep -rlaF -f /dev/shm/planted {places} 2>/dev/null); sleep 2;"
            'echo "$found" | xargs -r -d "\\n" grep -lasF -f /dev/shm/planted;'
            "journalctl --no-pager -o cat | grep -F -f /dev/shm/planted; rm /dev/shm/planted; true"
        )
        assert found == "", f"{host.name}: {found}"
        assert host.sh("journalctl --no-pager | wc -l") != "0"
