"""Stacks as others have them, and what is done to them: what lost data, wedged a host or told nonsense once."""

from __future__ import annotations

import os
import pty
import shutil
import signal
import statistics
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from attacks import KILL_JOB, shell, unnamed
from outcomes import DIRECTORY, EVERYTHING, PROGRAM, STATE, STORE, Host, Lab, Said, eventually, read_back
from pace import slowness

from mnemo_ops.lab import server
from mnemo_ops.lab.app import STACK
from mnemo_ops.lab.load import ACKNOWLEDGED, Load

pytestmark = [pytest.mark.lab, pytest.mark.timeout(1200)]

MIGRATE = ("migrate", "--from", "old", "--to", "new", "--yes", "--json")


def well(said: Said, code: int = 0) -> Said:
    assert said.code == code, str(said)
    return said


def shaped(lab: Lab, name: str, services: dict[str, Any], drop: tuple[str, ...] = (), **stack: Any) -> tuple[str, ...]:
    """Options for an inventory whose compose file has these services too, or these keys of them instead."""
    source = lab.root / name
    shutil.rmtree(source, ignore_errors=True)
    shutil.copytree(STACK, source)
    path = source / "docker-compose.prod.yml"
    described = yaml.safe_load(path.read_text())
    for service, keys in services.items():
        known = described["services"].setdefault(service, {"networks": ["mnemosyne-network"]})
        known.update(keys)
        for key in drop:
            known.pop(key, None)
    path.write_text(yaml.safe_dump(described))
    known = yaml.safe_load((lab.inventory.parent / "group_vars" / "all.yml").read_text())["stack"]
    changed = {**known, "source": str(source), **stack}
    inventory = lab.inventory_with(name, lambda data: data["hosts"]["old"].update(stack=changed))
    return ("--limit", "old", "-i", str(inventory))


@pytest.fixture(scope="module")
def old(lab: Lab) -> Host:
    """The stack on old as its owner wrote it, with a few documents; new is provisioned."""
    well(lab.run("bootstrap"))
    well(lab.run("deploy", "--limit", "old"))
    load = Load(f"https://{lab.old.address}", lab.root / "load", documents=40).start()
    load.wait()
    assert load.acknowledged == 40
    return lab.old


@pytest.fixture
def plain(lab: Lab, old: Host) -> Iterator[Host]:
    """The owner's stack before and after, unless it moved."""
    yield old
    if old.sh(f"ls {STATE}/fences 2>/dev/null || true"):
        return
    services = " ".join(sorted(EVERYTHING))
    old.sh(
        "for c in $(docker ps -aq --filter label=com.docker.compose.project=mnemosyne); do"
        " s=$(docker inspect -f '{{index .Config.Labels \"com.docker.compose.service\"}}' $c);"
        f" case ' {services} ' in *\" $s \"*) ;; *) docker rm -f $c;; esac; done"
    )
    well(lab.run("deploy", "--limit", "old"))
    eventually("the stack serves", old.serves, 60)
    assert read_back(old, lab.root / "load" / ACKNOWLEDGED).whole


def idle(lab: Lab, **more: Any) -> dict[str, Any]:
    """A service that does nothing, from an image that is there."""
    image = yaml.safe_load((lab.inventory.parent / "group_vars" / "all.yml").read_text())["stack"]["images"]["redis"]
    return {"image": image, "init": True, "command": "sleep infinity", "tmpfs": ["/data"], **more}


def test_a_service_that_no_list_names_is_stopped_and_started_like_the_others(lab: Lab, plain: Host) -> None:
    options = shaped(lab, "mailer", {"mailer": idle(lab)})
    well(lab.run("deploy", *options))
    before = plain.sh("docker inspect -f '{{.State.StartedAt}}' mnemosyne-mailer-1")
    made = well(lab.run("backup", *options, "--json")).document
    assert made["consistency"] == "quiesced"
    assert plain.sh("docker inspect -f '{{.State.StartedAt}}' mnemosyne-mailer-1") > before, "it was stopped meanwhile"
    assert plain.running() == EVERYTHING | {"mailer"}
    well(lab.run("restore", "--id", made["id"], "--yes", *options))
    assert plain.running() == EVERYTHING | {"mailer"}


def test_replicas_are_stopped_and_started_together(lab: Lab, plain: Host) -> None:
    options = shaped(lab, "replicas", {"celery-worker": {"deploy": {"replicas": 2}}}, drop=("container_name",))
    well(lab.run("deploy", *options))
    names = "docker ps --format '{{.Names}}' --filter label=com.docker.compose.service=celery-worker | sort"
    two = plain.lines(names)
    assert len(two) == 2
    started = plain.lines(f"docker inspect -f '{{{{.State.StartedAt}}}}' {' '.join(two)}")
    well(lab.run("backup", *options))
    assert plain.lines(names) == two
    again = plain.lines(f"docker inspect -f '{{{{.State.StartedAt}}}}' {' '.join(two)}")
    assert all(new > was for new, was in zip(again, started, strict=True))


def test_a_container_that_is_never_healthy_holds_nothing_up(lab: Lab, plain: Host) -> None:
    sick = idle(lab, healthcheck={"test": ["CMD", "false"], "interval": "1s", "retries": 1})
    options = shaped(lab, "sick", {"sick": sick})
    well(lab.run("deploy", *options), 6)  # it says so, and the others run
    eventually("it is unhealthy", lambda: plain.containers().get("sick") == "running unhealthy", 30)
    for _ in range(2):
        said = well(lab.run("backup", *options, "--json"))
        assert said.document["write_outage_seconds"] < 60
        assert plain.leases() == []
    assert plain.containers()["sick"].startswith("running")


def test_a_stack_that_is_stopped_is_refused_with_the_command_that_starts_it(lab: Lab, plain: Host) -> None:
    plain.sh("docker stop $(docker ps -q)")
    for words in (("backup",), ("restore", "--id", "latest", "--yes")):
        error = well(lab.run(*words, "--limit", "old", "--json"), 3).error
        assert error["hint"].startswith("docker start mnemosyne-"), error
    plain.sh(error["hint"].partition(",")[0])
    eventually("it serves", plain.serves, 90)
    well(lab.run("backup", "--limit", "old"))


def test_another_password_in_the_env_file_is_refused_before_anything_stops(lab: Lab, plain: Host) -> None:
    env = lab.root / ".lab" / "secrets" / "env.production"
    lines = env.read_text().splitlines()
    other = lab.root / "other.env"
    changed = [
        "POSTGRES_PASSWORD=another-password-0123456789" if line.startswith("POSTGRES_PASSWORD=") else line
        for line in lines
    ]
    other.write_text("\n".join(changed) + "\n")
    options = shaped(lab, "password", {}, env_file=str(other))
    before = plain.digest()
    for check in (("--check",), ()):
        error = well(lab.run("deploy", *options, *check, "--json"), 3).error
        assert "POSTGRES_PASSWORD" in error["message"] and "\\password" in error["hint"]
        assert "another-password" not in str(error)
    assert plain.digest() == before and plain.serves()
    plain.rows("ALTER ROLE mnemosyne PASSWORD 'another-password-0123456789'")
    well(lab.run("deploy", *options))
    assert plain.serves()
    password = next(line.partition("=")[2] for line in lines if line.startswith("POSTGRES_PASSWORD="))
    plain.rows(f"ALTER ROLE mnemosyne PASSWORD '{password}'")


def test_an_agent_and_a_job_that_are_killed_end_their_own_run_and_block_nobody(lab: Lab, plain: Host) -> None:
    with shell(plain) as type_in:
        running = lab.start("backup", "--limit", "old", "--json")
        assert plain.told("stopping")
        assert "killed" in type_in(KILL_JOB)
        said = well(lab.ended(running), 6)
    assert "died" in said.error["message"] and "no backup was made" in said.error["message"], said.error
    eventually("it serves", plain.serves, 120)
    well(lab.run("backup", "--limit", "old"))
    assert plain.leases() == []


def test_a_backup_of_three_megabytes_stops_the_stack_for_seconds(lab: Lab, plain: Host) -> None:
    plain.sh(f"head -c 3M /dev/urandom > {DIRECTORY}/uploads/three")
    gaps = []
    for number in range(3):  # two in time are the median
        load = Load(f"https://{plain.address}", lab.root / f"gap{number}", writers=2).start()
        eventually("somebody writes", lambda load=load: load.acknowledged > 5, 30)  # type: ignore[misc]
        try:
            made = well(lab.run("backup", "--limit", "old", "--json")).document
            acknowledged = load.acknowledged
            eventually("it writes again", lambda: load.acknowledged > acknowledged + 5, 30)  # noqa: B023
        finally:
            load.stop()
        gaps.append(load.longest_gap)
        phases = {phase["name"]: phase["seconds"] for phase in made["phases"]}
        print(f"nobody could write for {load.longest_gap:.1f} s; told {made['write_outage_seconds']:.1f} s: {phases}")
        if len(gaps) == 2 and max(gaps) <= 8.0:
            break
    plain.sh(f"rm {DIRECTORY}/uploads/three")
    busy = max(slowness(), os.getloadavg()[0] / (os.cpu_count() or 1))
    print(f"median {statistics.median(gaps):.1f} s; the machine is {busy:.1f} times slower than an idle one")
    assert statistics.median(gaps) <= 8.0 * busy, gaps


# -- migrations ----------------------------------------------------------------------------------------------------


def test_a_stack_that_was_not_deployed_from_here_is_refused_before_it_is_stopped(lab: Lab, plain: Host) -> None:
    override = f"{DIRECTORY}/docker-compose.mnemo.yml"
    plain.sh(f"mv {override} /root/away")
    try:
        error = well(lab.run(*MIGRATE), 3).error
        assert "docker-compose.mnemo.yml not in the stack's directory" in error["message"]
        assert plain.serves()
    finally:
        plain.sh(f"mv /root/away {override}")


def test_on_a_terminal_it_asks_once_and_a_check_asks_and_changes_nothing(lab: Lab, plain: Host) -> None:
    before = [lab.old.digest(), lab.new.digest()]
    said = well(lab.run("migrate", "--from", "old", "--to", "new", "--check"))
    assert "nothing was changed" in said.out
    well(lab.run("migrate", "--from", "old", "--to", "new"), 2)
    leader, follower = pty.openpty()
    environment = {**os.environ, "MNEMO_INVENTORY": str(lab.inventory), "NO_COLOR": "1"}
    words = [str(PROGRAM), "migrate", "--from", "old", "--to", "new"]
    process = subprocess.Popen(words, stdin=follower, stdout=follower, stderr=follower, env=environment, close_fds=True)
    os.close(follower)
    asked = os.read(leader, 4096).decode()
    assert "stop the stack on old" in asked, asked
    os.write(leader, b"no\n")
    assert process.wait(60) == 2
    os.close(leader)
    assert [lab.old.digest(), lab.new.digest()] == before


@pytest.mark.soak  # it waits for leases to end, and for a reboot
def test_a_copy_that_nobody_goes_on_with_stops_stays_stopped_and_is_removed_by_abort(lab: Lab, plain: Host) -> None:
    running = lab.start(*MIGRATE)
    lab.new.sh(
        "timeout 600 bash -c 'until docker ps -q --filter name=mnemosyne-api | grep -q .; do sleep .05; done'",
        timeout=660,
    )
    running.process.send_signal(signal.SIGKILL)
    running.process.wait(10)
    eventually("old serves by itself", plain.serves, 120)
    eventually("the copy is stopped", lambda: lab.new.running() == set(), 120)
    server.reboot(lab.root, "new")
    eventually(
        "Docker runs on new", lambda: lab.new.sh("docker info >/dev/null 2>&1 && echo yes", check=False) == "yes", 60
    )
    assert lab.new.running() == set(), "nothing of it comes up by itself"
    assert "unfinished copy" in well(lab.run("backup", "--limit", "new", "--json"), 3).error["message"]
    well(lab.run("migrate", "--abort", "--yes", "--from", "old", "--to", "new"))
    assert lab.new.containers() == {} and lab.new.volumes() == []
    assert lab.new.sh(f"ls {DIRECTORY} {STATE}/targets 2>/dev/null; true") == f"{STATE}/targets:"
    for host in (lab.old, lab.new):  # a restore of another test keeps something, and says so
        eventually(f"nothing without a name is left on {host.name}", lambda host=host: unnamed(host) == [], 30)  # type: ignore[misc]
    nothing = well(lab.run("migrate", "--abort", "--yes", "--from", "old", "--to", "new"))
    assert "nothing to abort" in nothing.out


def test_a_migration_that_fails_says_what_it_leaves_and_what_removes_it(lab: Lab, plain: Host) -> None:
    running = lab.start(*MIGRATE)
    unpacking = 'compgen -G "/var/lib/docker/volumes/*/.mnemo-after-*" >/dev/null'
    kill = "systemctl kill -s KILL 'mnemo-job-*-restore.service'"
    lab.new.sh(f"timeout 600 bash -c 'until {unpacking}; do sleep 0.02; done' && {kill}", timeout=660)
    said = lab.ended(running)
    assert said.code == 6, str(said)
    assert "old serves again" in said.error["message"]
    assert "migrate --abort" in said.error["message"] and "backup.prune" in said.error["message"], said.error
    run = next(name for name in plain.sets() if name in said.error["message"])
    well(lab.run("migrate", "--abort", "--yes", "--from", "old", "--to", "new"))
    assert lab.new.sh(f"ls {STORE} 2>/dev/null; true") == ""
    assert "a moment ago" in well(lab.run("backup.prune", "--yes", "--limit", "old")).out
    plain.sh(f"find {STORE}/{run} -exec touch -d '10 minutes ago' {{}} +")
    well(lab.run("backup.prune", "--yes", "--limit", "old"))
    assert run not in plain.sets()


def test_what_somebody_writes_to_olds_database_after_the_final_set_is_refused_not_lost(lab: Lab, plain: Host) -> None:
    """The last: the stack moves. A cron job of old's wrote on, was acknowledged, and nothing of it was on new."""
    plain.rows("CREATE TABLE cron_notes (n int)")
    running = lab.start(*MIGRATE)
    eventually("the final backup is made", lambda: "copy the backup" in running.printed(), 600, 0.05)
    insert = 'psql -qAtU mnemosyne -d mnemosyne -c "INSERT INTO cron_notes VALUES (1)"'
    insert = f"timeout 5 docker exec mnemosyne-postgres {insert} && echo acknowledged"
    loop = f"for n in $(seq 40); do {insert}; sleep 0.5; done"
    written = plain.sh(f"{loop}; true", timeout=400, check=False).count("acknowledged")
    well(lab.ended(running))
    assert lab.new.serves()
    assert int(lab.new.rows("SELECT count(*) FROM cron_notes")) == written
