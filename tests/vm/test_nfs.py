"""One machine lends a directory to the other: proven, denied, cut off, restarted; nothing acknowledged is lost."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from outcomes import Host, Lab, Said, changed, eventually

from mnemo_ops.lab import vm
from mnemo_ops.stack.nfs_options import mount_options

GRAPH = "/srv/nfs/graph"
NFS = f"--opt type=nfs --opt o={mount_options('192.168.77.1')}"
SECONDS = 900  # for a command under emulation
PROMPT = 25  # seconds within which a dead server is named, under emulation; 15 on a real machine
QUICK = "/etc/nfs.conf.d/zz-test.conf"  # after a restart clients claim their locks back for 15 seconds, not 90


def inventory(machines: Lab, name: str = "nfs", app: str = "", **exports: Any) -> Path:
    """The lab's own, with exports; ``app``: where the server is told to see it."""

    def change(everything: dict[str, Any]) -> None:
        if app:
            everything["hosts"]["app"]["mnemo_peer_address"] = app
        rows = exports or {"graph": {"owner": 999}}
        everything["vars"] = {**everything.get("vars", {}), "nfs": {"server": "storage", "clients": ["app"]}}
        everything["vars"]["nfs"]["exports"] = rows

    return machines.inventory_with(name, change)


def setup(machines: Lab, path: Path, *words: str) -> Said:
    return machines.run("nfs-setup", "--inventory", str(path), "--json", *words, timeout=SECONDS)


@pytest.fixture(scope="module")
def first(machines: Lab, storage: Host) -> Iterator[Said]:
    """What the first run on a fresh server said; its exports are gone afterwards."""
    storage.sh(f"mkdir -p /etc/nfs.conf.d; printf '[nfsd]\nlease-time=15\ngrace-time=15\n' > {QUICK}")
    yield setup(machines, inventory(machines))
    storage.sh("rm -f /etc/exports.d/mnemo-*; exportfs -ra; systemctl disable --now nfs-server; rm -rf /srv/nfs")
    storage.sh(f"rm -f {QUICK} /etc/nfs.conf.d/mnemo.conf")


@pytest.fixture
def lent(machines: Lab, first: Said) -> Path:
    """The inventory of a server that lends a directory, and does it."""
    assert first.code == 0, first
    return machines.inventory.with_name("nfs.yml")


@pytest.fixture
def clean(storage: Host, app: Host) -> Iterator[None]:
    """Nothing of a proof is left on either side: no container, volume, image, mount, file, lease or timer."""
    yield
    eventually("no traces of a run are left", lambda: left(storage) + left(app) == [], 60, 2)
    assert storage.sh("find /srv/nfs -name '.mnemo*'") == ""
    assert app.sh("docker ps -aq; docker volume ls -q; docker image ls -q --filter label=mnemo.proof") == ""
    assert app.sh("grep ' nfs4 ' /proc/mounts || true") == ""


def left(host: Host) -> list[str]:
    """Traces of a run; the lab's own units are none."""
    return [line for line in host.leftovers() if "mnemo-lab-" not in line]


def volume(name: str = "graph") -> str:
    """An export as the stack's volumes mount it."""
    return f"-v $(docker volume create {NFS} --opt device=:/srv/nfs/{name} {name}):/data:nocopy"


def seconds_of_proof(said: Said) -> float:
    """From the question to the end of the command."""
    began = re.search(r"\[ *([\d.]+) s\] can app mount", said.err)
    assert began, said
    return float(said.document["seconds"]) - float(began[1])


@pytest.mark.usefixtures("clean")
def test_set_up_and_proven(storage: Host, first: Said) -> None:
    assert first.code == 0, first
    (proof,) = first.document["proofs"]
    assert proof["client"] == "app" and proof["export"] == "graph" and (proof["uid"], proof["gid"]) == (999, 999)
    assert proof["container"] and len(proof["sha256"]) == 64
    assert 0 < proof["fsync_ms"]["median"] <= proof["fsync_ms"]["p99"]
    exported = storage.sh("exportfs -v")
    assert exported.startswith(GRAPH) and "192.168.77.2(" in exported and "*" not in exported
    assert storage.sh("cat /proc/fs/nfsd/versions").startswith("-3 +4")
    assert storage.sh(f"stat -c '%u:%g %a' {GRAPH}") == "999:999 755"
    assert "fsync" in first.err and "median" in first.err


@pytest.mark.usefixtures("clean")
def test_the_second_run_changes_nothing_and_proves_it_again(machines: Lab, lent: Path) -> None:
    said = setup(machines, lent)
    assert said.code == 0 and dict(changed(said)) == {"storage": 0, "app": 0}, said
    assert [proof["export"] for proof in said.document["proofs"]] == ["graph"]
    check = setup(machines, lent, "--check", "--exit-drift")
    assert check.code == 0 and dict(changed(check)) == {"storage": 0, "app": 0}, check


@pytest.mark.usefixtures("clean")
def test_an_export_for_a_foreign_network_is_denied(machines: Lab, storage: Host, app: Host, lent: Path) -> None:
    foreign = inventory(machines, "foreign", "10.99.0.7", foreign={"owner": 999})
    try:
        said = setup(machines, foreign)
        assert said.code == 6, said
        assert "the server exports nothing there to this host" in said.error["message"]
        assert "exportfs -v" in said.error["hint"] and seconds_of_proof(said) < PROMPT
        mounted = f"docker run --rm {volume('foreign')} busybox ls /data 2>&1; docker volume rm foreign >/dev/null"
        assert "failed to mount" in app.sh(mounted)
    finally:
        storage.sh("rm /etc/exports.d/mnemo-srv-nfs-foreign.exports; exportfs -ra; rm -r /srv/nfs/foreign")


@pytest.mark.soak
@pytest.mark.usefixtures("clean", "lent")
def test_where_root_is_nobody_docker_must_not_copy_what_the_image_has(storage: Host, app: Host) -> None:
    """Why the stack's override says nocopy of volumes on NFS."""
    image = "docker build --quiet --tag owned - <<'END'\nFROM busybox\nRUN mkdir /own && touch /own/file\nEND"
    app.sh(image, SECONDS)
    app.sh(f"docker volume create {NFS} --opt device=:{GRAPH} graph")
    run = "docker run --rm --user 999 --volume graph:/own{} owned touch /own/mine 2>&1"
    try:
        assert "not permitted" in app.sh(run.format(""), SECONDS, check=False)
        assert app.sh(run.format(":nocopy"), SECONDS) == ""
    finally:
        app.sh("docker volume rm graph; docker image rm owned", SECONDS)
        app.sh("docker image prune --force", SECONDS)
        storage.sh(f"rm -f {GRAPH}/mine")


@pytest.mark.soak
def test_a_volume_survives_the_reboot_of_either(machines: Lab, storage: Host, app: Host, lent: Path) -> None:
    def change(everything: dict[str, Any]) -> None:
        row = {"type": "nfs", "server": "storage", "path": GRAPH}
        everything["hosts"]["app"]["stack"] = {"volumes": {"lightrag_data": row}}

    path = machines.inventory_with("volume", change)
    named = "mnemosyne_lightrag_data"
    runs = f"docker run --detach --name store --restart always --user 999 --volume {named}:/data:nocopy busybox"
    begins = "test -e /data/bytes || head -c 1000000 /dev/urandom > /data/bytes; sync; sleep 100000"
    words = ("--limit", "app", "--inventory", str(path), "--volume", "lightrag_data", "--json")

    def volumes() -> int:
        said = machines.run("volumes", *words, timeout=SECONDS)
        assert said.code == 0, said
        return changed(said)["app"]

    def read() -> str:
        return app.sh("docker exec store sha256sum /data/bytes 2>&1", SECONDS, check=False).partition(" ")[0]

    try:
        assert volumes() > 0 and volumes() == 0
        app.sh(f"{runs} sh -c '{begins}'", SECONDS)
        eventually("it has written", lambda: len(read()) == 64, 60, 2)
        before = storage.sh(f"sha256sum {GRAPH}/bytes").partition(" ")[0]
        for name in ("app", "storage"):
            vm.reboot(machines.root, name)
            eventually(f"it reads the same bytes after the reboot of {name}", lambda: read() == before, 400, 5)
            assert volumes() == 0
        assert storage.sh(f"sha256sum {GRAPH}/bytes").partition(" ")[0] == before
    finally:
        app.sh(f"docker rm -f store; docker volume rm {named}", SECONDS, check=False)
        storage.sh(f"rm -f {GRAPH}/bytes")


@contextmanager
def behind_ufw(storage: Host) -> Iterator[None]:
    install = "DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends ufw"
    storage.sh(f"{install}; ufw allow 22/tcp; ufw --force enable", timeout=SECONDS)
    try:
        yield
    finally:
        storage.sh(
            "ufw --force disable; ufw --force reset; iptables -P INPUT ACCEPT; iptables -F INPUT", timeout=SECONDS
        )


@pytest.mark.soak
@pytest.mark.usefixtures("clean")
def test_ufw_lets_in_the_clients_and_nobody_else(machines: Lab, storage: Host, app: Host, lent: Path) -> None:
    reached = "timeout 5 bash -c 'exec 3<>/dev/tcp/192.168.77.1/2049' && echo yes || echo no"
    assert app.sh(reached) == "yes"
    with behind_ufw(storage):
        assert app.sh(reached) == "no"
        said = setup(machines, lent)
        assert said.code == 0 and dict(changed(said)) == {"storage": 1, "app": 0}, said
        assert app.sh(reached) == "yes"
        rules = storage.sh("ufw status")
        assert re.findall(r"^(\S+) +ALLOW +(\S+) *# mnemo nfs$", rules, re.M) == [("2049/tcp", "192.168.77.2")], rules
        again = setup(machines, lent)
        assert again.code == 0 and dict(changed(again)) == {"storage": 0, "app": 0}, again


@contextmanager
def blocked(storage: Host) -> Iterator[None]:
    storage.sh("iptables -I INPUT -p tcp --dport 2049 -j DROP")
    try:
        yield
    finally:
        storage.sh("iptables -D INPUT -p tcp --dport 2049 -j DROP")


@contextmanager
def older(storage: Host) -> Iterator[None]:
    storage.sh("printf '[nfsd]\nvers4.2=n\n' > /etc/nfs.conf.d/zz-older.conf; systemctl restart nfs-server")
    try:
        yield
    finally:
        storage.sh("rm /etc/nfs.conf.d/zz-older.conf; systemctl restart nfs-server")


@contextmanager
def replaced(storage: Host, app: Host) -> Iterator[None]:
    """Its directory is another one while a container uses the old one."""
    container = f"docker run -d --name stale {volume()} busybox sleep 1000"
    app.sh(f"{container}; docker exec stale ls /data")
    storage.sh(f"mv {GRAPH} /srv/nfs/old; rm -r /srv/nfs/old; install -d -o 999 -g 999 {GRAPH}")
    try:
        yield
    finally:
        app.sh("docker rm -f stale; docker volume rm graph")


@pytest.mark.soak
@pytest.mark.usefixtures("clean")
def test_every_way_it_cannot_be_used_is_named_in_time(machines: Lab, storage: Host, app: Host, lent: Path) -> None:
    cases = {
        "does not accept connections on port 2049: timed out": blocked(storage),
        "does not speak the version of NFS asked for": older(storage),
        "stale file handle": replaced(storage, app),
    }
    for what, trouble in cases.items():
        with trouble:
            said = setup(machines, lent)
            assert said.code == 6 and what in said.error["message"], said
            assert said.error["hint"] and seconds_of_proof(said) < PROMPT, said


def proving(machines: Lab, app: Host, path: Path) -> Any:
    """A command whose proof has just begun."""
    running = machines.start("nfs-setup", "--inventory", str(path), "--json")
    container = "docker ps -q --filter label=mnemo.proof"
    eventually("the proof's container runs", lambda: app.sh(container) != "", 400, 0.1)
    return running


@pytest.mark.soak
@pytest.mark.usefixtures("clean")
def test_a_server_that_vanishes_meanwhile(machines: Lab, storage: Host, app: Host, lent: Path) -> None:
    running = proving(machines, app, lent)
    vm.disconnect(machines.root, "storage")
    try:
        said = machines.ended(running, SECONDS)
    finally:
        vm.connect(machines.root, "storage")
    assert said.code == 6 and "192.168.77.1" in said.error["message"], said
    eventually("the hosts have cleaned up", lambda: tidy(storage, app), 240, 2)


@pytest.mark.soak
@pytest.mark.usefixtures("clean")
def test_killed_in_the_middle_the_hosts_clean_up(machines: Lab, storage: Host, app: Host, lent: Path) -> None:
    running = proving(machines, app, lent)
    running.process.send_signal(signal.SIGKILL)
    machines.ended(running, SECONDS)
    eventually("the hosts have cleaned up", lambda: tidy(storage, app), 240, 2)


def tidy(storage: Host, app: Host) -> bool:
    return left(storage) + left(app) == [] and app.sh("docker volume ls -q") == ""


def restarted(machines: Lab, storage: Host) -> None:
    storage.sh("systemctl restart nfs-server")


def without_power(machines: Lab, storage: Host) -> None:
    vm.power_cut(machines.root, "storage")
    vm.power_on(machines.root, "storage")


@pytest.mark.parametrize("trouble", [restarted, pytest.param(without_power, marks=pytest.mark.soak)])
def test_no_acknowledged_write_is_lost(machines: Lab, storage: Host, app: Host, lent: Path, trouble: Any) -> None:
    """A container writes and syncs numbered files; what it was told is written, it notes on its own host."""
    loop = "i=0; while :; do i=$((i+1)); echo $i | dd of=/data/$i conv=fsync 2>/dev/null && echo $i >> /told/log; done"
    app.sh("install -d -m 777 /told")
    app.sh(f"docker run -d --name writer --user 999 -v /told:/told {volume()} busybox sh -c '{loop}'")

    def told() -> int:
        return int(app.sh("wc -l < /told/log 2>/dev/null || echo 0"))

    def goes_on(what: str) -> None:
        before = told()
        eventually(f"it writes again after {what}", lambda: told() > before + 20, 400, 1)

    try:
        goes_on("its start")
        trouble(machines, storage)
        goes_on(f"the server was {trouble.__name__}")
        app.sh("docker kill writer")
        acknowledged = set(app.lines("cat /told/log"))
        kept = set(storage.lines(f'cd {GRAPH}; for file in *; do [ "$(cat $file)" = $file ] && echo $file; done'))
        assert len(acknowledged) > 40 and acknowledged - kept == set()
    finally:
        app.sh("docker rm -f writer; docker volume rm graph; rm -rf /told")
        storage.sh(f"find {GRAPH} -type f -delete")
