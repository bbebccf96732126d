"""Volumes that move: local to a directory and back while somebody writes; killed, refused, undone; nothing is lost."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from outcomes import Host, Lab, Said, changed, eventually, read_back

from mnemo_ops.lab.load import ACKNOWLEDGED, Load

pytestmark = [pytest.mark.lab, pytest.mark.scenario, pytest.mark.timeout(1200)]

GRAPH, KEY = "mnemosyne_lightrag_data", "lightrag_data"
BIND = {KEY: {"type": "bind", "path": "/data/graph"}}
LOCAL: dict[str, Any] = {}
# what rsync alone does not keep by itself: other names of a file, holes, attributes, owners, links to nowhere
ODD = """
cd "$(docker volume inspect --format '{{.Mountpoint}}' mnemosyne_lightrag_data)"
mkdir -p odd && cd odd
echo one > a; ln a b; ln -s nowhere c; chown 4711:4712 a; chmod 4751 a; touch -d 2001-02-03T04:05:06 a
setfattr -n user.colour -v green a; setfattr -n trusted.x -v y a
truncate -s 300M hole; printf end >> hole
head -c 3M /dev/urandom > big; setfattr -n security.capability -v 0x0100000200040000000000000000000000000000 big
mkdir ../.mnemo-x; echo mine > ../.mnemo-x/file; mknod null c 1 3
mkfifo pipe; mkdir -m 1770 'a dir'; printf x > 'a dir/-rf'
"""
SHOWN = r"""
cd "$1" && find odd -printf '%p %y %m %U %G %n %l ' \( \
  -type f -printf '%s %TY%Tm%Td%TH%TM ' -exec sha256sum {} \; -o -printf '\n' \) | sort
getfattr --absolute-names -d -m - odd/a odd/big; cat .mnemo-x/file; stat -c %t:%T odd/null
test odd/a -ef odd/b && echo same; du -sm odd/hole | cut -f1
"""


def well(said: Said, code: int = 0) -> Said:
    assert said.code == code, str(said)
    return said


def stored(lab: Lab, name: str, volumes: dict[str, Any]) -> str:
    """An inventory whose stack keeps its volumes like this."""
    stack = yaml.safe_load((lab.inventory.parent / "group_vars" / "all.yml").read_text())["stack"]
    return str(lab.inventory_with(name, lambda data: data["hosts"]["old"].update(stack={**stack, "volumes": volumes})))


@pytest.fixture(scope="module")
def local(lab: Lab) -> str:
    return stored(lab, "local", LOCAL)


@pytest.fixture(scope="module")
def bind(lab: Lab) -> str:
    return stored(lab, "bind", BIND)


@pytest.fixture(scope="module")
def ready(lab: Lab, local: str) -> Host:
    """A stack that serves, with odd files among the graph's."""
    well(lab.run("bootstrap", "--limit", "old"))
    well(lab.run("deploy", "--limit", "old", "-i", local))
    lab.old.sh("apt-get install -qqy attr >/dev/null")
    lab.old.sh(ODD)
    return lab.old


@pytest.fixture
def load(lab: Lab, ready: Host) -> Iterator[Load]:
    """Somebody who writes meanwhile."""
    eventually("the stack serves", ready.serves, 60)
    writing = Load(f"https://{ready.address}", lab.root / "load").start()
    try:
        yield writing
    finally:
        writing.stop()


def move(lab: Lab, inventory: str, *words: str, key: str = KEY) -> Said:
    return lab.run("volumes", "--volume", key, "--limit", "old", "-i", inventory, "--yes", "--json", *words)


def place(host: Host) -> str:
    """Where the volume's data lie, as Docker says."""
    return host.sh(f"docker volume inspect --format '{{{{or (index .Options \"device\") .Mountpoint}}}}' {GRAPH}")


def odd(host: Host) -> str:
    return host.sh(f"set -- '{place(host)}'\n{SHOWN}")


def kept(host: Host) -> list[str]:
    return host.lines(f"docker volume ls -q --filter label=mnemo.kept={KEY}")


def staged(host: Host) -> str:
    return host.sh("docker volume ls -q --filter label=mnemo.staged; ls -d /run/mnemo-move-* 2>/dev/null || true")


def whole(lab: Lab, host: Host, load: Load) -> None:
    load.stop()
    seen = read_back(host, lab.root / "load" / ACKNOWLEDGED)
    assert seen.acknowledged > 0 and (len(seen.missing), list(seen.wrong)) == (0, []), seen


def test_the_refusal_of_another_definition_names_the_command(lab: Lab, ready: Host, bind: str) -> None:
    before = ready.digest()
    for command in ("volumes", "deploy"):
        said = well(lab.run(command, "--limit", "old", "-i", bind, "--json"), 3)
        assert f"mnemo-ops volumes -i {bind} --limit old --volume {KEY} --to bind" in said.error["hint"], str(said)
    assert ready.digest() == before


def test_what_cannot_be_meant_touches_nothing(lab: Lab, ready: Host, local: str, bind: str) -> None:
    before = ready.digest()
    assert f"stack.volumes.{KEY}" in well(move(lab, bind, "--to", "nfs"), 2).error["message"]
    assert "no move of lightrag_data to undo" in well(move(lab, local, "--undo"), 3).error["message"]
    ready.sh(f"ln -sfn '{place(ready)}' /same")
    before = ready.digest()
    nested = stored(lab, "nested", {KEY: {"type": "bind", "path": "/same/below"}})
    assert "/below" in well(move(lab, nested, "--to", "bind"), 3).error["message"]
    asked = lab.run("volumes", "--volume", KEY, "--to", "bind", "--limit", "old", "-i", bind, "--json")
    assert "--yes" in well(asked, 2).error["hint"]
    assert changed(well(move(lab, local, "--to", "local")))["old"] == 0
    assert changed(well(move(lab, bind, "--to", "bind", "--check")))["old"] == 1
    assert ready.digest() == before


def test_a_full_target_is_refused_before_anything_stops(lab: Lab, ready: Host) -> None:
    ready.sh("mkdir -p /small && mount -t tmpfs -o size=1m none /small")
    path = stored(lab, "small", {KEY: {"type": "bind", "path": "/small/graph"}})
    place_before, began = place(ready), ready.sh("docker inspect --format '{{.State.StartedAt}}' mnemosyne-api")
    said = well(move(lab, path, "--to", "bind"), 3)
    assert "bytes free" in said.error["message"], str(said)
    assert (place(ready), began) == (
        place_before,
        ready.sh("docker inspect --format '{{.State.StartedAt}}' mnemosyne-api"),
    )
    assert (staged(ready), kept(ready)) == ("", []) and ready.is_clean()
    ready.sh("umount /small")


def test_local_to_bind_while_somebody_writes(lab: Lab, ready: Host, bind: str, load: Load) -> None:
    before = odd(ready)
    said = well(move(lab, bind, "--to", "bind")).document
    assert (said["from"], said["to"], said["moved"]) == ("a local volume", "bind", True)
    assert 0 < said["write_outage_seconds"] < 60 and said["files"] >= 5
    eventually("the stack serves", ready.serves, 60)
    assert place(ready) == "/data/graph" and odd(ready) == before
    assert kept(ready) == [said["kept"]] and staged(ready) == ""
    whole(lab, ready, load)
    assert ready.is_clean()
    assert changed(well(move(lab, bind, "--to", "bind")))["old"] == 0
    assert changed(well(lab.run("volumes", "--limit", "old", "-i", bind, "--json")))["old"] == 0
    assert changed(well(lab.run("deploy", "--limit", "old", "-i", bind, "--json")))["old"] == 0


def test_undo_takes_along_what_was_written_since(lab: Lab, ready: Host, bind: str, local: str, load: Load) -> None:
    assert f"stack.volumes.{KEY}" in well(move(lab, bind, "--undo"), 3).error["hint"]
    ready.sh("echo new > /data/graph/odd/written-since")
    before, old = odd(ready), kept(ready)
    well(move(lab, local, "--undo"))
    eventually("the stack serves", ready.serves, 60)
    assert place(ready) == f"/var/lib/docker/volumes/{GRAPH}/_data" and odd(ready) == before
    assert "written-since" in before and set(kept(ready)).isdisjoint(old)
    whole(lab, ready, load)
    assert "no move" in well(move(lab, local, "--undo"), 3).error["message"]
    assert changed(well(lab.run("volumes", "--limit", "old", "-i", local, "--json")))["old"] == 0
    assert ready.is_clean()


def test_a_place_that_holds_something_is_refused(lab: Lab, ready: Host, bind: str) -> None:
    before = ready.sh("cd /data/graph && find . -type f -exec sha256sum {} + | sort")
    for words in (("--check",), ()):
        assert "holds" in well(move(lab, bind, "--to", "bind", *words), 3).error["message"]
    assert ready.sh("cd /data/graph && find . -type f -exec sha256sum {} + | sort") == before and staged(ready) == ""


def test_a_disk_that_is_gone_empties_nothing(lab: Lab, ready: Host, local: str) -> None:
    ready.sh("mkdir -p /backing /disk && mount --bind /backing /disk")
    point = stored(lab, "point", {KEY: {"type": "bind", "path": "/disk"}})
    assert "is itself a mount point" in well(move(lab, point, "--to", "bind", "--check"), 3).error["message"]
    disk = stored(lab, "disk", {KEY: {"type": "bind", "path": "/disk/graph"}})
    before, had = odd(ready), kept(ready)
    well(move(lab, disk, "--to", "bind"))
    (old,) = set(kept(ready)) - set(had)
    files = f"cd /var/lib/docker/volumes/{old}/_data && find . -type f -exec sha256sum {{}} + | sort"
    content = ready.sh(files)
    ready.sh("umount /disk && mkdir /disk/graph")
    refused = [lab.run(command, "--limit", "old", "-i", disk, "--json") for command in ("volumes", "deploy")]
    for said in (*refused, move(lab, local, "--undo"), move(lab, local, "--to", "local")):
        assert "nothing is mounted on /disk" in well(said, 3).error["message"] and said.error["hint"], str(said)
    assert content and ready.sh(files) == content and ready.sh("ls -A /disk/graph") == ""
    ready.sh("mount --bind /backing /disk")
    well(move(lab, local, "--undo"))
    eventually("the stack serves", ready.serves, 60)
    assert odd(ready) == before
    ready.sh("umount /disk; rm -r /disk /backing")
    assert ready.is_clean()


# killed when the host's record says so: while it is copied, and when the names are changing
@pytest.mark.parametrize(
    "state", ["renaming", *(pytest.param(state, marks=pytest.mark.soak) for state in ("copying", "switched"))]
)
def test_killed_in_the_middle_it_goes_back_or_on(lab: Lab, ready: Host, state: str, load: Load) -> None:
    path = stored(lab, state, {KEY: {"type": "bind", "path": f"/data/{state}"}})
    before, old = odd(ready), place(ready)
    killer = (
        'python3 -c "import glob,json,os,signal,time\n'
        "while True:\n"
        "  for record in glob.glob('/var/lib/mnemo_ops/moves/*.json'):\n"
        "    try: now = json.load(open(record))['state']\n"
        "    except OSError: continue\n"
        f"    if now == '{state}':\n"
        "      for pid in filter(str.isdigit, os.listdir('/proc')):\n"
        "        try: job = 'run_' 'job' in open(f'/proc/{pid}/cmdline').read() and int(pid) != os.getpid()\n"
        "        except OSError: continue\n"
        "        if job: os.kill(int(pid), signal.SIGKILL); raise SystemExit\n"
        '  time.sleep(0.005)"'
    )
    with ready.meanwhile(killer):
        said = move(lab, path, "--to", "bind")
    assert said.code == 6 and "died" in said.error["message"], str(said)
    eventually("the stack serves again", ready.serves, 120)
    eventually("nothing is left of it", lambda: ready.leases() == [], 60)
    assert odd(ready) == before and staged(ready) == ""
    assert place(ready) == (f"/data/{state}" if state == "switched" else old)
    again = well(move(lab, path, "--to", "bind"))
    assert (changed(again)["old"] == 0) == (state == "switched")
    assert place(ready) == f"/data/{state}" and odd(ready) == before
    whole(lab, ready, load)
    assert ready.is_clean()


@pytest.mark.soak
def test_what_does_not_start_there_goes_back_with_what_was_written(lab: Lab, ready: Host, load: Load) -> None:
    path = stored(lab, "sick", {KEY: {"type": "bind", "path": "/data/sick"}})
    before, old = odd(ready), place(ready)
    killer = (
        "bash -c 'until grep -qs switched /var/lib/mnemo_ops/moves/*.json; do sleep 0.05; done;"
        " echo meanwhile > /data/sick/odd/written-there; until docker kill mnemosyne-api; do sleep 0.05; done'"
    )
    with ready.meanwhile(killer):
        said = move(lab, path, "--to", "bind")
    assert said.code == 6 and f"{KEY} is in its old place" in said.error["message"], str(said)
    eventually("the stack serves again", ready.serves, 120)
    assert place(ready) == old and "written-there" in odd(ready) and before != odd(ready)
    assert ready.sh("ls -A /data/sick") == "" and staged(ready) == ""
    whole(lab, ready, load)
    assert ready.is_clean()


@pytest.mark.soak
def test_what_is_not_ours_is_used_by_its_name(lab: Lab, ready: Host, local: str, load: Load) -> None:
    ready.sh("docker volume create graphs-of-everybody")
    before = odd(ready)
    path = stored(lab, "external", {KEY: {"type": "external", "name": "graphs-of-everybody"}})
    well(move(lab, path, "--to", "external"))
    inside = "docker inspect --format '{{range .Mounts}}{{.Name}} {{end}}' mnemosyne-api"
    assert "graphs-of-everybody" in ready.sh(inside) and GRAPH not in ready.volumes()
    assert ready.sh(f"set -- /var/lib/docker/volumes/graphs-of-everybody/_data\n{SHOWN}") == before
    assert changed(well(lab.run("deploy", "--limit", "old", "-i", path, "--json")))["old"] == 0
    said = well(lab.run("volumes", "--limit", "old", "-i", local, "--json"), 3)
    assert f"--volume {KEY} --to local" in said.error["hint"], str(said)
    well(move(lab, local, "--to", "local"))
    assert odd(ready) == before and "graphs-of-everybody" in ready.volumes()
    whole(lab, ready, load)
    assert ready.is_clean()


@pytest.mark.soak
def test_a_path_of_the_stack_becomes_a_volume_and_a_path_again(lab: Lab, ready: Host, local: str, load: Load) -> None:
    path = stored(lab, "uploads", {"uploads": {"type": "bind", "path": "/data/uploads"}})
    eventually("something is uploaded", lambda: ready.sh("ls /srv/mnemosyne/uploads") != "", 30)
    said = well(lab.run("deploy", "--limit", "old", "-i", path, "--json"), 3)
    assert (
        "are in /srv/mnemosyne/uploads" in said.error["message"] and "--volume uploads --to bind" in said.error["hint"]
    )
    well(move(lab, path, "--to", "bind", key="uploads"))
    eventually("the stack serves", ready.serves, 60)
    assert ready.sh("ls -d /srv/mnemosyne/uploads || true") == "" and ready.sh("find /data/uploads -type f")
    assert changed(well(lab.run("deploy", "--limit", "old", "-i", path, "--json")))["old"] == 0
    well(move(lab, local, "--undo", key="uploads"))
    eventually("the stack serves", ready.serves, 60)
    assert ready.sh("find /srv/mnemosyne/uploads -type f") and "mnemosyne_uploads" not in ready.volumes()
    whole(lab, ready, load)
    ready.sh("rm -rf /srv/mnemosyne/.mnemo-kept-*")  # kept on purpose, and a trace elsewhere
    assert ready.is_clean()
