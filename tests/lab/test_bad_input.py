"""What goes wrong, on one stack that must survive all of it: the right exit code, one sentence, the next command, and
nothing touched; last of all the same command succeeds."""

from __future__ import annotations

import re
import select
import shutil
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from outcomes import DIRECTORY, PROGRAM, STATE, STORE, Host, Lab, Running, Said, eventually
from screen import on_a_terminal

from mnemo_ops.lab import server
from mnemo_ops.lab.app import STACK
from mnemo_ops.lab.load import ACKNOWLEDGED, Load, check

pytestmark = [pytest.mark.lab, pytest.mark.timeout(1200)]

BULK = 150  # MB that take a moment to copy
SELF_HEAL = 100.0  # seconds: a lease of 45, a tick of 5, and the time the stack needs to be healthy
MIGRATE = ("migrate", "--from", "old", "--to", "new", "--yes", "--json")


@pytest.fixture(scope="module")
def stack(lab: Lab) -> dict[str, str]:
    """The stack on old with documents and something bulky; new provisioned and empty. Restart policies of old."""
    for words in (("bootstrap",), ("volumes", "--limit", "old"), ("deploy", "--limit", "old")):
        said = lab.run(*words)
        assert said.code == 0, str(said)
    load = Load(f"https://{lab.old.address}", lab.root / "load", documents=120).start()
    load.wait()
    assert load.acknowledged == 120
    lab.old.sh(f"head -c {BULK}M /dev/urandom > {DIRECTORY}/uploads/bulk")
    lab.old.rows("CREATE TABLE ballast AS SELECT md5(n::text) a, md5((-n)::text) b FROM generate_series(1, 400000) n")
    return lab.old.restart_policies()


@pytest.fixture
def untouched(lab: Lab, stack: dict[str, str]) -> Iterator[None]:
    """Both hosts are afterwards what they were before."""
    before = [lab.old.digest(), lab.new.digest()]
    yield
    assert [lab.old.digest(), lab.new.digest()] == before


def refused(said: Said, code: int, *words: str) -> Said:
    """It ended with this code, said these words in one error, and named what to do."""
    assert said.code == code, str(said)
    assert said.error["hint"], str(said)
    for word in words:
        assert word in f"{said.error['where']}: {said.error['message']} {said.error['hint']}", str(said)
    assert "Traceback" not in said.err and "a bug" not in said.error["message"], str(said)
    return said


# -- what the inventory and the command line can get wrong -----------------------------------------------------------


@pytest.mark.usefixtures("untouched")
def test_a_host_that_nobody_knows(lab: Lab) -> None:
    refused(lab.run("migrate", "--from", "odl", "--to", "new", "--json"), 2, "odl", "old")
    refused(lab.run("migrate", "--from", "old", "--json"), 2, "--to")
    refused(lab.run("migrate", "--from", "old", "--to", "old", "--json"), 2, "same host")


@pytest.mark.usefixtures("untouched")
def test_one_machine_under_two_names(lab: Lab) -> None:
    path = lab.inventory_with("alias", lambda data: data["hosts"].update(twin=dict(data["hosts"]["old"])))
    refused(lab.run("migrate", "--from", "old", "--to", "twin", "--yes", "--json", "-i", str(path)), 3, "same machine")


@pytest.mark.usefixtures("untouched")
def test_from_and_to_swapped(lab: Lab) -> None:
    said = lab.run("migrate", "--from", "new", "--to", "old", "--yes", "--json")
    refused(said, 3, "new: it runs no stack", "did you swap")


def only(lab: Lab, name: str, **variables: Any) -> tuple[str, ...]:
    """Options for an inventory in which old has other connection variables."""
    path = lab.inventory_with(name, lambda data: data["hosts"]["old"].update(variables))
    return ("-i", str(path), "--json")


@pytest.mark.usefixtures("untouched")
def test_no_way_to_the_host(lab: Lab) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound and not listening: nobody can connect
        port = closed.getsockname()[1]
        options = only(lab, "closed", ansible_host="127.0.0.1", ansible_port=port)
        said = refused(lab.run("migrate", "--from", "old", "--to", "new", "--yes", *options), 4, "old", str(port))
    assert said.error["class"] == "Unreachable"


@pytest.mark.usefixtures("untouched")
def test_a_host_key_that_is_unknown_then_accepted_then_changed(lab: Lab) -> None:
    known = lab.root / "known_hosts"
    known.touch()
    options = only(lab, "keys", mnemo_known_hosts_file=str(known))
    backup = ("backup.list", "--limit", "old", *options)
    said = refused(lab.run(*backup), 4, "SHA256:", "hosts.trust")
    assert said.error["class"] == "HostKeyUnknown"
    text = f"{said.error['message']} {said.error['hint']}"
    fingerprint = next(word for word in text.split() if word.startswith("SHA256:")).rstrip(".,;)")
    own = lab.old.lines("for f in /etc/ssh/ssh_host_*.pub; do ssh-keygen -lf $f; done | cut -d' ' -f2")
    assert fingerprint in own, "the fingerprint is that of the server"
    assert known.read_text() == ""

    wrong = lab.run("hosts.trust", "--limit", "old", "--accept-host-key", "SHA256:" + "A" * 43, *options)
    assert wrong.code != 0 and known.read_text() == ""
    trusted = lab.run("hosts.trust", "--limit", "old", "--accept-host-key", fingerprint, *options)
    assert trusted.code == 0, str(trusted)
    assert lab.run(*backup).code == 0

    others = lab.new.lines("cut -d' ' -f1-2 /etc/ssh/ssh_host_*.pub")
    known.write_text("".join(f"{lab.old.address} {key}\n" for key in others))
    assert refused(lab.run(*backup), 4).error["class"] == "HostKeyChanged"


@pytest.mark.usefixtures("untouched")
def test_a_user_that_is_not_let_in(lab: Lab) -> None:
    said = refused(lab.run("backup", "--limit", "old", *only(lab, "user", ansible_user="stranger")), 4, "stranger")
    assert said.error["class"] == "AuthenticationFailed"


@pytest.fixture
def plain(lab: Lab, stack: dict[str, str]) -> Iterator[str]:
    """A user of old who may log in and may use sudo with a password only."""
    key = lab.inventory.with_name("id_ed25519.pub").read_text()
    lab.old.sh(
        "useradd -m -s /bin/bash plain; usermod -aG sudo plain; install -d -o plain -m 700 ~plain/.ssh;"
        f"echo '{key.strip()}' > ~plain/.ssh/authorized_keys; chown plain ~plain/.ssh/authorized_keys"
    )
    yield "plain"
    lab.old.sh("userdel -rf plain 2>/dev/null")


def test_sudo_that_wants_a_password(lab: Lab, plain: str, untouched: None) -> None:
    said = refused(lab.run("backup", "--limit", "old", *only(lab, "plain", ansible_user=plain)), 4, "sudo")
    assert said.error["class"] == "SudoRefused"


HEAD = "- name: Broken\n  hosts: all\n  tasks:\n"
BROKEN = {
    "an unknown kind": (HEAD + "    - name: One\n      copyy: {dest: /x, content: y}\n", ":5", "copy"),
    "an unknown argument": (HEAD + "    - name: One\n      copy: {dest: /x, contnet: y}\n", ":5", "content"),
    "an undefined variable": (
        HEAD
        + "    - name: One\n      vars: {target: /x}\n      copy:\n        dest: '{{ traget }}'\n        content: y\n",
        ":7",
        "target",
    ),
    "an unknown key": (HEAD + "    - name: One\n      whne: true\n      copy: {dest: /x, content: y}\n", ":5", "when"),
    "a syntax error": (HEAD + "    - name: 'One\n      copy: {dest: /x}\n", ".yml:", ""),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_playbook_with(what: str, lab: Lab) -> None:
    text, line, nearest = BROKEN[what]
    path = lab.root / "broken.yml"
    path.write_text(text)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        here = {"ansible_host": "127.0.0.1", "ansible_port": listener.getsockname()[1]}

        def redirect(data: dict[str, Any]) -> None:
            for variables in data["hosts"].values():
                variables.update(here)

        inventory = lab.inventory_with("here", redirect)
        said = lab.run("play", str(path), "-i", str(inventory), "--json")
        assert select.select([listener], [], [], 0)[0] == [], "it connected"
    assert said.code == 2, str(said)
    told = f"{said.error['where']}: {said.error['message']} {said.error['hint']}"
    assert f"broken.yml{line}" in told if line != ".yml:" else "broken.yml:" in told, told
    assert nearest in told, told


# -- what the stack and its data can get wrong -----------------------------------------------------------------------


def with_source(lab: Lab, change: Callable[[Path], object]) -> tuple[str, ...]:
    """Options for an inventory whose stack comes from a changed copy of the owner's files."""
    source = lab.root / "source"
    shutil.rmtree(source, ignore_errors=True)
    shutil.copytree(STACK, source)
    change(source)
    stack = yaml.safe_load((lab.inventory.parent / "group_vars" / "all.yml").read_text())["stack"]
    return only(lab, "source", stack={**stack, "source": str(source)})


def test_a_compose_file_that_does_not_parse(lab: Lab, untouched: None) -> None:
    def spoil(source: Path) -> None:
        path = source / "docker-compose.prod.yml"
        path.write_text(
            path.read_text().replace("    image: ankane/pgvector:latest", "    imagge: ankane/pgvector:latest")
        )

    said = lab.run("deploy", "--limit", "old", *with_source(lab, spoil))
    assert said.code == 6, str(said)
    told = " ".join(row["why"] for row in said.document["tasks"]) + said.error["message"]
    assert "imagge" in told, "compose's own words"
    assert lab.old.serves()


def test_a_target_that_already_has_data(lab: Lab, untouched: None) -> None:
    lab.new.sh("docker volume create mnemosyne_postgres_data")
    try:
        refused(lab.run(*MIGRATE), 3, "new: it already holds", "mnemosyne_postgres_data")
    finally:
        lab.new.sh("docker volume rm mnemosyne_postgres_data")
    lab.new.sh(f"mkdir -p {DIRECTORY} && echo precious > {DIRECTORY}/file")
    try:
        refused(lab.run(*MIGRATE), 3, "new: it already holds")
        assert lab.new.sh(f"cat {DIRECTORY}/file") == "precious"
    finally:
        lab.new.sh(f"rm -r {DIRECTORY}")


def test_a_damaged_set_and_one_without_manifest(lab: Lab, stack: dict[str, str]) -> None:
    def listed(*words: str, code: int = 0) -> dict[str, Any]:
        said = lab.run("backup.list", "--limit", "old", "--json", *words)
        assert said.code == code, str(said)
        return {row["id"]: row for row in said.document["sets"]["old"]}

    def backup() -> str:
        made = lab.run("backup", "--limit", "old", "--json")
        assert made.code == 0, str(made)
        return str(made.document["id"])

    first, id = backup(), backup()
    part, manifest = f"{STORE}/{id}/lightrag.tar.zst", f"{STORE}/{id}/manifest.json"
    flip = f"python3 - <<'END'\nf = open('{part}', 'r+b'); f.seek(-20, 2); b = f.read(1)[0]\n" + (
        "f.seek(-20, 2); f.write(bytes([b ^ 1])); f.close()\nEND\n"
    )
    assert {row["state"] for row in listed("--check").values()} == {"complete"}
    lab.old.sh(flip)
    before = [lab.old.digest(), lab.new.digest()]
    restore = ("restore", "--id", id, "--limit", "old", "--yes", "--json")
    latest = ("restore", "--id", "latest", "--limit", "old", "--yes", "--json")
    assert (listed()[id]["state"], listed()[id]["checked"]) == ("complete", "sizes")
    (shown,) = [line for line in lab.run("backup.list", "--limit", "old").out.splitlines() if id in line]
    assert "not verified" in shown
    found = listed("--check", code=7)
    assert (found[id]["state"], found[first]["state"]) == ("damaged", "complete")
    assert "lightrag.tar.zst" in found[id]["why"]
    refused(lab.run(*restore), 7, "lightrag.tar.zst", "nothing was changed")
    assert [lab.old.digest(), lab.new.digest()] == before
    assert lab.old.serves()
    lab.old.sh(f"{flip} truncate -s -1 {part}")
    refused(lab.run(*restore), 3, id)  # its size shows without reading it
    refused(lab.run(*latest), 3, id, first)
    lab.old.sh(f'cp {manifest} /root/kept; sed -i \'s/"format": [0-9]*/"format": 9/\' {manifest}')
    refused(lab.run(*latest), 3, id, f"--id {first} --limit old", "newer")
    assert (listed()[id]["state"], listed()[id]["format"]) == ("newer", 9)
    lab.old.sh(f"truncate -s 20 {manifest}")
    refused(lab.run(*latest), 3, id, f"--id {first} --limit old")
    assert listed()[id]["state"] == "unreadable"
    lab.old.sh(f"rm {manifest} /root/kept")
    refused(lab.run(*restore), 3, id, "backup.list")
    assert id not in lab.run("backup.list", "--limit", "old").out
    (shown,) = [line for line in lab.run("backup.list", "--limit", "old", "--all").out.splitlines() if id in line]
    assert "INCOMPLETE" in shown

    prune = ("backup.prune", "--limit", "old", "--json")
    seen = lab.run(*prune, "--check")
    assert seen.code == 0 and seen.document["prune"]["old"]["remove"] == [], "written to a moment ago"
    lab.old.sh(f"find {STORE}/{id} -exec touch -d '1 hour ago' {{}} +")
    seen = lab.run(*prune, "--check")
    assert [row["name"] for row in seen.document["prune"]["old"]["remove"]] == [id]
    refused(lab.run(*prune), 2, "--yes")
    assert {first, id} <= set(lab.old.sets())
    gone = lab.run(*prune, "--yes")
    assert gone.code == 0 and gone.document["outcome"] == "changed", str(gone)
    assert first in lab.old.sets() and id not in lab.old.sets()
    assert lab.old.serves()
    lab.old.sh(f"rm -r {STORE}/{first}")
    assert lab.old.leftovers() == []


def test_progress_fits_a_terminal_of_80_columns(lab: Lab, stack: dict[str, str]) -> None:
    screen = on_a_terminal([str(PROGRAM), "backup", "--limit", "old"], MNEMO_INVENTORY=str(lab.inventory))
    rows = {line for frame in screen.seen for line in frame if line.startswith("  old ")}
    print("\n".join(sorted(rows)))
    assert len(rows) > 5 and all(len(row) < screen.width and re.search(r"\d:\d\d$", row) for row in rows)
    assert not [line for line in screen.shown() if line.startswith("  old ")], "they go away"
    lab.old.sh(f"rm -r {STORE}/2*")


# -- what happens in the middle --------------------------------------------------------------------------------------


def when(host: Host, condition: str, then: str = "true", seconds: int = 600) -> None:
    """As soon as a condition of the shell is true on a host do something there, and return."""
    host.sh(f"timeout {seconds} bash -c 'until {condition}; do sleep 0.02; done' && {then}", timeout=seconds + 20)


COPYING = f'compgen -G "{STORE}/2*/*.partial" >/dev/null'
QUIESCED = '[ -z "$(docker ps -q --filter name=mnemosyne-api)" ]'
RESTORING = 'compgen -G "/var/lib/docker/volumes/*/.mnemo-after-*" >/dev/null'
DUMPING = f'compgen -G "{STORE}/2*.partial/postgres.1.dump" >/dev/null'  # the file pg_dump writes into


def old_is_itself_again(lab: Lab, policies: dict[str, str]) -> None:
    assert lab.old.serves(), lab.old.containers()
    assert lab.old.restart_policies() == policies
    assert lab.old.sh(f"ls {STATE}/fences 2>/dev/null || true") == ""
    for host in (lab.old, lab.new):
        assert not [line for line in host.authorized_keys() if " mnemo-2" in line]
        assert host.sh(f"ls {STATE}/keys 2>/dev/null || true") == ""


def is_over(lab: Lab) -> bool:
    """No lease and no timer, no agent at work: what a killed run left has undone itself."""
    return not any(
        [line for line in host.leftovers() if "/jobs/" not in line and ".zip" not in line and "/.mnemo-" not in line]
        for host in (lab.old, lab.new)
    )


def kill(running: Running) -> None:
    running.process.send_signal(signal.SIGKILL)
    running.process.wait(10)


@pytest.mark.soak  # it waits for a lease to end
def test_a_second_operator_is_told_who_is_at_it_and_a_controller_killed_in_the_copy_leaves_old_serving(
    lab: Lab, stack: dict[str, str]
) -> None:
    first = lab.start(*MIGRATE)
    try:
        when(lab.old, "[ -s /var/lib/mnemo_ops/lock.owner ] && pgrep -f [d]ocker.save >/dev/null")
        second = refused(lab.run(*MIGRATE), 5, "migrate", "locked")
        assert socket.gethostname() in second.error["message"]
        when(lab.new, COPYING)
    finally:
        kill(first)
    assert not lab.old.answers()
    took = eventually("old serves by itself", lab.old.serves, SELF_HEAL)
    print(f"old served again {took:.0f} s after the kill")
    eventually("nothing of the run is left", lambda: is_over(lab), 60)
    old_is_itself_again(lab, stack)


def test_ctrl_c_while_it_stops_old_gives_old_back_at_once(lab: Lab, stack: dict[str, str]) -> None:
    running = lab.start(*MIGRATE)  # the first that copies the images: the full disk below is for the set alone
    when(lab.old, QUIESCED)
    running.process.send_signal(signal.SIGINT)
    said = refused(lab.ended(running), 130, "old serves", "migrate")
    assert said.error["class"] == "Interrupted"
    old_is_itself_again(lab, stack)
    eventually("nothing of the run is left", lambda: is_over(lab), 30)


def test_a_full_disk_on_new_during_the_copy(lab: Lab, stack: dict[str, str]) -> None:
    lab.new.sh(f"mount -t tmpfs -o size=700M,mode=700 tmpfs {STORE}")
    fill = f"until {COPYING}; do read -t 0.02; [ $? -gt 128 ] || exit; done; dd if=/dev/zero of={STORE}/fill bs=1M"
    try:
        with lab.new.meanwhile(f"bash -c '{fill}'"):
            said = refused(lab.run(*MIGRATE), 6, "No space left", "old serves again")
        assert said.document["outcome"] == "failed"
        assert lab.new.sh(f"ls {STORE}/fill") != "", "the disk was full"
        old_is_itself_again(lab, stack)
        assert lab.new.lines(f"find {STORE} -name '*.partial'") == []
        eventually("nothing of the run is left", lambda: is_over(lab), 30)
    finally:
        lab.new.sh(f"umount -l {STORE}")


@pytest.mark.parametrize("victim", ["the job on new", "the database on old"])
def test_somebody_kills(victim: str, lab: Lab, stack: dict[str, str]) -> None:
    running = lab.start(*MIGRATE)
    if victim == "the job on new":
        when(lab.new, RESTORING, "systemctl kill -s KILL 'mnemo-job-*-restore.service'")
    else:
        when(lab.old, DUMPING, "docker kill mnemosyne-postgres")
    said = refused(lab.ended(running), 6, "old serves again")
    assert said.document["outcome"] == "failed"
    old_is_itself_again(lab, stack)
    eventually("nothing of the run is left", lambda: is_over(lab), 60)


@pytest.mark.soak  # it waits for a lease to end, and for a reboot
def test_a_controller_killed_while_it_stops_old_and_old_rebooted_on_top(lab: Lab, stack: dict[str, str]) -> None:
    running = lab.start(*MIGRATE)
    try:
        when(lab.old, QUIESCED)
    finally:
        kill(running)
    server.reboot(lab.root, "old")
    eventually("old serves by itself", lab.old.serves, SELF_HEAL)
    eventually("nothing of the run is left", lambda: is_over(lab), 60)
    old_is_itself_again(lab, stack)


def test_killed_in_the_restore_the_same_command_at_once_succeeds(lab: Lab, stack: dict[str, str]) -> None:
    running = lab.start(*MIGRATE)
    try:
        when(lab.new, RESTORING)
    finally:
        kill(running)
    said = lab.run(*MIGRATE)
    assert said.code == 0, str(said)
    assert lab.new.serves() and lab.old.running() == set()
    seen = check(f"https://{lab.new.address}", lab.root / "load" / ACKNOWLEDGED)
    assert seen.whole and seen.found == 120
    assert lab.new.restart_policies() == stack
    bulk = f"sha256sum < {DIRECTORY}/uploads/bulk"
    assert lab.new.sh(bulk) == lab.old.sh(bulk)
    for host in (lab.old, lab.new):
        assert host.is_clean()
    assert lab.new.databases() == ["mnemosyne", "postgres"]
