"""What makes a file what it is, beside its content, through sets, restores, a migration; and who writes beside us."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from outcomes import DIRECTORY, STATE, STORE, Host, Lab, Said

pytestmark = [pytest.mark.lab, pytest.mark.scenario, pytest.mark.timeout(1200)]

GRAPH = "/var/lib/docker/volumes/mnemosyne_lightrag_data/_data"
UPLOADS = f"{DIRECTORY}/uploads"
ADORN = """
python3 - "$1" <<'END'
import os, struct, sys
top = os.path.join(sys.argv[1], ".mnemo-x")
os.makedirs(top + "/below", exist_ok=True)
def acl(*rows):
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *row) for row in rows)
mine = acl((1, 6, -1 & 0xffffffff), (2, 6, 4242), (4, 4, 0xffffffff), (16, 6, 0xffffffff), (32, 4, 0xffffffff))
cap = struct.pack("<IIIII", 0x02000001, 1 << 10, 0, 0, 0)
for name, value in {"user.u": b"a=b", "trusted.x": b"", "security.mine": b"1", "security.capability": cap,
                    "system.posix_acl_access": mine}.items():
    path = f"{top}/below/{name}"
    open(path, "w").write(name)
    os.chown(path, 4711, 4712)
    os.setxattr(path, name, value)
os.setxattr(top, "system.posix_acl_default", mine)
os.link(f"{top}/below/user.u", f"{top}/same")
os.mknod(f"{top}/null", 0o20600, os.makedev(1, 3))
os.mkfifo(f"{top}/pipe")
open(f"{top}/[a]*", "w").write("x")
END
"""
SHOWN = """
python3 - "$1" <<'END'
import os, sys
first = {}
for where, below, files in sorted(os.walk(os.path.join(sys.argv[1], ".mnemo-x"))):
    for path in [where] + sorted(os.path.join(where, name) for name in files):
        found = os.lstat(path)
        names = {name: os.getxattr(path, name, follow_symlinks=False).hex()
                 for name in sorted(os.listxattr(path, follow_symlinks=False)) if name != "security.selinux"}
        print(path[len(sys.argv[1]):], oct(found.st_mode), found.st_uid, found.st_gid, found.st_rdev, found.st_nlink,
              names, first.setdefault(found.st_ino, path)[len(sys.argv[1]):])
END
"""


def well(said: Said, code: int = 0) -> Said:
    assert said.code == code, str(said)
    return said


def on(host: Host, script: str, where: str) -> str:
    return host.sh(f"set -- {where}\n{script}")


def saying(lab: Lab, name: str, **settings: Any) -> str:
    """An inventory whose stack has these settings."""
    stack = yaml.safe_load((lab.inventory.parent / "group_vars" / "all.yml").read_text())["stack"]
    return str(lab.inventory_with(name, lambda data: data["hosts"]["old"].update(stack={**stack, **settings})))


def is_as_it_was(host: Host, before: str) -> None:
    assert host.serves() and host.sh("docker ps -q --no-trunc | sort") == before, "it was not stopped"


@pytest.fixture(scope="module")
def adorned(lab: Lab) -> dict[str, str]:
    """A stack that serves, with files like these in a volume and in a directory."""
    well(lab.run("bootstrap"))
    well(lab.run("deploy", "--limit", "old"))
    # the same name is another user on new
    lab.old.sh("useradd -u 4242 alice")
    lab.new.sh("useradd -u 4243 alice")
    for where in (GRAPH, UPLOADS):
        on(lab.old, ADORN, where)
    return {where: on(lab.old, SHOWN, where) for where in (GRAPH, UPLOADS)}


def test_a_restore_brings_all_of_a_file_back(lab: Lab, adorned: dict[str, str]) -> None:
    assert "security.capability" in adorned[GRAPH] and "trusted.x" in adorned[GRAPH]
    made = well(lab.run("backup", "--limit", "old", "--json")).document
    lab.old.sh(f"rm -r {GRAPH}/.mnemo-x {UPLOADS}/.mnemo-x")
    well(lab.run("restore", "--id", made["id"], "--limit", "old", "--yes", "--json"))
    assert {where: on(lab.old, SHOWN, where) for where in adorned} == adorned
    assert lab.old.serves()


def test_what_nobody_may_rename_is_refused_before_anything_is_stopped(lab: Lab, adorned: dict[str, str]) -> None:
    before = lab.old.sh("docker ps -q --no-trunc | sort")
    for path, flag in ((f"{UPLOADS}/.mnemo-x/same", "i"), (GRAPH, "i"), (f"{UPLOADS}/.mnemo-x", "a")):
        lab.old.sh(f"chattr +{flag} {path}")
        try:
            said = well(lab.run("restore", "--id", "latest", "--limit", "old", "--yes", "--json"), 3)
        finally:
            lab.old.sh(f"chattr -i -a {path}")
        assert path in said.error["message"] and path in said.error["hint"].partition("chattr -i -a ")[2].split()
        is_as_it_was(lab.old, before)


def test_who_writes_from_around_the_data_is_named_and_can_be_waived(lab: Lab, adorned: dict[str, str]) -> None:
    before = lab.old.sh("docker ps -q --no-trunc | sort")
    image = lab.old.sh("docker inspect --format '{{.Config.Image}}' mnemosyne-redis")
    run = f"docker run -d --name around --entrypoint sleep -v {{}} {image} 600"
    lab.old.sh("ln -s /srv /around")
    for mount, code in (("/around:/data", 3), ("/var/lib/docker/volumes:/data", 3), ("/:/data", 3), ("/:/data:ro", 0)):
        lab.old.sh(run.format(mount))
        said = lab.run("backup", "--limit", "old", "--json")
        if code:
            assert "around:/data" in well(said, code).error["message"]
            waived = json.loads(said.error["hint"].partition("stack.waived: ")[2])
            well(lab.run("backup", "--limit", "old", "--json", "-i", saying(lab, "waived", waived=waived)))
        else:
            well(said)
        lab.old.sh("docker rm -f around")
    is_as_it_was(lab.old, before)


def test_a_volume_without_a_name_can_be_waived_as_it_is_named(lab: Lab, adorned: dict[str, str]) -> None:
    image = lab.old.sh("docker inspect --format '{{.Config.Image}}' mnemosyne-redis")
    labels = "--label com.docker.compose.project=mnemosyne --label com.docker.compose.service=mailer"
    lab.old.sh(f"docker create --name mailer {labels} -v /mails -v /etc/issue:/mine {image}")
    try:
        said = well(lab.run("backup", "--limit", "old", "--json"), 3)
        assert "mailer:/mails (a volume without a name)" in said.error["message"]
        waived = json.loads(said.error["hint"].partition("stack.waived: ")[2])
        assert {"mailer:/mails", "mailer:/mine"} <= waived.keys()
        well(lab.run("backup", "--limit", "old", "--json", "-i", saying(lab, "unnamed", waived=waived)))
    finally:
        lab.old.sh("docker rm -v mailer")


def test_the_key_of_ssh_opens_the_secrets_of_a_set(lab: Lab, adorned: dict[str, str]) -> None:
    lab.old.sh("ssh-keygen -q -t ed25519 -N '' -C 'me at $(id>/root/PWNED) home' -f /root/opener")
    public = lab.old.sh("cat /root/opener.pub")
    made = well(lab.run("backup", "--limit", "old", "--json", "-i", saying(lab, "ssh", recipients=[public]))).document
    names = lab.old.sh(f"age -d -i /root/opener {STORE}/{made['id']}/config.tar.age | tar -t")
    assert "./.env.production" in names.splitlines()
    assert lab.old.sh("ls /root/PWNED 2>&1 || true").endswith("No such file or directory")
    for wrong in ("age1$(id>/root/PWNED)", "-i/root/opener"):
        refused = lab.run("backup", "--limit", "old", "--json", "-i", saying(lab, "wrong", recipients=[wrong]))
        assert "stack.recipients" in well(refused, 2).error["message"]


def test_the_key_made_here_opens_the_secrets_of_a_set_and_no_host_has_it(lab: Lab, adorned: dict[str, str]) -> None:
    made = well(lab.run("backup", "--limit", "old", "--json")).document
    identity = (lab.inventory.parent / ".mnemo/keys/mnemosyne.age").read_text()
    secret = identity.splitlines()[-1]
    assert secret.startswith("AGE-SECRET-KEY-1")
    assert lab.old.sh(f"grep -rlsF {secret} /root /run/mnemo_ops /srv /tmp {STATE} {STORE} || true") == ""
    lab.old.sh(f"echo {secret} >/root/made-here")
    names = lab.old.sh(f"age -d -i /root/made-here {STORE}/{made['id']}/config.tar.age | tar -t; rm /root/made-here")
    assert "./.env.production" in names.splitlines()


MIGRATE = ("migrate", "--from", "old", "--to", "new", "--yes", "--json")
LYING = """
cat >/usr/local/bin/age-keygen <<'END'
#!/bin/sh
[ $# = 0 ] || exec /usr/bin/age-keygen "$@"
/usr/bin/age-keygen 2>/dev/null | sed '/public key/s|$|$(id>/root/PWNED)|'
END
chmod 755 /usr/local/bin/age-keygen; age-keygen | grep -q PWNED
"""


def test_a_set_that_asks_for_the_hosts_own_etc_gets_nothing(lab: Lab, adorned: dict[str, str]) -> None:
    """Old turns hostile once it was looked at: its set wants a volume that is new's /etc."""
    running = lab.start(*MIGRATE)
    labels = "--label com.docker.compose.project=mnemosyne --label com.docker.compose.volume=cron"
    make = f"docker volume create {labels} --opt type=none --opt o=rbind --opt device=/etc mnemosyne_cron"
    begun = f'compgen -G "{STATE}/runs/2*.jsonl" >/dev/null'
    lab.old.sh(f"timeout 600 bash -c 'until {begun}; do sleep 0.02; done' && {make}", timeout=660)
    said = well(lab.ended(running), 6)
    assert "'cron'" in said.error["message"] and "'rbind'" in said.error["message"]
    assert "mnemosyne_cron" not in lab.new.sh("docker volume ls -q; cat /proc/mounts")
    assert lab.old.serves()
    lab.old.sh("docker volume rm mnemosyne_cron")


def test_a_migration_takes_all_of_a_file_along_and_runs_nothing_that_new_says(
    lab: Lab, adorned: dict[str, str]
) -> None:
    lab.new.sh(LYING)
    well(lab.run(*MIGRATE))
    assert lab.old.sh("ls /root/PWNED 2>/dev/null || true") == "", "what new said ran as root on old"
    assert {where: on(lab.new, SHOWN, where) for where in adorned} == adorned
    assert lab.new.serves()


def test_the_lines_that_clean_up_take_nothing_of_another_project(lab: Lab, adorned: dict[str, str]) -> None:
    """As docs/migrate.md has them, on a host with a project whose name begins as ours."""
    made = "docker volume create --label {}={} {}"
    lab.old.sh(made.format("com.docker.compose.project", "mnemosyne_test", "mnemosyne_test_data"))
    lab.old.sh(made.format("mnemo.stack", "mnemosyne_test", "mnemosyne_test_graph"))
    text = (Path(__file__).parents[2] / "docs/migrate.md").read_text()
    (lines,) = re.findall(r"```sh\n(docker compose -p mnemosyne down.*?)```", text, re.S)
    lab.old.sh("mkdir -p /data/lightrag")
    lab.old.sh("set -e\n" + lines)
    assert sorted(lab.old.lines("docker volume ls -q")) == ["mnemosyne_test_data", "mnemosyne_test_graph"]
    assert lab.old.sh("docker ps -aq") == ""
